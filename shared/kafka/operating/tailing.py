"""Reading events as they come, outside any group: `skureel tail`, the demo's page and tests."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka.errors import AuthorizationError, KafkaError

from shared.errors import PermanentError
from shared.events import EVENT_TYPES, Event
from shared.kafka.client import GROUP_PREFIX, open_consumer, place_of, topic_name
from shared.kafka.failures import missing_topics, translated, translation
from shared.kafka.listener import check_listeners
from shared.kafka.reading import event_of
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record on an event topic that is no event."""

    topic: str
    partition: int
    offset: int
    error: PermanentError

    @property
    def place(self) -> str:
        """`topic:partition:offset`."""
        return place_of(self)


def tail(
    settings: KafkaSettings,
    types: Collection[str] = (),
    *,
    from_beginning: bool = False,
    max_events: int | None = None,
    timeout_seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_unreadable: Callable[[Unreadable], None] | None = None,
) -> Iterator[Event[Any]]:
    """Committed events of the given types (all, if none is given), as they come; nothing is committed for any group.

    Ends after `max_events`, when nothing came for `timeout_seconds`, or when `stop()` says so, which is asked several
    times a second. A record that is no event is reported to `on_unreadable`, or logged. Raises TemporaryError when no
    broker answers at first, ConfigurationError when none takes us, a topic is not there or reading is not allowed.
    """
    topics = [topic_name(settings, name) for name in (types or EVENT_TYPES)]
    consumer = _open(settings, topics, from_beginning=from_beginning)
    given = 0
    last = time.monotonic()
    try:
        while not stop() and (timeout_seconds is None or time.monotonic() - last < timeout_seconds):
            for record in _poll(settings, consumer):
                try:
                    event = event_of(record)
                except PermanentError as error:
                    _report(Unreadable(record.topic, record.partition, record.offset, error), on_unreadable)
                    continue
                yield event
                last = time.monotonic()
                given += 1
                if given == max_events:
                    return
    finally:
        consumer.close(autocommit=False)


def _open(settings: KafkaSettings, topics: list[str], *, from_beginning: bool) -> Any:
    check_listeners(settings)
    with translated(settings, "reading"):
        consumer = open_consumer(
            settings,
            client_id=f"{GROUP_PREFIX}tail-{uuid4().hex[:8]}",
            group_id=None,
            auto_offset_reset="earliest" if from_beginning else "latest",
        )
        try:
            # The client would wait for a topic that is not there, without a word.
            missing = [topic for topic in topics if not consumer.partitions_for_topic(topic)]
            if missing:
                raise missing_topics(settings, missing)
            consumer.subscribe(topics=topics)
        except BaseException:
            consumer.close(autocommit=False)
            raise
    return consumer


def _poll(settings: KafkaSettings, consumer: Any) -> list[Any]:
    try:
        polled = consumer.poll(timeout_ms=200)
    except AuthorizationError as error:
        raise translation(settings, "reading", error) from error
    except KafkaError as error:
        log.warning("reading failed: %s: %s; reading on", type(error).__name__, error)
        time.sleep(0.2)  # an error that stays would fill the log
        return []
    return [record for records in polled.values() for record in records]


def _report(unreadable: Unreadable, on_unreadable: Callable[[Unreadable], None] | None) -> None:
    if on_unreadable is not None:
        on_unreadable(unreadable)
        return
    log.warning("%s is no event: %s", unreadable.place, unreadable.error)
