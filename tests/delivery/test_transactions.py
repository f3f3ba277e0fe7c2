"""Outputs and offsets are one, whatever happens to the producer or the broker in between."""

import threading
from typing import Any

import pytest
from kafka import ConsumerGroupMetadata, KafkaProducer, TopicPartition

from shared.events import Event
from shared.kafka.client import connection
from shared.kafka.runtime.outbox import Outbox
from shared.kafka.runtime.release import Release, Verdict
from shared.kafka.runtime.tracker import Part, PartitionTracker
from shared.settings import KafkaSettings
from tests.delivery.conftest import with_short_sessions
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
from tests.servers import RealKafka

pytestmark = pytest.mark.connected


def test_answers_and_offsets_become_visible_together(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    products = [f"p-{number}" for number in range(300)]
    publish_products(real_kafka, products)
    with running(Answering(), real_kafka) as worker:
        seen = 0
        while seen < len(products):
            # In this order: what is committed was answered before.
            offset = committed(real_kafka, worker.group).get(0, 0)
            answers = answered(real_kafka)
            assert len(answers) >= offset or offset > len(products)
            seen = len(answers)
    assert answered(real_kafka) == products


def test_a_fenced_producer_is_replaced_and_nothing_is_lost_or_repeated(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, [f"p-{number}" for number in range(5)])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: len(answered(real_kafka)) == 5)
        thief = KafkaProducer(
            **connection(real_kafka, client_id="thief"), transactional_id=worker._membership._client_id
        )
        thief.init_transactions()
        thief.close(timeout=5)
        publish_products(real_kafka, [f"q-{number}" for number in range(5)])
        eventually(lambda: len(answered(real_kafka)) == 10, 60)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
        value = worker.metrics.registry.get_sample_value
        failures = [
            value("skureel_commit_failures_total", {"verdict": verdict}) or 0 for verdict in ("failed", "uncertain")
        ]
        assert sum(failures) >= 1
    assert sorted(set(answered(real_kafka))) == sorted(answered(real_kafka))


@pytest.fixture
def breakable(breakable_kafka: RealKafka, prefix_of_its_own: Any) -> KafkaSettings:
    settings: KafkaSettings = prefix_of_its_own(breakable_kafka.settings)
    return with_short_sessions(settings, 6_000)


def test_a_broker_that_goes_away_and_comes_back_costs_nothing(
    breakable_kafka: RealKafka, breakable: KafkaSettings
) -> None:
    make_delivery_topics(breakable, partitions=2)
    products = [f"p-{number}" for number in range(300)]
    publish_products(breakable, products)
    pace = threading.Event()

    def slow(event: Event[Any]) -> None:
        pace.wait(0.02)

    with running(Answering(slow), breakable) as worker:
        eventually(lambda: len(answered(breakable)) > 20)
        breakable_kafka.kill()
        pace.set()
        assert worker.live()
        breakable_kafka.start()
        eventually(lambda: len(answered(breakable)) >= len(products), 90)
        eventually(lambda: committed(breakable, worker.group) == ends(breakable))
        assert worker.live()
    assert sorted(answered(breakable)) == sorted(products)


def test_a_worker_waits_for_a_broker_that_is_not_there_yet(
    breakable_kafka: RealKafka, breakable: KafkaSettings
) -> None:
    make_delivery_topics(breakable, partitions=1)
    publish_products(breakable, ["p-1"])
    breakable_kafka.stop()
    with running(Answering(), breakable) as worker:
        assert worker.live()
        assert not worker.ready()
        breakable_kafka.start()
        eventually(lambda: answered(breakable) == ["p-1"], 90)
        assert worker.ready()


def test_a_worker_whose_broker_is_silent_says_so_and_is_not_ready(
    breakable_kafka: RealKafka, breakable: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    make_delivery_topics(breakable, partitions=1)
    with running(Answering(), breakable) as worker:
        eventually(worker.ready)
        breakable_kafka.pause()
        try:
            eventually(lambda: not worker.ready(), 40)
            assert worker.live(), "a restart would not bring the broker back"
            assert "the group has not answered for 6 s; is Kafka away?" in caplog.text
        finally:
            breakable_kafka.resume()
        eventually(worker.ready, 60)
        assert "the group answers again" in caplog.text


def test_a_broker_fences_members_of_the_past_but_not_who_names_none(real_kafka: KafkaSettings) -> None:
    """Why the worker releases nothing without a generation. Should the broker fence these one day, that can go."""
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, ["p-1", "p-2"])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: committed(real_kafka, worker.group) == {0: 2})
        outbox = Outbox(real_kafka, client_id=real_kafka.topic_prefix + "zombie", wake=lambda: None)
        outbox.start()
        tracker = PartitionTracker(TopicPartition(real_kafka.topic_prefix + CREATED, 0))
        member = worker._membership._consumer.group_metadata()
        past = ConsumerGroupMetadata(worker.group, member.generation_id - 1, member.member_id)
        verdicts = []
        for group in (past, ConsumerGroupMetadata(worker.group)):
            outbox.put(Release([Part(tracker, [], 1)], group))
            ended = outbox.take(60)
            assert ended is not None
            verdicts.append(ended.verdict)
        outbox.close(10)
    assert verdicts == [Verdict.STALE, Verdict.RELEASED]


def test_offsets_of_an_aborted_transaction_are_not_committed_by_the_next(real_kafka: KafkaSettings) -> None:
    """kafka-python 3.0.12 keeps offsets whose commit was refused, and would send them along with the next ones."""
    make_delivery_topics(real_kafka, partitions=2)
    outbox = Outbox(real_kafka, client_id="test-outbox", wake=lambda: None)
    outbox.start()
    nobody = ConsumerGroupMetadata("test-group")
    expelled = ConsumerGroupMetadata("test-group", 7, "a member that the group has forgotten")
    first, second = (PartitionTracker(TopicPartition(real_kafka.topic_prefix + CREATED, n)) for n in (0, 1))
    try:
        verdicts = []
        for tracker, group in ((first, expelled), (second, nobody)):
            outbox.put(Release([Part(tracker, [], 18)], group))
            ended = outbox.take(60)
            assert ended is not None
            verdicts.append(ended.verdict)
        assert verdicts == [Verdict.STALE, Verdict.RELEASED]
    finally:
        outbox.close(10)
    assert committed(real_kafka, "test-group") == {1: 18}
