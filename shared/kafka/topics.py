"""The topics skureel needs: made on request, and checked by `skureel doctor`."""

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from shared.errors import ConfigurationError, TemporaryError
from shared.events import EVENT_TYPES
from shared.kafka.client import (
    DEAD_LETTER_SUFFIX,
    GROUP_PREFIX,
    HEADER_ROOM_BYTES,
    RETRY_SUFFIX,
    connection,
    topic_name,
)
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

FINAL_TYPES = frozenset({"video.ready", "video.rejected"})
"""Types that no function here consumes, so that they need no retry and no dead letters."""


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What `check` found."""

    reachable: bool
    version: str = ""
    error: str = ""
    missing: tuple[str, ...] = field(default=())


def needed_topics(settings: KafkaSettings) -> tuple[str, ...]:
    """Every topic by its full name: one for each event type, and `.retry` and `.dlq` of those that are consumed."""
    names: list[str] = []
    for event_type in EVENT_TYPES:
        topic = topic_name(settings, event_type)
        names.append(topic)
        if event_type not in FINAL_TYPES:
            names += [topic + RETRY_SUFFIX, topic + DEAD_LETTER_SUFFIX]
    return tuple(names)


def create_topics(settings: KafkaSettings, *, partitions: int = 6, replication: int = -1) -> tuple[str, ...]:
    """Make the topics that are missing, and return their names. Those that exist are left as they are.

    `replication` -1 takes the broker's default. Every topic takes records of `max_request_size_bytes`; dead letter and
    retry topics take the headers that tell why besides. A broker that keeps no offsets of transactions
    (`offsets=plain`, like the embedded one) has no topic administration either: it makes a topic with its own number
    of partitions when the topic is first asked for, so asking is what is done.
    """
    with _admin(settings) as admin:
        try:
            existing = set(admin.list_topics())
            missing = tuple(name for name in needed_topics(settings) if name not in existing)
            if not missing:
                return ()
            if settings.offsets == "plain":
                admin.describe_topics(list(missing))
            else:
                _create(admin, [_topic(settings, name, partitions, replication) for name in missing])
        except KafkaError as error:
            raise TemporaryError(f"topics could not be made: {type(error).__name__}: {error}") from error
    return missing


def check(settings: KafkaSettings) -> BrokerReport:
    """Ask the broker whether it answers, its version, and which needed topics are missing. Never raises KafkaError."""
    arguments = connection(settings, client_id=f"{GROUP_PREFIX}check-{uuid4().hex[:8]}")
    try:
        with KafkaConsumer(**arguments) as consumer:
            version = ".".join(map(str, consumer.config["api_version"]))
            existing = consumer.topics()
    except KafkaError as error:
        return BrokerReport(reachable=False, error=f"{type(error).__name__}: {error}")
    missing = tuple(name for name in needed_topics(settings) if name not in existing)
    return BrokerReport(reachable=True, version=version, missing=missing)


def _topic(settings: KafkaSettings, name: str, partitions: int, replication: int) -> Any:
    largest = settings.max_request_size_bytes
    if name.endswith((RETRY_SUFFIX, DEAD_LETTER_SUFFIX)):
        largest += HEADER_ROOM_BYTES
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=replication,
        # A batch adds its own header to the record it holds.
        topic_configs={"max.message.bytes": str(largest + 1024)},
    )


def _create(admin: Any, topics: list[Any]) -> None:
    for topic in topics:
        try:
            admin.create_topics([topic])
        except TopicAlreadyExistsError:
            log.info("another process made %s meanwhile", topic.name)


def _admin(settings: KafkaSettings) -> Any:
    arguments = connection(settings, client_id=f"{GROUP_PREFIX}admin-{uuid4().hex[:8]}")
    try:
        return KafkaAdminClient(**arguments)
    except KafkaError as error:
        raise TemporaryError(f"Kafka at {settings.bootstrap_servers} does not answer: {error}") from error
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the Kafka settings do not fit together: {error}") from error
