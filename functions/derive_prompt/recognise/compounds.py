"""Compounds: what words directly beside each other mean as one word, by the last of them.

A rack for phones is no phone, a toilet seat bumper no toilet seat. What no list knows whole is named in its own word.
"""

import re
from typing import NamedTuple

from functions.derive_prompt.recognise.belongings import belongs, ends_like_a_thing
from functions.derive_prompt.recognise.describing import descriptive_words
from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.kinds import UNLISTED_HEAD, Meaning, in_own_word, plain_form, vocabulary
from functions.derive_prompt.recognise.text import has_chinese
from functions.derive_prompt.recognise.units import Unit, is_run
from functions.derive_prompt.vocabulary import table


class Whole(NamedTuple):
    """What the units from `first` on mean together."""

    first: int
    meaning: Meaning


def whole_at(place: int, units: list[Unit], text: str) -> Whole | None:
    """What the unit at `place` ends, by itself or with the units before it; None where that names no thing."""
    unit = units[place]
    meaning = unit.meaning or _opens_by_itself(place, units)
    alone = Whole(place, meaning) if meaning is not None else None
    if place == 0 or not is_run(units[place - 1 : place + 1], text):
        return alone
    before = units[place - 1]
    if _only_packs(before, unit) or _is_counted(before, unit):
        return None
    whole = _compound(before, unit) or _in_longer_word(before, unit) or _by_its_last_character(before, unit)
    if whole is not None:
        return Whole(place - 1, whole)
    first = units[place - 2] if place > 1 and is_run(units[place - 2 : place], text) else None
    return _with_a_word_between(first, place, units) or alone


def _with_a_word_between(first: Unit | None, place: int, units: list[Unit]) -> Whole | None:
    """What an English unit means with the word before it, by which it is longer where a thing stands `first`."""
    before, unit = units[place - 1], units[place]
    if first is None or (first.meaning is None and first.ending is None):
        known = _with_known_modifier(before, unit)
        return None if known is None else Whole(place - 1, known)
    if not (only_says_more(before) or _is_a_bare_end(before)) or _goes_on(units, place):
        return None
    whole = _compound(first, unit, between=f"{before.text} ")
    return None if whole is None else Whole(place - 2, whole)


def _is_a_bare_end(unit: Unit) -> bool:
    """Whether an English word ends compounds and is nothing by itself: the handle in skillet handle cover."""
    return unit.ending is not None and unit.meaning is None and unit.text.isascii()


def _opens_by_itself(place: int, units: list[Unit]) -> Meaning | None:
    """What an end of compounds means by itself: a Chinese one that a text begins with, with nothing but how it is
    (加厚睡袋 成人), an English one of which is said what it is for: replacement filter for Levoit."""
    unit = units[place]
    if unit.ending is None or len(unit.text) == 1:
        return None
    if unit.text.isascii():
        behind = units[place + 1].text if place + 1 < len(units) else ""
        part = behind in _SAYS_FOR and place <= _FEW_BEFORE and belongs(unit.text, unit.ending.kind)
        own = in_own_word(unit.ending.kind, unit.text)
        return Meaning(own, own.id) if part else None
    if units[0].start > 0:
        return None
    others = {other.text for other in units if other is not unit}
    return Meaning(unit.ending.kind, unit.ending.kind.id) if others <= descriptive_words() else None


_SAYS_FOR = frozenset(table("belongings")["fits"]["behind_a_part"])
_FEW_BEFORE = 4


def _goes_on(units: list[Unit], place: int) -> bool:
    behind = units[place + 1] if place + 1 < len(units) else None
    return behind is not None and (behind.ending is not None or behind.meaning is not None)


def _compound(before: Unit, unit: Unit, between: str = "") -> Meaning | None:
    """What a word and an ending behind it are together, in their own word: 洗脸 + 刷."""
    ending = unit.ending
    if ending is None or not _may_open_a_compound(before, unit):
        return None
    family = before.meaning.kind.template if before.meaning is not None else ""
    if family in ending.unless:
        return None
    kind = ending.kind._replace(template=family) if family in ending.filmed_with else ending.kind
    chinese = has_chinese(unit.text)
    if chinese and before.text.isascii():
        return Meaning(own := in_own_word(kind, unit.text), own.id)
    own = in_own_word(kind, before.text + unit.text if chinese else f"{before.text} {between}{unit.text}")
    if own is kind and len(unit.text) > 1:
        # What may not be quoted whole (a brand's name in it) leaves the ending's own word.
        own = in_own_word(kind, unit.text)
    return Meaning(own, own.id)


def _may_open_a_compound(before: Unit, unit: Unit) -> bool:
    if before.tag == "not" or before.text[0].isdigit() or before.ending is not None:
        return False
    if unit.text in descriptive_words() and ending_is_unlisted(unit):
        return False
    chinese = has_chinese(unit.text)
    if chinese != has_chinese(before.text):
        # airpods 保护套
        return chinese and before.meaning is not None and len(unit.text) > 1
    if chinese and before.end != unit.start:
        return False
    names = before.meaning is not None or (chinese and _may_name(before))
    return names and before.text not in descriptive_words()


def _by_its_last_character(before: Unit, unit: Unit) -> Meaning | None:
    """What an unlisted Chinese word behind a thing makes of it, by its last character: 保鲜膜 + 切割器."""
    word = unit.text
    ending = vocabulary().endings.get(word[-1])
    unlisted = unit.meaning is None and unit.ending is None and unit.tag != "not" and len(word) > 1
    if ending is None or not unlisted or before.meaning is None or before.end != unit.start:
        return None
    if word in descriptive_words() or word in _FOLLOWING or only_says_a_pack(word) or unit.tag == _NUMERAL_TAG:
        return None
    if word.startswith(_DEGREES):
        return None
    own = in_own_word(ending.kind, before.text + word)
    return Meaning(own, own.id)


def ending_is_unlisted(unit: Unit) -> bool:
    """Whether a unit is an end of compounds only by the names that the vocabulary gives."""
    return unit.ending is not None and unit.ending.kind.id.startswith(UNLISTED_HEAD)


def _in_longer_word(before: Unit, unit: Unit) -> Meaning | None:
    """A kind's single character in the longer word that a title uses: 月亮椅 is a chair of its own."""
    if unit.meaning is None or len(unit.text) > 1 or before.end != unit.start or before.meaning or before.ending:
        return None
    if not has_chinese(before.text) or before.text in descriptive_words() or not _may_name(before):
        return None
    return in_longer_words(unit.meaning, before.text + unit.text)


def _may_name(unit: Unit) -> bool:
    """Whether an unlisted Chinese word may say what a compound is about; 带 in 带吸管 says another thing."""
    return unit.tag.startswith(_NAMING_TAGS) and unit.text not in _SMALL_WORDS


_NAMING_TAGS = ("n", "v", "j", "l", "i")
"""Parts of speech that name what a compound is about: nouns, verbs, abbreviations, idioms."""


def _with_known_modifier(before: Unit, unit: Unit) -> Meaning | None:
    """A short English name with the word before it, where other listed names begin so: pannier bag, as pannier rack."""
    if unit.meaning is None or " " in unit.text or before.meaning is not None or before.ending is not None:
        return None
    family = unit.meaning.kind.template
    if before.text not in vocabulary().modifiers or before.text in descriptive_words() or may_taste(family):
        return None
    return in_longer_words(unit.meaning, f"{before.text} {unit.text}")


def in_longer_words(meaning: Meaning, whole: str) -> Meaning:
    """What a word means in the longer one that a title uses."""
    own = in_own_word(meaning.kind, plain_form(whole))
    return meaning._replace(kind=own, root=own.id)


def may_taste(family: str) -> bool:
    """Whether things of a family may taste or smell of what stands before them."""
    return not _TASTES_OF.isdisjoint((shelf_of(family), family))


_TASTES_OF = frozenset(table("endings")["tastes"]["families"])


def is_eaten(family: str) -> bool:
    """Whether things of a family are eaten or drunk."""
    return shelf_of(family) in _EATEN


_EATEN = frozenset(table("endings")["tastes"]["tasted"])


def only_says_more(unit: Unit) -> bool:
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
    word
    for language in ("zh", "en")
    for rule in ("for_before", "for_after", "included_before", "excluded_before")
    for word in table("roles")[language][rule]
)


def _only_packs(before: Unit, unit: Unit) -> bool:
    """Whether a single character is how the thing before it is sold: 贴纸包, 巧克力盒."""
    return (
        before.meaning is not None
        and before.end == unit.start
        and len(unit.text) == 1
        and unit.ending is not None
        and before.meaning.kind.template in unit.ending.unless
    )


def _is_counted(before: Unit, unit: Unit) -> bool:
    """Whether a single character only counts: 30包, 一桌六椅."""
    return len(unit.text) == 1 and before.end == unit.start and _NUMBER.fullmatch(before.text) is not None


_NUMBER = re.compile("[0-9]+|[一二两三四五六七八九十百]+")


def may_modify(unit: Unit, behind: list[Unit]) -> bool:
    """Whether an unlisted noun stands directly behind a kind's word, which then may only say more about that."""
    after = behind[0] if behind else None
    if after is None or after.meaning is not None or after.ending is not None:
        return False
    return _may_flavour(unit, after) if unit.text.isascii() else _may_modify_in_chinese(unit, after)


def _may_flavour(unit: Unit, after: Unit) -> bool:
    """Whether a food in English may be what the next word tastes of or is for: tea cosy, mushroom growing log.
    Plurals stand alone: apples Gala."""
    if unit.text.endswith("s") and not unit.text.endswith(("ss", "us")):
        return False
    eaten = unit.meaning is not None and is_eaten(unit.meaning.kind.template)
    return eaten and only_says_more(after) and (" " not in unit.text or after.text.endswith("ing"))


def _may_modify_in_chinese(unit: Unit, after: Unit) -> bool:
    """A single character is a thing only where nothing goes on: 包 is none in 全包镜头."""
    if after.start != unit.end or after.text in descriptive_words() or after.text in _FOLLOWING:
        return False
    if after.text.startswith(_DEGREES):
        return False
    return not only_says_a_pack(after.text) and (
        len(unit.text) == 1 or (len(after.text) > 1 and after.tag in _NOUN_TAGS and _may_be_a_thing(after))
    )


def _may_be_a_thing(unit: Unit) -> bool:
    return unit.tag not in _PLAIN_NOUN_TAGS or ends_like_a_thing(unit.text)


_NUMERAL_TAG = "m"
_PLAIN_NOUN_TAGS = ("n", "nz")
_DEGREES = tuple(table("roles")["zh"]["degrees"])
_FOLLOWING = frozenset(table("endings")["weak"]["following"])
_NOUN_TAGS = ("n", "nz", "vn")


def are_packed_together(behind: list[Unit]) -> bool:
    """Whether what stands behind says that the things before it are sold as one: 颈枕眼罩套装."""
    after = next((unit for unit in behind if unit.meaning is None), None)
    return after is not None and only_says_a_pack(after.text)


def only_says_a_pack(word: str) -> bool:
    """Whether a Chinese word says how things are sold, and not what: 套装, 礼盒."""
    return _PACKED.fullmatch(word) is not None


_PACKED = re.compile("|".join(word for part in ("zh", "packed", "counted") for word in table("endings")["sets"][part]))
