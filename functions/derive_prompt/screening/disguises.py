"""How words hide from screening, and how a reader still reads them: signs or blanks put between characters, letters of
other scripts or figures that look alike, syllables for characters.

A disguised reading only ever adds to what a text says, so that a harmless one costs nothing.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from functions.derive_prompt.recognise.text import normalised

_HAN = "[\u3400-\u4dbf\u4e00-\u9fff]"
# Whatever no reader takes for the end of a word. Commas, brackets and colons are.
_SIGNS = re.compile(rf"(?<={_HAN})(?:[^\w\s,，、;；。:：!！?？()（）\[\]【】{{}}\"“”'‘’《》<>&|+%]|_){{1,4}}(?={_HAN})")
# A character that stands alone belongs to its neighbours: 销量第 一, 电 子 烟.
_BLANKS = re.compile(rf"(?<={_HAN})\s(?={_HAN}(?:\s|\Z))|(?:(?<=\A{_HAN})|(?<=\s{_HAN}))\s(?={_HAN})")
# Single characters that are written as a list: 电、子、烟.
_LIST = re.compile(rf"(?:(?<=\A{_HAN})|(?<=[、,，]{_HAN}))[、,，](?={_HAN}(?:[、,，\s]|\Z))")
_LETTERS = re.compile(r"(?<![a-z0-9'])[a-z](?:[ ._*-][a-z]){2,}(?![a-z0-9])")
# Bounded: a line of dashes would be looked through to its end from each of them.
_MIXED = re.compile(
    r"(?<![a-z0-9])(?=[a-z0-9@$!*._-]{0,30}[0-9@$!*._-])(?=[a-z0-9@$!*._-]{0,30}[a-z])"
    r"[a-z0-9@$!*._-]{3,30}[a-z](?![a-z0-9])"
)
_JOINTS = str.maketrans("", "", "._-")
_FIGURES = (str.maketrans("013457@$!", "oieastasi"), str.maketrans("013457@$!", "oleastasl"))
# Letters of Cyrillic and Greek that look like Latin ones, in lower case.
_LOOK_ALIKE = str.maketrans(
    "аеорсухіѕкмтнвјαορεικντυχ",
    "aeopcyxiskmthbjaopeikvtux",
)
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u04ff]")
_GAP = re.compile(rf"(?<={_HAN})\s(?={_HAN})")
_SHORTEST = 4
"""Characters of a word that is believed although only a gap is closed or a figure read as a letter."""


class Reading(NamedTuple):
    """A text as somebody may read it, and how long a word must be to count there."""

    text: str
    shortest: int = 1


class Disguises:
    """Reads texts as they are, and as a reader would who sees through disguises of the listed words."""

    def __init__(self, words: Iterable[str], table: Mapping[str, Mapping[str, str]]) -> None:
        self._latin = frozenset(word for word in words if word.isascii() and word.isalpha() and len(word) >= _SHORTEST)
        self._characters = str.maketrans(dict(table["characters"]))
        self._syllables = table["syllables"]
        syllables = "|".join(sorted(self._syllables, key=len, reverse=True))
        self._spelt = re.compile(rf"(?<![a-z])(?:{syllables})(?={_HAN})|(?<={_HAN})(?:{syllables})(?![a-z])")

    def readings(self, text: str) -> Iterator[Reading]:
        """The normalised text; where it may hide something, what it hides; and its Chinese without gaps."""
        plain = normalised(text)
        yield Reading(plain)
        seen = self._seen_through(text, plain)
        if seen != plain:
            yield Reading(seen)
        closed = _GAP.sub("", seen)
        if closed != seen:
            yield Reading(closed, _SHORTEST)

    def _seen_through(self, text: str, plain: str) -> str:
        if not text.isascii():
            unescaped = html.unescape(text) if "&" in text else text
            unmarked = _SIGNS.sub("", unescaped)
            seen = plain if unmarked == unescaped else normalised(unmarked)
            seen = _LIST.sub("", _BLANKS.sub("", seen)).translate(self._characters)
            if _FOREIGN.search(seen):
                seen = seen.translate(_LOOK_ALIKE)
            seen = self._spelt.sub(lambda found: self._syllables[found[0]], seen)
        else:
            seen = plain
        seen = _LETTERS.sub(lambda found: re.sub("[^a-z]", "", found[0]), seen)
        return _MIXED.sub(self._listed, seen)

    def _listed(self, found: re.Match[str]) -> str:
        """The listed word that a word with figures or signs in it looks like, or what stands there."""
        for figures in _FIGURES:
            word = found[0].translate(_JOINTS).translate(figures)
            if word in self._latin:
                return word
            if "*" in word:
                pattern = re.compile(word.replace("*", "[a-z]"))
                return next((listed for listed in self._latin if pattern.fullmatch(listed)), found[0])
        return found[0]
