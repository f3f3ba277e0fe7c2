"""Files of products as shops' systems write them -> the data of product events. No Kafka, and nothing printed.

What is understood becomes the fields of one `Product`; the rest is kept under its own names, and told in `Notes`.
What columns are called is in `columns.toml`; a mapping file names others. Whatever its size, a feed is read row by row.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from shared.feeds.catalogue import products_of
from shared.feeds.columns import Columns, read_mapping
from shared.feeds.grouping import records
from shared.feeds.json_text import documents, is_json
from shared.feeds.notes import Notes
from shared.feeds.table import Table
from shared.feeds.text import Lines, opened

__all__ = ["Columns", "Item", "Notes", "read_feed", "read_mapping"]


class Item(NamedTuple):
    """A product's data as JSON, or a structured CloudEvent if it `is_event`, and the line where it begins."""

    line: int
    data: bytes
    is_event: bool = False


def read_feed(stream: BinaryIO, columns: Columns, notes: Notes) -> Iterator[Item]:
    """The products of a feed, each when it is there: JSON lines, a JSON array, CSV or TSV, in whatever encoding.

    What cannot be read is told in `notes`, and the rest goes on. PermanentError: none of it can be read at all.
    """
    with opened(stream, notes.name, columns.is_known) as lines:
        first = _first(lines)
        if first is None:
            return
        if is_json(first):
            for document in documents(lines, notes):
                yield from _of_document(document.line, document.value, document.text, columns, notes)
            return
        for record in records(Table(lines, notes, columns), columns, notes):
            for product in products_of(record.document, record.cells, record.line, columns, notes):
                yield Item(record.line, _json(product.data))


def _first(lines: Lines) -> str | None:
    """The first line that says something, given back; None where none does."""
    for line in lines:
        if line.text.strip("\ufeff \t\r\n"):
            lines.give_back([line])
            return line.text
    return None


def _of_document(line: int, value: Any, text: str, columns: Columns, notes: Notes) -> Iterator[Item]:
    """A CloudEvent and whatever is no object as they are: whoever makes events of them knows what is wrong."""
    raw = text.encode("utf-8", "backslashreplace")
    is_event = isinstance(value, dict) and "specversion" in value
    if is_event or not isinstance(value, dict):
        yield Item(line, raw, is_event)
        return
    cells = [*value.items(), *((path, found) for path in columns.paths if (found := _at(value, path)) is not None)]
    for product in products_of(value, cells, line, columns, notes):
        yield Item(line, _json(product.data) if product.is_changed else raw)


def _at(document: Any, path: str) -> Any:
    """What stands at a path of names: details.colour."""
    if isinstance(document, dict) and path in document:
        return None  # a plain name with a dot in it, which is there already
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")
