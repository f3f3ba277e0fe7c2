"""A topic that the cluster does not have keeps back what leads to it, and nothing else."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from shared.events import Event
from shared.kafka.client import retry_topic
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually
from tests.servers import make_topics

pytestmark = pytest.mark.connected

LACKED = "video.ready"


class Choosing(Answering):
    """Answers some products with an event of a topic that is not there."""

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        (answer,) = super().handle(event)
        if not event.data.product_id.startswith("lost"):
            return [answer]
        return [Event(LACKED, answer.source, answer.id, answer.data, answer.time)]


class Known(Choosing):
    name = "derive_prompt"
    """The table of event types says what it writes."""


GOOD = [f"p-{number}" for number in range(120)]
LOST = [f"lost-{number}" for number in range(3)]


@pytest.mark.parametrize("kind", [Known, Choosing])
def test_the_other_partitions_are_answered_meanwhile_and_a_stop_waits_for_nothing(
    real_kafka: KafkaSettings, kind: type[Choosing]
) -> None:
    make_topics(real_kafka, CREATED, ANSWER, partitions=6)
    make_topics(real_kafka, CREATED + ".dlq", *(retry_topic(CREATED, delay) for delay in (30.0, 300.0)))
    make_topics(real_kafka, "video.requested")
    publish_products(real_kafka, [*LOST, *GOOD])
    bad = {record.partition for record in records_of(real_kafka, CREATED) if record.key.startswith(b"lost")}
    good = [record for record in records_of(real_kafka, CREATED) if record.partition not in bad]
    assert good
    with running(kind(), real_kafka) as worker:
        eventually(lambda: {record.key.decode() for record in good} <= set(answered(real_kafka)), 60)
        eventually(lambda: real_kafka.topic_prefix + LACKED in (worker.unready_reason() or ""))
        stops_at = time.monotonic()
    assert time.monotonic() - stops_at < 30 < real_kafka.drain_seconds
    make_topics(real_kafka, LACKED)
    with running(kind(), real_kafka) as worker:
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka), 60)
        eventually(worker.ready)
    assert sorted(record.key.decode() for record in records_of(real_kafka, LACKED)) == LOST
    assert set(GOOD) <= set(answered(real_kafka))
    assert len(answered(real_kafka)) == len(set(answered(real_kafka)))
