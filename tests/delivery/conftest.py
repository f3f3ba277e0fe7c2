"""Brokers for delivery tests, with sessions short enough to see one end, and long enough for a machine that stalls."""

import pytest

from shared.settings import KafkaSettings

SESSION_MS = 10_000


@pytest.fixture
def kafka_broker(kafka_broker: KafkaSettings) -> KafkaSettings:
    """Either broker.

    The stand-in lets a member that rejoins wait for nearly the session timeout, and forgets one whose session is
    shorter than the three seconds that it lets the first member wait.
    """
    return with_short_sessions(kafka_broker, SESSION_MS if kafka_broker.offsets == "transaction" else 5_000)


@pytest.fixture
def real_kafka(real_kafka: KafkaSettings) -> KafkaSettings:
    """Apache Kafka."""
    return with_short_sessions(real_kafka, SESSION_MS)


def with_short_sessions(settings: KafkaSettings, session_ms: int) -> KafkaSettings:
    return settings.model_copy(
        update={"session_timeout_ms": session_ms, "heartbeat_interval_ms": 300, "transaction_timeout_ms": 10_000}
    )
