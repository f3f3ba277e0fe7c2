"""What became of every record of the mixed run: read from the log as any consumer reads it, and held against what was
sent."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from shared.events import Event, follow_up_id
from shared.events.cloudevents import from_kafka
from shared.kafka.client import connection, topic_name
from shared.kafka.story import read
from shared.settings import KafkaSettings
from tests.soak.products import ANSWERED, CREATED, DEAD, REJECTED, SUPERSEDED, UPDATED, Sent

REQUESTED = ("video.requested", "video.requested.bulk")
_MEANING = {"video.requested": ANSWERED, "video.ready": ANSWERED, "video.rejected": REJECTED}
_ANSWERS = ("video.requested", "video.ready", "video.rejected")
_CLIPS = ("video.ready", "video.review", "video.rejected")
Place = tuple[str, int, int]
"""Topic without prefix, partition, offset."""


@dataclass
class Row:
    """How the records of one kind ended."""

    sent: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def faults(self) -> int:
        return len(self.lost) + len(self.twice) + len(self.wrong)


@dataclass(frozen=True)
class Ending:
    """One thing that a log says about a record: an answer, or a dead letter."""

    kind: str
    told: str


class Log:
    """All that the topics hold for a `read_committed` consumer."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.answers: dict[str, list[tuple[str, Event[Any]]]] = defaultdict(list)
        """By event id: the topic and the event."""
        self.dead: dict[Place, list[str]] = defaultdict(list)
        """By the place where the record first lay: reasons."""
        for topic in dict.fromkeys((*REQUESTED, *_CLIPS)):
            for record in self._first_records(topic):
                event = from_kafka(record.headers, record.value)
                self.answers[event.id].append((topic, event))
        for topic in (CREATED, UPDATED, *REQUESTED):
            for record in self._records(f"{topic}.dlq"):
                story = read(record.headers)
                place = (story.topic.removeprefix(settings.topic_prefix), story.partition, story.offset)
                self.dead[place].append(story.reason)

    def requests(self) -> Iterator[Event[Any]]:
        """Every clip that was asked for."""
        for told in self.answers.values():
            yield from (event for topic, event in told if topic in REQUESTED)

    def places(self, topics: Collection[str]) -> Mapping[str, Place]:
        """By event id: where in these topics it lies."""
        found = {}
        for topic in topics:
            for record in self._first_records(topic):
                event = from_kafka(record.headers, record.value)
                found[event.id] = (topic, record.partition, record.offset)
        return found

    def _first_records(self, topic: str) -> Iterator[Any]:
        """Without what was carried back from a retry topic: the same event once more."""
        return (record for record in self._records(topic) if not read(record.headers).topic)

    def _records(self, topic: str) -> Iterator[Any]:
        name = topic_name(self._settings, topic)
        consumer = KafkaConsumer(
            **connection(self._settings, client_id="soak-ledger"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            consumer.seek_to_beginning(*partitions)
            while any((consumer.position(partition) or 0) < end for partition, end in ends.items()):
                for records in consumer.poll(timeout_ms=500).values():
                    yield from records
        finally:
            consumer.close(autocommit=False)


def judge(sent: Sequence[Sent], damaged: Collection[tuple[str, int, int, int]], log: Log) -> dict[str, Row]:
    """A row for each kind of record. `damaged`: topic, partition, first and last offset of each batch that was."""
    rows: dict[str, Row] = defaultdict(Row)
    known: set[str] = set()
    for record in sent:
        place = _place(record)
        endings = _endings(record.event, _ANSWERS, place, damaged, log)
        known |= _ids(record.event, _ANSWERS)
        _enter(rows[record.kind], f"{record.kind} at {place}", record.allowed, endings)
    rows["order"] = _order(sent, log)
    places = log.places(REQUESTED)
    for request in log.requests():
        endings = _endings(request, _CLIPS, places[request.id], (), log)
        known |= _ids(request, _CLIPS)
        _enter(rows["a clip"], f"request {request.id}", frozenset({ANSWERED}), endings)
    for topic, partition, first, last in damaged:
        letters = [Ending(DEAD, reason) for reason in _letters(log, topic, partition, first, last)]
        _enter(rows["a damaged batch"], f"{topic}[{partition}]@{first}", frozenset({DEAD}), letters)
    unknown = [event_id for event_id in log.answers if event_id not in known]
    if unknown:
        rows["answers to nothing"].wrong.extend(unknown)
    return dict(rows)


def _order(sent: Iterable[Sent], log: Log) -> Row:
    """Of each product that was corrected, the correction's answer has the greatest sequence, so that it is shown."""
    row = Row()
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    for event_id, told in log.answers.items():
        for _, event in told:
            answers[event.data.product_id][event_id] = event.sequence
    for record in sent:
        if record.topic != UPDATED or record.event is None:
            continue
        row.sent += 1
        of_product = answers[record.event.data.product_id]
        own = {sequence for event_id, sequence in of_product.items() if event_id in _ids(record.event, _ANSWERS)}
        if own and not (all(of_product.values()) and own == {max(of_product.values())}):
            row.wrong.append(f"answers of {record.event.data.product_id}: {of_product}")
    return row


def _place(record: Sent) -> Place:
    told = record.place.get(timeout=0)
    return record.topic, told.partition, told.offset


def _ids(event: Event[Any] | None, types: Iterable[str]) -> set[str]:
    return {follow_up_id(name, event) for name in types} if event is not None else set()


def _endings(
    event: Event[Any] | None,
    types: Iterable[str],
    place: Place,
    damaged: Iterable[tuple[str, int, int, int]],
    log: Log,
) -> list[Ending]:
    found = [
        Ending(_MEANING.get(topic, ANSWERED), topic)
        for event_id in _ids(event, types)
        for topic, _ in log.answers.get(event_id, ())
    ]
    topic, partition, offset = place
    for *where, first, last in damaged:
        if where == [topic, partition] and first <= offset <= last:
            # One letter for what is unreadable of a batch, counted once by itself, is the ending of each record in it.
            letters = _letters(log, topic, partition, first, offset)
            return found + [Ending(ANSWERED, f"a damaged batch: {reason}") for reason in letters]
    return found + [Ending(DEAD, reason) for reason in log.dead.get(place, ())]


def _letters(log: Log, topic: str, partition: int, first: int, last: int) -> list[str]:
    """Why there are dead letters of the places from `first` to `last`."""
    return [reason for offset in range(first, last + 1) for reason in log.dead.get((topic, partition, offset), ())]


def _enter(row: Row, name: str, allowed: frozenset[str], endings: list[Ending]) -> None:
    row.sent += 1
    row.endings.update(ending.kind for ending in endings)
    if not endings and SUPERSEDED not in allowed:
        row.lost.append(name)
    if len(endings) > 1:
        row.twice.append(f"{name}: {', '.join(ending.told for ending in endings)}")
    row.wrong.extend(f"{name}: {ending.kind}, {ending.told}" for ending in endings if ending.kind not in allowed)
