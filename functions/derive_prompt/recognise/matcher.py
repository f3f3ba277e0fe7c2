"""Finding words of a vocabulary in text: leftmost, longest, in one pass, however many words there are.

A word can begin only where a Latin word begins or at a character that some listed word begins with. There the few words
with that beginning are tried, longest first. Latin words count only as whole words; Chinese has no borders to ask for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_TOKEN = re.compile("[a-z0-9]+")


class Found(NamedTuple, Generic[T]):
    """One word found: where it stands in the text, and what it means."""

    start: int
    end: int
    word: str
    value: T


class Matcher(Generic[T]):
    """A vocabulary. Words are compared as `cleaning.normalised` writes them; the first meaning given holds."""

    def __init__(self, words: Iterable[tuple[str, T]]) -> None:
        self._values: dict[str, T] = {}
        for word, value in words:
            self._values.setdefault(word.lower(), value)
        self._beginnings: dict[str, list[tuple[str, bool, T]]] = {}
        for word in sorted(self._values, key=len, reverse=True):
            latin = _TOKEN.match(word[-1]) is not None
            self._beginnings.setdefault(_beginning(word), []).append((word, latin, self._values[word]))
        characters = "".join(re.escape(start) for start in self._beginnings if not _TOKEN.fullmatch(start))
        self._candidates = re.compile(f"[a-z0-9]+|[{characters}]" if characters else "[a-z0-9]+")

    def __contains__(self, word: str) -> bool:
        return word in self._values

    def get(self, word: str) -> T | None:
        """What a whole text means, or None."""
        return self._values.get(word)

    def find_all(self, text: str) -> Iterator[Found[T]]:
        """Every word in the text, from left to right, none overlapping another.

        A word that ends with a Latin letter is no word where the text goes on with one: `tea` in `teapot`.
        """
        end = 0
        beginnings = self._beginnings
        for candidate in self._candidates.finditer(text):
            words = beginnings.get(candidate[0])
            if words is None:
                continue
            start = candidate.start()
            if start < end:
                continue
            for word, latin, value in words:
                if text.startswith(word, start) and not (latin and _TOKEN.match(text, start + len(word))):
                    end = start + len(word)
                    yield Found(start, end, word, value)
                    break

    def first(self, text: str) -> Found[T] | None:
        """The first word in the text, or None."""
        return next(self.find_all(text), None)

    def hits(self, text: str) -> bool:
        """Whether any word stands in the text."""
        return self.first(text) is not None

    def without(self, text: str) -> str:
        """The text with every word taken out."""
        kept, end = [], 0
        for found in self.find_all(text):
            kept.append(text[end : found.start])
            end = found.end
        return "".join((*kept, text[end:])) if end else text

    def blanked(self, text: str, *, compounds_only: bool = False) -> str:
        """The text with every word that means something turned to blanks, so that what follows stays where it was.

        `compounds_only` leaves single Latin words.
        """
        for found in list(self.find_all(text)):
            if found.value is not None and not (compounds_only and found.word.isalpha() and found.word.isascii()):
                text = text[: found.start] + " " * (found.end - found.start) + text[found.end :]
        return text


def _beginning(word: str) -> str:
    token = _TOKEN.match(word)
    return word[0] if token is None else token.group()


def plurals(word: str) -> Iterable[str]:
    """A word and, where it is an English one, how its plural may be written."""
    yield word
    if word.isascii() and len(word) > 2:
        yield f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"
        if word.endswith("y"):
            yield f"{word[:-1]}ies"
