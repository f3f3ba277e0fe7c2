"""While the reader is away, consumption holds; afterwards every product is answered once, and none was retried."""

import threading
from typing import Any

from functions.derive_prompt.reader.reading import reader_of
from shared.kafka import Publisher
from shared.kafka.client import retry_topic
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings, Settings
from tests.delivery.harness import CREATED, records_of, running
from tests.objects.faulty_server import http_answer
from tests.polling import eventually
from tests.prompts.conftest import created, product, started
from tests.reader.recorded import MODELS, RACK, RIGHT, model_server
from tests.servers import make_topics

DOWN = http_answer("503 Service Unavailable", b"")
ANSWERS = ("video.requested", "video.ready", "video.rejected")


def test_an_outage_of_the_reader_costs_no_product_an_attempt(
    kafka_broker: KafkaSettings, embedded_objects: ObjectSettings
) -> None:
    kafka = kafka_broker.model_copy(update={"retries_in_place": 0, "retry_delays_seconds": (0.1,)})
    refused = [retry_topic(CREATED, 0.1), CREATED + ".dlq"]
    make_topics(kafka, CREATED, *refused, *ANSWERS, partitions=2)
    objects = ObjectStore(embedded_objects.model_copy(update={"create_bucket": True}))
    objects.check()
    up = threading.Event()

    def answer(_question: dict[str, Any]) -> bytes:
        return RIGHT if up.is_set() else DOWN

    def models() -> bytes:
        return MODELS if up.is_set() else DOWN

    up.set()
    with model_server(answer, models=models) as (settings, asked):
        function = started(Settings(reader=settings), reader=reader_of(settings, objects))
        up.clear()
        with running(function, kafka) as worker:
            with Publisher(kafka) as publisher:
                for number in range(3):
                    item = product(**{**RACK, "product_id": f"p-{number}"})
                    publisher.publish(created(item, f"e-{number}"))
            held = worker.metrics.registry.get_sample_value
            eventually(lambda: held("skureel_holding") == 1.0 and asked != [])
            assert not any(records_of(kafka, topic) for topic in (*ANSWERS, *refused))
            up.set()
            eventually(lambda: len(records_of(kafka, "video.requested")) == 3)
        assert not any(records_of(kafka, topic) for topic in ("video.rejected", *refused))
    assert len({record.key for record in records_of(kafka, "video.requested")}) == 1  # one video id
