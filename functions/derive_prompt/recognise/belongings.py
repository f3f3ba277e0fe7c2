"""Belongings: parts, covers, supplies and cleaners, which titles tell together with what they are for.

Where a title names a printer and a cartridge, the cartridge may be the thing as well as the printer; a title that says
what fits what speaks of the cartridge.
"""

import re
from functools import cache

from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.kinds import Kind
from functions.derive_prompt.recognise.text import has_chinese
from functions.derive_prompt.vocabulary import table

_SAID = table("belongings")


@cache
def belongs(word: str, kind: Kind) -> bool:
    """Whether a word, by its end or by where such things lie, names what belongs to another thing: 墨盒, watch band."""
    if shelf_of(kind.template) in _NEVER:
        return False
    if kind.template in _FAMILIES:
        return True
    ends = _ENDS_ZH if has_chinese(word) else _ENDS_EN
    return ends.search(word) is not None


def ends_like_a_thing(word: str) -> bool:
    """Whether an unlisted Chinese word may name a thing, by how it ends: 遮阳棚, 电机."""
    return word.endswith(_THINGS)


def says_that_it_fits(text: str) -> bool:
    """Whether a name says that what it sells is for, or in the place of, a part of another thing."""
    return _FITS.search(text) is not None


def holds_belongings(level: str) -> bool:
    """Whether a shelf is called one of parts and supplies: 箱包配件, camera accessories."""
    return _SHELVES.search(level) is not None


def end_of_belonging(text: str, start: int) -> int | None:
    """Where the word ends that stands directly behind a thing and surely names what only belongs to it: 机器人 and
    边刷. None where there is no such word."""
    found = _SURELY.match(text, start)
    return None if found is None else found.end()


def surely_belongs(word: str) -> bool:
    """Whether a Chinese word ends like what is no thing of its own on any shelf: 牙刷头, on one of beauty."""
    return word.endswith(_SURE_ENDS)


def is_a_cleaner(word: str) -> bool:
    """Whether a Chinese word names a cleaner, behind which a thing is what it cleans."""
    return word.endswith(_CLEANERS)


def _either(words: list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_NEVER = frozenset(_SAID["kinds"]["never"])
_FAMILIES = frozenset(_SAID["kinds"]["families"])
_ENDS_ZH = re.compile(rf"(?:{_either(_SAID['kinds']['zh'])})\Z")
_ENDS_EN = re.compile(rf"(?:^|[ -])(?:{_either(_SAID['kinds']['en'])})(?:e?s)?\Z")
_THINGS = tuple(_SAID["kinds"]["zh"] + _SAID["kinds"]["things"])
_FITS = re.compile(rf"{_either(_SAID['fits']['zh'])}|\b(?:{_either(_SAID['fits']['en'])})\b")
# 配件 by itself is a shelf of bags and hats.
_SHELVES = re.compile(rf".(?:{_either(_SAID['shelves']['zh'])})\Z|\b(?:{_either(_SAID['shelves']['en'])})\Z")
_SURELY = re.compile(
    rf"(?:(?![{''.join(_SAID['surely']['along'])}])[\u4e00-\u9fff])?(?:{_either(_SAID['surely']['zh'])})"
    rf"| (?:{_either(_SAID['surely']['en'])})s?\b"
)
_CLEANERS = tuple(_SAID["surely"]["cleaners"])
_SURE_ENDS = tuple(_SAID["surely"]["zh"])
