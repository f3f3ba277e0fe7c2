"""However much waits: so many records are taken, and a transaction has so many, and no more."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.endings import Ending
from shared.kafka import Worker
from shared.kafka.producing import Outgoing
from shared.kafka.runtime.release import Release, Verdict
from shared.kafka.runtime.settlement import MOST_BYTES
from shared.kafka.runtime.tracker import MOST_RECORDS, Outcome, PartitionTracker, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import Answering
from tests.delivery.test_epochs import PARTITIONS, Client, Handlers, Log, Transactions, read, release, stage


class Flood:
    """A worker over partitions in which very much waits, and an outbox that takes releases of `takes` records."""

    def __init__(self, waiting: int, *, partitions: int = 1, max_in_flight: int = 256, takes: int = 10**9) -> None:
        self.partitions = PARTITIONS[:partitions]
        self.logs = {partition: Log() for partition in self.partitions}
        self.takes = takes
        client = Client(self.logs)
        self.handlers = Handlers()
        self.outbox = Transactions(self.logs, client)
        settings = KafkaSettings(commit_interval_seconds=0, max_in_flight=max_in_flight)
        self.worker: Any = Worker(Answering(), settings)
        stage(self.worker, client, self.handlers, self.outbox)
        for partition in self.partitions:
            for _ in range(waiting):
                self.logs[partition].append(0, None, partition)
            client.assign(partition)
            self.worker.received([partition])
            # One compressed batch of small records comes as a whole.
            read(self.worker, partition, client.fetch(partition, waiting))
        self.sizes: list[int] = []
        self.most_in_flight = 0

    def come_round(self) -> None:
        self.worker._collect()
        self.worker._settlement.settle()
        self.worker._take()
        for partition in self.worker._books.trackers:
            self.most_in_flight = max(self.most_in_flight, len(partition))
        release(self.worker)
        if self.outbox.under_way is not None:
            size = len(self.outbox.under_way.works())
            self.sizes.append(size)
            fits = size <= self.takes
            self.outbox.end(Verdict.RELEASED if fits else Verdict.FAILED, fits)

    def drain(self, output: bytes = b"") -> None:
        outputs = [Outgoing("t", None, output, [])]
        for _ in range(100_000):
            for work in list(self.handlers.in_work):
                self.handlers.end(work, Outcome(Ending.EMITTED, list(outputs)))
            self.come_round()
            if all(log.committed == log.end for log in self.logs.values()):
                return
        raise AssertionError("it did not come to an end")


def test_of_a_hundred_thousand_waiting_records_max_in_flight_are_taken() -> None:
    flood = Flood(100_000)
    assert len(flood.handlers.in_work) == 256
    assert flood.worker._books.in_flight == 256
    flood.drain()
    assert flood.most_in_flight == 256
    (log,) = flood.logs.values()
    assert log.answered == list(range(100_000))


def test_a_release_has_no_more_records_than_one_may() -> None:
    flood = Flood(3 * MOST_RECORDS, partitions=3, max_in_flight=10**6)
    flood.drain()
    assert max(flood.sizes) == MOST_RECORDS
    for log in flood.logs.values():
        assert log.answered == list(range(3 * MOST_RECORDS))


def test_a_release_has_no_more_bytes_than_one_may_but_for_a_single_record() -> None:
    flood = Flood(10)
    flood.drain(b"x" * (MOST_BYTES // 3))
    assert max(flood.sizes) == 3
    flood = Flood(3)
    flood.drain(b"x" * (MOST_BYTES + 1))
    assert max(flood.sizes) == 1


@pytest.mark.parametrize("takes", [1, 7, 100])
def test_a_release_that_failed_is_halved_until_it_goes_through(takes: int) -> None:
    flood = Flood(500, takes=takes)
    flood.drain()
    went_through = [size for size in flood.sizes if size <= takes]
    assert went_through
    first = flood.sizes.index(went_through[0])
    assert all(
        later == max(1, earlier // 2) for earlier, later in zip(flood.sizes[:first], flood.sizes[1:], strict=False)
    )
    (log,) = flood.logs.values()
    assert log.answered == list(range(500))


def test_no_partition_waits_behind_others_for_its_release() -> None:
    flood = Flood(5 * MOST_RECORDS, partitions=3, max_in_flight=10**6)
    for _ in range(3):
        for work in list(flood.handlers.in_work):
            flood.handlers.end(work)
        flood.come_round()
    assert all(log.committed for log in flood.logs.values())


def test_a_prefix_is_covered_by_exactly_its_offset() -> None:
    tracker = PartitionTracker(PARTITIONS[0])
    works = []
    for offset in (3, 4, 9, 12):
        work = Work(SimpleNamespace(offset=offset, key=None), tracker)
        tracker.take(work)
        works.append(work)
    for work in works[:3]:
        work.end(Outcome(Ending.EMITTED, []))
        tracker.finish(work)
    part = tracker.releasable(13, most=2)
    assert part is not None
    assert (part.works, part.offset) == (works[:2], 5)
    tracker.released(part)
    rest = tracker.releasable(13, most=2)
    assert rest is not None
    assert (rest.works, rest.offset) == (works[2:3], 12)
    assert Release([rest], None).works() == works[2:3]
