"""An output that the broker never takes costs its own record, and no other: that one becomes a dead letter."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from shared.errors import ConfigurationError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka import Publisher, Worker
from shared.kafka.client import connection
from shared.kafka.producing import Outgoing
from shared.kafka.runtime.outbox import Outbox
from shared.kafka.runtime.release import Release, Verdict
from shared.kafka.runtime.tracker import Part, PartitionTracker, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    headers_of,
    product_event,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually
from tests.servers import make_topics

pytestmark = pytest.mark.connected

LIMIT = 50_000
"""What the answers' topic takes in one batch: less than a full one of the client's."""


@pytest.fixture(params=["transaction", "plain"])
def kafka(request: pytest.FixtureRequest, real_kafka: KafkaSettings) -> KafkaSettings:
    """Apache Kafka, both ways of committing. All that is finished is released together."""
    settings = real_kafka.model_copy(update={"offsets": request.param, "commit_interval_seconds": 60.0})
    make_topics(settings, CREATED, CREATED + ".dlq", partitions=1)
    make_topic(settings, ANSWER, {"max.message.bytes": str(LIMIT)})
    return settings


def make_topic(settings: KafkaSettings, name: str, configs: dict[str, str]) -> None:
    with KafkaAdminClient(**connection(settings, client_id="test-admin")) as admin:
        admin.create_topics([NewTopic(settings.topic_prefix + name, 1, 1, topic_configs=configs)])


def noise(wire_bytes: int, seed: int) -> str:
    """Text of twice that size, which no compression makes smaller than that size."""
    return random.Random(seed).randbytes(wire_bytes).hex()


class Padding(Answering):
    """Answers with events of the sizes (on the wire) that the product ids end with: p-1/20000."""

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        (answer,) = super().handle(event)
        return [
            Event(
                answer.type,
                answer.source,
                f"{answer.id}-{number}",
                answer.data,
                answer.time,
                extensions={"pad": noise(int(size), number)},
            )
            for number, size in enumerate(event.data.product_id.split("/")[1:])
        ]


SMALL = [f"p-{number}/100" for number in range(20)]
MIDDLING = [f"m-{number}/20000" for number in range(8)]
"""Each fits; two in a batch do not."""


@pytest.mark.parametrize(
    ("products", "refused"),
    [
        pytest.param(SMALL + MIDDLING, [], id="only batches are too large"),
        pytest.param([*SMALL, "x/90000", *MIDDLING], ["x/90000"], id="one in the middle"),
        pytest.param(["x/60000", "y/60000", *SMALL, "z/90000"], ["x/60000", "y/60000", "z/90000"], id="first and last"),
        pytest.param(["x/100/90000", *SMALL], ["x/100/90000"], id="the second output of one record"),
        pytest.param([f"x-{n}/60000" for n in range(5)], [f"x-{n}/60000" for n in range(5)], id="all of them"),
        pytest.param(["x/2000000", *SMALL], ["x/2000000"], id="larger than the client sends"),
    ],
)
def test_only_the_record_at_fault_becomes_a_dead_letter(
    kafka: KafkaSettings, products: list[str], refused: list[str]
) -> None:
    settings = kafka.model_copy(update={"max_request_size_bytes": 1_000_000})
    publish_products(settings, products)
    with running(Padding(), settings) as worker:
        eventually(lambda: committed(settings, worker.group) == ends(settings), 60)
        # The partition goes on.
        publish_products(settings, ["later/100"])
        eventually(lambda: "later/100" in answered(settings))
        counted = worker.metrics.registry.get_sample_value(
            "skureel_dead_letters_total", {"topic": settings.topic_prefix + CREATED, "reason": "output-refused"}
        )
        assert (counted or 0) == len(refused)
    answers = [headers_of(record)["ce_id"] for record in records_of(settings, ANSWER)]
    assert len(answers) == len(set(answers)), "an answer was sent twice"
    good = [product for product in products if product not in refused]
    # Without transactions, outputs before the refused one of the same record are out.
    part = {"x/100/90000"} & set(products) if settings.offsets == "plain" else set()
    assert sorted(answered(settings)) == sorted([*good, *part, "later/100"])
    dead = records_of(settings, CREATED + ".dlq")
    assert sorted(record.key.decode() for record in dead) == sorted(refused)
    for record in dead:
        told = headers_of(record)
        number = products.index(record.key.decode())
        assert record.value == to_kafka(product_event(record.key.decode(), event_id="e")).value
        assert told["ce_id"] == f"e-{number}-{record.key.decode()}"
        assert told["skureel.reason"] == "output-refused"
        assert told["skureel.attempts"] == "1"
        assert told["__connect.errors.stage"] == "send"
        assert told["__connect.errors.offset"] == str(number)


def test_a_dead_letter_that_is_refused_leaves_its_story(real_kafka: KafkaSettings) -> None:
    make_topics(real_kafka, CREATED, ANSWER, partitions=1)
    make_topic(real_kafka, CREATED + ".dlq", {"max.message.bytes": "20000"})
    value = random.Random(1).randbytes(40_000)
    with Publisher(real_kafka) as publisher:
        publisher.publish_raw(real_kafka.topic_prefix + CREATED, b"k", value, [("own", b"y" * 20_000)])
    publish_products(real_kafka, ["p-1"])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: answered(real_kafka) == ["p-1"], 60)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    (story,) = records_of(real_kafka, CREATED + ".dlq")
    told = headers_of(story)
    assert (story.key, story.value) == (None, b"")
    assert told["skureel.reason"] == "not-a-cloudevent"
    assert told["__connect.errors.offset"] == "0"
    assert int(told["skureel.omitted-bytes"]) >= 60_000
    assert "own" not in told


def test_a_compacted_topic_gets_a_dead_letter_without_a_key_under_its_place(real_kafka: KafkaSettings) -> None:
    make_topics(real_kafka, CREATED, ANSWER, partitions=1)
    make_topic(real_kafka, CREATED + ".dlq", {"cleanup.policy": "compact"})
    with Publisher(real_kafka) as publisher:
        publisher.publish_raw(real_kafka.topic_prefix + CREATED, None, b"poison")
    publish_products(real_kafka, ["p-1"])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: answered(real_kafka) == ["p-1"], 60)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    (letter,) = records_of(real_kafka, CREATED + ".dlq")
    assert (letter.key, letter.value) == (f"{real_kafka.topic_prefix}{CREATED}:0:0".encode(), b"poison")


def test_a_topic_that_takes_no_dead_letter_at_all_stops_the_worker(real_kafka: KafkaSettings) -> None:
    make_topics(real_kafka, CREATED, ANSWER, partitions=1)
    make_topic(real_kafka, CREATED + ".dlq", {"max.message.bytes": "100"})
    with Publisher(real_kafka) as publisher:
        publisher.publish_raw(real_kafka.topic_prefix + CREATED, b"k", b"poison")
    worker = Worker(Answering(), real_kafka)
    with pytest.raises(ConfigurationError, match=r"product\.created\.dlq refuses even the story.*max\.message\.bytes"):
        worker.run()
    assert committed(real_kafka, worker.group).get(0, 0) == 0, "the record was given up without a dead letter"


@pytest.fixture
def outbox(kafka: KafkaSettings) -> Any:
    """An outbox of its own, without a worker."""
    outbox = Outbox(kafka, client_id=f"{kafka.topic_prefix}outbox", wake=lambda: None)
    outbox.start()
    yield outbox
    outbox.close(5)


def finished(settings: KafkaSettings, outputs: Sequence[Outgoing]) -> Release:
    """The release of one record an output."""
    tracker = PartitionTracker(TopicPartition(settings.topic_prefix + CREATED, 0))
    works = [Work(None, tracker) for _ in outputs]
    for work, output in zip(works, outputs, strict=True):
        work.outputs = [output]
    return Release([Part(tracker, works, len(works))], settings.topic_prefix + "group")


NO_KEY: dict[str, str] = {"cleanup.policy": "compact"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda topic: Outgoing(topic, None, b"v", []), id="a compacted topic takes no record without key"),
        pytest.param(lambda topic: Outgoing(topic, b"k", b"v", [("\udcff", b"")]), id="a name that cannot be written"),
        pytest.param(lambda topic: Outgoing("no topic", b"k", b"v", []), id="a topic that cannot be named"),
    ],
)
def test_whatever_is_refused_for_ever_is_told_apart_from_its_neighbours(
    kafka: KafkaSettings, outbox: Outbox, bad: Callable[[str], Outgoing]
) -> None:
    make_topic(kafka, "compacted", NO_KEY)
    topic = kafka.topic_prefix + "compacted"
    good = [Outgoing(topic, f"k-{number}".encode(), b"v", []) for number in range(4)]
    release = finished(kafka, [*good[:2], bad(topic), *good[2:]])
    outbox.put(release)
    ended = outbox.take(30)
    assert ended is not None
    assert ended.release is release
    assert ended.verdict is Verdict.REFUSED
    assert [work.outputs for work in ended.refused] == [[bad(topic)]]
    for work in ended.refused:
        work.outputs = []
    outbox.put(Release(release.parts, release.group))
    again = outbox.take(30)
    assert again is not None
    assert again.verdict in (Verdict.RELEASED, Verdict.SENT), again.error
    assert [record.key for record in records_of(kafka, "compacted")] == [output.key for output in good]
