"""Brokers with short sessions, as for delivery."""

from tests.delivery.conftest import kafka_broker, real_kafka

__all__ = ["kafka_broker", "real_kafka"]
