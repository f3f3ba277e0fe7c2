"""Reading events as they come, outside any group: `skureel tail`, the demo's page and tests."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from shared.errors import PermanentError, TemporaryError
from shared.events import EVENT_TYPES, Event
from shared.events.cloudevents import from_kafka
from shared.kafka.client import GROUP_PREFIX, consumer_arguments, topic_name
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record on an event topic that is no event."""

    topic: str
    partition: int
    offset: int
    error: PermanentError


def tail(
    settings: KafkaSettings,
    types: Collection[str] = (),
    *,
    from_beginning: bool = False,
    maximum: int | None = None,
    timeout_seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_unreadable: Callable[[Unreadable], None] | None = None,
) -> Iterator[Event[Any]]:
    """Committed events of the given types (all, if none is given), as they come; nothing is committed for any group.

    Ends after `maximum` events, after `timeout_seconds` in all, or when `stop()` says so; it is asked several times a
    second. A record that is no event is reported to `on_unreadable`, or logged. Raises TemporaryError when no broker
    answers.
    """
    arguments = consumer_arguments(settings, client_id=f"{GROUP_PREFIX}tail-{uuid4().hex[:8]}")
    topics = [topic_name(settings, name) for name in (types or EVENT_TYPES)]
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        consumer = KafkaConsumer(
            *topics, **arguments, group_id=None, auto_offset_reset="earliest" if from_beginning else "latest"
        )
    except KafkaError as error:
        raise TemporaryError(f"Kafka at {settings.bootstrap_servers} does not answer: {error}") from error
    given = 0
    try:
        while not stop() and (deadline is None or time.monotonic() < deadline):
            try:
                polled = consumer.poll(timeout_ms=200)
            except KafkaError as error:
                log.warning("reading failed: %s: %s; reading on", type(error).__name__, error)
                continue
            for record in (record for records in polled.values() for record in records):
                try:
                    event = from_kafka(record.headers, record.value)
                except PermanentError as error:
                    _report(Unreadable(record.topic, record.partition, record.offset, error), on_unreadable)
                    continue
                if maximum is not None and given >= maximum:
                    return
                given += 1
                yield event
            if maximum is not None and given >= maximum:
                return
    finally:
        consumer.close(autocommit=False)


def _report(unreadable: Unreadable, on_unreadable: Callable[[Unreadable], None] | None) -> None:
    if on_unreadable is not None:
        on_unreadable(unreadable)
        return
    log.warning(
        "%s[%d]@%d is no event: %s", unreadable.topic, unreadable.partition, unreadable.offset, unreadable.error
    )
