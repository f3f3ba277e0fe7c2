"""Mentions: every word of a text that names a kind, with the part that it plays there.

A title names many things: what is sold, what comes along, what it is for, what it tastes of. Here each is found and
told apart; which one the product is, `choosing` decides.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from functions.derive_prompt.recognise.belongings import belongs, end_of_belonging, is_a_cleaner, surely_belongs
from functions.derive_prompt.recognise.compounds import (
    are_packed_together,
    in_longer_words,
    is_eaten,
    may_modify,
    may_taste,
    only_says_a_pack,
    whole_at,
)
from functions.derive_prompt.recognise.describing import colour_words, descriptive_words
from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.kinds import UNLISTED_HEAD, Meaning, vocabulary
from functions.derive_prompt.recognise.roles import Role, only_fits, role_of
from functions.derive_prompt.recognise.text import Clause, clauses, has_chinese
from functions.derive_prompt.recognise.units import Unit, units_of
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
    later: bool = False
    """Whether it stands in a Chinese phrase that is strung on behind the clause's thing."""


@lru_cache(maxsize=64)
def find_mentions(text: str) -> Sequence[Mention]:
    """Every mention in normalised text, in its order. A name is asked for more than once."""
    mentions: list[Mention] = []
    number = 0
    for clause in clauses(text):
        units = units_of(text, clause)
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


def _with_roles(text: str, clause: Clause, units: list[Unit], number: int) -> list[Mention]:
    found: list[Mention] = []
    alone: list[int] = []
    for place in range(len(units)):
        mention = _mention_at(place, units, text, clause, number)
        if mention is None:
            continue
        if mention.role is Role.EXCLUDED and alone and found[alone[-1]].end > mention.start:
            # Powder free gloves are gloves.
            continue
        while alone and found[alone[-1]].end > mention.start:
            # It is a part of the longer word.
            found[alone[-1]] = found[alone[-1]]._replace(role=Role.OF)
            alone.pop()
        alone.append(len(found))
        found.append(mention)
    for left, right in pairwise(alone):
        if not are_packed_together([unit for unit in units if unit.start >= found[right].end]):
            found[left], found[right] = _side_by_side(found[left], found[right], text)
    _fit_together(found)
    _give_shapes(found, text)
    _leave_hosts(found, text)
    _give_tastes(found, text)
    _mark_main(found, text)
    return found


def _fit_together(found: list[Mention]) -> None:
    """Things alike directly before what the clause says is fitted are fitted too: 相机背带单反微单通用."""
    for place in range(len(found) - 1, 1, -1):
        before, mention = found[place - 1], found[place]
        alike = before.meaning.kind.template == mention.meaning.kind.template and before.end == mention.start
        if mention.role is Role.FOR and before.role is Role.HEAD and alike:
            found[place - 1] = before._replace(role=Role.FOR)


def _give_shapes(found: list[Mention], text: str) -> None:
    """A thing of another shelf right before a figure is its shape: 天鹅船创意摆件."""
    for place, (before, mention) in enumerate(pairwise(found)):
        heads = before.role is Role.HEAD and mention.role is Role.HEAD
        if not heads or mention.word not in _FIGURES or before.meaning.kind.template in _NO_SHAPES:
            continue
        if mention.start - before.end <= _BEFORE_A_FIGURE and " " not in text[before.end : mention.start]:
            own = before.word + mention.word
            found[place] = before._replace(role=Role.SENSE)
            found[place + 1] = mention._replace(meaning=in_longer_words(mention.meaning, own), word=own)


_FIGURES = frozenset(table("endings")["figures"]["zh"])
_NO_SHAPES = frozenset(table("endings")["figures"]["not_after"])
_BEFORE_A_FIGURE = 2


def _leave_hosts(found: list[Mention], text: str) -> None:
    """A thing before what surely belongs to it, listed or not, only says for what that is: 咖啡机除垢剂."""
    for place, host in enumerate(found):
        end = end_of_belonging(text, host.end)
        if end is None or host.role not in (Role.HEAD, Role.PERHAPS_OF):
            continue
        listed = any(other.start < end for other in found[place + 1 :])
        if not (listed or belongs(host.word, host.meaning.kind) or surely_belongs(host.word)):
            found[place] = host._replace(role=Role.OF)


def _give_tastes(found: list[Mention], text: str) -> None:
    """Food before another thing of the same phrase is its taste or its look: cherry flavoured lip balm, 草莓熊玩偶."""
    for place, food in enumerate(found):
        if food.role in (Role.HEAD, Role.PERHAPS_OF) and is_eaten(food.meaning.kind.template):
            if any(_may_taste_of(food, thing, text) for thing in found[place + 1 :]):
                found[place] = food._replace(role=Role.SENSE)


def _may_taste_of(food: Mention, thing: Mention, text: str) -> bool:
    words = vocabulary()
    if thing.role is not Role.HEAD or is_eaten(thing.meaning.kind.template) or only_says_a_pack(thing.word):
        return False
    if thing.word in words.components or thing.word in words.general:
        return False
    between = text[food.end : thing.start]
    if food.word.isascii():
        return _FLAVOURED.search(text, food.end, thing.end) is not None
    fresh = food.meaning.kind.template in _FRESH and not belongs(thing.word, thing.meaning.kind)
    return fresh and len(between) <= _BEFORE_A_SHAPED_THING and _CHINESE_ONLY.fullmatch(between) is not None


_FLAVOURED = re.compile(rf"[ -](?:{'|'.join(table('roles')['en']['flavoured'])}) [a-z]")
_FRESH = frozenset({"fruit", "vegetables"})
_CHINESE_ONLY = re.compile("[\u4e00-\u9fff]*")
_BEFORE_A_SHAPED_THING = 4


def _mention_at(place: int, units: list[Unit], text: str, clause: Clause, number: int) -> Mention | None:
    """What one unit mentions, by itself or as one word with the units before it."""
    whole = whole_at(place, units, text)
    if whole is None:
        return None
    unit, start = units[place], units[whole.first].start
    role = role_of(text, clause, [unit.text for unit in units[: whole.first]], start, unit.end)
    alone = whole.first == place
    if role is Role.FOR and only_fits(text, start, unit.end) and belongs(unit.text, whole.meaning.kind):
        role = Role.HEAD
    if role is Role.HEAD and alone and may_modify(unit, units[place + 1 :]):
        role = Role.PERHAPS_OF
    word = unit.text if alone else text[start : unit.end]
    return Mention(whole.meaning, word, role, number, clause.aside, False, start, unit.end)


def _side_by_side(before: Mention, mention: Mention, text: str) -> tuple[Mention, Mention]:
    """Two mentions as they are beside each other."""
    between = text[before.end : mention.start].strip(" -")
    if before.role is not Role.HEAD or (between and between not in _BETWEEN):
        return before, mention
    if is_a_cleaner(before.word) and not belongs(mention.word, mention.meaning.kind):
        return before, mention._replace(role=Role.FOR)
    if mention.role is Role.PERHAPS_OF and before.end == mention.start:
        return before._replace(role=Role.OF), mention
    if mention.role is not Role.HEAD:
        return before, mention
    if _is_flavour_of(before, mention) or mention.meaning.root.startswith(UNLISTED_HEAD):
        # What is made up of two words directly behind a thing says more about it: beer mug freezer gel.
        return before, mention._replace(role=Role.SENSE)
    if not _modifies(before, mention):
        return before, mention
    if _names_together(before, mention):
        whole = text[before.start : mention.end]
        mention = mention._replace(meaning=in_longer_words(mention.meaning, whole))
    return before._replace(role=Role.OF), mention


def _names_together(before: Mention, mention: Mention) -> bool:
    """Whether a thing of a short name is said together with the one before it: pie funnel. Not where that may be a
    taste, a smell, a colour or a maker."""
    first, _, last = mention.word.rpartition(" ")
    name = first if last in _SETS else mention.word
    short = " " not in name if mention.word.isascii() else len(name) <= _SHORT
    return (
        short
        and before.word.isascii() == mention.word.isascii()
        and len(before.word) > 1
        and before.word not in descriptive_words()
        and not may_taste(mention.meaning.kind.template)
    )


_SHORT = 2
_SETS = frozenset(table("endings")["sets"]["en"])
_BETWEEN = frozenset(table("roles")["between"]["words"])


def _is_flavour_of(before: Mention, mention: Mention) -> bool:
    """Whether a fruit, a colour or a material directly behind another thing is its taste, smell or look: lip balm
    cherry, sweater mustard, draught excluder fabric."""
    if has_chinese(mention.word) and mention.word in descriptive_words() - colour_words():
        return True
    family, other = mention.meaning.kind.template, before.meaning.kind.template
    tasted = family == "fruit" or (shelf_of(family) == "food" and may_taste(other) and not is_eaten(other))
    return (
        mention.word.isascii()
        and (tasted or mention.word in descriptive_words())
        and other not in ("fruit", "vegetables", family)
    )


def _modifies(before: Mention, mention: Mention) -> bool:
    """Whether a kind's word only says more about the one directly behind it: camera bag. Two names of one thing, or of
    things that are filmed alike, stand beside each other: 保温杯水杯."""
    words = vocabulary()
    if before.word.rpartition(" ")[2] in _SETS:
        return False
    if only_says_a_pack(mention.word) or (mention.word.isascii() and mention.word in words.components | words.general):
        return False
    one, two = before.meaning, mention.meaning
    related = {two.root, *words.lineage(two.root)} & {one.root, *words.lineage(one.root)}
    return not related and one.kind.template != two.kind.template


def _mark_main(found: list[Mention], text: str) -> None:
    """Mark the clause's head. A Chinese phrase ends with it; an English title goes on with features behind it, in the
    same breath. Of Chinese phrases strung together the first says the thing, the others what it is like or for; a part
    that they end with may as well be it: 笔记本电脑超薄便携散热底座."""
    heads = [place for place, mention in enumerate(found) if mention.role is Role.HEAD]
    heads = [place for place in heads if not _is_beside_the_thing(found[place].word)] or heads
    if not heads:
        return
    main = heads[0]
    if has_chinese(found[heads[-1]].word):
        heads = [place for place in heads if found[place].word not in _said_of_things()] or heads
        main = _end_of_first_phrase(heads, found, text)
        last = heads[-1]
        for place in range(main + 1, len(found)):
            found[place] = found[place]._replace(later=True)
        if _may_belong(found[last], found[main]):
            found[last] = found[last]._replace(main=True)
    else:
        while main + 1 in heads and _are_one_phrase(found[main], found[main + 1], text):
            main += 1
    found[main] = found[main]._replace(main=True)


def _end_of_first_phrase(heads: list[int], found: list[Mention], text: str) -> int:
    apart = _BETWEEN_PHRASES if len(heads) < _MANY else _BETWEEN_MANY
    for main, following in pairwise(heads):
        start = following
        while start > main + 1 and found[start - 1].role is Role.OF:
            start -= 1
        between = text[found[main].end : found[start].start]
        if len(_CHINESE.findall(between)) >= apart or (between and _may_belong(found[main], found[following])):
            return main
    return heads[-1]


@cache
def _said_of_things() -> frozenset[str]:
    """Words that more often say how a thing is or what it does: 遮瑕, 瓦楞纸."""
    return (descriptive_words() - colour_words()) | set(table("endings")["weak"]["following"])


_CHINESE = re.compile("[\u4e00-\u9fff]")
_BETWEEN_PHRASES = 4
"""Chinese characters that say nothing of a kind: so many between two things set two phrases apart."""
_MANY = 3
_BETWEEN_MANY = 2
"""The same where so many things are strung together."""


def _may_belong(part: Mention, host: Mention) -> bool:
    return belongs(part.word, part.meaning.kind) and not belongs(host.word, host.meaning.kind)


def _are_one_phrase(before: Mention, mention: Mention, text: str) -> bool:
    complete = before.word.rpartition(" ")[2] in _SETS
    return not complete and not text[before.end : mention.start].strip(" -")


def _is_beside_the_thing(word: str) -> bool:
    """Whether a word is seldom the thing of its phrase where it names another: chair, gift box. A Chinese phrase may
    well end with the part that is sold: 相机电池充电器."""
    words = vocabulary()
    part = word in words.components and (word.isascii() or only_says_a_pack(word))
    return part or word in words.general
