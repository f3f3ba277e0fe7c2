"""`skureel run redeliver`, killed while it carries: every record arrives once, as it was."""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from shared.kafka.client import connection
from shared.settings import KafkaSettings, child_environment
from tests.delivery.conftest import with_short_sessions
from tests.delivery.harness import CREATED, committed, ends, make_delivery_topics, records_of
from tests.polling import eventually
from tests.redelivery.test_redelivery import put
from tests.servers import REPOSITORY

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 5
PORTION = 400
PATIENCE_SECONDS = 120.0
RETRY = CREATED + ".retry.1s"


@contextmanager
def redeliver(settings: KafkaSettings, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, killed at the end."""
    given = json.loads(settings.model_dump_json(exclude_defaults=True, exclude={"retry_delays_seconds"}))
    variables = {f"SKUREEL_KAFKA__{name.upper()}": str(value) for name, value in given.items()}
    variables |= {"SKUREEL_KAFKA__RETRY_DELAYS_SECONDS": "1", "SKUREEL_HEALTH__PORT": "0"}
    with (folder / "redeliver.log").open("ab") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("skureel"), "run", "redeliver"],
            cwd=REPOSITORY,
            env=child_environment(variables),
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def test_kills_lose_and_repeat_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    # In small transactions, so that a kill falls between them and into them.
    settings = with_short_sessions(real_kafka, 3_000).model_copy(
        update={"retry_delays_seconds": (1.0,), "commit_interval_seconds": 0.0, "max_in_flight": 40}
    )
    make_delivery_topics(settings)
    chance = random.Random(20261121)
    sent: list[str] = []
    seen = KafkaConsumer(**connection(settings, client_id="test-watcher"), isolation_level="read_uncommitted")
    try:
        topic = settings.topic_prefix + CREATED
        seen.assign([TopicPartition(topic, number) for number in seen.partitions_for_topic(topic)])
        seen.seek_to_beginning()
        count = hits = 0
        for kill in range(KILLS):
            keys = [f"k-{kill}-{number}" for number in range(PORTION)]
            put(settings, RETRY, keys, age=2)
            sent += keys
            enough = count + chance.randint(20, PORTION // 2)
            with redeliver(settings, tmp_path):

                def carried() -> bool:
                    nonlocal count
                    count += sum(len(records) for records in seen.poll(timeout_ms=20).values())
                    return count >= enough  # noqa: B023 - called at once

                eventually(carried, PATIENCE_SECONDS, describe=(tmp_path / "redeliver.log").read_text)
            hits += count < len(sent)
    finally:
        seen.close()
    assert hits, "every kill came when all was carried"
    with redeliver(settings, tmp_path):
        eventually(
            lambda: committed(settings, f"skureel-{settings.topic_prefix}redeliver", RETRY) == ends(settings, RETRY),
            PATIENCE_SECONDS,
            describe=(tmp_path / "redeliver.log").read_text,
        )
    arrived = records_of(settings, CREATED)
    assert Counter(record.key.decode() for record in arrived) == Counter(dict.fromkeys(sent, 1))
    assert all(record.value == b"value of " + record.key for record in arrived)
    assert all(list(record.headers) == [("x", b"\xff\x00"), ("x", b"again")] for record in arrived)
