"""A record that takes long stops nothing but what must wait for it, and for no longer than a handler's deadline."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shared.events import Event
from shared.kafka.client import retry_topic
from shared.kafka.runtime.pool import HandlerPool
from shared.kafka.runtime.tracker import PartitionTracker, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    headers_of,
    make_delivery_topics,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Open at the end, so that no handler is left in a later test's way."""
    gate = threading.Event()
    yield gate
    gate.set()


class Stuck(Answering):
    """Keeps the products that are named `stuck-...` until the gate is open."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__(lambda event: self._keep(event))
        self._gate = gate

    def _keep(self, event: Event[Any]) -> None:
        if event.data.product_id.startswith("stuck"):
            self._gate.wait(120)


def test_a_slow_record_stops_its_own_partition_alone(kafka_broker: KafkaSettings, gate: threading.Event) -> None:
    """However many wait: full is a partition, not its lane."""
    settings = kafka_broker.model_copy(update={"max_in_flight": 20})
    make_delivery_topics(settings, partitions=4)
    publish_products(settings, ["stuck-1"])
    products = [f"p-{number}" for number in range(2_000)]
    publish_products(settings, products)
    lot = {record.partition: [] for record in records_of(settings, CREATED)}  # type: ignore[var-annotated]
    for record in records_of(settings, CREATED):
        lot[record.partition].append(record.key.decode())
    elsewhere = {name for names in lot.values() if "stuck-1" not in names for name in names}
    assert len(elsewhere) > 1_000
    with running(Stuck(gate), settings) as worker:
        eventually(lambda: elsewhere <= set(answered(settings)), 90)
        (behind,) = (names for names in lot.values() if "stuck-1" in names)
        assert not set(behind) & set(answered(settings)), "something was committed past unfinished work"
        value = worker.metrics.registry.get_sample_value
        assert (value("skureel_in_flight_records") or 0) <= 20
        assert (value("skureel_oldest_in_work_seconds") or 0) > 0
        gate.set()
        eventually(lambda: len(answered(settings)) == 2_001)
    assert sorted(answered(settings)) == sorted([*products, "stuck-1"])


def test_stuck_handlers_are_given_up_at_their_deadline(kafka_broker: KafkaSettings, gate: threading.Event) -> None:
    settings = kafka_broker.model_copy(
        update={"handler_threads": 4, "handler_deadline_seconds": 1.0, "retry_delays_seconds": (600.0,)}
    )
    make_delivery_topics(settings, partitions=1)
    stuck = [f"stuck-{number}" for number in range(4)]
    publish_products(settings, [*stuck, *(f"p-{number}" for number in range(50))])
    with running(Stuck(gate), settings) as worker:
        eventually(lambda: len(answered(settings)) == 50)
        value = worker.metrics.registry.get_sample_value
        assert value("skureel_overdue_handlers_total") == 4
        assert value("skureel_relieved_threads") == 4
        assert worker.live()
        eventually(lambda: committed(settings, worker.group) == ends(settings))
        waiting = records_of(settings, retry_topic(CREATED, 600.0))
        assert sorted(record.key.decode() for record in waiting) == stuck
        assert {headers_of(record)["skureel.reason"] for record in waiting} == {"overdue"}
        # What they come to after all is nobody's any more.
        gate.set()
        eventually(lambda: value("skureel_relieved_threads") == 0)
        publish_products(settings, ["later"])
        eventually(lambda: "later" in answered(settings))
    assert not set(stuck) & set(answered(settings))


def test_a_worker_whose_threads_are_all_stuck_is_not_live(
    kafka_broker: KafkaSettings, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are relieved as there are; then only a restart helps."""
    monkeypatch.setattr("shared.kafka.runtime.worker._STALLED_SECONDS", 2.0)
    settings = kafka_broker.model_copy(update={"handler_threads": 2, "handler_deadline_seconds": 0.2})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, [f"stuck-{number}" for number in range(4)])
    with running(Stuck(gate), settings) as worker:
        eventually(lambda: not worker.live())
        assert worker.metrics.registry.get_sample_value("skureel_overdue_handlers_total") == 2
        gate.set()
        eventually(worker.live)


def test_a_pool_relieves_no_more_threads_than_it_has(gate: threading.Event) -> None:
    began: list[Work] = []

    def handle(work: Work) -> Any:
        began.append(work)
        gate.wait(60)

    pool = HandlerPool(handle, threads=1, lanes=1, wake=threading.Event())
    works = [Work(None, PartitionTracker(None), size) for size in range(3)]  # type: ignore[arg-type]  # unused
    pool.submit(0, works)
    eventually(lambda: began == works[:1])
    assert pool.overdue(60) == []
    assert pool.overdue(0) == works[:1]
    assert pool.relieve(works[0])
    eventually(lambda: began == works[:2])
    assert pool.overdue(0) == works[1:2]
    assert not pool.relieve(works[1]), "threads without end"
    gate.set()
    eventually(lambda: len(pool.finished) == 3)
    eventually(lambda: pool.relieved == 0)
    assert pool.close(10)
