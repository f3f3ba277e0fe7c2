"""What a feed's columns are: which field of a product each fills, by the names that shops' systems give them.

A mapping file says it of columns that bear other names:

    ignored = ["Lagerort"]
    [fields]
    product_id = "Artikelnummer"
    name = ["Bezeichnung", "Kurztext"]      # the first that is filled
    attributes.pattern = "Muster"
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.errors import ConfigurationError

Use = Literal["field", "attribute", "pairs", "invisible", "unknown"]


class Column(NamedTuple):
    """What a column is for: a product's field, or the attribute `name`. Of several for a field, rank 0 comes first."""

    use: Use
    field: str = ""
    name: str = ""
    rank: int = 0


UNKNOWN = Column("unknown")
INVISIBLE = Column("invisible")
PAIRS = Column("pairs", "attributes")

_TABLE = tomllib.loads(resources.files("shared.feeds").joinpath("columns.toml").read_text("utf-8"))
_HEAD_CHARACTERS = 200
_BRACKETS = re.compile(r"\s*[(\[【].*\Z", re.DOTALL)
_PREFIX = re.compile(r"\A(?:g:|google shopping\s*/\s*|\*+)\s*")
_SIGNS = re.compile(r"[\s_\-*:.?/&\\]+")
_NUMBER_AT_END = re.compile(r"(?<=[a-z])\d{1,2}\Z")


@lru_cache(maxsize=4096)
def plain_head(head: str) -> str:
    """A head as heads are compared: `g:Product_Type`, `productType` and `Product Type (required)` are one."""
    text = unicodedata.normalize("NFKC", head[:_HEAD_CHARACTERS]).casefold().strip("\ufeff \t\r\n")
    bare = _PREFIX.sub("", text)
    return _SIGNS.sub("", _BRACKETS.sub("", bare)) or _SIGNS.sub("", text)


def _known_columns() -> Iterator[tuple[str, Column]]:
    for head in _TABLE["invisible"]["heads"]:
        yield plain_head(head), INVISIBLE
    for head in _TABLE["pairs"]["heads"]:
        yield plain_head(head), PAIRS
    for name, heads in _TABLE["attributes"].items():
        for head in heads:
            yield plain_head(head), Column("attribute", "attributes", name)
    for field, heads in _TABLE["fields"].items():
        for rank, head in enumerate(heads):
            yield plain_head(head), Column("field", field, rank=rank)


_COLUMNS = dict(_known_columns())
FIELDS = tuple(_TABLE["fields"])
_BEGINNINGS = tuple(map(plain_head, _TABLE["invisible"]["begin"]))
_ENDS = tuple(map(plain_head, _TABLE["invisible"]["end"]))
_INVISIBLE_OPTIONS = frozenset(map(plain_head, _TABLE["variants"]["invisible"]))


class Columns:
    """The columns that are known, with those that a mapping file names before them."""

    def __init__(self, mapped: Mapping[str, Column] | None = None) -> None:
        self._mapped = {plain_head(head): column for head, column in (mapped or {}).items()}
        self.paths = tuple(head for head in mapped or () if "." in head)
        """Mapped heads that may be a path into a JSON document: details.colour."""

    def find(self, head: str) -> Column:
        """What a column with this head is for."""
        plain = plain_head(head)
        mapped = self._mapped.get(plain)
        if mapped is not None:
            return mapped
        known = _COLUMNS.get(plain) or _COLUMNS.get(_NUMBER_AT_END.sub("", plain))
        if known is not None:
            return known
        return INVISIBLE if plain.startswith(_BEGINNINGS) or plain.endswith(_ENDS) else UNKNOWN

    def is_known(self, head: str) -> bool:
        """Whether the head is a known column's."""
        return bool(head) and self.find(head) is not UNKNOWN

    def option(self, name: str) -> Column | None:
        """What an option that a product's variants differ in is for; None where it cannot be seen."""
        column = self.find(name)
        seen = column.field in ("color", "material") or column.use == "attribute"
        return column if seen and plain_head(name) not in _INVISIBLE_OPTIONS else None


def read_mapping(path: Path) -> Columns:
    """The columns that a mapping file names. ConfigurationError says what is wrong in it."""
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"--mapping {path} cannot be read: {told}; it is a TOML file in UTF-8") from error
    wrong = sorted(document.keys() - {"fields", "ignored"})
    if wrong or not isinstance(document.get("fields", {}), dict):
        told = ", ".join(wrong) or "fields"
        raise ConfigurationError(f"--mapping {path}: {told}: give a table [fields], and a list ignored, alone")
    mapped: dict[str, Column] = {}
    for field, heads in document.get("fields", {}).items():
        for head, column in _mapped(path, field, heads):
            mapped[head] = column
    for head in _listed(path, "ignored", document.get("ignored", [])):
        mapped[head] = INVISIBLE
    return Columns(mapped)


def _mapped(path: Path, field: str, heads: Any) -> Iterator[tuple[str, Column]]:
    if field == "attributes" and isinstance(heads, dict):
        for name, own in heads.items():
            for head in _listed(path, f"attributes.{name}", own):
                yield head, Column("attribute", "attributes", name)
        return
    if field not in FIELDS:
        near = get_close_matches(field, FIELDS, 1)
        meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(FIELDS)}"
        raise ConfigurationError(f"--mapping {path}: a product has no field {field}{meant}")
    for rank, head in enumerate(_listed(path, field, heads)):
        # Before what is known by name, whatever its rank.
        yield head, Column("field", field, rank=rank - 1000)


def _listed(path: Path, key: str, heads: Any) -> list[str]:
    listed = [heads] if isinstance(heads, str) else heads
    if not isinstance(listed, list) or not all(isinstance(head, str) and head.strip() for head in listed):
        raise ConfigurationError(f"--mapping {path}: {key}: give a column's head, or a list of heads")
    return listed
