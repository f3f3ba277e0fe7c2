"""Sending: what every producer here does alike."""

import time
from collections.abc import Iterable
from typing import Any

from kafka.errors import KafkaError

from shared.kafka.mends import give_up_sending


def wait_for_all(futures: Iterable[Any], timeout_seconds: float) -> None:
    """Wait until all records are acknowledged. Raises what the first failed one failed with, or KafkaTimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    for future in futures:
        future.get(timeout=max(0.0, deadline - time.monotonic()))


def discard(producer: Any, timeout_seconds: float = 0.0) -> None:
    """Close a producer whose unsent records nobody waits for. Its open transaction is left to its next of name."""
    try:
        producer.close(timeout=timeout_seconds)
    except KafkaError:
        give_up_sending(producer)
