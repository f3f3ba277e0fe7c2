"""Sending events from outside a function: `skureel publish`, the demo, replays and tests."""

from types import TracebackType
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer
from kafka.errors import KafkaError

from shared.errors import PermanentError, TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka.client import GROUP_PREFIX, NULL, producer_arguments, topic_name, unreachable
from shared.settings import KafkaSettings


class Publisher:
    """An idempotent producer of events. Leaving the context flushes; what could not be sent is raised there."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._failures: list[BaseException] = []
        self._failed = 0

    def __enter__(self) -> "Publisher":
        """Connect. Raises TemporaryError when no broker answers."""
        arguments = producer_arguments(self._settings, client_id=f"{GROUP_PREFIX}publisher-{uuid4().hex[:8]}")
        try:
            # Many small records at once: a few milliseconds fill the batches.
            self._producer = KafkaProducer(**arguments, linger_ms=5)
        except KafkaError as error:
            raise unreachable(self._settings, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._close()

    def publish(self, event: Event[Any]) -> None:
        """Send an event to its type's topic, keyed by the type's table."""
        message = to_kafka(event)
        self.publish_raw(topic_name(self._settings, event.type), message.key, message.value, message.headers)

    def publish_raw(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        """Send any bytes to a topic by its full name. Raises PermanentError `too-large` beyond the producer's limit."""
        try:
            future = self._producer.send(topic, NULL if value is None else value, key, headers or [])
        except KafkaError as error:
            raise _translated(topic, error) from error
        future.add_errback(self._failed_to_send)

    def flush(self, timeout_seconds: float = 60.0) -> None:
        """Wait until all that was published is acknowledged. Raises what the first failed record failed with."""
        try:
            self._producer.flush(timeout=timeout_seconds)
        except KafkaError as error:
            raise TemporaryError(f"not everything was sent in {timeout_seconds:g} s: {error}; send it again") from error
        if self._failures:
            first, failed = self._failures[0], self._failed
            self._failures, self._failed = [], 0
            raise _translated(f"{failed} records", first) from first

    def _failed_to_send(self, error: BaseException) -> None:
        self._failed += 1
        if not self._failures:
            self._failures.append(error)

    def _close(self) -> None:
        try:
            self._producer.close(timeout=10)
        except KafkaError:
            # Unsent records were already reported by flush.
            return


def _translated(subject: str, error: BaseException) -> TemporaryError | PermanentError:
    if type(error).__name__ in ("MessageSizeTooLargeError", "RecordListTooLargeError"):
        return PermanentError(
            f"{subject}: {error}; send less, or raise max.message.bytes and SKUREEL_KAFKA__MAX_REQUEST_SIZE_BYTES",
            reason="too-large",
        )
    return TemporaryError(f"{subject} could not be sent: {type(error).__name__}: {error}; send again")
