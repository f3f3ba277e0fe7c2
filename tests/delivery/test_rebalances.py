"""Partitions come and go: kept ones are neither skipped nor repeated, revoked ones are committed, lost ones never."""

import threading
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, MemberToRemove

from shared.events import Event
from shared.kafka.client import connection
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    make_delivery_topics,
    publish_products,
    running,
)
from tests.polling import eventually

pytestmark = pytest.mark.connected


class Gated(Answering):
    """Handles nothing to its end before the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        super().__init__(self._wait)

    def _wait(self, event: Event[Any]) -> None:
        assert self.gate.wait(60), "the gate stayed shut"


def partitions_of(worker: Any, settings: KafkaSettings) -> set[int]:
    return {partition.partition for partition in worker.assigned if partition.topic == settings.topic_prefix + CREATED}


def test_a_kept_partition_is_neither_skipped_nor_repeated(real_kafka: KafkaSettings) -> None:
    settings = real_kafka.model_copy(update={"handler_threads": 40})
    make_delivery_topics(settings, partitions=4)
    products = [f"p-{number}" for number in range(40)]
    publish_products(settings, products)
    first, second = Gated(), Answering()
    with running(first, settings) as one:
        eventually(lambda: len(first.handled) == 40)
        with running(second, settings) as other:
            eventually(lambda: len(partitions_of(other, settings)) == 2 and len(partitions_of(one, settings)) == 2)
            kept = partitions_of(one, settings)
            first.gate.set()
            eventually(lambda: len(answered(settings)) == 40)
            eventually(lambda: committed(settings, one.group) == ends(settings))
            assert partitions_of(one, settings) == kept
    assert sorted(answered(settings)) == sorted(products)
    # What was revoked unfinished was repeated by the new owner; what was kept was handled once.
    assert len(first.handled) == 40
    assert 0 < len(second.handled) < 40


def test_what_is_finished_is_committed_when_its_partition_is_revoked(real_kafka: KafkaSettings) -> None:
    # Nothing is released by time, so that only the revocation can commit it.
    settings = real_kafka.model_copy(update={"commit_interval_seconds": 60.0, "handler_threads": 8})
    make_delivery_topics(settings, partitions=2)
    gate = threading.Event()

    def behave(event: Event[Any]) -> None:
        if event.data.product_id == "slow":
            assert gate.wait(60)

    first, second = Answering(behave), Answering()
    publish_products(settings, [f"p-{number}" for number in range(30)])
    # A record in work keeps the release waiting for more.
    publish_products(settings, ["slow"])
    with running(first, settings) as one:
        eventually(lambda: len(first.handled) == 31)
        assert answered(settings) == []
        with running(second, settings) as other:
            eventually(lambda: len(partitions_of(one, settings)) == 1 == len(partitions_of(other, settings)))
            gate.set()
            eventually(lambda: len(answered(settings)) >= 1)
        one.stop()
    eventually(lambda: len(answered(settings)) == 31)
    assert set(second.handled) <= {"slow"}, "finished records were repeated after the revocation"


def test_a_lost_partition_is_never_committed(real_kafka: KafkaSettings) -> None:
    settings = real_kafka
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, ["p-1"])
    function = Gated()
    with running(function, settings) as worker:
        eventually(lambda: function.handled == ["p-1"])
        # The group forgets the member, as after a long silence; it learns so from its next heartbeat.
        expel(settings, worker.group)
        lost = worker.metrics.registry.get_sample_value
        eventually(lambda: lost("skureel_rebalances_total", {"kind": "lost"}))
        eventually(lambda: len(function.handled) == 2)
        function.gate.set()
        eventually(lambda: answered(settings) == ["p-1"])
        eventually(lambda: committed(settings, worker.group) == ends(settings))
    assert answered(settings) == ["p-1"], "the result of the lost epoch was released too"


def test_a_job_longer_than_the_poll_interval_causes_no_rebalance(real_kafka: KafkaSettings) -> None:
    settings = real_kafka.model_copy(update={"max_poll_interval_ms": 5_000})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, ["p-1"])
    function = Gated()
    done = threading.Timer(8.0, function.gate.set)
    with running(function, settings) as worker:
        eventually(lambda: function.handled == ["p-1"])
        done.start()
        eventually(lambda: answered(settings) == ["p-1"])
        assert worker.live()
        value = worker.metrics.registry.get_sample_value
        assert value("skureel_rebalances_total", {"kind": "assigned"}) == 1
        assert value("skureel_rebalances_total", {"kind": "lost"}) is None
    assert function.handled == ["p-1"]


def test_new_partitions_are_taken_up_while_a_job_runs(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=2)
    publish_products(real_kafka, ["p-1"])
    function = Gated()
    with running(function, real_kafka) as worker:
        eventually(lambda: function.handled)
        with KafkaAdminClient(**connection(real_kafka, client_id="test-admin")) as admin:
            admin.create_partitions({real_kafka.topic_prefix + CREATED: 5})
        # Otherwise known after five minutes.
        eventually(
            lambda: (
                worker._membership._consumer._cluster.request_update() and len(partitions_of(worker, real_kafka)) == 5
            ),
            30,
        )
        function.gate.set()
        eventually(lambda: answered(real_kafka) == ["p-1"])
    assert function.handled == ["p-1"]


def test_pausing_outlives_a_rebalance(real_kafka: KafkaSettings) -> None:
    settings = real_kafka.model_copy(update={"max_in_flight": 4, "handler_threads": 2})
    make_delivery_topics(settings, partitions=4)
    publish_products(settings, [f"p-{number}" for number in range(20)])
    first = Gated()
    with running(first, settings) as one:
        eventually(lambda: len(first.handled) == 2)
        value = one.metrics.registry.get_sample_value
        eventually(lambda: value("skureel_paused_partitions"))
        with running(Gated(), settings) as other:
            other.function.gate.set()  # type: ignore[attr-defined]
            eventually(lambda: len(partitions_of(one, settings)) == 2)
            more = [f"more-{number}" for number in range(40)]
            publish_products(settings, more)
            eventually(lambda: len(answered(settings)) >= 20)
            assert set(first.handled).isdisjoint(more), "a paused partition was read after the rebalance"
            first.gate.set()
            eventually(lambda: len(answered(settings)) == 60)
    assert len(set(answered(settings))) == 60


def test_workers_come_and_go_without_loss_or_repetition(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=4)
    products = [f"p-{number}" for number in range(400)]
    publish_products(real_kafka, products)

    def slow(event: Event[Any]) -> None:
        threading.Event().wait(0.02)

    with running(Answering(slow), real_kafka) as one:
        eventually(lambda: len(answered(real_kafka)) > 10)
        with (
            running(Answering(slow), real_kafka),
            running(Answering(slow), real_kafka),
            running(Answering(slow), real_kafka),
        ):
            eventually(lambda: len(partitions_of(one, real_kafka)) == 1, 60)
            eventually(lambda: len(answered(real_kafka)) > 150, 60)
        eventually(lambda: len(answered(real_kafka)) == 400, 60)
        eventually(lambda: committed(real_kafka, one.group) == ends(real_kafka))
    assert sorted(answered(real_kafka)) == sorted(products)


def expel(settings: KafkaSettings, group: str) -> None:
    """Remove every member of a group, as an operator can."""
    with KafkaAdminClient(**connection(settings, client_id="test-admin")) as admin:
        (described,) = admin.describe_groups([group]).values()
        members = [MemberToRemove(member_id=member["member_id"]) for member in described["members"]]
        admin.remove_group_members(group, members)


def test_a_membership_that_ends_while_joining_takes_its_partitions_along(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, ["p-1"])
    function = Gated()
    with running(function, real_kafka) as worker:
        eventually(lambda: function.handled == ["p-1"])
        coordinator = worker._membership._consumer._coordinator
        prepare = coordinator._on_join_prepare_async
        expelled: list[str] = []

        async def prepare_and_be_expelled(*arguments: Any, **named: Any) -> None:
            await prepare(*arguments, **named)
            if not expelled:
                expelled.append(coordinator._generation.member_id)
                expel(real_kafka, worker.group)

        coordinator._on_join_prepare_async = prepare_and_be_expelled
        coordinator.request_rejoin()
        eventually(lambda: len(function.handled) == 2, describe="its record was not taken up again")
        assert worker.metrics.registry.get_sample_value("skureel_rebalances_total", {"kind": "lost"}) == 1
        assert expelled != [coordinator._generation.member_id]
        function.gate.set()
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    assert answered(real_kafka) == ["p-1"]
