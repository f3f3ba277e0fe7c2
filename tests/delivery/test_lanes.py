"""Which partitions are paused for others: less urgent lanes yield while a more urgent one has something to read."""

from typing import Any

import pytest
from kafka import TopicPartition

from shared.kafka import Worker
from shared.kafka.runtime import worker as worker_module
from shared.settings import KafkaSettings
from tests.delivery.harness import CREATED, Answering

LIVE, LIVE_TOO = TopicPartition("product.updated", 0), TopicPartition("product.updated", 1)
BULK, BULK_TOO = TopicPartition(CREATED, 0), TopicPartition(CREATED, 1)
NOW = 1_800_000_000.0


class Lanes(Answering):
    name = "lanes"
    consumes = ("product.updated", CREATED)


class Client:
    """Says how far each partition was read and how far it goes, and notes which are paused."""

    def __init__(self) -> None:
        self.unread = dict.fromkeys((LIVE, LIVE_TOO, BULK, BULK_TOO), 0)
        self._paused: set[TopicPartition] = set()

    def position(self, partition: TopicPartition, timeout_ms: int) -> int:
        return 7

    def highwater(self, partition: TopicPartition) -> int:
        return 7 + self.unread[partition]

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)


class Monotonic:
    """The worker's `time`, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return NOW


class Steering:
    """A worker's flow control over a client of the test's."""

    def __init__(self, time: Monotonic) -> None:
        self.time = time
        self.client = Client()
        self.worker: Any = Worker(Lanes(), KafkaSettings(max_in_flight=4), clock=time.time)
        self.worker._consumer = self.client
        self.worker.assigned_to_me([LIVE, LIVE_TOO, BULK, BULK_TOO])

    def paused_after(self, seconds: float) -> set[TopicPartition]:
        self.time.now += seconds
        self.worker._steer()
        return self.client.paused()


@pytest.fixture
def steering(monkeypatch: pytest.MonkeyPatch) -> Steering:
    time = Monotonic()
    monkeypatch.setattr(worker_module, "time", time)
    return Steering(time)


def test_bulk_waits_for_the_first_fetches_after_an_assignment(steering: Steering) -> None:
    # Nobody knows yet whether there is a live backlog.
    assert steering.client.paused() == {BULK, BULK_TOO}
    assert steering.paused_after(0.9) == {BULK, BULK_TOO}
    assert steering.paused_after(0.2) == set()


def test_bulk_yields_while_the_live_lane_has_something_to_read(steering: Steering) -> None:
    steering.client.unread[BULK] = 100
    assert steering.paused_after(2) == set()
    steering.client.unread[LIVE] = 1
    assert steering.paused_after(1) == {BULK, BULK_TOO}
    steering.client.unread[LIVE] = 0
    assert steering.paused_after(1) == set()


def test_a_live_partition_that_is_held_holds_up_nobody(steering: Steering) -> None:
    steering.client.unread[LIVE_TOO] = 1
    steering.worker._due[LIVE_TOO] = NOW + 300
    assert steering.paused_after(2) == {LIVE_TOO}


def test_a_full_lane_is_paused_and_resumed_when_half_empty(steering: Steering) -> None:
    steering.worker._in_flight = [0, 4]
    assert steering.paused_after(2) == {BULK, BULK_TOO}
    steering.worker._in_flight = [0, 3]
    assert steering.paused_after(1) == {BULK, BULK_TOO}
    steering.worker._in_flight = [0, 2]
    assert steering.paused_after(1) == set()


def test_few_large_records_are_as_full_as_many(steering: Steering) -> None:
    steering.worker._in_flight_bytes = 8 * KafkaSettings().max_request_size_bytes + 1
    assert steering.paused_after(2) == {LIVE, LIVE_TOO, BULK, BULK_TOO}
