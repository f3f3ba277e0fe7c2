"""The words for kinds, and where a name says them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from functions.derive_prompt.cleaning import has_chinese
from functions.derive_prompt.families import cannot_hold
from functions.derive_prompt.matcher import Found, Matcher, plurals
from functions.derive_prompt.vocabulary import table

_TABLE = table("kinds")


class Kind(NamedTuple):
    """One row of `vocabulary/kinds.toml`; `zh`, `en` are the words for prompts, `template` where it is filmed."""

    id: str
    template: str
    zh: str
    en: str
    measure: str
    en_count: str | None
    motion: str = "default"
    filled: bool = False
    tail: bool = False
    own_material: bool = False
    covered: bool = False


def kinds_of(section: str) -> dict[str, Kind]:
    """The kinds of a section of `vocabulary/kinds.toml`, by id."""
    return {
        name: Kind(
            name,
            row["in"],
            row["zh"],
            row["en"],
            row["measure"],
            row.get("en_count"),
            row.get("motion", "default"),
            row.get("filled", False),
            row.get("tail", False),
            row.get("own_material", False),
            row.get("covered", False),
        )
        for name, row in _TABLE[section].items()
    }


KINDS = kinds_of("kinds")


SAME = frozenset(_TABLE["same"]["words"])
_SEVERAL = ("a pair of", "a set of", "a plate of", "a bunch of", "a string of", "a stack of", "a bowl of")


def _in_own_word(kind: Kind, word: str) -> Kind:
    """The kind as one of its catalogue words calls it: 篮球 stays 篮球 where the kind is any ball."""
    if kind.tail or word in SAME or len(word) == 1 or word in (kind.zh.lower(), kind.en.lower()):
        return kind
    name = f"{kind.id}:{word}"
    if has_chinese(word):
        return kind._replace(id=name, zh=word, en=f"{kind.en} ({word})")
    if kind.en_count in _SEVERAL:
        english = word if word.endswith("s") or not kind.en.endswith("s") else f"{word}s"
    elif word.endswith("s") and not word.endswith("ss"):
        # A plural would need another article and verb; the kind's own noun has them right.
        return kind
    else:
        english = word
    return kind._replace(id=name, zh=f"{kind.zh}（{english}）", en=english)


def _words() -> Iterable[tuple[str, Kind | None]]:
    for word in _TABLE["not_a_kind"]["words"]:
        yield word, None
    # Whole kinds before endings: 包 is a bag by name, and an ending where nothing longer is known.
    for kind in sorted(KINDS.values(), key=lambda kind: kind.tail):
        own = (kind.zh, kind.en.lower()) if not kind.tail else ()
        for word in (*own, *_TABLE["kinds"][kind.id].get("also", ())):
            for form in plurals(word.lower()):
                yield form, _in_own_word(kind, word.lower())


KIND_WORDS: Matcher[Kind | None] = Matcher(_words())
COMPONENTS = frozenset(_TABLE["not_a_kind"]["components"])
_GENERAL_WORDS = frozenset(form for word in _TABLE["not_a_kind"]["general"] for form in plurals(word))
_USED_WITH = re.compile("|".join(map(re.escape, _TABLE["not_a_kind"]["used_with"])))


def kinds_told(name: str) -> list[Found[Kind | None]]:
    """The kinds' words of a name, less those that say what it is used with: 电磁炉燃气灶通用."""
    told = list(KIND_WORDS.find_all(name))
    if _USED_WITH.search(name) is None:
        return told
    used: Found[Kind | None] | None = None
    for found in reversed(told[:]):
        listed = used is not None and found.end == used.start and _template(found) == _template(used)
        if listed or _USED_WITH.match(name, found.end) is not None:
            used = found
            told.remove(found)
    return told


def _template(found: Found[Kind | None]) -> str | None:
    return found.value.template if found.value is not None else None


def is_wider(found: Found[Kind | None], said: Kind) -> bool:
    """Whether a word only says what the kind said before it says closer: cardigan sweater, patio umbrella ... umbrella,
    保温杯 水杯."""
    again = said.en.endswith(f" {found.word}") or (len(said.zh) > len(found.word) and said.zh.endswith(found.word))
    return again or (found.word in _GENERAL_WORDS and _template(found) == said.template)


def is_vetoed(kind: Kind | None, category_template: str | None) -> bool:
    """Whether a product of that category cannot be of this kind."""
    return kind is not None and kind.template in cannot_hold(category_template)
