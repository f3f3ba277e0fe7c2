"""Bytes -> numbered lines of text, within bounds: whatever encoding a shop's system or a spreadsheet wrote."""

import codecs
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from shared.errors import PermanentError

LINE_CHARACTERS = 1 << 20
"""Of one line: twice what an event may hold. A longer one is told and passed over, for a line need not end."""
_PEEKED_BYTES = 1 << 16
_NULS = 32
"""One byte in so many is a NUL in UTF-16, whose commas and line ends have one, even where all else is Chinese."""

_NOT_TEXT = {
    b"PK\x03\x04": "a workbook or a zip archive; save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old workbook; save it as CSV in UTF-8",
    b"\x1f\x8b": "compressed; unpack it first",
    b"<": "XML or HTML; export it as CSV, TSV or JSON",
}


class Line(NamedTuple):
    """One line with its end. Not `whole`: it was longer than allowed, and this is its beginning."""

    number: int
    text: str
    whole: bool = True


class Lines:
    """The lines of a text, one after the other. Some may be given back, to be read again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._given_back: deque[Line] = deque()
        self._number = 0

    def __iter__(self) -> Iterator[Line]:
        while (line := self.take()) is not None:
            yield line

    def take(self) -> Line | None:
        """The next line, or None at the end."""
        if self._given_back:
            return self._given_back.popleft()
        text = self._text.readline(LINE_CHARACTERS)
        if not text:
            return None
        self._number += 1
        whole = len(text) < LINE_CHARACTERS or text.endswith(("\n", "\r"))
        if not whole:
            while (more := self._text.readline(LINE_CHARACTERS)) and not more.endswith(("\n", "\r")):
                pass
        return Line(self._number, text, whole)

    def give_back(self, lines: Iterable[Line]) -> None:
        """Let these lines be the next ones."""
        self._given_back.extendleft(reversed(list(lines)))

    def read(self, characters: int) -> str:
        """About so many characters of what follows, whatever its lines; empty at the end."""
        if self._given_back:
            return "".join(self._given_back.popleft().text for _ in range(len(self._given_back)))
        return self._text.read(characters)


@contextmanager
def opened(stream: BinaryIO, name: str, is_known: Callable[[str], bool]) -> Iterator[Lines]:
    """The lines of a stream, which stays open. `is_known` tells whether a text is the head of a known column.

    Raises PermanentError for what is no text at all.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, _PEEKED_BYTES)  # type: ignore[type-var]  # BinaryIO
    start = buffered.peek(_PEEKED_BYTES)
    for signature, told in _NOT_TEXT.items():
        if start.lstrip(codecs.BOM_UTF8 + b" \r\n").startswith(signature):
            raise PermanentError(f"{name} is {told}", reason="not-a-feed")
    encoding = encoding_of(start, is_known)
    # Of UTF-8 each byte that is none is kept, so that its line alone is refused.
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    text = io.TextIOWrapper(buffered, encoding, errors, newline="")
    try:
        yield Lines(text)
    finally:
        text.detach()
        if buffered is not stream:
            buffered.detach()


def encoding_of(start: bytes, is_known: Callable[[str], bool]) -> str:
    """The encoding of a text that begins so. Without a mark of its own it is UTF-8 if it can be.

    GB18030 is told from other encodings by the heads of a table, which must be known words in it.
    """
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    nuls = start.count(0)
    if nuls > 1 and nuls * _NULS >= len(start):
        odd = start[1::2].count(0)
        if max(odd, nuls - odd) * 20 >= nuls * 19:
            return "utf-16-le" if odd * 2 > nuls else "utf-16-be"
    if _decodes(start, "utf-8"):
        return "utf-8-sig"
    if _decodes(start, "gb18030"):
        heads = start.decode("gb18030", "replace").splitlines()[:3]
        if any(is_known(head) and not head.isascii() for line in heads for head in _cells(line)):
            return "gb18030"
    return "utf-8-sig"


def is_utf8(text: str) -> bool:
    """Whether a text that was read as UTF-8 was UTF-8."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


def _decodes(start: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _cells(line: str) -> list[str]:
    return [cell.strip(' "') for cell in line.replace("\t", ",").replace(";", ",").split(",")]
