"""Dead letters for operators: what lies there and why, one with its exact bytes, and sending them again.

`skureel deadletters` is a thin layer over these functions.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError

from shared.errors import ConfigurationError, PermanentError, TemporaryError
from shared.kafka import story as stories
from shared.kafka.client import (
    DEAD_LETTER_SUFFIX,
    GROUP_PREFIX,
    NULL,
    base_topic,
    open_consumer,
    producer_arguments,
)
from shared.kafka.operating.topics import needed_topics
from shared.kafka.producing import discard, wait_for_all
from shared.kafka.story import Story
from shared.settings import KafkaSettings

MOST_REPLAYS = 3
"""A record that fails as often after having been sent again stays a dead letter: it is parked."""

_READ_SECONDS = 30.0
_SEND_SECONDS = 60.0
_COMMITTED_MS = 10_000
_PORTION_LETTERS = 500
_PORTION_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of a dead letter topic. Its place there is its name for `show` and `replay`."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: list[tuple[str, bytes | None]] = field(repr=False)
    story: Story
    sent_again: bool = False
    """Whether a replay of its whole topic has come past it, in `list_dead_letters` alone."""

    @property
    def parked(self) -> bool:
        """Whether it was sent again as often as is allowed."""
        return self.story.replays >= MOST_REPLAYS

    @property
    def bare(self) -> bool:
        """Whether it was too large to be kept, so that only its story is here: there is nothing to send again."""
        return any(name == stories.OMITTED for name, _ in self.headers)

    @property
    def place(self) -> str:
        """`topic:partition:offset`."""
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    sent: int
    parked: tuple[str, ...]
    """Why letters stay, one sentence each: they were sent again too often, or were too large to be kept."""


def dead_letter_topics(settings: KafkaSettings) -> tuple[str, ...]:
    """The dead letter topics of this environment, by their full names."""
    return tuple(name for name in needed_topics(settings) if name.endswith(DEAD_LETTER_SUFFIX))


def list_dead_letters(settings: KafkaSettings, topics: Collection[str] = ()) -> Iterator[DeadLetter]:
    """All dead letters there are now, oldest first in each partition; of all dead letter topics if none is named.

    Raises TemporaryError when no broker answers or reading stalls, ConfigurationError when there are no dead letter
    topics, and PermanentError when one that is named is none or is not there.
    """
    # Whoever reads only what is committed would wait for a replay that is under way.
    with _Reader(settings, isolation_level="read_uncommitted") as reader:
        came = reader.committed(reader.partitions(topics))
    with _Reader(settings) as reader:
        partitions = reader.partitions(topics)
        for letter in reader.read(dict.fromkeys(partitions), reader.ends(partitions)):
            done = came.get(TopicPartition(letter.topic, letter.partition)) or 0
            yield replace(letter, sent_again=letter.offset < done)


def show_dead_letter(settings: KafkaSettings, place: str) -> DeadLetter:
    """The dead letter at `topic:partition:offset`. Raises PermanentError `no-such-dead-letter`."""
    partition, offset = parse_place(place)
    with _Reader(settings) as reader:
        if partition in reader.partitions((partition.topic,)):
            # Reading up to the end there is, for the place may be beyond it.
            for letter in reader.read({partition: offset}, reader.ends([partition])):
                if letter.offset >= offset:
                    if letter.offset == offset:
                        return letter
                    break
    raise PermanentError(
        f"there is no dead letter at {place}; `skureel deadletters list` names those there are",
        reason="no-such-dead-letter",
    )


def replay_dead_letters(
    settings: KafkaSettings, places: Collection[str] = (), *, topics: Collection[str] = ()
) -> Replayed:
    """Send dead letters to the topics they came from, with their exact bytes and own headers.

    With `places`, those; each call sends them once more. Without, all of `topics` (every dead letter topic if none is
    named) that no earlier such call has sent: how far it came is committed in the transaction that sends them, so that
    an interrupted replay goes on where it stopped. A letter that was sent again `MOST_REPLAYS` times is parked.

    Raises as `list_dead_letters`. Records of other topics are never sent: each would come to where it lies already.
    """
    if places:
        letters = [show_dead_letter(settings, place) for place in places]
        with _Sender(settings, group=None) as sender:
            return sender.send(letters)
    # The sender comes first: its start ends what an interrupted replay left open, which would hide how far that came.
    with _Sender(settings, group=_replay_group(settings)) as sender, _Reader(settings) as reader:
        partitions = reader.partitions(topics)
        done = reader.committed(partitions)
        portions = _portions(reader.read(done, reader.ends(partitions)))
        replayed = [sender.send(portion) for portion in portions]
    return Replayed(sum(some.sent for some in replayed), tuple(why for some in replayed for why in some.parked))


def parse_place(place: str) -> tuple[TopicPartition, int]:
    """Read `topic:partition:offset`. Raises PermanentError `bad-place`, and `no-dead-letters` for another topic."""
    parts = place.rsplit(":", 2)
    if len(parts) == 3 and all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts[1:]):
        _check_topic(parts[0])
        return TopicPartition(parts[0], int(parts[1])), int(parts[2])
    raise PermanentError(f"{place!r} is no place of a dead letter; give topic:partition:offset", reason="bad-place")


def _check_topic(topic: str) -> None:
    if not topic.endswith(DEAD_LETTER_SUFFIX):
        raise PermanentError(
            f"{topic} is no dead letter topic: those end with {DEAD_LETTER_SUFFIX}", reason="no-dead-letters"
        )


class _Reader:
    """A consumer of given ranges, outside any group's rebalances."""

    def __init__(self, settings: KafkaSettings, *, isolation_level: str = "read_committed") -> None:
        self._settings = settings
        try:
            self._consumer = open_consumer(
                settings,
                client_id=f"{GROUP_PREFIX}deadletters-{uuid4().hex[:8]}",
                group_id=_replay_group(settings),
                auto_offset_reset="earliest",
                isolation_level=isolation_level,
            )
        except KafkaError as error:
            raise _translated(settings, error) from error

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close(autocommit=False)

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """All partitions of these dead letter topics, or of every one that there is. Raises as `list_dead_letters`."""
        found = []
        for topic in topics or dead_letter_topics(self._settings):
            _check_topic(topic)
            numbers = sorted(self._consumer.partitions_for_topic(topic) or ())
            if topics and not numbers:
                raise PermanentError(
                    f"{self._settings.bootstrap_servers} has no topic {topic}; give its full name",
                    reason="no-such-topic",
                )
            found += [TopicPartition(topic, number) for number in numbers]
        if not found:
            raise ConfigurationError(
                f"{self._settings.bootstrap_servers} has no dead letter topics under the prefix "
                f"{self._settings.topic_prefix!r}; check SKUREEL_KAFKA__TOPIC_PREFIX, or run `skureel topics create`"
            )
        return found

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """One past the last record of each."""
        try:
            return dict(self._consumer.end_offsets(list(partitions))) if partitions else {}
        except KafkaError as error:
            raise _translated(self._settings, error) from error

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int | None]:
        """How far earlier replays came."""
        try:
            return {
                partition: self._consumer.committed(partition, timeout_ms=_COMMITTED_MS) for partition in partitions
            }
        except KafkaTimeoutError as error:
            raise TemporaryError(
                "how far the last replay came is not settled: a transaction of a process that died is still open; it "
                f"ends by itself within {2 * self._settings.transaction_timeout_ms / 1000:g} s, try again then"
            ) from error
        except KafkaError as error:
            raise _translated(self._settings, error) from error

    def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Note how far this replay came, where no transaction does it."""
        try:
            self._consumer.commit(offsets, timeout_ms=10_000)
        except KafkaError as error:
            raise _translated(self._settings, error) from error

    def _position(self, partition: TopicPartition) -> int:
        try:
            return self._consumer.position(partition, timeout_ms=5_000) or 0
        except KafkaError as error:
            raise _translated(self._settings, error) from error

    def read(self, starts: dict[TopicPartition, int | None], ends: dict[TopicPartition, int]) -> Iterator[DeadLetter]:
        """The records from each start (None: the oldest) to before each end."""
        unread = {partition for partition, start in starts.items() if ends.get(partition, 0) > (start or 0)}
        if not unread:
            return
        self._consumer.assign(sorted(unread))
        for partition in unread:
            start = starts[partition]
            if start is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, start)
        patience = 0.0
        while unread:
            try:
                polled = self._consumer.poll(timeout_ms=500)
            except KafkaError as error:
                raise _translated(self._settings, error) from error
            for partition, records in polled.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield _letter(record)
            # The position, not the last record: markers of transactions at the end are no records.
            for partition in list(unread):
                if self._position(partition) >= ends[partition]:
                    unread.discard(partition)
                    self._consumer.pause(partition)
            patience = 0.0 if polled else patience + 0.5
            if patience > _READ_SECONDS:
                raise TemporaryError(f"reading dead letters stalls at {self._settings.bootstrap_servers}; try again")


def _letter(record: Any) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        time_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
        story=stories.read(record.headers),
    )


def _portions(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """As many at a time as are sent well before the broker aborts their transaction."""
    portion: list[DeadLetter] = []
    size = 0
    for letter in letters:
        portion.append(letter)
        size += len(letter.value or b"")
        if len(portion) >= _PORTION_LETTERS or size >= _PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


class _Sender:
    """Sends letters and, for a group, commits how far it came: in one transaction where the broker keeps its promise.

    Of two senders for one group the older one can send no more.
    """

    def __init__(self, settings: KafkaSettings, *, group: str | None) -> None:
        self._settings = settings
        self._group = group
        self._transactional = settings.offsets == "transaction"
        client_id = f"{GROUP_PREFIX}replay-{uuid4().hex[:8]}"
        arguments = producer_arguments(settings, client_id=client_id)
        if self._transactional:
            arguments |= {
                "transactional_id": group or client_id,
                "transaction_timeout_ms": settings.transaction_timeout_ms,
            }
        try:
            self._producer = KafkaProducer(**arguments)
            if self._transactional:
                self._producer.init_transactions()
        except KafkaError as error:
            raise _translated(settings, error) from error

    def __enter__(self) -> "_Sender":
        return self

    def __exit__(self, *_: object) -> None:
        # What was to be sent was acknowledged, or its failure has been raised.
        discard(self._producer)

    def send(self, letters: list[DeadLetter]) -> Replayed:
        """Returns when all but the parked ones are acknowledged and, for a group, committed."""
        sendable = [letter for letter in letters if not (letter.parked or letter.bare)]
        offsets = {
            TopicPartition(letter.topic, letter.partition): OffsetAndMetadata(letter.offset + 1, "", -1)
            for letter in letters
        }
        try:
            if self._transactional:
                self._producer.begin_transaction()
            futures = [
                self._producer.send(
                    base_topic(letter.topic),
                    NULL if letter.value is None else letter.value,
                    letter.key,
                    stories.replayed(letter.headers, letter.story),
                )
                for letter in sendable
            ]
            if self._transactional and self._group is not None and offsets:
                self._producer.send_offsets_to_transaction(offsets, self._group)
            # A commit that finds a failed batch is never answered by kafka-python 3.0.12: the failure must come first.
            wait_for_all(futures, _SEND_SECONDS)
            if self._transactional:
                self._producer.commit_transaction()
        except ProducerFencedError as error:
            raise PermanentError(
                "dead letters are sent again by another process too, which goes on; this one ends", reason="superseded"
            ) from error
        except KafkaError as error:
            raise _translated(self._settings, error) from error
        if not self._transactional and self._group is not None and offsets:
            with _Reader(self._settings) as reader:
                reader.commit(offsets)
        parked = tuple(_why_it_stays(letter) for letter in letters if letter.parked or letter.bare)
        return Replayed(len(sendable), parked)


def _why_it_stays(letter: DeadLetter) -> str:
    if letter.bare:
        return (
            f"{letter.place} was too large to be kept; its headers say where it came from, have it sent once more there"
        )
    return f"{letter.place} was sent again {letter.story.replays} times and stays; mend what it fails with"


def _replay_group(settings: KafkaSettings) -> str:
    return f"{GROUP_PREFIX}{settings.topic_prefix}deadletters"


def _translated(settings: KafkaSettings, error: KafkaError) -> TemporaryError:
    return TemporaryError(f"Kafka at {settings.bootstrap_servers} did not serve the dead letters: {error}; try again")
