"""A partition whose output cannot be sent is found, goes alone, and costs the others little."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.producing import Outgoing
from shared.kafka.runtime.books import Books
from shared.kafka.runtime.release import Release
from shared.kafka.runtime.settlement import Settlement
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.kafka.runtime.turns import LONGEST_WAIT_SECONDS, Turns, is_due
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings

PARTITIONS = [TopicPartition("t", number) for number in range(6)]
HANGS_SECONDS = 15.0
"""What a release takes that fails."""


class Round:
    """Partitions in which a record is finished every second, and a broker that fails what holds one of `bad`."""

    def __init__(self, *bad: int) -> None:
        self.now = 1_000.0
        self.bad = set(bad)
        self.turns = Turns()
        self.trackers = [PartitionTracker(partition) for partition in PARTITIONS]
        self.failing_seconds = 0.0
        self.released: Counter[int] = Counter()

    def finish(self, tracker: PartitionTracker, *topics: str) -> None:
        record = SimpleNamespace(offset=tracker.next_offset or 0, key=None)
        work = Work(record, tracker)
        tracker.take(work)
        work.end(Outcome(Ending.EMITTED, [Outgoing(topic, None, b"", []) for topic in topics]))
        tracker.finish(work)

    def turn(self) -> list[int]:
        """One release; the partitions in it."""
        parts = []
        for tracker in self.turns.next(self.trackers, self.now):
            part = tracker.releasable(None, most=tracker.most_records)
            if part is not None:
                parts.append(part)
                tracker.released_at = self.now
        release = Release(parts, None, started=self.now)
        numbers = [part.tracker.partition.partition for part in parts]
        if self.bad.isdisjoint(numbers):
            self.now += 0.02
            for part in parts:
                part.tracker.released(part)
                self.released[part.tracker.partition.partition] += len(part.works)
            self.turns.succeeded(release, self.now)
        else:
            self.now += HANGS_SECONDS
            self.failing_seconds += HANGS_SECONDS
            self.turns.failed(release, self.now)
        return numbers


def test_what_failed_together_goes_alone_until_it_is_known_whose_fault_it_was() -> None:
    round_ = Round(0)
    for tracker in round_.trackers:
        round_.finish(tracker)
    assert round_.turn() == [0, 1, 2, 3, 4, 5]
    assert sorted(number for _ in range(6) for number in round_.turn()) == [0, 1, 2, 3, 4, 5]
    assert set(round_.released) == {1, 2, 3, 4, 5}


def test_one_that_fails_alone_leaves_most_of_the_time_to_the_others() -> None:
    round_ = Round(0)
    began = round_.now
    while round_.now < began + 3_600:
        round_.now += 1
        for tracker in round_.trackers:
            round_.finish(tracker)
        round_.turn()
    assert round_.failing_seconds < 0.4 * (round_.now - began)
    assert all(tracker.finished < 20 for tracker in round_.trackers[1:])
    assert round_.trackers[0].finished == sum(round_.released.values()) // 5 + round_.trackers[1].finished


def test_while_nobody_succeeds_nobody_waits_longer_for_it() -> None:
    round_ = Round(*range(6))
    for tracker in round_.trackers:
        round_.finish(tracker)
    for _ in range(20):
        round_.turn()
        assert all(is_due(tracker, round_.now) for tracker in round_.trackers)
    round_.bad.clear()
    back = round_.now
    while any(tracker.finished for tracker in round_.trackers):
        round_.turn()
    assert round_.now - back < 1


def test_one_that_was_mended_goes_out_within_its_longest_wait_and_then_with_the_others() -> None:
    round_ = Round(0)
    for _ in range(100):
        for tracker in round_.trackers:
            round_.finish(tracker)
        round_.turn()
        round_.now += 1
    round_.bad.clear()
    round_.now += LONGEST_WAIT_SECONDS
    while any(tracker.finished for tracker in round_.trackers):
        round_.turn()
    for tracker in round_.trackers:
        round_.finish(tracker)
    assert len(round_.turn()) == len(PARTITIONS)


def test_what_leads_to_a_missing_topic_is_left_out_and_what_lies_before_it_is_not() -> None:
    round_ = Round()
    first, *_ = round_.trackers
    for topics in (["there"], [], ["there", "gone"], ["there"]):
        round_.finish(first, *topics)
    part = first.releasable(9, missing={"gone"})
    assert part is not None
    assert ([work.record.offset for work in part.works], part.offset) == ([0, 1], 2)
    assert not first.lacks({"gone"})
    first.released(part)
    assert first.lacks({"gone"})
    assert first.releasable(9, missing={"gone"}) is None
    part = first.releasable(9)
    assert part is not None
    assert (len(part.works), part.offset) == (2, 9)


def test_nothing_waits_to_be_released_but_what_can_be() -> None:
    """Else the owner would not rest, and a worker that stops would wait for a topic that does not come."""
    put: list[Release] = []
    membership: Any = SimpleNamespace(missing=("gone",), joined=True, identity=lambda: "g", position=lambda _: None)
    outbox: Any = SimpleNamespace(busy=False, stuck=False, start=lambda: None, put=put.append, take=lambda: None)
    unused: Any = None
    books = Books(lambda topic: 0)
    for partition in PARTITIONS[:2]:
        books.open(partition)
    settlement = Settlement(
        KafkaSettings(commit_interval_seconds=0),
        group="g",
        books=books,
        membership=membership,
        handling=unused,
        metrics=RuntimeMetrics(),
        open_outbox=lambda: outbox,
        pause=unused,
    )
    settlement.open()
    lacking, whole = books.trackers
    Round().finish(lacking, "gone")
    settlement.note_finished()
    assert (settlement.outstanding, settlement.is_waited_for) == (0, False)
    Round().finish(whole, "there")
    settlement.note_finished()
    settlement.release(more_in_work=False)
    assert [part.tracker for part in put.pop().parts] == [whole]
    assert not settlement.is_waited_for
    membership.missing = ()
    settlement.note_finished()
    settlement.release(more_in_work=False)
    assert lacking in [part.tracker for part in put.pop().parts]
