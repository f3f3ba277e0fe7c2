"""Sending: what every producer here does alike, and the transactional producer, written once."""

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from shared.kafka.client import NULL, producer_arguments
from shared.kafka.listener import check_listeners
from shared.kafka.mends import give_up_sending, open_client
from shared.settings import KafkaSettings

Offsets = Mapping[TopicPartition, OffsetAndMetadata]
"""What to commit: the first offset of each partition that is not done yet, and a note."""


class Outgoing(NamedTuple):
    """A record to be sent: the topic's full name, exact bytes, headers, and, unless its key decides, its partition.

    What goes round (retried, carried back, replayed) stays in its partition, by whichever hash its producer chose that:
    partition n of every topic goes to one worker, so that all events of a product meet there.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None = None


def open_producer(settings: KafkaSettings, *, client_id: str, transactional_id: str | None = None, **more: Any) -> Any:
    """A connected producer; `more` are kafka-python arguments. Raises KafkaError, and then leaves nothing behind.

    With a transactional id it has fenced whoever had that before, and ended what a crash of theirs left open.
    """
    arguments = {**producer_arguments(settings, client_id=client_id), **more}
    if transactional_id is None:
        return open_client(KafkaProducer, **arguments)
    arguments |= {
        "transactional_id": transactional_id,
        "transaction_timeout_ms": settings.transaction_timeout_ms,
    }
    producer = open_client(KafkaProducer, **arguments)
    try:
        producer.init_transactions()
    except BaseException:
        discard(producer)
        raise
    return producer


class Transaction:
    """One transaction of an open producer, as a context: its records and offsets are seen together, or never.

    Leaving it waits for every record and then commits. A commit that finds a failed batch is never answered by
    kafka-python 3.0.12, so a failure must come first. After an exception the producer is of no more use: it may never
    hear of an abort, and would commit refused offsets with the next ones. Discard it: the start of its next of name
    ends what is left open.
    """

    def __init__(self, producer: Any, *, patience_seconds: float) -> None:
        self._producer = producer
        self._patience_seconds = patience_seconds
        self.sent: list[Any] = []
        """The futures of all records so far."""
        self.may_be_committed = False
        """Whether the broker was asked to commit: where that fails, only the broker knows how it ended."""

    def __enter__(self) -> Self:
        self._producer.begin_transaction()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            wait_for_all(self.sent, self._patience_seconds)
            self.may_be_committed = True
            self._producer.commit_transaction()

    def send(self, record: Outgoing) -> None:
        """Hand a record over."""
        self.sent.append(hand_over(self._producer, record))

    def commit_offsets(self, offsets: Offsets, group: Any) -> None:
        """Commit these with the records, for a group by its name or by a member's metadata."""
        self._producer.send_offsets_to_transaction(offsets, group)


class Sender:
    """Sends records and commits, for the group of its own name, how far that brings it.

    In one transaction where the broker keeps offsets of transactions; of two senders of one name the older one can
    then send no more. Plainly (`SKUREEL_KAFKA__OFFSETS=plain`), `commit_plainly` commits them after the records: at
    least once. Use as a context manager. Opening and sending raise KafkaError; opening, what `check_listeners` raises.
    """

    def __init__(
        self, settings: KafkaSettings, *, name: str, client_id: str, commit_plainly: Callable[[Offsets], None]
    ) -> None:
        self._name = name
        self._commit_plainly = commit_plainly
        self._transactional = settings.offsets == "transaction"
        check_listeners(settings)
        self._producer = open_producer(
            settings, client_id=client_id, transactional_id=name if self._transactional else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What was to be sent was acknowledged, or its failure has been raised.
        discard(self._producer)

    def send(self, records: Iterable[Outgoing], offsets: Offsets, *, patience_seconds: float = 60.0) -> None:
        """Returns when all are acknowledged, and the offsets committed."""
        if not self._transactional:
            wait_for_all([hand_over(self._producer, record) for record in records], patience_seconds)
            if offsets:
                self._commit_plainly(offsets)
            return
        with Transaction(self._producer, patience_seconds=patience_seconds) as transaction:
            for record in records:
                transaction.send(record)
            if offsets:
                transaction.commit_offsets(offsets, self._name)


def hand_over(producer: Any, record: Outgoing) -> Any:
    """Give a record to the producer; its future. Where the topic has no such partition, the key decides."""
    partition = record.partition
    if partition is not None and partition not in producer.partitions_for(record.topic):
        partition = None
    value = NULL if record.value is None else record.value
    return producer.send(record.topic, value, record.key, record.headers, partition)


def wait_for_all(futures: Iterable[Any], timeout_seconds: float) -> None:
    """Wait until all records are acknowledged. Raises what the first failed one failed with, or KafkaTimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    for future in futures:
        future.get(timeout=max(0.0, deadline - time.monotonic()))


def discard(producer: Any, timeout_seconds: float = 0.0) -> None:
    """Close a producer whose unsent records nobody waits for. Its open transaction is left to its next of name."""
    try:
        producer.close(timeout=timeout_seconds)
    except KafkaError:
        give_up_sending(producer)
