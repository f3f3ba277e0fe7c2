"""Which products were answered lately, and as of when: an older event of one needs no answer any more."""

import threading
from collections import OrderedDict
from typing import Any

from shared.errors import Superseded
from shared.events import Event, Product


class AnsweredProducts:
    """The `sequence` of each product's latest answer. Forgets whoever was answered longest ago, and all when it ends.

    Partition n of every topic goes to one worker, so that a product's events meet here. What is forgotten, or was
    answered elsewhere, is answered once more: consumers compare too.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._latest: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, event: Event[Product]) -> None:
        """Raise Superseded if a later event of the product has been answered. The same one may be answered again."""
        with self._lock:
            self._check(event)

    def note(self, event: Event[Product]) -> None:
        """Note that an event is answered now. Raises as `check`: a later one may have been answered meanwhile."""
        with self._lock:
            self._check(event)
            if not event.sequence:
                return
            self._latest[event.data.product_id] = event.sequence
            self._latest.move_to_end(event.data.product_id)
            if len(self._latest) > self._capacity:
                self._latest.popitem(last=False)

    def _check(self, event: Event[Any]) -> None:
        latest = self._latest.get(event.data.product_id, "")
        if event.sequence and event.sequence < latest:
            raise Superseded(
                f"product {event.data.product_id}: an event of {latest} has been answered, this one is of "
                f"{event.sequence}; it needs no answer"
            )
