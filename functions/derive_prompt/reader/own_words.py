"""A thing that no list has, by its own words: window opener. Pure.

The rules ask for all of this before they believe it: the title says so of the thing itself; every word is one that
listed things are called by, and the last is one that some of them end with, so that no maker's name and no invention
gets in; and the category tells what such things are filmed as. In English: Chinese compounds the rules read themselves.
"""

import re
from functools import cache
from itertools import dropwhile

from functions.derive_prompt.recognise.describing import descriptive_words
from functions.derive_prompt.recognise.kinds import Kind, in_own_word, vocabulary
from functions.derive_prompt.recognise.roles import Role, role_of
from functions.derive_prompt.recognise.text import clauses
from functions.derive_prompt.templates import GENERAL, Template

_LEAST_WORDS = 2
"""One alone that no list has may be anything, a maker's name above all."""
_PHRASE = re.compile(r"[a-z]+(?:[ -][a-z]+){1,3}")
_NEXT_WORD = re.compile(r"[ -]([a-z]+)")


def own_thing(words: str, name: str, template: Template) -> Kind | None:
    """What normalised words are in a normalised name, filmed as the category says; None where that is not sure."""
    family = template.reference.id
    if _PHRASE.fullmatch(words) is None or family == GENERAL or not _is_the_thing(words, name):
        return None
    # How it is, other slots say: smart, round, red.
    phrase = list(dropwhile(descriptive_words().__contains__, words.replace("-", " ").split()))
    if len(phrase) < _LEAST_WORDS or not _is_called_so(phrase):
        return None
    generic = template.generic
    general = Kind(f"own:{family}", family, generic.zh, generic.en, generic.measure, generic.en_count, generic.motion)
    own = in_own_word(general, " ".join(phrase))
    return own if own is not general else None


def _is_called_so(phrase: list[str]) -> bool:
    called, ending = _words_of_things()
    return called.issuperset(phrase) and phrase[-1] in ending - descriptive_words()


def _is_the_thing(words: str, name: str) -> bool:
    """Whether a name has the words in a place where its thing stands, and no other thing's word goes on behind them."""
    _, ending = _words_of_things()
    places = [
        (clause, clause.start + found.start(), clause.start + found.end())
        for clause in clauses(name)
        for found in re.finditer(rf"(?<![a-z0-9-]){re.escape(words)}(?![a-z0-9-])", name[clause.start : clause.end])
    ]
    return bool(places) and all(
        not clause.aside
        and role_of(name, clause, [], start, end) is Role.HEAD
        and ((behind := _NEXT_WORD.match(name, end, clause.end)) is None or behind[1] not in ending)
        for clause, start, end in places
    )


@cache
def _words_of_things() -> tuple[frozenset[str], frozenset[str]]:
    """The English words that listed things are called by, and those that their names end with."""
    names = [word.split() for word in vocabulary().words if word.isascii()]
    return frozenset(part for name in names for part in name), frozenset(name[-1] for name in names if name)
