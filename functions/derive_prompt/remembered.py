"""The store's ready clips, remembered for seconds: a catalogue asks for each once in that time, not for each event.

A ready record never changes, but somebody may remove a clip or its files. To look takes some 2 ms of a core, an event
all told some 0.3: asked each time, a core would answer a tenth. Remembered, a removed clip is called ready for
`MOST_AGE_SECONDS` at most, and a memory that is full of clips in use costs a quarter of a core.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.clips import ClipRecord, ClipStore

CAPACITY = 4096
MOST_AGE_SECONDS = 30.0


class _Known(NamedTuple):
    record: "ClipRecord"
    seen: float


class RememberedClips:
    """Ready clips by video id, within bounds of number and age. Whatever else the store says is asked for each time.

    `now` is a clock that never goes back, in seconds. Safe to use from several threads.
    """

    def __init__(
        self, store: "ClipStore", capacity: int = CAPACITY, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def find_ready(self, video_id: str) -> "ClipRecord | None":
        """The record of a clip that may be shown, or None. TemporaryError where the store does not answer."""
        asked = self._now()
        with self._lock:
            known = self._known.get(video_id)
            if known is not None and asked - known.seen < MOST_AGE_SECONDS:
                self._known.move_to_end(video_id)
                return known.record
        record = self._store.find(video_id)
        if record is None or record.outcome != "ready":
            with self._lock:
                self._known.pop(video_id, None)
            return None
        with self._lock:
            self._known[video_id] = _Known(record, asked)
            self._known.move_to_end(video_id)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return record
