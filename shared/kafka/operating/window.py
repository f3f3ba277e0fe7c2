"""Stretches of the log, read from where one asks to where it ends now. Outside any group's rebalances."""

import re
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from kafka import TopicPartition

from shared.errors import TemporaryError
from shared.kafka.client import GROUP_PREFIX, open_consumer
from shared.kafka.failures import translated
from shared.kafka.listener import check_listeners
from shared.kafka.mends import held_partitions
from shared.kafka.producing import Offsets
from shared.settings import KafkaSettings

POLL_MS = 500
STALLED_SECONDS = 30.0
"""A broker that holds records back for longer than this is not well."""


class LogWindow:
    """A consumer that is told what to read. Use as a context manager.

    `subject` begins what is said of a failure ("lag of derive_prompt"), `next_step` ends it. With `group`, that group's
    committed offsets can be read and written. Opening raises ConfigurationError or TemporaryError when no broker takes
    us; everything else raises as `translated`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        subject: str,
        group: str | None = None,
        isolation_level: str = "read_committed",
        next_step: str = "try again",
    ) -> None:
        self._settings = settings
        self._subject = subject
        self._next_step = next_step
        check_listeners(settings)
        with translated(settings, subject, next_step):
            self._consumer = open_consumer(
                settings,
                client_id=f"{GROUP_PREFIX}window-{uuid4().hex[:8]}",
                group_id=group,
                auto_offset_reset="earliest",
                isolation_level=isolation_level,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close(autocommit=False)

    def topics(self, pattern: str) -> list[str]:
        """The topics there are that fit a regular expression, by full name."""
        with translated(self._settings, self._subject, self._next_step):
            return [topic for topic in sorted(self._consumer.topics()) if re.match(pattern, topic)]

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """The partitions of these topics, by full name. A topic that does not exist has none."""
        with translated(self._settings, self._subject, self._next_step):
            return [
                TopicPartition(topic, number)
                for topic in topics
                for number in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]

    def begins(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset of each that is still kept."""
        with translated(self._settings, self._subject, self._next_step):
            return dict(self._consumer.beginning_offsets(list(partitions))) if partitions else {}

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """One past the last record of each."""
        with translated(self._settings, self._subject, self._next_step):
            return dict(self._consumer.end_offsets(list(partitions))) if partitions else {}

    def first_since(self, partitions: Collection[TopicPartition], since_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each whose record is not older; those in which all are older are left out."""
        with translated(self._settings, self._subject, self._next_step):
            found = self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms)) if partitions else {}
        return {partition: place.offset for partition, place in found.items() if place is not None}

    def committed(self, partition: TopicPartition, *, timeout_ms: int = 30_000) -> Any:
        """What the group has committed there, with its note; None where nothing is.

        Raises kafka-python's KafkaTimeoutError itself: an open transaction hides what is committed, and who asks knows
        what that means.
        """
        return self._consumer.committed(partition, metadata=True, timeout_ms=timeout_ms)

    def commit(self, offsets: Offsets) -> None:
        """Commit for the group, where no transaction does it. Raises KafkaError."""
        self._consumer.commit(offsets, timeout_ms=30_000)

    def start_at(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from now on, each from its offset."""
        self._consumer.assign(sorted(starts))
        for partition, offset in starts.items():
            self._consumer.seek(partition, offset)

    def poll(self, timeout_ms: int = POLL_MS) -> dict[TopicPartition, list[Any]]:
        """What is there of them next."""
        with translated(self._settings, self._subject, self._next_step):
            return dict(self._consumer.poll(timeout_ms=timeout_ms))

    def read_up_to(self, ends: Mapping[TopicPartition, int]) -> Iterator[Any]:
        """The records before these ends, and whatever came along with the last of them.

        In the log's order within a partition. Raises TemporaryError when reading stalls; where only some partitions
        cannot be read on, when the others are read.
        """
        stuck: dict[TopicPartition, str] = {}
        unread = {partition for partition, end in ends.items() if self._position(partition) < end}
        silent_ms = 0
        while unread:
            polled = self.poll()
            for records in polled.values():
                yield from records
            # The position, not the last record: markers of transactions at the end are no records.
            unread = {partition for partition in unread if self._position(partition) < ends[partition]}
            stuck |= {p: why for p, why in held_partitions(self._consumer).items() if p in unread}
            unread -= stuck.keys()
            silent_ms = 0 if polled else silent_ms + POLL_MS
            if silent_ms > STALLED_SECONDS * 1000:
                raise TemporaryError(
                    f"{self._subject}: reading stalls at {self._settings.bootstrap_servers}; {self._next_step}"
                )
        if stuck:
            told = "; ".join(f"{p.topic}[{p.partition}] cannot be read on: {why}" for p, why in sorted(stuck.items()))
            raise TemporaryError(f"{self._subject}: {told}; {self._next_step}")

    def _position(self, partition: TopicPartition) -> int:
        with translated(self._settings, self._subject, self._next_step):
            return self._consumer.position(partition, timeout_ms=5_000) or 0
