"""What a worker that was told to stop still does: what is in work, and what stands before that in its partition."""

from collections.abc import Iterable
from typing import Any

from shared.kafka import Worker
from shared.kafka.runtime.release import Verdict
from shared.kafka.runtime.tracker import Work
from shared.settings import KafkaSettings
from tests.delivery.harness import Answering
from tests.delivery.test_epochs import PARTITIONS, Client, Handlers, Log, Transactions, read, release, stage


class Queueing(Handlers):
    """Handlers that take up what the test says; the rest waits."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[Work] = []

    def submit(self, lane: int, works: Iterable[Work]) -> None:
        self.queue.extend(works)

    def take_back(self) -> list[tuple[int, Work]]:
        taken, self.queue = self.queue, []
        return [(0, work) for work in taken]

    def waiting(self) -> list[int]:
        return [work.record.offset for work in self.queue]

    def take_up(self, offset: int) -> None:
        (work,) = (work for work in self.queue if work.record.offset == offset)
        self.queue.remove(work)
        work.started_at = 1.0
        self.in_work.append(work)

    def finish(self, offset: int) -> None:
        (work,) = (work for work in self.in_work if work.record.offset == offset)
        self.end(work)


class Draining:
    """A worker that has taken records of these keys from one partition."""

    def __init__(self, keys: Iterable[bytes | None]) -> None:
        partition = PARTITIONS[0]
        logs = {partition: Log()}
        self.log = logs[partition]
        for key in keys:
            self.log.append(0, key, partition)
        client = Client(logs)
        self.handlers = Queueing()
        self.outbox = Transactions(logs, client)
        self.worker: Any = Worker(Answering(), KafkaSettings(commit_interval_seconds=0))
        stage(self.worker, client, self.handlers, self.outbox)
        client.assign(partition)
        self.worker.received([partition])
        read(self.worker, partition, client.fetch(partition, 100))

    def come_round(self) -> None:
        self.worker._collect()
        self.worker._hand_back()
        release(self.worker)
        if self.outbox.under_way is not None:
            self.outbox.end(Verdict.RELEASED, True)
        self.worker._settlement.settle()


def test_what_nobody_has_taken_up_is_left_to_the_next_owner() -> None:
    draining = Draining([None] * 4)
    for offset in (0, 1):
        draining.handlers.take_up(offset)
    draining.worker.stop()
    draining.come_round()
    assert draining.handlers.waiting() == []
    for offset in (1, 0):
        assert not draining.worker._drained()
        draining.handlers.finish(offset)
        draining.come_round()
    assert draining.worker._drained()
    assert (draining.log.answered, draining.log.committed) == ([0, 1], 2)


def test_what_stands_before_work_that_was_begun_is_done_so_that_this_can_be_committed() -> None:
    draining = Draining([b"a", b"a", b"b", b"b"])
    assert draining.handlers.waiting() == [0, 2]
    for offset in (0, 2):
        draining.handlers.take_up(offset)
    draining.worker.stop()
    draining.handlers.finish(2)
    draining.worker._collect()
    # Not even for a moment: a thread that waits would take it up.
    assert draining.handlers.waiting() == [], "the next record of that key was handed out after the signal"
    draining.come_round()
    draining.handlers.finish(0)
    draining.come_round()
    assert draining.handlers.waiting() == [1]
    draining.handlers.take_up(1)
    draining.handlers.finish(1)
    draining.come_round()
    assert draining.worker._drained()
    assert (draining.log.answered, draining.log.committed) == ([0, 1, 2], 3)
