"""When a listed word counts: alone, unless something harmless stands near, or only where another word stands near."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from functions.derive_prompt.recognise.matcher import Found, Matcher, plurals
from functions.derive_prompt.screening.disguises import Reading

REACH = 32
"""Characters between two words that stand near each other: a product's name, or a sentence."""

_LONGEST = 40
"""Characters of a listed word at most."""

_FIGURE = re.compile(r"[^\n,.;:!?。，；：！？]{0,12}\d")


class Denials:
    """What is said not to be there, right before or behind the word: 不含大麻, antibiotic-free."""

    _GIVEN_FREE = r"(?!\s+(?:ship|deliver|post|gift|sampl|return))"

    def __init__(self, before: Iterable[str], behind: Iterable[str]) -> None:
        self._before = re.compile(rf"(?:{'|'.join(_bordered(word) for word in before)})\Z")
        self._behind = re.compile(rf"(?:{'|'.join(map(re.escape, behind))})(?![a-rt-z]){self._GIVEN_FREE}")

    def deny(self, text: str, found: Found[Any]) -> bool:
        """Whether the text says that what was found is not there, or is only looked for."""
        before = text[max(0, found.start - 12) : found.start]
        return self._before.search(before) is not None or self._behind.match(text, found.end) is not None


class _Rule(NamedTuple):
    code: str
    beside: Matcher[None] | None = None
    """Harmless near one of these."""
    near: Matcher[None] | None = None
    """Meant only near one of these."""
    measured: bool = False
    """A fact where a figure follows in the same clause: 最大亮度500尼特."""


class Rules:
    """Groups of words as `screening.toml` writes them, each with its code."""

    def __init__(self, groups: Iterable[Mapping[str, Any]], denials: Denials | None = None) -> None:
        self._denials = denials
        rules: dict[str, list[_Rule]] = {}
        for group in groups:
            for word in group.get("allowed", ()):
                rules.setdefault(word, [])
        for group in groups:
            for words, rule in _rules(group):
                for word in words:
                    rules.setdefault(word.lower(), []).append(rule)
        self.words = tuple(rules)
        self._words: Matcher[tuple[_Rule, ...]] = Matcher(
            (form, tuple(meant)) for word, meant in rules.items() for form in plurals(word)
        )

    def find(self, reading: Reading) -> Iterator[Found[str]]:
        """Each word of a reading that counts, with the code of its group."""
        text = reading.text
        for found in self._words.find_all(text):
            for rule in found.value if len(found.word) >= reading.shortest else ():
                if self._counts(text, found, rule):
                    yield Found(found.start, found.end, found.word, rule.code)
                    break

    def hits(self, readings: Iterable[Reading]) -> bool:
        """Whether any word of any reading counts."""
        return any(True for reading in readings for _ in self.find(reading))

    def _counts(self, text: str, found: Found[Any], rule: _Rule) -> bool:
        if self._is_denied(text, found):
            return False
        if rule.measured and _FIGURE.match(text, found.end):
            return False
        if rule.near is not None:
            return any(not self._is_denied(text, other) for other in _near(rule.near, text, found))
        return rule.beside is None or not any(_near(rule.beside, text, found))

    def _is_denied(self, text: str, found: Found[Any]) -> bool:
        return self._denials is not None and self._denials.deny(text, found)


def _rules(group: Mapping[str, Any]) -> Iterator[tuple[list[str], _Rule]]:
    code = group.get("code", "claim")
    beside = _matcher(group["beside"]) if group.get("beside") else None
    yield group.get("words", []), _Rule(code, beside)
    yield group.get("always", []), _Rule(code)
    yield group.get("measured", []), _Rule(code, measured=True)
    for words, near in group.get("with", ()):
        yield words, _Rule(code, near=_matcher(near))


def _matcher(words: Iterable[str]) -> Matcher[None]:
    return Matcher((form, None) for word in words for form in plurals(word))


def _near(words: Matcher[None], text: str, found: Found[Any]) -> Iterator[Found[None]]:
    """Those of the words that stand near what was found, and are no part of it."""
    # Not in the whole text: of one that says a word a thousand times, each would be compared with all.
    begin = max(0, found.start - REACH - _LONGEST)
    for other in words.find_all(text[begin : found.end + REACH + _LONGEST]):
        start, end = other.start + begin, other.end + begin
        if 0 <= found.start - end <= REACH or 0 <= start - found.end <= REACH:
            yield other._replace(start=start, end=end)


def _bordered(word: str) -> str:
    return rf"(?<![a-z]){re.escape(word)}" if word.isascii() else re.escape(word)
