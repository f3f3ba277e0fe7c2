"""Which products a replay is about: what was asked for, and the latest event of each that it names."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from functions.replay_events.notebook import Mark, Notebook
from shared.events import Product
from shared.kafka import Partition, Past


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for. `model` is the model's name and revision, so that other weights are another replay."""

    model: str
    since: datetime | None = None
    until: datetime | None = None
    products: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    template_version: int | None = None
    force: bool = False

    @property
    def name(self) -> str:
        """The same for the same selection in any process: a crashed replay is found again by it."""
        document = [
            self.model,
            self.since.isoformat() if self.since else None,
            self.until.isoformat() if self.until else None,
            sorted(self.products),
            sorted(map(str.casefold, self.categories)),
            self.template_version,
            self.force,
        ]
        return "replay-" + hashlib.sha256(json.dumps(document).encode()).hexdigest()[:16]

    def wants_product(self, product: Product) -> bool:
        """Whether the product is one of those named; all are, where none is."""
        return not self.products or product.product_id in self.products

    def wants_category(self, product: Product, template: str | None) -> bool:
        """Whether a level of the product's category, as the catalogue writes it, or its template is one of those named.

        `template` None: the product was not understood.
        """
        if not self.categories:
            return True
        own = {level.casefold() for level in (*product.category, template or "")}
        return any(name.casefold() in own for name in self.categories)


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of the log that is replayed: from the first record read to these ends and this time, without both."""

    ends: Mapping[Partition, int]
    until_ms: int | None

    def holds(self, past: Past) -> bool:
        """Whether a record lies in the window rather than beyond it."""
        return past.offset < self.ends.get(past.partition, 0) and (
            self.until_ms is None or past.time_ms < self.until_ms
        )


class LatestEvents:
    """The latest event of each product in a window. A product with a newer event beyond the window is out of date.

    Such a product is left to the newer event: what it asked for in the window is no longer what it is.
    """

    def __init__(self, selection: Selection, window: Window, notebook: Notebook) -> None:
        self._selection = selection
        self._window = window
        self._notebook = notebook

    def add(self, past: Past) -> None:
        """Take one event into account, in any order."""
        product: Product = past.event.data
        if not self._selection.wants_product(product):
            return
        if self._window.holds(past):
            before, keep = self._notebook.latest_inside(product.product_id), self._notebook.keep_inside
        else:
            before, keep = self._notebook.latest_beyond(product.product_id), self._notebook.keep_beyond
        if before is None or Mark.of(past).is_newer_than(before):
            keep(past)

    def is_out_of_date(self, product_id: str, mark: Mark) -> bool:
        """Whether an event of the product that lies beyond the window is newer than the one at this mark."""
        newer = self._notebook.latest_beyond(product_id)
        return newer is not None and newer.is_newer_than(mark)

    def __iter__(self) -> Iterator[Past]:
        """In the log's order of each partition, so that one offset a partition says how far a replay has come."""
        return self._notebook.events_inside()

    def __len__(self) -> int:
        return self._notebook.count_inside()
