"""Products in JSON: one a line, in an array, in an array within an object (`{"products": [...]}`), or one after the
other. Each is read when it is there, and a fault in one loses no other."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shared.feeds.notes import Notes
from shared.feeds.text import LINE_CHARACTERS, Lines

_WRAPPED = re.compile(r'\s*\{\s*"(?:products|items|data|results|value)"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")
_CHUNK = 1 << 16
_NEAR_END = 16
"""JSON that is cut off is found faulty so near to its end."""
_LOOKS = 4000
"""Places behind a fault at which the next product is looked for: more than one has variants."""
_NEXT = re.compile(r"[,\n\[]\s*(?=\{)")


class Document(NamedTuple):
    """One JSON document and its text."""

    line: int
    value: Any
    text: str


def is_json(first: str) -> bool:
    """Whether a text with this first line is JSON."""
    return first.lstrip("\ufeff \t").startswith(("{", "["))


def documents(lines: Lines, notes: Notes) -> Iterator[Document]:
    """The documents of a JSON text."""
    first = lines.take()
    if first is None:
        return iter(())
    text = first.text.lstrip("\ufeff").strip()
    # Beyond its first line only where that says nothing: the next one may come later.
    second = lines.take() if text == "{" else None
    lines.give_back(line for line in (first, second) if line is not None)
    spread = second is not None and not second.text.lstrip().startswith("{")
    if text.startswith("[") or spread or (_WRAPPED.match(text) and not _is_whole(text)):
        return _Stream(lines, notes).documents()
    return _by_line(lines, notes)


def _is_whole(line: str) -> bool:
    """Whether a line that begins like an object around an array is a product: {"data": [], "id": 1, "name": "x"}."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return "name" in document or "title" in document


def _by_line(lines: Lines, notes: Notes) -> Iterator[Document]:
    for line in lines:
        text = line.text.lstrip("\ufeff").strip()
        if not text:
            continue
        if not line.whole:
            notes.tell_bad(line.number, f"more than {LINE_CHARACTERS} characters in a line; send less of each product")
            continue
        try:
            # From bytes: what is no UTF-8 is refused as such.
            value = json.loads(text.encode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            notes.tell_bad(line.number, f"not JSON: {error}")
            continue
        yield Document(line.number, value, text)


class _Stream:
    """A JSON text of which a stretch is in memory."""

    def __init__(self, lines: Lines, notes: Notes) -> None:
        self._lines = lines
        self._notes = notes
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False
        self._usual: frozenset[str] = frozenset()
        """The names in the first product that could be read."""

    def documents(self) -> Iterator[Document]:
        self._read_more()
        wrapped = _WRAPPED.match(self._text)
        if wrapped is not None:
            self._pass(wrapped.end())
        while self._skip_between(until_close=wrapped is not None):
            found = self._next()
            if found is None:
                found = self._found_behind_fault()
                if found is None:
                    return
            line, (value, end) = self._line, found
            text = self._text[self._at : end]
            self._pass(end)
            if isinstance(value, dict):
                self._usual = self._usual or frozenset(value)
            yield Document(line, value, text)

    def _next(self) -> tuple[Any, int] | None:
        """The document that begins here and where it ends; None, told, where there is a fault."""
        try:
            return self._decoded()
        except json.JSONDecodeError as error:
            line = self._line + self._text.count("\n", self._at, error.pos)
            self._notes.tell_bad(line, f"not JSON: {error.msg}; mend it there")
        except RecursionError:
            self._notes.tell_bad(self._line, "not JSON: too many lists and objects in one another")
        return None

    def _decoded(self) -> tuple[Any, int]:
        while True:
            try:
                found: tuple[Any, int] = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR_END
                may_grow = len(self._text) - self._at < LINE_CHARACTERS
                if not (cut and may_grow and self._read_more()):
                    raise
                continue
            # A number may go on; what is closed does not.
            if isinstance(found[0], dict | list) or found[1] < len(self._text) or not self._read_more():
                return found

    def _found_behind_fault(self) -> tuple[Any, int] | None:
        """Go on at the next document that looks like the products before; None, told, where none is found."""
        for _ in range(_LOOKS):
            found = _NEXT.search(self._text, self._at + 1)
            while found is None:
                self._pass(max(self._at, len(self._text) - _NEAR_END))
                if not self._read_more():
                    return None
                found = _NEXT.search(self._text, self._at)
            self._pass(found.end())
            try:
                document = self._decoded()
            except (json.JSONDecodeError, RecursionError):
                continue
            if self._looks_usual(document[0]):
                return document
        self._notes.tell_bad(self._line, "no product was found behind this fault; what follows was not read")
        return None

    def _looks_usual(self, value: Any) -> bool:
        """Whether this is a product, rather than a variant within a faulty one."""
        if not isinstance(value, Mapping) or "option1" in value:
            return False
        return 2 * len(self._usual.intersection(value)) >= len(self._usual)

    def _skip_between(self, *, until_close: bool) -> bool:
        """Go to the next document; False at the end."""
        while True:
            found = _BETWEEN.match(self._text, self._at)
            end = found.end() if found is not None else self._at
            if until_close and "]" in self._text[self._at : end]:
                return False
            self._pass(end)
            if self._at < len(self._text):
                return True
            if not self._read_more():
                return False

    def _pass(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _read_more(self) -> bool:
        held = len(self._text) - self._at
        more = "" if self._ended else self._lines.read(max(_CHUNK, held))
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)
