"""Dead letters for operators: what lies there and why, one with its exact bytes, and sending them again.

`skureel deadletters` is a thin layer over these functions.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from shared.errors import PermanentError, TemporaryError
from shared.kafka import story as stories
from shared.kafka.client import DEAD_LETTER_SUFFIX, GROUP_PREFIX, base_topic, place_of
from shared.kafka.failures import missing_topics, translated
from shared.kafka.operating.topics import needed_topics
from shared.kafka.operating.window import LogWindow
from shared.kafka.producing import Outgoing, Sender
from shared.kafka.reading import UNREADABLE, UnreadableBatch
from shared.kafka.story import Story
from shared.settings import KafkaSettings

_SUBJECT = "dead letters"
_COMMITTED_MS = 10_000
_PORTION_LETTERS = 500
_PORTION_BYTES = 8 * 1024 * 1024

_Record = tuple[str, int, int, bytes]
"""A record that failed: where it first was, and the digest of its bytes."""


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
    """Whether a replay of its whole topic has come past it, or a later letter tells of its record, in
    `list_dead_letters` alone. A replay by place leaves no note but the letter of what failed again."""
    earlier: tuple[str, ...] = ()
    """The places of earlier letters of its record, where `show_dead_letter` was asked for that record."""

    @property
    def parked(self) -> bool:
        """Whether it was sent again as often as is allowed."""
        return self.story.replays >= stories.MOST_REPLAYS

    @property
    def bare(self) -> bool:
        """Whether it was too large to be kept, so that only its story is here: there is nothing to send again."""
        return any(name == stories.OMITTED for name, _ in self.headers)

    @property
    def unreadable(self) -> bool:
        """Whether it is a batch that could not be read: its bytes are no record that could be sent again."""
        return self.story.reason == UNREADABLE

    @property
    def hopeless(self) -> bool:
        """Whether its own bytes are what cannot be handled, whatever is mended elsewhere."""
        return self.story.stage == "decode" and not self.unreadable

    @property
    def stays(self) -> bool:
        """Whether no replay sends it any more."""
        return self.parked or self.bare or self.unreadable

    @property
    def place(self) -> str:
        """`topic:partition:offset`."""
        return place_of(self)

    @property
    def age(self) -> tuple[int, int, int]:
        """The greater, the later among the letters of one record."""
        return self.story.replays, self.time_ms, self.offset

    @property
    def record(self) -> _Record:
        """What record it is of. Its bytes are part of that: a topic that was made anew has the same places, and whoever
        forges a story is believed of what they sent themselves."""
        return self.story.topic, self.story.partition, self.story.offset, sha256(self.value or b"").digest()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    sent: int
    parked: tuple[str, ...]
    """Why letters stay, one sentence each: they were sent again too often, or were too large to be kept."""
    hopeless: tuple[str, ...] = ()
    """A sentence for each letter that was sent and will fail again as it is."""
    overtaken: int = 0
    """How many were left out, since a later letter tells of the same record."""


def dead_letter_topics(settings: KafkaSettings) -> tuple[str, ...]:
    """The dead letter topics of this environment, by their full names."""
    return tuple(name for name in needed_topics(settings) if name.endswith(DEAD_LETTER_SUFFIX))


def list_dead_letters(settings: KafkaSettings, topics: Collection[str] = ()) -> Iterator[DeadLetter]:
    """All dead letters there are now, oldest first in each partition; of all dead letter topics if none is named.

    Raises TemporaryError when no broker answers or reading stalls, ConfigurationError when there are no dead letter
    topics, and PermanentError when one that is named is none or is not there.
    """
    # Whoever reads only what is committed would wait for a replay that is under way.
    with _open(settings, isolation_level="read_uncommitted") as window:
        done = _done(settings, window, _partitions(settings, window, topics))
    with _open(settings) as window:
        partitions = _partitions(settings, window, topics)
        latest = _latest(window, partitions)
        for letter in _read(window, dict.fromkeys(partitions, 0)):
            passed = letter.offset < done[TopicPartition(letter.topic, letter.partition)]
            yield replace(letter, sent_again=passed or _is_overtaken(letter, latest))


def show_dead_letter(settings: KafkaSettings, place: str) -> DeadLetter:
    """The dead letter at `topic:partition:offset`, or the last one of the record that lies or lay at that place of a
    topic of events or of retries.

    Raises PermanentError `no-such-dead-letter`.
    """
    partition, offset = parse_place(place)
    with _open(settings) as window:
        if partition.topic.endswith(DEAD_LETTER_SUFFIX):
            known = partition in _partitions(settings, window, (partition.topic,))
            # Read up to the end there is, for the place may be beyond it.
            found = _read(window, {partition: offset} if known else {})
            letter = next((letter for letter in found if letter.offset >= offset), None)
            if letter is not None and letter.offset == offset:
                return letter
        else:
            partitions = _partitions(settings, window, (base_topic(partition.topic) + DEAD_LETTER_SUFFIX,))
            came_from = _origin(settings, window, partition, offset)
            letters = [
                letter
                for letter in _read(window, dict.fromkeys(partitions, 0))
                if (letter.story.topic, letter.story.partition, letter.story.offset) == came_from
            ]
            if letters:
                *earlier, last = sorted(letters, key=lambda letter: letter.age)
                return replace(last, earlier=tuple(letter.place for letter in earlier))
    raise PermanentError(
        f"there is no dead letter at {place}; `skureel deadletters list` names those there are",
        reason="no-such-dead-letter",
    )


def _origin(settings: KafkaSettings, window: LogWindow, partition: TopicPartition, offset: int) -> tuple[str, int, int]:
    """Where the record at this place first was. A record that came back from a retry or a replay lies where the log
    names it, and its story names the first place, as its dead letter does.
    """
    here = (partition.topic, partition.partition, offset)
    if partition not in window.partitions((partition.topic,)):
        return here
    if not window.begins((partition,))[partition] <= offset < window.ends((partition,))[partition]:
        return here
    window.start_at({partition: offset})
    for record in window.read_up_to({partition: offset + 1}):
        if record.offset == offset:
            story = stories.of(record, settings, now=time.time())
            return story.topic, story.partition, story.offset
    return here


def replay_dead_letters(
    settings: KafkaSettings, places: Collection[str] = (), *, topics: Collection[str] = ()
) -> Replayed:
    """Send dead letters to the topics they came from, with their exact bytes and own headers.

    With `places`, as `show_dead_letter` takes them, those; each call sends them once more. Without, all of `topics`
    (every dead letter topic if none is named) that no earlier such call has sent, and of one record only the last: how
    far it came is committed in the transaction that sends them, so that an interrupted replay goes on where it stopped.
    A letter that was sent again `MOST_REPLAYS` times is parked.

    Raises as `list_dead_letters`. Records of other topics are never sent: each would come to where it lies already.
    """
    client_id = f"{GROUP_PREFIX}replay-{uuid4().hex[:8]}"
    if places:
        # Two places may be of one letter.
        found = {letter.place: letter for letter in (show_dead_letter(settings, place) for place in places)}
        with (
            translated(settings, _SUBJECT),
            Sender(settings, name=client_id, client_id=client_id, commit_plainly=lambda _: None) as sender,
        ):
            return _send(sender, found.values(), {})
    # The sender comes first: its start ends what an interrupted replay left open, which would hide how far that came.
    with (
        translated(settings, _SUBJECT),
        Sender(
            settings,
            name=_replay_group(settings),
            client_id=client_id,
            commit_plainly=lambda offsets: window.commit(offsets),
        ) as sender,
        _open(settings) as window,
    ):
        done = _done(settings, window, _partitions(settings, window, topics))
        latest = _latest(window, done)
        overtaken = 0
        replayed = []
        for portion in _portions(_read(window, done)):
            last = [letter for letter in portion if not _is_overtaken(letter, latest)]
            overtaken += len(portion) - len(last)
            replayed.append(_send(sender, last, _past(portion)))
    return Replayed(
        sum(some.sent for some in replayed),
        tuple(why for some in replayed for why in some.parked),
        tuple(why for some in replayed for why in some.hopeless),
        overtaken,
    )


def parse_place(place: str) -> tuple[TopicPartition, int]:
    """Read `topic:partition:offset`. Raises PermanentError `bad-place`."""
    parts = place.rsplit(":", 2)
    if len(parts) == 3 and parts[0] and all(_is_number(part) for part in parts[1:]):
        return TopicPartition(parts[0], int(parts[1])), int(parts[2])
    raise PermanentError(f"{place!r} is no place of a dead letter; give topic:partition:offset", reason="bad-place")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _check_topic(topic: str) -> None:
    if not topic.endswith(DEAD_LETTER_SUFFIX):
        raise PermanentError(
            f"{topic} is no dead letter topic: those end with {DEAD_LETTER_SUFFIX}", reason="no-dead-letters"
        )


def _open(settings: KafkaSettings, *, isolation_level: str = "read_committed") -> LogWindow:
    return LogWindow(settings, subject=_SUBJECT, group=_replay_group(settings), isolation_level=isolation_level)


def _partitions(settings: KafkaSettings, window: LogWindow, topics: Collection[str]) -> list[TopicPartition]:
    """All partitions of these dead letter topics, or of every one that there is. Raises as `list_dead_letters`."""
    for topic in topics:
        _check_topic(topic)
    found = window.partitions(topics or dead_letter_topics(settings))
    there = {partition.topic for partition in found}
    for topic in topics:
        if topic not in there:
            raise PermanentError(
                f"Kafka at {settings.bootstrap_servers} has no topic {topic}; give its full name",
                reason="no-such-topic",
            )
    if not found:
        raise missing_topics(settings, dead_letter_topics(settings))
    return found


def _done(
    settings: KafkaSettings, window: LogWindow, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The first offset of each that no replay has sent yet."""
    try:
        committed = {partition: window.committed(partition, timeout_ms=_COMMITTED_MS) for partition in partitions}
    except KafkaTimeoutError as error:
        raise TemporaryError(
            "how far the last replay came is not settled: a transaction of a process that died is still open; it "
            f"ends by itself within {2 * settings.transaction_timeout_ms / 1000:g} s, try again then"
        ) from error
    return {partition: place.offset if place is not None else 0 for partition, place in committed.items()}


def _read(window: LogWindow, starts: Mapping[TopicPartition, int]) -> Iterator[DeadLetter]:
    """The dead letters from each start to where its partition ends now."""
    ends = window.ends(starts)
    window.start_at(starts)
    for record in window.read_up_to(ends):
        if record.offset < ends[TopicPartition(record.topic, record.partition)]:
            yield _letter(record)


def _latest(window: LogWindow, partitions: Collection[TopicPartition]) -> dict[_Record, tuple[int, int, int]]:
    """The age of the last letter of each record that was sent again."""
    latest: dict[_Record, tuple[int, int, int]] = {}
    for letter in _read(window, dict.fromkeys(partitions, 0)):
        if letter.story.replays:
            latest[letter.record] = max(letter.age, latest.get(letter.record, letter.age))
    return latest


def _is_overtaken(letter: DeadLetter, latest: Mapping[_Record, tuple[int, int, int]]) -> bool:
    """Whether a later letter tells of the same record: what is sent of it is that one."""
    return letter.age < latest.get(letter.record, letter.age)


def _letter(record: Any) -> DeadLetter:
    story = stories.read(record.headers)
    if isinstance(record, UnreadableBatch):
        # The dead letters' own log is damaged.
        story = story._replace(reason=UNREADABLE, message=f"the batch there {record.why}")
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        time_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
        story=story,
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


def _send(
    sender: Sender, letters: Collection[DeadLetter], offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> Replayed:
    """Returns when all but those that stay are acknowledged, and the offsets committed."""
    sendable = [letter for letter in letters if not letter.stays]
    sender.send(
        [
            Outgoing(
                base_topic(letter.topic),
                letter.key,
                letter.value,
                stories.replayed(letter.headers, letter.story),
                letter.story.partition if letter.story.topic else None,
            )
            for letter in sendable
        ],
        offsets,
    )
    return Replayed(
        len(sendable),
        tuple(_why_it_stays(letter) for letter in letters if letter.stays),
        tuple(
            f"{letter.place} ({letter.story.reason}) will fail again as it is; publish it corrected"
            for letter in sendable
            if letter.hopeless
        ),
    )


def _past(letters: Iterable[DeadLetter]) -> dict[TopicPartition, OffsetAndMetadata]:
    """What to commit when these are sent: they come in the log's order."""
    return {
        TopicPartition(letter.topic, letter.partition): OffsetAndMetadata(letter.offset + 1, "", -1)
        for letter in letters
    }


def _why_it_stays(letter: DeadLetter) -> str:
    if letter.bare:
        return (
            f"{letter.place} was too large to be kept; its headers say where it came from, have it sent once more there"
        )
    if letter.unreadable:
        return f"{letter.place} is a batch that could not be read; have the records that were in it sent once more"
    return f"{letter.place} was sent again {letter.story.replays} times and stays; mend what it fails with"


def _replay_group(settings: KafkaSettings) -> str:
    return f"{GROUP_PREFIX}{settings.topic_prefix}deadletters"
