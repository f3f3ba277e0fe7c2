"""The handler threads take the most urgent lane first, and nothing of a partition that went to another owner."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.runtime.pool import HandlerPool
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from tests.polling import eventually


def work(name: str, tracker: PartitionTracker) -> Work:
    return Work(SimpleNamespace(key=name.encode(), offset=0), tracker)


@pytest.fixture
def tracker() -> PartitionTracker:
    return PartitionTracker(TopicPartition("t", 0))


@contextmanager
def one_busy_thread() -> Iterator[tuple[Any, threading.Event, list[str]]]:
    """A pool whose one thread is held by a first record; what it handles is noted."""
    handled: list[str] = []
    go_on = threading.Event()

    def handle(work: Work) -> Outcome:
        handled.append(work.record.key.decode())
        assert go_on.wait(60)
        return Outcome(Ending.EMITTED, [])

    pool = HandlerPool(handle, threads=1, lanes=2, wake=threading.Event())
    pool.submit(1, [work("first", PartitionTracker(TopicPartition("t", 1)))])
    eventually(lambda: handled == ["first"])
    try:
        yield pool, go_on, handled
    finally:
        go_on.set()
        assert pool.close(10)


def test_the_most_urgent_lane_comes_first(tracker: PartitionTracker) -> None:
    with one_busy_thread() as (pool, go_on, handled):
        pool.submit(1, [work("bulk-1", tracker), work("bulk-2", tracker)])
        pool.submit(0, [work("live-1", tracker), work("live-2", tracker)])
        go_on.set()
        eventually(lambda: len(pool.finished) == 5)
    assert handled == ["first", "live-1", "live-2", "bulk-1", "bulk-2"]


def test_a_thread_outlives_whatever_its_work_raises(tracker: PartitionTracker) -> None:
    def handle(work: Work) -> Outcome:
        if work.record.key == b"bad":
            raise SystemExit("against its word")
        return Outcome(Ending.EMITTED, [])

    pool = HandlerPool(handle, threads=1, lanes=1, wake=threading.Event())
    pool.submit(0, [work("bad", tracker), work("good", tracker)])
    try:
        eventually(lambda: len(pool.finished) == 2)
    finally:
        assert pool.close(10)
    (_, raised), (_, outcome) = pool.finished
    assert isinstance(raised, SystemExit)
    assert outcome == Outcome(Ending.EMITTED, [])
    assert pool.oldest_seconds() == 0


def test_what_went_to_another_owner_is_not_handled_here(tracker: PartitionTracker) -> None:
    lost = PartitionTracker(TopicPartition("t", 2))
    with one_busy_thread() as (pool, go_on, handled):
        pool.submit(0, [work("lost", lost), work("kept", tracker)])
        lost.alive = False
        go_on.set()
        # It comes back all the same: whoever counts what is in work counts it.
        eventually(lambda: len(pool.finished) == 3)
    assert handled == ["first", "kept"]


def test_what_nobody_has_taken_up_can_be_taken_back(tracker: PartitionTracker) -> None:
    with one_busy_thread() as (pool, go_on, handled):
        waiting = [work("bulk", tracker), work("live", tracker)]
        for lane, one in ((1, waiting[0]), (0, waiting[1])):
            pool.submit(lane, [one])
        assert pool.take_back() == [(0, waiting[1]), (1, waiting[0])]
        go_on.set()
        eventually(lambda: len(pool.finished) == 1)
    assert handled == ["first"]


def test_a_closed_pool_begins_nothing_more(tracker: PartitionTracker) -> None:
    with one_busy_thread() as (pool, go_on, handled):
        pool.submit(0, [work("queued", tracker)])
        assert not pool.close(0)
        go_on.set()
        assert pool.close(10)
    assert handled == ["first"]
