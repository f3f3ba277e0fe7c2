"""What the tests of feeds share: a feed read from text, with what it told."""

import io
import json
from typing import Any, NamedTuple

from shared.events import Product
from shared.events.reading import read
from shared.feeds import Columns, Notes, read_feed


class Outcome(NamedTuple):
    """The products of a feed, their data, the lines where they began, what was told and the notes."""

    products: list[Product]
    data: list[dict[str, Any]]
    lines: list[int]
    told: list[str]
    notes: Notes

    @property
    def ids(self) -> list[str]:
        return [product.product_id for product in self.products]


def read_text(text: str | bytes, columns: Columns | None = None, *, encoding: str = "utf-8") -> Outcome:
    told: list[str] = []
    notes = Notes("feed", told.append)
    stream = io.BytesIO(text.encode(encoding) if isinstance(text, str) else text)
    items = list(read_feed(stream, columns or Columns(), notes))
    products = [read(Product, item.data)[0] for item in items]
    return Outcome(products, [json.loads(item.data) for item in items], [item.line for item in items], told, notes)
