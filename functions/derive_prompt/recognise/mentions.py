"""Mentions: every word of a text that names a kind, with the part that it plays there.

A title names many things: what is sold, what comes along, what it is for, what it tastes of. Here each is found and
told apart; which one the product is, `choosing` decides.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from functions.derive_prompt.recognise.describing import descriptive_words
from functions.derive_prompt.recognise.kinds import Ending, Meaning, Vocabulary, in_own_word, plain_form, vocabulary
from functions.derive_prompt.recognise.roles import Role, role_of
from functions.derive_prompt.recognise.text import Clause, Segmenter, Token, clauses, has_chinese
from functions.derive_prompt.vocabulary import table


class Mention(NamedTuple):
    """One word of a text that names a kind. `clause` counts the clauses with mentions; `main` is the clause's head."""

    meaning: Meaning
    word: str
    role: Role
    clause: int
    aside: bool
    main: bool
    start: int
    end: int


class _Unit(NamedTuple):
    """A stretch of a clause: a kind's word, an ending, a word that is no kind, or any other word."""

    start: int
    end: int
    text: str
    meaning: Meaning | None
    ending: Ending | None
    tag: str


_LONGEST_WORD_TOKENS = 6


@lru_cache(maxsize=64)
def find_mentions(text: str) -> Sequence[Mention]:
    """Every mention in normalised text, in its order. A name is asked for more than once."""
    mentions: list[Mention] = []
    number = 0
    for clause in clauses(text):
        units = list(_units(text, clause))
        found = _with_roles(text, clause, units, number)
        if found:
            mentions += found
            number += 1
    return mentions


def _units(text: str, clause: Clause) -> Iterator[_Unit]:
    """The clause's words, listed ones of several tokens as one: leftmost, longest."""
    words = vocabulary()
    tokens = _segmenter().tokens(text, clause)
    place = 0
    while place < len(tokens):
        for size in range(min(_LONGEST_WORD_TOKENS, len(tokens) - place), 0, -1):
            start, end = tokens[place].start, tokens[place + size - 1].end
            word = plain_form(text[start:end])
            if size == 1 or _is_run(tokens[place : place + size], text):
                if word in words.not_a_kind:
                    yield _Unit(start, end, word, None, None, "not")
                    break
                meaning, ending = words.meaning(word), words.endings.get(word)
                if meaning is not None or ending is not None:
                    yield _Unit(start, end, word, meaning, ending, tokens[place].tag)
                    break
        else:
            size = 1
            token = tokens[place]
            yield _Unit(token.start, token.end, token.text, None, None, token.tag)
        place += size


def _is_run(tokens: list[Token], text: str) -> bool:
    """Whether nothing but spaces and hyphens stands between the tokens."""
    return all(text[left.end : right.start].strip(" -'") == "" for left, right in pairwise(tokens))


def _with_roles(text: str, clause: Clause, units: list[_Unit], number: int) -> list[Mention]:
    found: list[Mention] = []
    words = [unit.text for unit in units]
    for place, unit in enumerate(units):
        before = units[place - 1] if place else None
        whole = _with_the_word_before(before, unit)
        if whole is not None and before is not None:
            if unit.ending is not None and found and found[-1].end == before.end:
                found[-1] = found[-1]._replace(role=Role.OF)
            role = role_of(text, clause, words[: place - 1], before.start, unit.end)
            word = text[before.start : unit.end]
            found.append(Mention(whole, word, role, number, clause.aside, False, before.start, unit.end))
        elif unit.meaning is not None:
            role = role_of(text, clause, words[:place], unit.start, unit.end)
            if role is Role.HEAD and _may_modify(unit, units[place + 1 :]):
                role = Role.PERHAPS_OF
            if role is Role.HEAD and found and not _are_packed_together(units[place + 1 :]):
                role, found[-1] = _side_by_side(found[-1], unit, text)
            found.append(Mention(unit.meaning, unit.text, role, number, clause.aside, False, unit.start, unit.end))
    _mark_main(found, text)
    return found


def _are_packed_together(behind: list[_Unit]) -> bool:
    """Whether what stands behind says that the things before it are sold as one: 颈枕眼罩套装."""
    return bool(behind) and _PACKED.fullmatch(behind[0].text) is not None


def _with_the_word_before(before: _Unit | None, unit: _Unit) -> Meaning | None:
    """What a unit means together with the one before it, where they are one word."""
    if before is None:
        return None
    return _compound(before, unit) or _in_longer_word(before, unit)


def _side_by_side(before: Mention, unit: _Unit, text: str) -> tuple[Role, Mention]:
    """The role of a head behind another mention, and that mention as it is then."""
    if before.role is not Role.HEAD or not _stand_together(before, unit, text):
        return Role.HEAD, before
    if _is_flavour_of(before, unit):
        return Role.SENSE, before
    return Role.HEAD, before._replace(role=Role.OF) if _modifies(before, unit) else before


def _mark_main(found: list[Mention], text: str) -> None:
    """Mark the clause's head. A Chinese phrase ends with it; an English title goes on with features behind it, in the
    same breath."""
    weak = vocabulary().components | vocabulary().general
    heads = [place for place, mention in enumerate(found) if mention.role is Role.HEAD]
    heads = [place for place in heads if found[place].word not in weak] or heads
    if not heads:
        return
    main = heads[-1]
    if not has_chinese(found[main].word):
        main = heads[0]
        while main + 1 in heads and not text[found[main].end : found[main + 1].start].strip(" -"):
            main += 1
    found[main] = found[main]._replace(main=True)


def _may_modify(unit: _Unit, behind: list[_Unit]) -> bool:
    """Whether an unlisted noun stands directly behind a kind's word, which then may only say more about that."""
    after = behind[0] if behind else None
    return (
        after is not None
        and after.start == unit.end
        and after.meaning is None
        and after.ending is None
        and len(after.text) > 1
        and after.tag in _NOUN_TAGS
        and after.text not in descriptive_words()
        and not _PACKED.fullmatch(after.text)
    )


_PACKED = re.compile("|".join((*table("endings")["sets"]["zh"], *table("endings")["sets"]["packed"], ".件套?")))
_NOUN_TAGS = ("n", "nz", "vn")


def _stand_together(mention: Mention, unit: _Unit, text: str) -> bool:
    return not text[mention.end : unit.start].strip(" -")


def _is_flavour_of(mention: Mention, unit: _Unit) -> bool:
    """Whether a fruit directly behind another thing is its taste or smell: lip balm cherry."""
    return (
        unit.meaning is not None
        and unit.meaning.kind.template == "fruit"
        and mention.meaning.kind.template not in ("fruit", "vegetables")
        and unit.text.isascii()
    )


def _modifies(mention: Mention, unit: _Unit) -> bool:
    """Whether a kind's word only says more about the one directly behind it: camera bag. Two names of one thing, or of
    things that are filmed alike, stand beside each other: 保温杯水杯."""
    if unit.meaning is None:
        return False
    words = vocabulary()
    if unit.text in words.components or unit.text in words.general:
        return False
    related = {unit.meaning.root, *words.lineage(unit.meaning.root)} & {
        mention.meaning.root,
        *words.lineage(mention.meaning.root),
    }
    return not related and mention.meaning.kind.template != unit.meaning.kind.template


def _compound(before: _Unit, unit: _Unit) -> Meaning | None:
    """What a word and an ending directly behind it are together, in their own word: 洗脸 + 刷."""
    ending = unit.ending
    if ending is None or not _may_open_a_compound(before, unit):
        return None
    family = before.meaning.kind.template if before.meaning is not None else ""
    if family in ending.unless:
        return None
    kind = ending.kind._replace(template=family) if family in ending.filmed_with else ending.kind
    chinese = has_chinese(unit.text)
    own = in_own_word(kind, before.text + unit.text if chinese else f"{before.text} {unit.text}")
    if own is kind and len(unit.text) > 1:
        # What may not be quoted whole (a brand's name in it) leaves the ending's own word.
        own = in_own_word(kind, unit.text)
    return Meaning(own, own.id)


def _may_open_a_compound(before: _Unit, unit: _Unit) -> bool:
    if before.tag == "not" or before.text[0].isdigit() or before.ending is not None:
        return False
    chinese = has_chinese(unit.text)
    if chinese != has_chinese(before.text) or (chinese and before.end != unit.start):
        return False
    names = before.meaning is not None or (chinese and before.tag.startswith(_NAMING_TAGS))
    return names and before.text not in descriptive_words()


def _in_longer_word(before: _Unit, unit: _Unit) -> Meaning | None:
    """A kind's single character in the longer word that a title uses: 月亮椅 is a chair of its own."""
    if unit.meaning is None or len(unit.text) > 1 or before.end != unit.start or before.meaning or before.ending:
        return None
    if not has_chinese(before.text) or before.text in descriptive_words() or not before.tag.startswith(_NAMING_TAGS):
        return None
    own = in_own_word(unit.meaning.kind, before.text + unit.text)
    return unit.meaning._replace(kind=own, root=own.id)


_NAMING_TAGS = ("n", "v", "j", "l", "i")
"""Parts of speech that name what a compound is about: nouns, verbs, abbreviations, idioms."""


@cache
def _segmenter() -> Segmenter:
    words: Vocabulary = vocabulary()
    listed = {*words.words, *words.endings, *words.not_a_kind}
    return Segmenter(word for word in sorted(listed) if has_chinese(word) and " " not in word)
