"""Finding words of a vocabulary in text: leftmost, longest, in one pass of one compiled regular expression.

The words become a trie and the trie one pattern, so that a text is read once however many words there are. Latin
words count only as whole words; Chinese has no borders to ask for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Trie: TypeAlias = "dict[str, Trie]"

_LETTER = "a-z0-9"


class Found(NamedTuple, Generic[T]):
    """One word found: where it stands in the text, and what it means."""

    start: int
    end: int
    word: str
    value: T


class Matcher(Generic[T]):
    """A compiled vocabulary. Words are compared as `cleaning.normalised` writes them; the first meaning given holds."""

    def __init__(self, words: Iterable[tuple[str, T]]) -> None:
        self._values: dict[str, T] = {}
        for word, value in words:
            self._values.setdefault(word.lower(), value)
        self._pattern = re.compile(_pattern(self._values))
        self._empty = not self._values

    def __contains__(self, word: str) -> bool:
        return word in self._values

    def get(self, word: str) -> T | None:
        """What a whole text means, or None."""
        return self._values.get(word)

    def find_all(self, text: str) -> Iterator[Found[T]]:
        """Every word in the text, from left to right, none overlapping another."""
        if self._empty:
            return
        for match in self._pattern.finditer(text):
            word = match.group()
            yield Found(match.start(), match.end(), word, self._values[word])

    def first(self, text: str) -> Found[T] | None:
        """The first word in the text, or None."""
        return next(self.find_all(text), None)

    def hits(self, text: str) -> bool:
        """Whether any word stands in the text."""
        return not self._empty and self._pattern.search(text) is not None

    def without(self, text: str) -> str:
        """The text with every word taken out."""
        return text if self._empty else self._pattern.sub("", text)


def _pattern(words: Iterable[str]) -> str:
    trie: Trie = {}
    for word in words:
        node = trie
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}
    branches = []
    for character, below in sorted(trie.items()):
        head = re.escape(character)
        # The border is asked for behind the first letter, so that the pattern starts with a literal and the engine
        # can skip to the next place where any word may start.
        border = f"(?<![{_LETTER}]{head})" if _is_letter(character) else ""
        branches.append(head + border + _below(character, below))
    return "|".join(branches)


def _below(character: str, node: Trie) -> str:
    ends = "" in node
    branches = [re.escape(c) + _below(c, below) for c, below in sorted(node.items()) if c]
    if ends:
        branches.append(f"(?![{_LETTER}])" if _is_letter(character) else "")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalnum()
