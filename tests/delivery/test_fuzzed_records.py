"""A hundred thousand malformed records among good ones: the good are served, the bad are kept as they came, and the
worker's memory does not grow."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer, TopicPartition

from shared.errors import PermanentError
from shared.events.cloudevents import from_kafka
from shared.kafka import Publisher
from shared.kafka.client import connection, group_name
from shared.settings import KafkaSettings
from tests.delivery.harness import ANSWER, CREATED, committed, ends, make_delivery_topics
from tests.delivery.malformed import GOOD, GOOD_EVERY, MALFORMED, NUMBER, TOO_LARGE_EVERY, record
from tests.delivery.worker_process import WorkerProcess, worker_process
from tests.polling import eventually

BAD = 100_000
RECORDS = BAD * GOOD_EVERY // (GOOD_EVERY - 1) + 1
WARM_SHARE = 0.2
"""Memory is first read after this share of the records: by then every kind came many times."""
GROWTH_MIB = 64.0
"""What the worker's memory may grow by from the first quarter of the rest to the last, median to median. Keeping the
records alone takes twice that. Large ones that a slow broker holds up are no growth, and may weigh so much: a worker
holds up to eight requests' worth of values, and the allocator keeps the room."""


def test_every_malformation_is_refused_and_every_good_record_read() -> None:
    kinds = Counter[str]()
    for number in range(2 * TOO_LARGE_EVERY):
        sent = record(number)
        assert sent == record(number)
        kinds[sent.kind] += 1
        try:
            event = from_kafka(sent.headers, sent.value)
        except PermanentError:
            assert sent.product_id is None, sent
        else:
            # A known type that is not this topic's is refused by the worker.
            assert (event.type == CREATED) is (sent.product_id is not None), sent
            assert sent.product_id in (None, event.data.product_id)
    assert kinds.keys() == {kind for kind, _ in (*GOOD, *MALFORMED)} | {"too large"}


class Reading:
    """Reads dead letters and answers as they come, compares each with what was sent, and watches memory meanwhile."""

    def __init__(self, settings: KafkaSettings, worker: WorkerProcess) -> None:
        self._settings = settings
        self._worker = worker
        self._process = psutil.Process(worker.pid)
        self._seen = bytearray(RECORDS)
        self.number = 0
        """Records whose end was seen."""
        self.memory: list[float] = []
        """MiB, after each poll past the warm-up."""
        self._consumer = KafkaConsumer(
            **connection(settings, client_id="test-reader"),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        prefix = settings.topic_prefix
        self._answers = prefix + ANSWER
        self._consumer.assign(
            [
                TopicPartition(topic, partition)
                for topic in (prefix + CREATED + ".dlq", self._answers)
                for partition in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]
        )

    def on(self) -> bool:
        """Read what has come. True when every record has ended."""
        assert self._worker.running(), self._worker.log()[-3000:]
        for partition, records in self._consumer.poll(timeout_ms=200).items():
            for came in records:
                number = self._answer(came) if partition.topic == self._answers else self._dead_letter(came)
                assert not self._seen[number], f"record {number} ended twice"
                self._seen[number] = 1
            self.number += len(records)
            if self.number > WARM_SHARE * RECORDS:
                self.memory.append(self._process.memory_info().rss / 2**20)
        return self.number >= RECORDS

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def _answer(self, came: Any) -> int:
        number = int(came.key.removeprefix(b"good-"))
        assert record(number).product_id == came.key.decode()
        return number

    def _dead_letter(self, came: Any) -> int:
        number = int(dict(came.headers)[NUMBER])
        sent = record(number)
        assert sent.product_id is None, f"a good record is a dead letter: {came}"
        assert (came.key, came.value) == (sent.key, sent.value), sent.kind
        assert came.headers[: len(sent.headers)] == sent.headers, sent.kind
        told = dict(came.headers[len(sent.headers) :])
        assert told["skureel.reason"]
        assert told["__connect.errors.topic"].decode() == self._settings.topic_prefix + CREATED
        return number


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_malformed_records_stop_nobody(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    make_delivery_topics(real_kafka, partitions=4)
    topic = real_kafka.topic_prefix + CREATED
    with worker_process(real_kafka, tmp_path) as worker:
        with Publisher(real_kafka) as publisher:
            for number in range(RECORDS):
                sent = record(number)
                publisher.publish_raw(topic, sent.key, sent.value, sent.headers)
        reading = Reading(real_kafka, worker)
        try:
            eventually(reading.on, 600, describe=lambda: f"{reading.number} ended\n{worker.log()[-3000:]}")
        finally:
            reading.close()
        group = group_name(real_kafka, "answering")
        eventually(lambda: committed(real_kafka, group) == ends(real_kafka), 60, describe=worker.log)
    quarter = len(reading.memory) // 4
    first, last = (statistics.median(part) for part in (reading.memory[:quarter], reading.memory[-quarter:]))
    assert last - first < GROWTH_MIB, f"memory grew from {first:.0f} to {last:.0f} MiB"
