"""Rows of a table -> records of one product each, where a system writes a product in several rows.

Shopify's export has a row for each variant and picture, under one handle; WooCommerce's one for each variation, which
leaves to its parent what they share.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from shared.feeds.columns import Columns, plain_head
from shared.feeds.notes import Notes
from shared.feeds.table import Row, Table
from shared.feeds.variants import MOST

_HANDLES = ("handle", "urlhandle")
_OPTION = re.compile(r"option(?P<place>[123])(?P<part>name|value)")
_ATTRIBUTE = re.compile(r"attribute(?P<number>\d{1,3})(?P<part>name|values?)")
_OF_VARIANTS = ("variant", "sku", "barcode")
_SHARED_FIELDS = frozenset({"name", "category", "brief", "keywords", "material", "gender", "age_group"})
_PARENTS = 1000
"""Parents that are remembered: their variations stand near."""


class Record(NamedTuple):
    """One product: `cells` are what it says under each head, `document` may list its variants."""

    line: int
    cells: Sequence[tuple[str, Any]]
    document: dict[str, Any]


def records(table: Table, columns: Columns, notes: Notes) -> Iterator[Record]:
    """The products of a table, each when its rows are there."""
    plain = list(map(plain_head, table.heads))
    handle = next((head for name, head in zip(plain, table.heads, strict=True) if name in _HANDLES), None)
    if handle is not None and any(map(_OPTION.fullmatch, plain)):
        return _by_handle(table, handle, notes)
    if {"type", "parent"} <= set(plain):
        return _with_parents(table, columns)
    return (Record(row.line, row.cells, {}) for row in table)


def _by_handle(table: Table, handle: str, notes: Notes) -> Iterator[Record]:
    rows: list[Row] = []
    current: str | None = None
    for row in table:
        own = next((cell for head, cell in row.cells if head == handle), None)
        if own is None:
            notes.tell_bad(row.line, f"no {handle}; it says which product the row belongs to")
        elif own != current:
            if rows:
                yield _of_rows(rows, current)
            rows, current = [row], own
        elif len(rows) < MOST:
            rows.append(row)
        else:
            notes.tell_bad(row.line, f"more than {MOST} rows of {handle} {own[:100]}; give it fewer variants")
    if rows:
        yield _of_rows(rows, current)


def _of_rows(rows: list[Row], handle: str | None) -> Record:
    """Shopify's rows of one product, as its API has them."""
    names: dict[str, str] = {}
    cells: list[tuple[str, Any]] = [("product_id", handle)]
    variants: list[dict[str, Any]] = []
    for row in rows:
        variant: dict[str, Any] = {}
        for head, cell in row.cells:
            plain = plain_head(head)
            option = _OPTION.fullmatch(plain)
            if option is not None and option["part"] == "name":
                names.setdefault(option["place"], cell)
            elif option is not None:
                variant[f"option{option['place']}"] = cell
            elif plain in ("variantimage", "variantimageurl"):
                variant["image"] = cell
            elif plain.startswith(_OF_VARIANTS):
                variant[head] = cell
            elif plain not in _HANDLES:
                cells.append((head, cell))
        if any(key.startswith("option") for key in variant):
            variants.append(variant)
    options = [names.get(place, "") for place in "123"]
    return Record(rows[0].line, list(dict.fromkeys(cells)), {"options": options, "variants": variants})


def _with_parents(table: Table, columns: Columns) -> Iterator[Record]:
    parents: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()
    for row in table:
        told = {plain_head(head): cell for head, cell in row.cells}
        kind = told.get("type", "").casefold()
        cells = row.cells
        if kind == "variable":
            for key in (f"id:{told.get('id')}", told.get("sku")):
                if key:
                    parents[key] = cells
            while len(parents) > _PARENTS:
                parents.popitem(last=False)
        parent = parents.get(told.get("parent", "")) if kind == "variation" else None
        if parent is not None:
            cells = [*cells, *_inherited(cells, parent, columns)]
        yield Record(row.line, [(head, _parent_id(head, cell)) for head, cell in cells], {})


def _parent_id(head: str, cell: str) -> str:
    return cell.removeprefix("id:") if plain_head(head) == "parent" else cell


def _inherited(
    own: list[tuple[str, str]], parent: list[tuple[str, str]], columns: Columns
) -> Iterator[tuple[str, str]]:
    """What its parent says and a variation does not. Attributes with several values are those to choose by."""
    missing = _SHARED_FIELDS - {columns.find(head).field for head, _ in own if plain_head(head) != "type"}
    yield from ((head, cell) for head, cell in parent if columns.find(head).field in missing)
    named = {name.casefold() for name, _ in _attributes(own)}
    for place, (name, value) in enumerate(_attributes(parent), start=500):
        if name.casefold() not in named and "," not in value:
            yield f"Attribute {place} name", name
            yield f"Attribute {place} value", value


def _attributes(cells: list[tuple[str, str]]) -> list[tuple[str, str]]:
    parts: dict[str, dict[str, str]] = {}
    for head, cell in cells:
        found = _ATTRIBUTE.fullmatch(plain_head(head))
        if found is not None:
            parts.setdefault(found["number"], {})[found["part"][:5]] = cell
    return [(part["name"], part["value"]) for part in parts.values() if {"name", "value"} <= part.keys()]
