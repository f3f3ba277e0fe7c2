"""Text as people see it, of cells and documents that hold HTML, lists, objects or several values in one."""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LOOKED_AT_CHARACTERS = 100_000
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s{0,9}>|\Z)|</?[a-z][^<>]{0,2000}>", re.DOTALL | re.IGNORECASE
)
_IN_WORDS = re.compile(
    r"</?(?:a|abbr|b|em|font|i|mark|small|span|strong|sub|sup|u)(?:\s[^<>]{0,2000})?>", re.IGNORECASE
)
"""Marks that stand within a line, and part no words."""
_SPACE = re.compile(r"\s+")
_SAID_BY = ("full_name", "fullName", "name", "value", "title", "label", "src", "url", "originalSrc")
_DEPTH = 4


def plain_text(text: str) -> str:
    """Text without markup, in one line."""
    text = text[:_LOOKED_AT_CHARACTERS]
    if "<" in text:
        text = _without_markup(text)
    if "&" in text:
        # Some systems escape what is escaped already: &amp;lt;b&amp;gt;.
        text = _without_markup(html.unescape(html.unescape(text)))
    return _SPACE.sub(" ", text).strip()


def _without_markup(text: str) -> str:
    return _MARKUP.sub(" ", _IN_WORDS.sub("", text))


def texts(value: Any, depth: int = _DEPTH) -> Iterator[str]:
    """The texts of a value: itself, those of a list's items, or what an object is called by."""
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif depth and isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, depth - 1)
    elif depth and isinstance(value, Mapping):
        inner = items(value)
        said = next((value[key] for key in _SAID_BY if value.get(key)), None) if inner is None else inner
        yield from texts(said, depth - 1)


def items(value: Any) -> list[Any] | None:
    """A list, also one that GraphQL answers with (`edges` with a `node` each, or `nodes`); None for anything else."""
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        if isinstance(value.get("nodes"), list):
            return list(value["nodes"])
        if isinstance(value.get("edges"), list):
            return [edge.get("node") for edge in value["edges"] if isinstance(edge, Mapping)]
    return None


def is_blank(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


_PAIR_ENDS = re.compile(r"[;；\n|]")
_PAIR = re.compile(r"\s*([^:：=]{1,100}?)\s*[:：=]\s*(.+?)\s*\Z", re.DOTALL)
_MOST_PAIRS = 256


def pairs(text: str) -> list[tuple[str, str]] | None:
    """Names with their values, of text such as 颜色:红色;尺码:均码; None where it is no such text."""
    parts = [part for part in _PAIR_ENDS.split(text[:_LOOKED_AT_CHARACTERS]) if part.strip()][:_MOST_PAIRS]
    found = [_PAIR.match(part) for part in parts]
    return [(pair[1], pair[2]) for pair in found if pair is not None] if parts and all(found) else None
