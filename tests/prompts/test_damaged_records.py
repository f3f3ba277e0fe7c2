"""What lies damaged in the bucket costs no product."""

import pytest

from shared.clips import ClipStore
from shared.kafka import Publisher
from shared.kafka.client import retry_topic
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.delivery.harness import CREATED, headers_of, records_of, running
from tests.polling import eventually
from tests.prompts.conftest import created, product, started
from tests.servers import make_topics

RETRIES, LETTERS = retry_topic(CREATED, 0.1), f"{CREATED}.dlq"


@pytest.mark.parametrize(
    ("stored", "asked_for", "waiting"),
    [
        (b"<html>hello</html>", 3, []),
        (b'{"video_id": "%s", "outcome": "archived"}', 0, ["unreadable-record"] * 3),
    ],
    ids=["garbage", "another release's"],
)
def test_lookalikes_of_a_damaged_record_are_asked_for_or_wait_with_its_reason(
    kafka_broker: KafkaSettings, embedded_objects: ObjectSettings, stored: bytes, asked_for: int, waiting: list[str]
) -> None:
    kafka = kafka_broker.model_copy(update={"retries_in_place": 0, "retry_delays_seconds": (0.1,)})
    make_topics(kafka, CREATED, RETRIES, LETTERS, "video.requested", "video.ready", "video.rejected")
    (request,) = started().handle(created(product()))
    objects = ObjectStore(embedded_objects.model_copy(update={"create_bucket": True}))
    objects.check()
    content = stored.replace(b"%s", request.data.video_id.encode())
    objects.put_new(f"videos/{request.data.video_id}/record.json", content, "application/json")
    function = started(store=ClipStore(objects))  # type: ignore[arg-type]  # the real one
    with running(function, kafka), Publisher(kafka) as publisher:
        for number in range(3):
            publisher.publish(created(product(product_id=f"p-{number}"), f"e-{number}"))
        eventually(lambda: len(records_of(kafka, "video.requested")) + len(records_of(kafka, RETRIES)) == 3)
    assert len(records_of(kafka, "video.requested")) == asked_for
    assert [headers_of(record)["skureel.reason"] for record in records_of(kafka, RETRIES)] == waiting
    assert records_of(kafka, LETTERS) == []
