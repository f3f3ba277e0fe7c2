"""Products in rows with commas, tabs, semicolons or strokes between their cells, under a row of heads."""

import csv
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import PermanentError
from shared.feeds.columns import Columns
from shared.feeds.notes import Notes
from shared.feeds.text import LINE_CHARACTERS, Line, Lines, is_utf8

RECORD_CHARACTERS = 1 << 19
"""Of one row, whatever its lines: an event holds no more. A quote that is left open is noticed by then."""
_HEAD_LINES = 6
"""So far down heads are looked for."""
_SHOWN_COLUMNS = 12
_SHOWN_CHARACTERS = 40
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "strokes"}

csv.field_size_limit(RECORD_CHARACTERS)


class Row(NamedTuple):
    """A row's cells, each with its column's head, blank ones left out."""

    line: int
    cells: list[tuple[str, str]]


class _Head(NamedTuple):
    columns: list[str]
    delimiter: str


class Table:
    """The rows of a table.

    PermanentError at the start: there is no row of heads with the product's id and name among its columns.
    """

    def __init__(self, lines: Lines, notes: Notes, columns: Columns) -> None:
        self.heads, self._delimiter = _head(lines, notes, columns)
        self._lines = lines
        self._notes = notes
        self._columns = columns
        _remark_columns(self.heads, notes)

    def __iter__(self) -> Iterator[Row]:
        is_first = True
        for line, cells in _records(self._lines, self._delimiter, self._notes, len(self.heads)):
            if is_first and _is_head(cells, self._columns):
                # The same once more, in another language, as Taobao writes them.
                self.heads = cells
                continue
            is_first = False
            filled = [(head, cell) for head, cell in zip(self.heads, cells, strict=False) if cell.strip()]
            if filled:
                yield Row(line, filled)


def _head(lines: Lines, notes: Notes, columns: Columns) -> _Head:
    """Take lines up to the heads: some systems write a version above them."""
    first: Line | None = None
    for _ in range(_HEAD_LINES):
        line = lines.take()
        if line is None:
            break
        head = _best_split(line.text, columns)
        if _is_head(head.columns, columns):
            return head
        if first is None and line.text.strip():
            first = line
    raise _no_head(first or Line(1, ""), notes, columns)


def _best_split(line: str, columns: Columns) -> _Head:
    told = (_Head(_split(line, delimiter), delimiter) for delimiter in _DELIMITERS)
    return max(told, key=lambda head: (sum(map(columns.is_known, head.columns)), len(head.columns)))


def _is_head(cells: list[str], columns: Columns) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    fields = {columns.find(cell).field for cell in filled}
    return {"product_id", "name"} <= fields and 3 * sum(map(columns.is_known, filled)) >= len(filled)


def _no_head(line: Line, notes: Notes, columns: Columns) -> PermanentError:
    if not is_utf8(line.text):
        return PermanentError(f"{notes.place(line.number)}: not UTF-8; save the file in UTF-8", reason="not-a-feed")
    heads = [head[:_SHOWN_CHARACTERS] for head in _best_split(line.text, columns).columns]
    fields = {columns.find(name).field for name in heads}
    missing = " and ".join(told for field, told in (("product_id", "id"), ("name", "name")) if field not in fields)
    shown = ", ".join(heads[:_SHOWN_COLUMNS]) + (", ..." if len(heads) > _SHOWN_COLUMNS else "")
    return PermanentError(
        f"{notes.place(line.number)}: no column is known to hold the product's {missing or 'fields'} ({shown}); "
        "give the heads in the first line, or say with --mapping FILE what the columns are",
        reason="unknown-columns",
    )


def _split(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip().lstrip("\ufeff") for cell in cells]


def _remark_columns(heads: list[str], notes: Notes) -> None:
    for name, count in Counter(heads).items():
        if name and count > 1:
            places = ", ".join(str(place) for place, other in enumerate(heads, start=1) if other == name)
            notes.remark(1, f"column {name} is there {count} times (columns {places}), and all that they say is read")
    for place, name in enumerate(heads):
        heads[place] = name or f"column {place + 1}"


def _records(lines: Lines, delimiter: str, notes: Notes, count: int) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row. Of a row that cannot be read its first line is told; the others are read again, for a
    quote that is left open takes in rows that are sound."""
    while True:
        taken: list[Line] = []
        try:
            cells = next(csv.reader(_taken(lines, taken), delimiter=delimiter, strict=True))
            problem = _problem(cells, taken, delimiter, count)
        except StopIteration:
            return
        except csv.Error as error:
            cells = taken[0].text.rstrip("\r\n").split(delimiter)
            # Google's TSV knows no quotes: they are text there.
            unquoted = delimiter == "\t" and len(cells) == count and taken[0].whole
            problem = None if unquoted else _told(error, taken)
            lines.give_back(taken[1:])
            del taken[1:]
        if problem is not None:
            notes.tell_bad(taken[0].number, problem)
            lines.give_back(taken[1:])
        elif cells:
            yield taken[0].number, cells


def _taken(lines: Lines, taken: list[Line]) -> Iterator[str]:
    """The lines of one row, noted in `taken`; they end where a row is longer than allowed."""
    characters = 0
    while characters < RECORD_CHARACTERS and (line := lines.take()) is not None:
        taken.append(line)
        characters += len(line.text)
        yield line.text


def _problem(cells: list[str], taken: list[Line], delimiter: str, count: int) -> str | None:
    if not all(line.whole for line in taken):
        return f"more than {LINE_CHARACTERS} characters in a line; send less of each product"
    if not all(is_utf8(line.text) for line in taken):
        return "not UTF-8; save the file in UTF-8"
    if not cells or len(cells) == count:
        return None
    if len(cells) > count and not any(cell.strip() for cell in cells[count:]):
        return None
    return (
        f"{len(cells)} cells where the heads are {count}; put text with {_DELIMITERS[delimiter]} or line ends in it "
        "into quotes, and leave no cell out"
    )


def _told(error: csv.Error, taken: list[Line]) -> str:
    if not taken[0].whole or "field limit" in str(error):
        return f"more than {RECORD_CHARACTERS} characters in a row; send less of each product"
    return "a quote is left open, or stands in quoted text by itself; close it, or write it twice"
