"""The worker's books while partitions go and come back: what the group has committed is what was answered, once each.

The worker is the real one; around it stand a client, handlers and an outbox that do what the test says, when it says
it, so that every order of completion, revocation, loss, late result and failed commit can come about.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kafka import ConsumerGroupMetadata, TopicPartition

from shared.endings import Ending
from shared.errors import ConfigurationError, Unavailable
from shared.kafka import Worker
from shared.kafka.runtime.release import Ended, Release, Verdict
from shared.kafka.runtime.tracker import Outcome, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import CREATED, Answering

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a failure is first made small

PARTITIONS = [TopicPartition(CREATED, number) for number in range(3)]
LIMIT = 6


class Log:
    """One partition: its records' offsets, with gaps where markers lie, and what the group has made of them."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.end = 0
        self.committed = 0
        self.answered: list[int] = []
        """Offsets of the records whose answers can be read, in the order in which they came."""

    def append(self, gap: int, key: bytes | None, topic: TopicPartition) -> None:
        offset = self.end + gap
        self.records.append(
            SimpleNamespace(
                topic=topic.topic,
                partition=topic.partition,
                offset=offset,
                key=key,
                value=b"vv",
                headers=[],
                timestamp=0,
            )
        )
        self.end = offset + 1

    def below(self, offset: int) -> list[int]:
        return [record.offset for record in self.records if record.offset < offset]


class Client:
    """What the books ask of a consumer."""

    def __init__(self, logs: dict[TopicPartition, Log]) -> None:
        self._logs = logs
        self.generation = 0
        self.positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._fetcher = SimpleNamespace(held=dict, open_transactions=dict, readable_end=lambda partition: None)

    def position(self, partition: TopicPartition, timeout_ms: int) -> int:
        return self.positions[partition]

    def committed(self, partition: TopicPartition, timeout_ms: int) -> int:
        return self._logs[partition].committed

    def group_metadata(self) -> ConsumerGroupMetadata:
        return ConsumerGroupMetadata("g", self.generation, "m")

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)

    def fetch(self, partition: TopicPartition, most: int) -> list[Any]:
        """The next records. A consumer steps over the markers behind the last one."""
        position = self.positions[partition]
        found = [record for record in self._logs[partition].records if record.offset >= position][:most]
        more = found and found[-1].offset != self._logs[partition].records[-1].offset
        self.positions[partition] = found[-1].offset + 1 if more else self._logs[partition].end
        return found

    def assign(self, partition: TopicPartition) -> None:
        self.positions[partition] = self._logs[partition].committed

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def revoke(self, partition: TopicPartition) -> None:
        del self.positions[partition]
        self._paused.discard(partition)


GONE_WELL = Outcome(Ending.EMITTED, [])


class Handlers:
    """Holds what is in work until the test ends it."""

    def __init__(self) -> None:
        self.in_work: list[Work] = []
        self.finished: deque[tuple[Work, Outcome | None]] = deque()
        self.late: list[Work] = []
        """What has been in work for too long."""
        self.stuck: list[Work] = []
        """What was given up, and may still come back."""

    def overdue(self, deadline_seconds: float) -> list[Work]:
        return list(self.late)

    def relieve(self, work: Work) -> bool:
        self.late.remove(work)
        self.in_work.remove(work)
        self.stuck.append(work)
        return True

    def take_back(self) -> list[tuple[int, Work]]:
        return []

    def oldest_seconds(self) -> float:
        return 0.0

    @property
    def relieved(self) -> int:
        return len(self.stuck)

    def submit(self, lane: int, works: Iterable[Work]) -> None:
        self.in_work.extend(works)

    def end(self, work: Work, outcome: Outcome = GONE_WELL) -> None:
        self.in_work.remove(work)
        if work in self.late:
            self.late.remove(work)
        self.finished.append((work, outcome))

    def come_back(self, work: Work) -> None:
        self.stuck.remove(work)
        self.finished.append((work, GONE_WELL))


def stage(worker: Any, client: Client, handlers: Handlers, outbox: "Transactions") -> None:
    """Put a test's client, handlers and outbox around a worker that is a member."""
    worker._membership._consumer = client
    worker._membership._stable = True
    worker._workbench._pool = handlers
    worker._settlement._outbox = outbox


def read(worker: Any, partition: TopicPartition, records: list[Any]) -> None:
    """Let records arrive and be taken, as far as they may."""
    worker._arrive(partition, records)
    worker._take()


def release(worker: Any) -> None:
    """Have the worker release what it may, at once."""
    worker._settlement._due = worker._settlement._idle_due = 0.0
    for tracker in worker._books.trackers:
        if tracker.trial is not None:
            tracker.trial.due = 0.0
    worker._settlement.release(more_in_work=worker._workbench.in_work > 0)


class Transactions:
    """An outbox whose releases end as the test says. The broker fences those of an older generation."""

    def __init__(self, logs: dict[TopicPartition, Log], client: Client) -> None:
        self._logs = logs
        self._client = client
        self.under_way: Release | None = None
        self._ended: Ended | None = None
        self.fenced = False
        """Whether a partition of the release has been read again since: then its offsets had not reached the group."""
        self.next_end: tuple[Verdict, bool] | None = None
        """How a release ends that somebody waits for; None: not before the wait is over."""

    @property
    def busy(self) -> bool:
        return self.under_way is not None or self._ended is not None

    @property
    def stuck(self) -> bool:
        return False

    def put(self, release: Release) -> None:
        assert not self.busy
        self.under_way, self.fenced = release, False

    def note_read(self, partition: TopicPartition) -> None:
        """Whoever is told where to begin waits for the end of a transaction that holds offsets of the partition."""
        if self.under_way is not None and partition in self.under_way.offsets:
            self.fenced = True

    def take(self, timeout_seconds: float = 0.0) -> Ended | None:
        if timeout_seconds and self.under_way is not None and self.next_end is not None:
            self.end(*self.next_end)
        ended, self._ended = self._ended, None
        return ended

    def end(self, verdict: Verdict, committed: bool, *, late: bool = False) -> None:
        """End the release under way. `late`: its offsets had reached the group before the rebalance."""
        release = self.under_way
        assert release is not None
        self.under_way = None
        if release.group.generation_id != self._client.generation and (self.fenced or not late):
            verdict, committed = Verdict.STALE, False
        if committed:
            for part in release.parts:
                log = self._logs[part.tracker.partition]
                log.answered += [work.record.offset for work in part.works]
                log.committed = part.offset
        self._ended = Ended(release, verdict)


class Desk:
    """A worker with one partition of one record, which is in work."""

    def __init__(self) -> None:
        (self.partition, *_) = PARTITIONS
        logs = {self.partition: Log()}
        self.log = logs[self.partition]
        self.log.append(0, None, self.partition)
        self.client = Client(logs)
        self.handlers = Handlers()
        self.outbox = Transactions(logs, self.client)
        self.worker: Any = Worker(Answering(), KafkaSettings(commit_interval_seconds=0))
        stage(self.worker, self.client, self.handlers, self.outbox)
        self.client.assign(self.partition)
        self.worker.received([self.partition])
        read(self.worker, self.partition, self.client.fetch(self.partition, 1))

    def counted(self) -> float | None:
        labels = {"topic": CREATED, "ending": "emitted"}
        return self.worker.metrics.registry.get_sample_value("skureel_records_total", labels)


def test_what_has_just_finished_is_released_by_a_revocation() -> None:
    desk = Desk()
    # The owner has not come round since.
    desk.handlers.end(desk.handlers.in_work[0])
    desk.outbox.next_end = (Verdict.RELEASED, True)
    asyncio.run(desk.worker.revoked([desk.partition]))
    assert (desk.log.answered, desk.log.committed) == ([0], 1)


@pytest.mark.parametrize("revoked", [False, True])
def test_who_is_no_member_any_more_releases_nothing(revoked: bool) -> None:
    """The broker would take it: see test_transactions."""
    desk = Desk()
    desk.handlers.end(desk.handlers.in_work[0])
    # Heard between two polls, so that the owner does not know it yet.
    desk.client.generation = -1
    if revoked:
        asyncio.run(desk.worker.revoked([desk.partition]))
    else:
        desk.worker._collect()
        release(desk.worker)
    assert desk.outbox.under_way is None


def test_what_finishes_after_its_partition_was_lost_neither_counts_nor_stops_the_worker() -> None:
    desk = Desk()
    desk.worker.lost([desk.partition])
    (late,) = desk.handlers.in_work
    desk.handlers.end(late)
    desk.worker._collect()
    assert desk.counted() is None
    assert desk.worker._workbench.in_work == 0
    desk.handlers.finished.append((late, Outcome(Ending.HALTED, [], ConfigurationError("no bucket"))))
    desk.worker._workbench.in_work = 1
    desk.worker._collect()
    assert desk.worker._stopped_by is None


def test_offsets_that_come_again_are_other_records(caplog: pytest.LogCaptureFixture) -> None:
    """After an unclean election a log may have lost its end: what stands there now was never seen."""
    desk = Desk()
    (old,) = desk.handlers.in_work
    desk.client.assign(desk.partition)
    read(desk.worker, desk.partition, desk.client.fetch(desk.partition, 1))
    assert "went back from offset 1 to 0" in caplog.text
    new = desk.handlers.in_work[1]
    desk.handlers.end(old)
    desk.worker._collect()
    release(desk.worker)
    assert desk.outbox.under_way is None, "the old record's answer went out"
    desk.handlers.end(new)
    desk.worker._collect()
    release(desk.worker)
    assert desk.outbox.under_way is not None
    assert desk.outbox.under_way.works() == [new]


def test_what_the_broker_does_not_allow_stops_the_worker() -> None:
    desk = Desk()
    desk.handlers.end(desk.handlers.in_work[0])
    desk.worker._collect()
    release(desk.worker)
    desk.outbox.end(Verdict.IMPOSSIBLE, False)
    with pytest.raises(ConfigurationError, match="ACLs"):
        desk.worker._settlement.settle()
    assert desk.log.committed == 0


ENDS = [
    (Verdict.RELEASED, True),
    (Verdict.UNCERTAIN, True),
    (Verdict.UNCERTAIN, False),
    (Verdict.FAILED, False),
    (Verdict.STALE, False),
]


GAPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([None, b"a", b"b"])),
    min_size=1,
    max_size=5,
)
"""Records to append: how many markers lie before each, and its key."""


class Ownership(RuleBasedStateMachine):
    """One worker of a group, and another one that takes what it lets go of."""

    @initialize(gaps=GAPS)
    def start(self, gaps: list[tuple[int, bytes | None]]) -> None:
        self.logs = {partition: Log() for partition in PARTITIONS}
        self.client = Client(self.logs)
        self.handlers = Handlers()
        self.outbox = Transactions(self.logs, self.client)
        self.worker: Any = Worker(Answering(), KafkaSettings(max_in_flight=LIMIT, commit_interval_seconds=0))
        stage(self.worker, self.client, self.handlers, self.outbox)
        self.time = 0.0
        self.worker._workbench._clock = lambda: self.time
        self.owned: set[TopicPartition] = set()
        for partition in PARTITIONS:
            self.append(partition, gaps)
            self._assign(partition)
        # From the first step on there is work to finish, and a release has room.
        self._come_round()
        self.outbox.end(Verdict.RELEASED, True)
        self.poll(3)

    def others(self) -> list[TopicPartition]:
        return [partition for partition in PARTITIONS if partition not in self.owned]

    @rule(partition=st.sampled_from(PARTITIONS), gaps=GAPS)
    def append(self, partition: TopicPartition, gaps: list[tuple[int, bytes | None]]) -> None:
        for gap, key in gaps:
            self.logs[partition].append(gap, key, partition)

    @rule(most=st.integers(1, 5))
    def poll(self, most: int) -> None:
        for partition in sorted(self.owned - self.client.paused()):
            found = self.client.fetch(partition, most)
            if found:
                read(self.worker, partition, found)

    @precondition(lambda self: self.handlers.in_work)
    @rule(data=st.data(), number=st.integers(1, 4), turn=st.booleans())
    def finish(self, data: st.DataObject, number: int, turn: bool) -> None:
        for _ in range(min(number, len(self.handlers.in_work))):
            self.handlers.end(data.draw(st.sampled_from(self.handlers.in_work)))
        if turn:
            self._come_round()

    @precondition(lambda self: self.handlers.in_work)
    @rule(data=st.data(), away=st.booleans(), turn=st.booleans())
    def fail_for_an_outage(self, data: st.DataObject, away: bool, turn: bool) -> None:
        error = Unavailable("no answer")
        held = Outcome(Ending.HELD, [], error, 1, 0.0, error if away else None)
        self.handlers.end(data.draw(st.sampled_from(self.handlers.in_work)), held)
        if turn:
            self._come_round()

    @precondition(lambda self: set(self.handlers.in_work) - set(self.handlers.late))
    @rule(data=st.data(), turn=st.booleans())
    def be_overdue(self, data: st.DataObject, turn: bool) -> None:
        in_time = [work for work in self.handlers.in_work if work not in self.handlers.late]
        self.handlers.late.append(data.draw(st.sampled_from(in_time)))
        if turn:
            self._come_round()

    @precondition(lambda self: self.handlers.stuck)
    @rule(data=st.data())
    def come_back_late(self, data: st.DataObject) -> None:
        self.handlers.come_back(data.draw(st.sampled_from(self.handlers.stuck)))

    @precondition(lambda self: self.outbox.under_way is None)
    @rule()
    def come_round(self) -> None:
        self._come_round()

    @precondition(lambda self: self.outbox.under_way is not None)
    @rule(end=st.sampled_from(ENDS), turn=st.booleans())
    def end_release(self, end: tuple[Verdict, bool], turn: bool) -> None:
        self.outbox.end(*end)
        if turn:
            self._come_round()

    @precondition(lambda self: self.others())
    @rule(data=st.data())
    def assign(self, data: st.DataObject) -> None:
        self._assign(data.draw(st.sampled_from(self.others())))

    def _assign(self, partition: TopicPartition) -> None:
        self.client.generation += 1
        self.client.assign(partition)
        self.outbox.note_read(partition)
        self.owned.add(partition)
        self.worker.received([partition])

    @precondition(lambda self: self.owned)
    @rule(
        data=st.data(),
        end=st.one_of(st.none(), st.sampled_from(ENDS)),
        late=st.sampled_from([None, True, False]),
    )
    def revoke(self, data: st.DataObject, end: tuple[Verdict, bool] | None, late: bool | None) -> None:
        partition = data.draw(st.sampled_from(sorted(self.owned)))
        # The group waits for this worker: it may still commit, under the generation it knows.
        self.outbox.next_end = end
        self.client.revoke(partition)
        self.owned.remove(partition)
        asyncio.run(self.worker.revoked([partition]))
        self.client.generation += 1
        self._rebalanced(late)

    @precondition(lambda self: self.owned)
    @rule(late=st.sampled_from([None, True, False]))
    def lose_all(self, late: bool | None) -> None:
        for partition in self.owned:
            self.client.revoke(partition)
        self.client.generation += 1
        lost, self.owned = list(self.owned), set()
        self.worker.lost(lost)
        self._rebalanced(late)

    def _rebalanced(self, late: bool | None) -> None:
        """A transaction that holds offsets of a partition ends before its next owner hears where to begin."""
        if self.outbox.under_way is not None and late is not None:
            self.outbox.end(Verdict.RELEASED, True, late=late)

    @precondition(lambda self: self.others() and self.outbox.under_way is None)
    @rule(data=st.data(), most=st.integers(1, 5))
    def another_owner_works(self, data: st.DataObject, most: int) -> None:
        log = self.logs[data.draw(st.sampled_from(self.others()))]
        found = [record.offset for record in log.records if record.offset >= log.committed][:most]
        if found:
            log.answered += found
            log.committed = found[-1] + 1

    def _come_round(self) -> None:
        """A turn of the owner, without its waits."""
        self.time += 60
        self.worker._collect()
        self.worker._workbench.give_up_overdue(self.worker._may_start)
        self.worker._workbench.hold_or_go_on()
        self.worker._settlement.settle()
        self.worker._take()
        release(self.worker)
        self.worker._steer()

    @invariant()
    def what_is_committed_is_what_was_answered_once_and_in_order(self) -> None:
        for log in self.logs.values():
            assert log.answered == log.below(log.committed)

    @invariant()
    def the_counts_that_bound_memory_are_those_of_the_books(self) -> None:
        for tracker in self.worker._books.trackers:
            works = [*tracker._open, *tracker._finished]
            assert len(tracker) == len(works) <= LIMIT
            assert tracker.size_bytes == sum(work.size_bytes for work in works)
        given_up = self.worker._workbench._given_up
        finished = [work for work, _ in self.handlers.finished if work not in given_up]
        assert self.worker._workbench.in_work == len(self.handlers.in_work) + len(finished)

    def teardown(self) -> None:
        """Whatever has happened: with handlers and a broker that work, all that is owned is committed to its end."""
        if not hasattr(self, "worker"):
            return
        for _ in range(200):
            while self.handlers.in_work:
                self.handlers.end(self.handlers.in_work[-1])
            self._come_round()
            if self.outbox.under_way is not None:
                self.outbox.end(Verdict.RELEASED, True)
            self.poll(3)
        self.what_is_committed_is_what_was_answered_once_and_in_order()
        assert not self.outbox.busy
        for partition in self.owned:
            assert self.logs[partition].committed == self.client.positions[partition] == self.logs[partition].end


TestOwnership = Ownership.TestCase
TestOwnership.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)


def test_what_lies_before_offsets_that_come_again_is_not_lost() -> None:
    """The records before them stand where they stood, and not all had been committed."""
    desk = Desk()
    for _ in range(2):
        desk.log.append(0, None, desk.partition)
    read(desk.worker, desk.partition, desk.client.fetch(desk.partition, 2))
    first, *_ = desk.handlers.in_work
    desk.client.positions[desk.partition] = 2
    read(desk.worker, desk.partition, desk.client.fetch(desk.partition, 1))
    read(desk.worker, desk.partition, desk.client.fetch(desk.partition, 3))
    for work in desk.handlers.in_work[:]:
        desk.handlers.end(work)
    desk.worker._collect()
    release(desk.worker)
    assert desk.outbox.under_way is not None
    released = desk.outbox.under_way.works()
    assert [work.record.offset for work in released] == [0, 1, 2]
    assert first not in released
