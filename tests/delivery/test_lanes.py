"""Which partitions are read: each by its own limits, and less urgent lanes yield while a more urgent one has work."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.runtime.flow import Flow
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from tests.delivery.harness import CREATED

LIVE, LIVE_TOO = TopicPartition("product.updated", 0), TopicPartition("product.updated", 1)
BULK, BULK_TOO = TopicPartition(CREATED, 0), TopicPartition(CREATED, 1)
MOST_BYTES = 4_000


class Steering:
    """A flow over the books of two lanes, and a clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.flow = Flow(lanes=2, most_records=4, most_bytes=MOST_BYTES)
        self.trackers = {
            partition: PartitionTracker(partition, lane=lane)
            for partition, lane in ((LIVE, 0), (LIVE_TOO, 0), (BULK, 1), (BULK_TOO, 1))
        }
        self.unread: set[TopicPartition] = set()
        self.queued = [0, 0]
        self.flow.assigned(self.now)

    def read_after(self, seconds: float) -> set[TopicPartition]:
        self.now += seconds
        trackers = self.trackers.values()
        self.flow.look(
            trackers,
            now=self.now,
            queued=self.queued.__getitem__,
            unread=self.unread.__contains__,
        )
        return self.flow.readable(trackers)

    def take(self, partition: TopicPartition, number: int, size_bytes: int = 1) -> list[Work]:
        """Take records; their handlers begin at once."""
        tracker = self.trackers[partition]
        works = []
        for _ in range(number):
            record = SimpleNamespace(offset=tracker.next_offset or 0, key=None)
            works.append(Work(record, tracker, size_bytes))
            tracker.take(works[-1])
            works[-1].started_at = self.now
        return works

    def arrive(self, partition: TopicPartition) -> None:
        self.trackers[partition].arrive([SimpleNamespace(offset=self.trackers[partition].next_offset or 0)])


def test_bulk_waits_for_the_first_fetches_after_an_assignment() -> None:
    steering = Steering()
    # Nobody knows yet whether there is a live backlog.
    assert steering.read_after(0) == {LIVE, LIVE_TOO}
    assert steering.read_after(0.9) == {LIVE, LIVE_TOO}
    assert steering.read_after(0.2) == {LIVE, LIVE_TOO, BULK, BULK_TOO}


def test_bulk_yields_while_the_live_lane_has_something_to_read() -> None:
    steering = Steering()
    steering.unread = {BULK}
    assert BULK in steering.read_after(2)
    steering.unread.add(LIVE)
    assert steering.read_after(1) == {LIVE, LIVE_TOO}
    steering.unread.remove(LIVE)
    assert BULK in steering.read_after(1)


def test_bulk_yields_while_a_live_record_waits_for_a_handler() -> None:
    steering = Steering()
    steering.queued = [1, 0]
    assert steering.read_after(2) == {LIVE, LIVE_TOO}
    steering.queued = [0, 1]
    assert BULK in steering.read_after(1)


def test_a_live_partition_that_is_not_due_holds_up_nobody() -> None:
    steering = Steering()
    steering.arrive(LIVE_TOO)
    assert steering.read_after(2) == {LIVE}, "who has records that were not taken is not read"
    steering.trackers[LIVE_TOO].due_at = steering.now + 300
    assert steering.read_after(1) == {LIVE, BULK, BULK_TOO}


def test_a_live_partition_that_stands_still_holds_up_no_bulk() -> None:
    steering = Steering()
    steering.take(LIVE, 4)
    steering.unread = {LIVE}
    assert steering.read_after(1.1) == {LIVE_TOO, BULK, BULK_TOO}
    steering = Steering()
    steering.read_after(1)
    steering.take(LIVE, 4)
    steering.unread = {LIVE}
    assert steering.read_after(0.5) == {LIVE_TOO}, "it may be only busy"


def test_a_full_partition_stops_itself_alone() -> None:
    steering = Steering()
    works = steering.take(BULK, 4)
    assert steering.read_after(2) == {LIVE, LIVE_TOO, BULK_TOO}
    # Its first record stands: nothing behind it makes room.
    for work in works[1:]:
        work.end(Outcome(Ending.EMITTED, []))
        work.tracker.finish(work)
    assert steering.read_after(1) == {LIVE, LIVE_TOO, BULK_TOO}
    works[0].end(Outcome(Ending.EMITTED, []))
    works[0].tracker.finish(works[0])
    part = steering.trackers[BULK].releasable(None)
    assert part is not None
    steering.trackers[BULK].released(part)
    assert BULK in steering.read_after(1)


def test_few_large_records_are_as_full_as_many() -> None:
    steering = Steering()
    steering.take(BULK, 1, size_bytes=MOST_BYTES // 4)
    assert steering.read_after(2) == {LIVE, LIVE_TOO, BULK_TOO}


def test_a_record_larger_than_a_share_is_taken_alone() -> None:
    steering = Steering()
    steering.take(BULK, 1, size_bytes=10 * MOST_BYTES)
    assert steering.read_after(2) == {LIVE, LIVE_TOO, BULK_TOO}, "others have their own share"


@given(
    taken=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2_000)), min_size=1, max_size=5),
    most_records=st.integers(1, 6),
)
def test_whether_a_partition_is_read_depends_on_itself_alone(taken: list[tuple[int, int]], most_records: int) -> None:
    flow = Flow(lanes=1, most_records=most_records, most_bytes=MOST_BYTES)
    trackers = [PartitionTracker(TopicPartition(CREATED, number)) for number in range(len(taken))]
    for tracker, (number, size) in zip(trackers, taken, strict=True):
        for offset in range(number):
            tracker.take(Work(SimpleNamespace(offset=offset, key=None), tracker, size))
    flow.look(trackers, now=9.0, queued=lambda lane: 0, unread=lambda partition: False)
    share = MOST_BYTES // len(taken)
    assert flow.readable(trackers) == {
        tracker.partition
        for tracker, (number, size) in zip(trackers, taken, strict=True)
        if number == 0 or (number < most_records and number * size < share)
    }
