"""A retry topic says in its name whose records wait there, and how long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kafka.client import any_retry_topic, base_topic, retry_delay, retry_topic
from shared.settings import KafkaSettings


@pytest.mark.parametrize(
    ("delay", "ending"),
    [(30.0, "30s"), (30, "30s"), (300.0, "300s"), (0.5, "0.5s"), (2.25, "2.25s"), (86400, "86400s")],
)
def test_the_delay_is_told_in_seconds(delay: float, ending: str) -> None:
    assert retry_topic("product.created", delay) == f"product.created.retry.{ending}"


@given(st.floats(0.001, 24 * 3600), st.sampled_from(["product.created", "a.retry.5s.video.requested.bulk"]))
def test_a_name_can_be_read_again(delay: float, topic: str) -> None:
    name = retry_topic(topic, delay)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name), "no name of a Kafka topic"
    assert (base_topic(name), retry_delay(name)) == (topic, delay)


@pytest.mark.parametrize(
    "topic",
    ["product.created", "product.created.dlq", "product.created.retry", "x.retry.s", "x.retry.1e5s", "x.retry.5"],
)
def test_other_topics_are_no_retry_topics(topic: str) -> None:
    assert retry_delay(topic) is None


def test_only_retry_topics_of_this_environment_are_carried() -> None:
    pattern = any_retry_topic(KafkaSettings(topic_prefix="x."), ["product.created", "video.requested"])
    carried = ["x.product.created.retry.30s", "x.product.created.retry.0.5s", "x.video.requested.retry.7s"]
    others = [
        "x.product.created",
        "x.product.created.dlq",
        "x.product.created.retry",
        "x.video.requested.bulk.retry.30s",
        "product.created.retry.30s",
        "y.x.product.created.retry.30s",
        "xyproduct.created.retry.30s",
        "x.product.created.retry.30s.dlq",
    ]
    assert [topic for topic in carried + others if re.match(pattern, topic)] == carried
