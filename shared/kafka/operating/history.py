"""Events of the past: read by time, and answered again with a note of how far that came. For replays.

`History` reads a window of topics and then what comes after it; `Ledger` sends events and, in the same transaction,
commits how far the replay has come, so that a crashed one goes on where it stopped.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from shared.errors import PermanentError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka import story as stories
from shared.kafka.client import GROUP_PREFIX, topic_name
from shared.kafka.failures import translated
from shared.kafka.operating.tailing import Unreadable
from shared.kafka.operating.window import LogWindow
from shared.kafka.ordering import ordered
from shared.kafka.producing import Outgoing, Sender
from shared.kafka.reading import event_of
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

Partition = tuple[str, int]
"""A topic's full name and the number of one of its partitions."""

_UNSETTLED_MS = 3_000
_LEDGER = "the ledger of the replay"
_GO_ON = "the same command goes on from here"


@dataclass(frozen=True, slots=True)
class Past:
    """An event and where it lies. `time_ms` is the record's own time, since the epoch."""

    partition: Partition
    offset: int
    time_ms: int
    event: Event[Any]


class History:
    """Committed events of some types: those there are at the start, and on request those that came since.

    `since_ms` leaves out records before that time; `last` all but the last so many of each partition. A record that is
    no event is reported to `on_unreadable`, or logged. A topic that does not exist has no past. No offsets are
    committed. Use as a context manager; opening raises TemporaryError when no broker answers.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        types: Sequence[str],
        *,
        since_ms: int | None = None,
        last: int | None = None,
        on_unreadable: Callable[[Unreadable], None] | None = None,
    ) -> None:
        self._settings = settings
        self._topics = [topic_name(settings, name) for name in types]
        self._since_ms = since_ms
        self._last = last
        self._on_unreadable = on_unreadable
        self._window: LogWindow
        self.starts: Mapping[Partition, int] = {}
        """The first offset that is read of each partition."""
        self.ends: Mapping[Partition, int] = {}
        """One past the last record that was there at the start."""

    def __enter__(self) -> "History":
        self._window = LogWindow(self._settings, subject="reading the past", next_step=_GO_ON)
        try:
            self._open()
        except BaseException:
            self._window.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._window.close()

    def read(self) -> Iterator[Past]:
        """All events up to the end at the start, and whatever came along with the last of them.

        In the log's order within a partition. Raises TemporaryError when reading stalls.
        """
        ends = {TopicPartition(*partition): end for partition, end in self.ends.items()}
        return self._events(self._window.read_up_to(ends))

    def news(self) -> list[Past]:
        """What has come since, as far as it is here already: this never waits."""
        polled = self._window.poll(0) if self.ends else {}
        return list(self._events(record for records in polled.values() for record in records))

    def _open(self) -> None:
        partitions = self._window.partitions(self._topics)
        begins = self._window.begins(partitions)
        self.ends = self._window.ends(partitions)
        if self._last is not None:
            self.starts = {p: max(begins[p], self.ends[p] - self._last) for p in partitions}
        elif self._since_ms is not None:
            self.starts = self._first_since(partitions, begins, self._since_ms)
        else:
            self.starts = begins
        self._window.start_at({partition: self.starts[partition] for partition in partitions})

    def _first_since(
        self, partitions: list[TopicPartition], begins: Mapping[TopicPartition, int], since_ms: int
    ) -> dict[Partition, int]:
        """The first offset of each partition whose record is not older; its end where all are."""
        found = self._window.first_since(partitions, since_ms)
        # A broker without a time index (the embedded one) finds nothing even since the epoch: there all is read.
        indexed = self._window.first_since([partition for partition in partitions if partition not in found], 0)
        return {p: found.get(p, self.ends[p] if p in indexed else begins[p]) for p in partitions}

    def _events(self, records: Iterable[Any]) -> Iterator[Past]:
        for record in records:
            # Producers date their records themselves, so that later ones may be older.
            if self._since_ms is not None and 0 <= record.timestamp < self._since_ms:
                continue
            try:
                event = self._ordered(record)
            except PermanentError as error:
                self._report(Unreadable(record.topic, record.partition, record.offset, error))
                continue
            yield Past((record.topic, record.partition), record.offset, record.timestamp, event)

    def _ordered(self, record: Any) -> Event[Any]:
        now = time.time()
        return ordered(event_of(record), stories.of(record, self._settings, now=now), now=now)

    def _report(self, unreadable: Unreadable) -> None:
        if self._on_unreadable is not None:
            self._on_unreadable(unreadable)
            return
        log.warning("%s is no event: %s", unreadable.place, unreadable.error)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a replay has come in one partition: the first offset not yet done, and a note of at most 4 KiB."""

    offset: int
    note: str


class Ledger:
    """Sends events and commits bookmarks, as one: neither is there without the other.

    The bookmarks are the committed offsets of a consumer group of this name that nobody joins. Only with
    `SKUREEL_KAFKA__OFFSETS=plain` they are committed after the events: what a crash leaves between is sent again.
    Use as a context manager; opening raises TemporaryError when no broker answers.
    """

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self._settings = settings
        self._group = f"{GROUP_PREFIX}{settings.topic_prefix}{name}"
        self._window: LogWindow
        self._sender: Sender | None = None

    def __enter__(self) -> "Ledger":
        self._window = self._open_window("read_committed")
        return self

    def __exit__(self, *error: Any) -> None:
        self._window.close()
        if self._sender is not None:
            self._sender.__exit__(*error)

    def claim(self) -> None:
        """Become the only one who may write here, and end what a crashed one left open.

        Whoever else holds this ledger can no longer write. Bookmarks read earlier may have been moved on meanwhile.
        """
        with translated(self._settings, "the replay could not begin", _GO_ON):
            self._sender = Sender(
                self._settings,
                name=self._group,
                client_id=f"{self._group}-{uuid4().hex[:8]}",
                commit_plainly=self._window.commit,
            )

    def bookmarks(self, partitions: Collection[Partition]) -> dict[Partition, Bookmark]:
        """What was written last for each partition; those without a bookmark are left out."""
        with translated(self._settings, _LEDGER, _GO_ON):
            try:
                return _committed(self._window, partitions, timeout_ms=_UNSETTLED_MS)
            except KafkaTimeoutError:
                # A crash left a transaction open, and who reads committed offsets waits until it times out. Below it
                # lie those of the transaction before; `claim` ends it, and what is read then is settled.
                with self._open_window("read_uncommitted") as window:
                    return _committed(window, partitions, timeout_ms=30_000)

    def write(self, events: Sequence[Event[Any]], bookmarks: Mapping[Partition, Bookmark]) -> None:
        """Send events and commit bookmarks; returns when both are acknowledged.

        Raises TemporaryError when Kafka fails, after which nothing of a transaction is visible, and PermanentError
        `superseded` when another process has claimed this ledger.
        """
        if self._sender is None:
            raise RuntimeError("the ledger is not claimed; only its one owner may write")
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(bookmark.offset, bookmark.note, -1)
            for partition, bookmark in bookmarks.items()
        }
        with translated(self._settings, "the replay could not send", _GO_ON):
            self._sender.send([self._outgoing(event) for event in events], offsets)

    def _open_window(self, isolation_level: str) -> LogWindow:
        return LogWindow(
            self._settings, subject=_LEDGER, group=self._group, isolation_level=isolation_level, next_step=_GO_ON
        )

    def _outgoing(self, event: Event[Any]) -> Outgoing:
        message = to_kafka(event)
        return Outgoing(topic_name(self._settings, event.type), message.key, message.value, message.headers)


def _committed(window: LogWindow, partitions: Collection[Partition], *, timeout_ms: int) -> dict[Partition, Bookmark]:
    found = {}
    for partition in partitions:
        committed = window.committed(TopicPartition(*partition), timeout_ms=timeout_ms)
        if committed is not None and committed.offset >= 0:
            found[partition] = Bookmark(committed.offset, committed.metadata or "")
    return found
