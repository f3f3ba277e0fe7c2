"""The books of one partition: never past unfinished work, equal to the position when drained, in any order."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.runtime.tracker import Outcome, Part, PartitionTracker, Work

PARTITION = TopicPartition("product.created", 0)


def taken(tracker: PartitionTracker, offset: int, key: bytes | None = None) -> Work:
    work = Work(SimpleNamespace(offset=offset, key=key), tracker, size_bytes=1)
    work.started_at = float(tracker.take(work))
    return work


def ended(tracker: PartitionTracker, work: Work) -> Work | None:
    work.end(Outcome(Ending.EMITTED, []))
    return tracker.finish(work)


class Books(RuleBasedStateMachine):
    """Takes, finishes, releases and fails to release in any order; gaps are transaction markers and compaction."""

    @initialize(start=st.integers(0, 1000))
    def open(self, start: int) -> None:
        self.tracker = PartitionTracker(PARTITION)
        self.position = start
        self.takeable: list[Work] = []
        self.in_work: list[Work] = []
        self.finished: set[int] = set()
        self.released: list[int] = []
        self.all: list[int] = []
        self.under_way: Part | None = None

    @rule(gap=st.integers(0, 3), key=st.sampled_from([None, b"a", b"b"]))
    def take(self, gap: int, key: bytes | None) -> None:
        offset = self.position + gap
        work = taken(self.tracker, offset, key)
        self.position = offset + 1
        self.all.append(offset)
        if work.started_at:
            self.in_work.append(work)

    @rule(gap=st.integers(1, 3))
    def pass_markers(self, gap: int) -> None:
        self.position += gap

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        work = self.in_work.pop(data.draw(st.integers(0, len(self.in_work) - 1)))
        following = ended(self.tracker, work)
        self.finished.add(work.record.offset)
        if following is not None:
            assert following.record.key == work.record.key
            assert following.record.offset > work.record.offset
            self.in_work.append(following)

    @precondition(lambda self: self.under_way is None)
    @rule()
    def put_together(self) -> None:
        self.under_way = self.tracker.releasable(self.position)
        if self.under_way is not None:
            covered = {offset for offset in self.all if offset < self.under_way.offset}
            assert covered <= self.finished, "an offset past unfinished work was offered"
            outputs = [work.record.offset for work in self.under_way.works]
            assert self.released + outputs == sorted(covered), "outputs and offset do not cover the same records"

    @precondition(lambda self: self.under_way is not None)
    @rule(commits=st.booleans())
    def end_release(self, commits: bool) -> None:
        assert self.under_way is not None
        if commits:
            self.tracker.released(self.under_way)
            self.released += [work.record.offset for work in self.under_way.works]
        self.under_way = None

    @invariant()
    def the_watermark_is_the_first_unfinished_offset(self) -> None:
        unfinished = [offset for offset in self.all if offset not in self.finished]
        if unfinished:
            assert self.tracker.watermark == unfinished[0]
        elif self.all:
            assert self.tracker.watermark == self.all[-1] + 1

    @invariant()
    def equal_keys_are_never_in_work_together(self) -> None:
        keys = [work.record.key for work in self.in_work if work.record.key is not None]
        assert len(keys) == len(set(keys))

    def teardown(self) -> None:
        if not hasattr(self, "tracker"):
            return
        if self.under_way is not None:
            self.end_release(commits=True)
        while self.in_work:
            following = ended(self.tracker, self.in_work.pop())
            if following is not None:
                self.in_work.append(following)
        last = self.tracker.releasable(self.position)
        if last is not None:
            self.tracker.released(last)
            self.released += [work.record.offset for work in last.works]
        assert self.released == self.all, "a record was lost or repeated"
        assert self.tracker.committed in (self.position, None if not self.all else self.position)
        assert len(self.tracker) == 0
        assert self.tracker.releasable(self.position) is None


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(order=st.permutations(range(8)))
def test_nothing_is_offered_before_the_first_record_is_finished(order: list[int]) -> None:
    tracker = PartitionTracker(PARTITION)
    works = [taken(tracker, offset) for offset in range(8)]
    for offset in order:
        if offset == 0:
            break
        ended(tracker, works[offset])
        assert tracker.releasable(8) is None


def test_an_offset_that_comes_again_needs_a_new_epoch() -> None:
    tracker = PartitionTracker(PARTITION)
    taken(tracker, 5)
    with pytest.raises(ValueError, match="new epoch"):
        taken(tracker, 5)


def test_markers_behind_the_last_record_are_committed_over() -> None:
    tracker = PartitionTracker(PARTITION)
    ended(tracker, taken(tracker, 3))
    released = tracker.releasable(4)
    assert released is not None
    assert released.offset == 4
    tracker.released(released)
    assert tracker.releasable(4) is None
    over = tracker.releasable(6)
    assert over is not None
    assert (over.offset, over.works) == (6, [])


def test_a_record_waits_for_an_equal_key_before_it_only() -> None:
    tracker = PartitionTracker(PARTITION)
    first, other, second = taken(tracker, 0, b"k"), taken(tracker, 1, b"o"), taken(tracker, 2, b"k")
    assert (first.started_at, other.started_at, second.started_at) == (1, 1, 0)
    assert ended(tracker, other) is None
    assert ended(tracker, first) is second


def test_records_without_a_key_wait_for_none() -> None:
    tracker = PartitionTracker(PARTITION)
    assert [taken(tracker, offset).started_at for offset in range(3)] == [1, 1, 1]
