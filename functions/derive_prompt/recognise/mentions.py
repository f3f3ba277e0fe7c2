"""Mentions: every word of a text that names a kind, with the part that it plays there.

A title names many things: what is sold, what comes along, what it is for, what it tastes of. Here each is found and
told apart; which one the product is, `choosing` decides.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from functions.derive_prompt.recognise.describing import colour_words, descriptive_words
from functions.derive_prompt.recognise.families import shelf_of
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
        units = _units(text, clause)
        found = _with_roles(text, clause, units, number)
        if found:
            mentions += found
            number += 1
    return list(_listed_together(mentions, text))


def _listed_together(mentions: Sequence[Mention], text: str) -> Iterator[Mention]:
    """The mentions; what a sign joins to one that is no head plays the same part: for suit/lehenga, 送杯刷和杯盖. Where
    the thing is known, so does what is grown together with it: 附琴袋调音器."""
    before: Mention | None = None
    named = False
    for mention in mentions:
        if before is not None and mention.role is Role.HEAD and before.role in _SHARED_ROLES:
            between = text[before.end : mention.start]
            if _JOINING.fullmatch(between) or (not between and named and before.role is Role.INCLUDED):
                mention = mention._replace(role=before.role, main=False)
        named = named or (mention.role is Role.HEAD and mention.clause == 0)
        before = mention
        yield mention


_SHARED_ROLES = (Role.FOR, Role.INCLUDED, Role.EXCLUDED)
_JOINING = re.compile(r"\s*[/、&+和与及或]\s*")


def _units(text: str, clause: Clause) -> list[_Unit]:
    """The clause's words, listed ones of several tokens as one: rightmost, longest. What a compound is, its end says,
    so that a word in the middle belongs to the one behind it: hen, egg cups."""
    tokens = _segmenter().tokens(text, clause)
    units: list[_Unit] = []
    end = len(tokens)
    while end:
        for size in range(min(_LONGEST_WORD_TOKENS, end), 0, -1):
            unit = _listed_unit(text, tokens[end - size : end])
            if unit is not None:
                break
        else:
            size, unit = 1, _Unit(*tokens[end - 1][:3], None, None, tokens[end - 1].tag)
        units.append(unit)
        end -= size
    return units[::-1]


def _listed_unit(text: str, tokens: list[Token]) -> _Unit | None:
    """The tokens as one listed word, None where they are none."""
    if not _is_run(tokens, text):
        return None
    words = vocabulary()
    start, end = tokens[0].start, tokens[-1].end
    word = plain_form(text[start:end])
    if word in words.not_a_kind:
        return _Unit(start, end, word, None, None, "not")
    meaning, ending = words.meaning(word), words.endings.get(word)
    return None if meaning is None and ending is None else _Unit(start, end, word, meaning, ending, tokens[0].tag)


def _is_run(tokens: Sequence[Token | _Unit], text: str) -> bool:
    """Whether nothing but spaces and hyphens stands between the tokens."""
    return all(text[left.end : right.start].strip(" -'") == "" for left, right in pairwise(tokens))


def _with_roles(text: str, clause: Clause, units: list[_Unit], number: int) -> list[Mention]:
    found: list[Mention] = []
    for place in range(len(units)):
        mention = _mention_at(place, units, text, clause, number)
        if mention is None:
            continue
        if found and found[-1].end > mention.start:
            found[-1] = found[-1]._replace(role=Role.OF)
        elif found and mention.role is Role.HEAD and not _are_packed_together(units[place + 1 :]):
            found[-1], mention = _side_by_side(found[-1], mention, text)
        found.append(mention)
    _mark_main(found, text)
    return found


def _mention_at(place: int, units: list[_Unit], text: str, clause: Clause, number: int) -> Mention | None:
    """What one unit mentions, by itself or as one word with the units before it."""
    unit, behind = units[place], units[place + 1 :]
    first, meaning = place, unit.meaning
    goes_on = bool(behind) and (behind[0].ending is not None or behind[0].meaning is not None)
    if place and _is_run([units[place - 1], unit], text):
        before = units[place - 1]
        whole = _with_the_word_before(before, unit)
        if whole is not None:
            first, meaning = place - 1, whole
        elif place > 1 and _is_run([units[place - 2], before], text) and _only_says_more(before) and not goes_on:
            whole = _compound(units[place - 2], unit, between=f"{before.text} ")
            first, meaning = (place - 2, whole) if whole is not None else (place, meaning)
        elif _only_packs(before, unit):
            meaning = None
    if meaning is None:
        return None
    start = units[first].start
    role = role_of(text, clause, [unit.text for unit in units[:first]], start, unit.end)
    if role is Role.HEAD and first == place and _may_modify(unit, behind):
        role = Role.PERHAPS_OF
    word = unit.text if first == place else text[start : unit.end]
    return Mention(meaning, word, role, number, clause.aside, False, start, unit.end)


def _only_says_more(unit: _Unit) -> bool:
    """Whether an English word may stand between a thing and an ending: geyser inlet pipe."""
    return (
        unit.text.isalpha()
        and unit.text.isascii()
        and unit.meaning is None
        and unit.ending is None
        and unit.text not in descriptive_words()
        and unit.text not in _SMALL_WORDS
    )


_SMALL_WORDS = frozenset(
    word for rule in ("for_before", "included_before", "excluded_before") for word in table("roles")["en"][rule]
)


def _only_packs(before: _Unit, unit: _Unit) -> bool:
    """Whether a single character is how the thing before it is sold: 贴纸包, 巧克力盒."""
    return (
        before.meaning is not None
        and before.end == unit.start
        and len(unit.text) == 1
        and unit.ending is not None
        and before.meaning.kind.template in unit.ending.unless
    )


def _are_packed_together(behind: list[_Unit]) -> bool:
    """Whether what stands behind says that the things before it are sold as one: 颈枕眼罩套装."""
    after = next((unit for unit in behind if unit.meaning is None), None)
    return after is not None and _PACKED.fullmatch(after.text) is not None


def _with_the_word_before(before: _Unit, unit: _Unit) -> Meaning | None:
    """What a unit means together with the one before it, where they are one word."""
    return _compound(before, unit) or _in_longer_word(before, unit) or _with_known_modifier(before, unit)


def _with_known_modifier(before: _Unit, unit: _Unit) -> Meaning | None:
    """A short English name with the word before it, where other listed names begin so: pannier bag, as pannier rack."""
    if unit.meaning is None or " " in unit.text or before.meaning is not None or before.ending is not None:
        return None
    family = unit.meaning.kind.template
    if (
        before.text not in vocabulary().modifiers
        or before.text in descriptive_words()
        or {shelf_of(family), family} & _TASTES_OF
    ):
        return None
    return _in_longer_words(unit.meaning, f"{before.text} {unit.text}")


def _side_by_side(before: Mention, mention: Mention, text: str) -> tuple[Mention, Mention]:
    """Two mentions, the second a head, as they are beside each other."""
    between = text[before.end : mention.start].strip(" -")
    if before.role is not Role.HEAD or (between and between not in _BETWEEN):
        return before, mention
    if _is_flavour_of(before, mention):
        return before, mention._replace(role=Role.SENSE)
    if not _modifies(before, mention):
        return before, mention
    if _names_together(before, mention):
        whole = text[before.start : mention.end]
        mention = mention._replace(meaning=_in_longer_words(mention.meaning, whole))
    return before._replace(role=Role.OF), mention


def _names_together(before: Mention, mention: Mention) -> bool:
    """Whether a thing of a short name is said together with the one before it: pie funnel. Not where that may be a
    taste, a smell, a colour or a maker."""
    family = mention.meaning.kind.template
    short = " " not in mention.word if mention.word.isascii() else len(mention.word) <= _SHORT
    return (
        short
        and len(before.word) > 1
        and before.word not in descriptive_words()
        and not {shelf_of(family), family} & _TASTES_OF
    )


_SHORT = 2


_TASTES_OF = frozenset(table("endings")["tastes"]["families"])


_BETWEEN = frozenset(table("roles")["between"]["words"])


def _in_longer_words(meaning: Meaning, whole: str) -> Meaning:
    """What a word means in the longer one that a title uses."""
    own = in_own_word(meaning.kind, plain_form(whole))
    return meaning._replace(kind=own, root=own.id)


def _mark_main(found: list[Mention], text: str) -> None:
    """Mark the clause's head. A Chinese phrase ends with it; an English title goes on with features behind it, in the
    same breath."""
    heads = [place for place, mention in enumerate(found) if mention.role is Role.HEAD]
    heads = [place for place in heads if not _is_beside_the_thing(found[place].word)] or heads
    if not heads:
        return
    main = heads[-1]
    if not has_chinese(found[main].word):
        main = heads[0]
        while main + 1 in heads and not text[found[main].end : found[main + 1].start].strip(" -"):
            main += 1
    found[main] = found[main]._replace(main=True)


def _is_beside_the_thing(word: str) -> bool:
    """Whether a word is seldom the thing of its phrase where it names another: chair, gift box. A Chinese phrase may
    well end with the part that is sold: 相机电池充电器."""
    words = vocabulary()
    part = word in words.components and (word.isascii() or _PACKED.fullmatch(word) is not None)
    return part or word in words.general


def _may_modify(unit: _Unit, behind: list[_Unit]) -> bool:
    """Whether an unlisted noun stands directly behind a kind's word, which then may only say more about that. A single
    character is a thing only where nothing goes on: 包 is none in 全包镜头."""
    after = behind[0] if behind else None
    if after is None or after.meaning is not None or after.ending is not None:
        return False
    if unit.text.isascii():
        shelf = shelf_of(unit.meaning.kind.template) if unit.meaning is not None else ""
        return shelf in _MAY_FLAVOUR and " " not in unit.text and _only_says_more(after)
    if after.start != unit.end:
        return False
    if after.text in descriptive_words() or _PACKED.fullmatch(after.text):
        return False
    return len(unit.text) == 1 or (len(after.text) > 1 and after.tag in _NOUN_TAGS)


_MAY_FLAVOUR = frozenset(table("endings")["tastes"]["tasted"])
_PACKED = re.compile("|".join((*table("endings")["sets"]["zh"], *table("endings")["sets"]["packed"], ".件套?")))
_NOUN_TAGS = ("n", "nz", "vn")


def _is_flavour_of(before: Mention, mention: Mention) -> bool:
    """Whether a fruit or a colour directly behind another thing is its taste, smell or look: lip balm cherry, sweater
    mustard."""
    return (
        mention.word.isascii()
        and (mention.meaning.kind.template == "fruit" or mention.word in colour_words())
        and before.meaning.kind.template not in ("fruit", "vegetables", mention.meaning.kind.template)
    )


def _modifies(before: Mention, mention: Mention) -> bool:
    """Whether a kind's word only says more about the one directly behind it: camera bag. Two names of one thing, or of
    things that are filmed alike, stand beside each other: 保温杯水杯."""
    words = vocabulary()
    if _PACKED.fullmatch(mention.word) or (mention.word.isascii() and mention.word in words.components | words.general):
        return False
    one, two = before.meaning, mention.meaning
    related = {two.root, *words.lineage(two.root)} & {one.root, *words.lineage(one.root)}
    return not related and one.kind.template != two.kind.template


def _compound(before: _Unit, unit: _Unit, between: str = "") -> Meaning | None:
    """What a word and an ending behind it are together, in their own word: 洗脸 + 刷."""
    ending = unit.ending
    if ending is None or not _may_open_a_compound(before, unit):
        return None
    family = before.meaning.kind.template if before.meaning is not None else ""
    if family in ending.unless:
        return None
    kind = ending.kind._replace(template=family) if family in ending.filmed_with else ending.kind
    chinese = has_chinese(unit.text)
    own = in_own_word(kind, before.text + unit.text if chinese else f"{before.text} {between}{unit.text}")
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
    return _in_longer_words(unit.meaning, before.text + unit.text)


_NAMING_TAGS = ("n", "v", "j", "l", "i")
"""Parts of speech that name what a compound is about: nouns, verbs, abbreviations, idioms."""


@cache
def _segmenter() -> Segmenter:
    words: Vocabulary = vocabulary()
    listed = {*words.words, *words.endings, *words.not_a_kind}
    return Segmenter(word for word in sorted(listed) if has_chinese(word) and " " not in word)
