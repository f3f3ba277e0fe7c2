"""One product as a shop's system wrote it -> the data of product events, one for each variant that looks different."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shared.feeds.columns import UNKNOWN, Column, Columns, plain_head
from shared.feeds.notes import Notes
from shared.feeds.plain_text import is_blank, items, pairs, plain_text, texts
from shared.feeds.variants import MOST, Variant, variants_of

NAME_CHARACTERS = 1024
BRIEF_CHARACTERS = 20_000

_NATIVE = frozenset(
    "product_id id name category color colour material gender age_group features brief keywords attributes "
    "specifications locale image item_group_id channels experiment".split()
)
"""Names that a product's fields have in events: what has these alone is sent as it is."""
_ID_OF_A_SPREADSHEET = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
_LEVEL_BREAK = re.compile(r"(?<!\\),\s*")
_KEYWORD_BREAK = re.compile(r"[,;，；、|\n]")
_ADDRESS_BREAK = re.compile(r"[,;|\s]+(?=https?:|uploads/)|[;|]")
_NO_CATEGORIES = frozenset(
    "simple variable variation grouped external physical digital product bundle subscription default".split()
)
"""What shops' systems call kinds of records, not of things."""


class Told(NamedTuple):
    """What one column says, and under which head."""

    column: Column
    head: str
    value: Any


class Gathered(NamedTuple):
    """A product's data, and whether they are other than what was written."""

    data: dict[str, Any]
    is_changed: bool


def products_of(
    document: Mapping[str, Any], cells: Sequence[tuple[str, Any]], line: int, columns: Columns, notes: Notes
) -> Iterator[Gathered]:
    """The products of one record: `cells` are what it says under each head, `document` may list variants beside."""
    variants = variants_of(document, columns)
    if len(items(document.get("variants")) or ()) > MOST or len(variants) >= MOST:
        notes.remark(line, f"more than {MOST} variants of one product, and those behind are left out")
    used = {"variants", "options"} if variants else set()
    base = _gathered([cell for cell in cells if cell[0] not in used], line, columns, notes)
    if not variants:
        yield base
        return
    several = len(variants) > 1
    for name in dict.fromkeys(name for variant in variants for name in variant.unseen):
        if columns.find(name) is UNKNOWN:
            notes.leave(f"option {name}")
    for variant in variants:
        yield Gathered(_with_variant(base.data, variant, several=several), True)


def _with_variant(base: Mapping[str, Any], variant: Variant, *, several: bool) -> dict[str, Any]:
    data = dict(base)
    seen = {option.name for option in variant.seen}
    attributes: dict[str, Any] = {
        name: values for name, values in _named_texts(base.get("attributes")).items() if name not in seen
    }
    attributes.update(variant.unseen)
    for option in variant.seen:
        if option.column.use == "attribute":
            attributes[option.column.name] = [option.value]
        else:
            data[option.column.field] = option.value
    if attributes:
        data["attributes"] = attributes
    if variant.listed:
        data["variants"] = variant.listed
    if variant.image is not None:
        data["image"] = variant.image
    elif several:
        # The product's picture shows one of them, and nobody knows which.
        data.pop("image", None)
    if several:
        whole = data.pop("id", data.get("product_id"))
        # Without an id it is no product, and refused as such.
        if whole is not None:
            data["product_id"] = ":".join((str(whole), *(option.value for option in variant.seen)))
            data["item_group_id"] = str(whole)
    return data


def _named_texts(attributes: Any) -> dict[str, Any]:
    if isinstance(attributes, Mapping):
        return dict(attributes)
    named: dict[str, Any] = {}
    for pair in items(attributes) or ():
        if isinstance(pair, Mapping) and isinstance(pair.get("name"), str):
            said = next((pair[key] for key in ("value", "values", "option", "options", "terms") if pair.get(key)), None)
            named.setdefault(pair["name"], []).extend(texts(said))
    return named


def _gathered(cells: Sequence[tuple[str, Any]], line: int, columns: Columns, notes: Notes) -> Gathered:
    filled = [(head, value) for head, value in cells if not is_blank(value)]
    rest: dict[str, Any] = {}
    numbered: dict[str, dict[str, Any]] = {}
    told: dict[str, list[Told]] = {}
    for head, value in filled:
        part = _NUMBERED.fullmatch(plain_head(head))
        column = columns.find(head)
        if part is not None:
            numbered.setdefault(part["number"], {})[part["part"][:5]] = value
        elif column.field:
            told.setdefault(column.field, []).append(Told(column, head, value))
        else:
            _keep(rest, head, value)
            if column is UNKNOWN:
                notes.leave(head)
    data: dict[str, Any] = {}
    for field, says in told.items():
        says.sort(key=lambda said: said.column.rank)
        _read(_Reading(data, field, says, rest, line, notes))
    for pair in numbered.values():
        _add_numbered(data, pair)
    changed = any(data.get(head) is not value for head, value in filled if head not in rest)
    return Gathered({**data, **{head: value for head, value in rest.items() if head not in data}}, changed)


def _read(reading: "_Reading") -> None:
    first, *others = reading.says
    is_native = not others and first.head in _NATIVE and reading.field not in _READ_ALWAYS
    if reading.field in ("attributes", "specifications"):
        # In a table they are one text.
        if is_native and not isinstance(first.value, str):
            reading.data[first.head] = first.value
        else:
            reading.data[reading.field] = _attributes(reading.says, reading.rest, reading.notes)
    elif is_native:
        reading.data[first.head] = first.value
    else:
        _READERS[reading.field](reading)


# WooCommerce's export: Attribute 1 name, Attribute 1 value(s), Attribute 1 visible.
_NUMBERED = re.compile(r"attribute(?P<number>\d{1,3})(?P<part>name|values?|visible|global|default)")


def _add_numbered(data: dict[str, Any], pair: Mapping[str, Any]) -> None:
    name, value = pair.get("name"), pair.get("value")
    if isinstance(name, str) and value is not None:
        values = [part.replace("\\,", ",") for text in texts(value) for part in _LEVEL_BREAK.split(text) if part]
        data["attributes"] = {**_named_texts(data.get("attributes")), name.removeprefix("pa_"): values}


def _keep(rest: dict[str, Any], head: str, value: Any) -> None:
    """Keep what is not read, under its own head; what stands under one head twice, as a list."""
    if head not in rest:
        rest[head] = value
    elif isinstance(rest[head], list):
        rest[head].append(value)
    else:
        rest[head] = [rest[head], value]


def _attributes(says: list[Told], rest: dict[str, Any], notes: Notes) -> dict[str, Any]:
    gathered: dict[str, list[str]] = {}
    for said in says:
        if said.column.use == "attribute":
            gathered.setdefault(said.column.name, []).extend(texts(said.value))
            continue
        named = _named_texts(said.value)
        told = [(name, value) for name, value in named.items()]
        if isinstance(said.value, str):
            told = list(pairs(said.value) or ())
        if not told:
            notes.leave(said.head)
            _keep(rest, said.head, said.value)
        for name, value in told:
            gathered.setdefault(name, []).extend(texts(value))
    return gathered


class _Reading(NamedTuple):
    """What is at hand where one field is read."""

    data: dict[str, Any]
    field: str
    says: list[Told]
    rest: dict[str, Any]
    line: int
    notes: Notes

    def keep(self, others: Sequence[Told]) -> None:
        """Keep under their own heads what other columns say that could fill the field as well."""
        for said in others:
            _keep(self.rest, said.head, said.value)


def _read_first(reading: _Reading) -> None:
    first, *others = reading.says
    reading.data[reading.field] = first.value
    reading.keep(others)


def _read_id(reading: _Reading) -> None:
    """An id. 0 is none where another column has one, and no group."""
    filled = [said for said in reading.says if str(said.value).strip() != "0"]
    if not filled and reading.field == "item_group_id":
        return
    first, *others = filled or reading.says
    if isinstance(first.value, str) and _ID_OF_A_SPREADSHEET.fullmatch(first.value.strip()):
        reading.notes.remark(
            reading.line,
            f"{first.head} was rounded by a spreadsheet, so that products may share it; export it as text",
        )
    key = first.head if first.head in ("id", "product_id", "item_group_id") else reading.field
    reading.data[key] = first.value
    reading.keep(others)


def _read_name(reading: _Reading) -> None:
    first, *others = reading.says
    told = next(texts(first.value), "")
    # Markup alone is no name, but something that a person can find again.
    name = plain_text(told) or told
    if len(name) > NAME_CHARACTERS:
        reading.notes.remark(reading.line, f"{first.head} is longer than {NAME_CHARACTERS} characters, and cut there")
        name = name[:NAME_CHARACTERS]
    reading.data["name"] = first.value if name == str(first.value) else name
    reading.keep(others)


def _read_brief(reading: _Reading) -> None:
    said = dict.fromkeys(plain_text(text) for told in reading.says for text in texts(told.value))
    brief = "\n".join(filter(None, said))
    if len(brief) > BRIEF_CHARACTERS:
        reading.notes.remark(
            reading.line, f"{reading.says[0].head} is longer than {BRIEF_CHARACTERS} characters, and cut there"
        )
    if brief:
        reading.data["brief"] = brief[:BRIEF_CHARACTERS]


def _read_image(reading: _Reading) -> None:
    """The first picture; where there are more, they are kept."""
    first, *others = reading.says
    addresses = [part.strip() for text in texts(first.value) for part in _ADDRESS_BREAK.split(text) if part.strip()]
    if not addresses:
        return
    reading.keep(others)
    gallery = first.value if isinstance(first.value, list) else [first.value]
    if first.head == "image" and gallery[0] == addresses[0]:
        reading.data["image"] = first.value
        return
    reading.data["image"] = addresses[0]
    if len(addresses) > 1:
        reading.keep([first])


def _read_category(reading: _Reading) -> None:
    levels: list[str] = []
    for said in reading.says:
        for text in texts(said.value):
            is_list = plain_head(said.head) == "categories"
            for level in _LEVEL_BREAK.split(text) if is_list else (text,):
                level = level.replace("\\,", ",").strip()
                if level.isdecimal():
                    reading.notes.leave(f"{said.head}, by number,")
                    _keep(reading.rest, said.head, said.value)
                elif level and level.casefold() not in _NO_CATEGORIES:
                    levels.append(level)
    if levels:
        reading.data["category"] = list(dict.fromkeys(levels))


def _read_keywords(reading: _Reading) -> None:
    said = (part.strip() for told in reading.says for text in texts(told.value) for part in _KEYWORD_BREAK.split(text))
    reading.data["keywords"] = list(dict.fromkeys(filter(None, said)))


def _read_texts(reading: _Reading) -> None:
    said = (plain_text(text) for told in reading.says for text in texts(told.value))
    reading.data[reading.field] = list(dict.fromkeys(filter(None, said)))


_READ_ALWAYS = frozenset({"name", "image"})
_READERS: dict[str, Callable[[_Reading], None]] = {
    "product_id": _read_id,
    "item_group_id": _read_id,
    "name": _read_name,
    "brief": _read_brief,
    "image": _read_image,
    "category": _read_category,
    "keywords": _read_keywords,
    "color": _read_texts,
    "material": _read_texts,
    "gender": _read_texts,
    "age_group": _read_texts,
    "features": _read_texts,
    "locale": _read_first,
    "channels": _read_first,
    "experiment": _read_first,
}
