"""Sending events from outside a function: `skureel publish`, the demo, replays and tests."""

from types import TracebackType
from typing import Any
from uuid import uuid4

from kafka.errors import KafkaError, KafkaTimeoutError

from shared.errors import TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka.client import GROUP_PREFIX, topic_name
from shared.kafka.failures import missing_topics, translated, translation
from shared.kafka.listener import check_listeners
from shared.kafka.producing import Outgoing, hand_over, open_producer
from shared.settings import KafkaSettings

_TOPIC_MS = 5_000
"""How long a topic is looked for: one that the broker makes when it is asked for is there by then."""
_MOST_UNSENT_BYTES = 32 * 1024 * 1024
"""What may wait to be sent: a file of any size is published in as much memory."""


class Publisher:
    """An idempotent producer of events. Leaving the context flushes; what could not be sent is raised there."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._known: set[str] = set()
        self._unsent_bytes = 0
        self._failures: list[BaseException] = []
        self._failed = 0

    def __enter__(self) -> "Publisher":
        """Connect. Raises ConfigurationError or TemporaryError when no broker takes us."""
        check_listeners(self._settings)
        with translated(self._settings, "publishing"):
            self._producer = open_producer(
                self._settings,
                client_id=f"{GROUP_PREFIX}publisher-{uuid4().hex[:8]}",
                max_block_ms=_TOPIC_MS,
                # Many small records at once: a few milliseconds fill the batches.
                linger_ms=5,
            )
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
        """Send any bytes to a topic by its full name.

        Raises PermanentError `too-large` beyond the producer's limit, ConfigurationError when the topic is not there.
        """
        if topic not in self._known:
            self._look_for(topic)
        record = Outgoing(topic, key, value, headers or [])
        with translated(self._settings, topic):
            future = hand_over(self._producer, record)
        future.add_errback(self._failed_to_send)
        # The client itself takes whatever it is given.
        self._unsent_bytes += len(key or b"") + len(value or b"")
        if self._unsent_bytes > _MOST_UNSENT_BYTES:
            self.flush()

    def _look_for(self, topic: str) -> None:
        with translated(self._settings, topic):
            try:
                self._producer.partitions_for(topic)
            except KafkaTimeoutError as error:
                raise missing_topics(self._settings, [topic]) from error
        self._known.add(topic)

    def flush(self, timeout_seconds: float = 60.0) -> None:
        """Wait until all that was published is acknowledged. Raises what the first failed record failed with."""
        try:
            self._producer.flush(timeout=timeout_seconds)
        except KafkaError as error:
            raise TemporaryError(
                f"Kafka at {self._settings.bootstrap_servers} did not take everything in {timeout_seconds:g} s: "
                f"{error}; send it again"
            ) from error
        self._unsent_bytes = 0
        if self._failures:
            first, failed = self._failures[0], self._failed
            self._failures, self._failed = [], 0
            raise translation(self._settings, f"{failed} records", first, "send them again") from first

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
