"""What strangers wrote, as it may be shown: no line breaks, no colours, no reversed text, no end.

Products, headers, file names and what servers answer reach terminals and logs through these two functions alone.
"""

import json
import unicodedata

LONGEST = 2_000
"""Characters of a line that a person reads."""

_NOT_PRINTED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidi among them), halves of characters, private, unassigned, line ends."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text with every control and format character escaped, cut where it is too long."""
    left_out = len(text) - longest
    if left_out > 0:
        return f"{_escaped(text[:longest])}… ({left_out} characters more)"
    return _escaped(text)


def one_line_of_bytes(raw: bytes | None, longest: int = LONGEST) -> str:
    """The same of bytes that should be UTF-8 and may be anything."""
    left_out = len(raw or b"") - 4 * longest
    text = (raw or b"")[: 4 * longest].decode("utf-8", "backslashreplace")
    return one_line(text, longest) if left_out <= 0 else f"{_escaped(text[:longest])}… ({len(raw or b'')} bytes in all)"


def json_line(document: str) -> str:
    """JSON in one line, with those characters as JSON's own escapes: the same document to whoever parses it."""
    if document.isascii() and document.isprintable():
        return document
    return "".join(
        character if unicodedata.category(character) not in _NOT_PRINTED else json.dumps(character)[1:-1]
        for character in document
    )


def words_of(error: BaseException, longest: int = LONGEST) -> str:
    """What an error says of itself, cut where it is too long. Its kind alone where asking for its words is an error,
    too: they are made by code of its own.
    """
    try:
        return str(error)[:longest] or type(error).__name__
    except Exception:  # noqa: BLE001 - whatever that code does
        return type(error).__name__


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if unicodedata.category(character) not in _NOT_PRINTED
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
