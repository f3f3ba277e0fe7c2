"""Events of the past: read by time, and answered again with a note of how far that came. For replays.

`History` reads a window of topics and then what comes after it; `Ledger` sends events and, in the same transaction,
commits how far the replay has come, so that a crashed one goes on where it stopped.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError

from shared.errors import PermanentError, TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka.client import GROUP_PREFIX, open_consumer, producer_arguments, topic_name
from shared.kafka.operating.tailing import Unreadable
from shared.kafka.producing import discard, wait_for_all
from shared.kafka.reading import event_of
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

Partition = tuple[str, int]
"""A topic's full name and the number of one of its partitions."""

_STALLED_POLLS = 60
_POLL_MS = 500
_SEND_SECONDS = 60.0
_UNSETTLED_MS = 3_000


@dataclass(frozen=True, slots=True)
class Past:
    """An event and where it lies. `time_ms` is the record's own time, since the epoch."""

    partition: Partition
    offset: int
    time_ms: int
    event: Event[Any]

    def is_newer_than(self, other: "Past") -> bool:
        """Order within a partition is the log's; between partitions it is time's, and at one time the type's."""
        if self.partition == other.partition:
            return self.offset > other.offset
        # An update that is as old as the creation comes after it; the names happen to sort so.
        return (self.time_ms, self.event.type) > (other.time_ms, other.event.type)


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
        self._consumer: Any = None
        self.starts: Mapping[Partition, int] = {}
        """The first offset that is read of each partition."""
        self.ends: Mapping[Partition, int] = {}
        """One past the last record that was there at the start."""

    def __enter__(self) -> "History":
        client_id = f"{GROUP_PREFIX}history-{uuid4().hex[:8]}"
        try:
            self._consumer = open_consumer(
                self._settings, client_id=client_id, group_id=None, auto_offset_reset="earliest"
            )
            self._open()
        except KafkaError as error:
            self.__exit__()
            raise _translated(self._settings, "the past could not be read", error) from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False)
            self._consumer = None

    def read(self) -> Iterator[Past]:
        """All events up to the end at the start, and whatever came along with the last of them.

        In the log's order within a partition. Raises TemporaryError when reading stalls.
        """
        unread = {partition for partition, end in self.ends.items() if self.starts[partition] < end}
        silent = 0
        while unread:
            polled = self._poll(_POLL_MS)
            yield from self._events(polled)
            # The position, not the last record: markers of transactions at the end are no records.
            unread = {partition for partition in unread if self._position(partition) < self.ends[partition]}
            silent = 0 if polled else silent + 1
            if silent > _STALLED_POLLS:
                raise TemporaryError(
                    f"reading the past stalls at {self._settings.bootstrap_servers}; run it again when Kafka is well"
                )

    def news(self) -> list[Past]:
        """What has come since, as far as it is here already: this never waits."""
        return list(self._events(self._poll(0))) if self.ends else []

    def _open(self) -> None:
        partitions = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
        if not partitions:
            return
        begins = self._consumer.beginning_offsets(partitions)
        self.ends = self._consumer.end_offsets(partitions)
        if self._last is not None:
            self.starts = {p: max(begins[p], self.ends[p] - self._last) for p in partitions}
        elif self._since_ms is None:
            self.starts = begins
        else:
            self.starts = self._first_since(partitions, begins, self._since_ms)
        self._consumer.assign(partitions)
        for partition in partitions:
            self._consumer.seek(partition, self.starts[partition])

    def _first_since(
        self, partitions: list[TopicPartition], begins: Mapping[TopicPartition, int], since_ms: int
    ) -> dict[Partition, int]:
        """The first offset of each partition whose record is not older; its end where all are."""
        found = self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        none = [partition for partition in partitions if found.get(partition) is None]
        # A broker without a time index (the embedded one) finds nothing even since the epoch: there all is read.
        indexed = self._consumer.offsets_for_times(dict.fromkeys(none, 0)) if none else {}
        return {
            partition: found[partition].offset
            if found.get(partition) is not None
            else self.ends[partition]
            if indexed.get(partition) is not None
            else begins[partition]
            for partition in partitions
        }

    def _poll(self, timeout_ms: int) -> Mapping[TopicPartition, list[Any]]:
        try:
            polled: Mapping[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
        except KafkaError as error:
            raise _translated(self._settings, "the past could not be read", error) from error
        return polled

    def _position(self, partition: Partition) -> int:
        try:
            return self._consumer.position(TopicPartition(*partition), timeout_ms=5_000) or 0
        except KafkaError as error:
            raise _translated(self._settings, "the past could not be read", error) from error

    def _events(self, polled: Mapping[TopicPartition, list[Any]]) -> Iterator[Past]:
        for partition, records in polled.items():
            for record in records:
                # Producers date their records themselves, so that later ones may be older.
                if self._since_ms is not None and record.timestamp < self._since_ms:
                    continue
                try:
                    event = event_of(record)
                except PermanentError as error:
                    self._report(Unreadable(record.topic, record.partition, record.offset, error))
                    continue
                yield Past(tuple(partition), record.offset, record.timestamp, event)

    def _report(self, unreadable: Unreadable) -> None:
        if self._on_unreadable is not None:
            self._on_unreadable(unreadable)
            return
        log.warning(
            "%s[%d]@%d is no event: %s", unreadable.topic, unreadable.partition, unreadable.offset, unreadable.error
        )


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
        self._transactional = settings.offsets == "transaction"
        self._consumer: Any = None
        self._producer: Any = None

    def __enter__(self) -> "Ledger":
        try:
            self._consumer = self._open_consumer("read_committed")
        except KafkaError as error:
            raise _translated(self._settings, "no ledger of the replay", error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False)
        if self._producer is not None:
            # What was to be sent was sent and acknowledged, or its failure has been raised.
            discard(self._producer)

    def claim(self) -> None:
        """Become the only one who may write here, and end what a crashed one left open.

        Whoever else holds this ledger can no longer write. Bookmarks read earlier may have been moved on meanwhile.
        """
        arguments = producer_arguments(self._settings, client_id=f"{self._group}-{uuid4().hex[:8]}")
        if self._transactional:
            arguments |= {
                "transactional_id": self._group,
                "transaction_timeout_ms": self._settings.transaction_timeout_ms,
            }
        try:
            self._producer = KafkaProducer(**arguments)
            if self._transactional:
                self._producer.init_transactions()
        except KafkaError as error:
            raise _translated(self._settings, "the replay could not begin", error) from error

    def bookmarks(self, partitions: Collection[Partition]) -> dict[Partition, Bookmark]:
        """What was written last for each partition; those without a bookmark are left out."""
        try:
            try:
                return _committed(self._consumer, partitions, timeout_ms=_UNSETTLED_MS)
            except KafkaTimeoutError:
                # A crash left a transaction open, and who reads committed offsets waits until it times out. Below it
                # lie those of the transaction before; `claim` ends it, and what is read then is settled.
                consumer = self._open_consumer("read_uncommitted")
                try:
                    return _committed(consumer, partitions, timeout_ms=30_000)
                finally:
                    consumer.close(autocommit=False)
        except KafkaError as error:
            raise _translated(self._settings, "no ledger of the replay", error) from error

    def write(self, events: Sequence[Event[Any]], bookmarks: Mapping[Partition, Bookmark]) -> None:
        """Send events and commit bookmarks; returns when both are acknowledged.

        Raises TemporaryError when Kafka fails, after which nothing of a transaction is visible, and PermanentError
        `superseded` when another process has claimed this ledger.
        """
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(bookmark.offset, bookmark.note, -1)
            for partition, bookmark in bookmarks.items()
        }
        try:
            if self._transactional:
                self._producer.begin_transaction()
            futures = [self._send(event) for event in events]
            if self._transactional:
                self._producer.send_offsets_to_transaction(offsets, self._group)
            # A commit that finds a failed batch is never answered by kafka-python 3.0.12: the failure must come first.
            wait_for_all(futures, _SEND_SECONDS)
            if self._transactional:
                self._producer.commit_transaction()
            else:
                self._consumer.commit(offsets, timeout_ms=30_000)
        except ProducerFencedError as error:
            raise PermanentError(
                "the same replay was started elsewhere and goes on there; this one ends", reason="superseded"
            ) from error
        except KafkaError as error:
            raise _translated(self._settings, "the replay could not send", error) from error

    def _open_consumer(self, isolation_level: str) -> Any:
        client_id = f"{self._group}-{uuid4().hex[:8]}"
        return open_consumer(self._settings, client_id=client_id, group_id=self._group, isolation_level=isolation_level)

    def _send(self, event: Event[Any]) -> Any:
        message = to_kafka(event)
        return self._producer.send(topic_name(self._settings, event.type), message.value, message.key, message.headers)


def _committed(consumer: Any, partitions: Collection[Partition], *, timeout_ms: int) -> dict[Partition, Bookmark]:
    found = {}
    for partition in partitions:
        committed = consumer.committed(TopicPartition(*partition), metadata=True, timeout_ms=timeout_ms)
        if committed is not None and committed.offset >= 0:
            found[partition] = Bookmark(committed.offset, committed.metadata or "")
    return found


def _translated(settings: KafkaSettings, subject: str, error: KafkaError) -> TemporaryError:
    return TemporaryError(
        f"{subject}: Kafka at {settings.bootstrap_servers}: {error}; the same command goes on from here"
    )
