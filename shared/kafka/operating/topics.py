"""The topics skureel needs: made on request, and checked by `skureel doctor`."""

import logging
from collections.abc import Collection
from typing import Any
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from shared.errors import ConfigurationError
from shared.events import EVENT_TYPES, READ_TYPES
from shared.kafka.client import (
    DEAD_LETTER_SUFFIX,
    GROUP_PREFIX,
    HEADER_ROOM_BYTES,
    connection,
    retry_delay,
    retry_topics,
    topic_name,
)
from shared.kafka.failures import translated
from shared.kafka.listener import check_listeners
from shared.kafka.mends import open_client
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)


def needed_topics(settings: KafkaSettings) -> tuple[str, ...]:
    """Every topic by its full name: one for each event type, and for those that are read one for each delay of a retry
    and one for dead letters."""
    names: list[str] = []
    for event_type in EVENT_TYPES:
        topic = topic_name(settings, event_type)
        names.append(topic)
        if event_type in READ_TYPES:
            names += [*retry_topics(settings, event_type), topic + DEAD_LETTER_SUFFIX]
    return tuple(names)


def create_topics(settings: KafkaSettings, *, partitions: int = 6, replication: int = -1) -> tuple[str, ...]:
    """Make the topics that are missing, and return their names. Those that exist are left as they are.

    `replication` -1 takes the broker's default. Every topic takes records of `max_request_size_bytes`; dead letter and
    retry topics take the headers that tell why besides. What waits in a retry topic is dated by the broker: how long
    it waits is not left to the clock of the worker that failed. A broker that keeps no offsets of transactions
    (`offsets=plain`, like the embedded one) has no topic administration either: it makes a topic with its own number
    of partitions when the topic is first asked for, so asking is what is done.
    """
    check_listeners(settings)
    arguments = connection(settings, client_id=f"{GROUP_PREFIX}admin-{uuid4().hex[:8]}")
    with translated(settings, "making topics"), open_client(KafkaAdminClient, **arguments) as admin:
        existing = set(admin.list_topics())
        missing = tuple(name for name in needed_topics(settings) if name not in existing)
        if not missing:
            return ()
        if settings.offsets == "plain":
            _ask_for(settings, missing)
        else:
            _create(admin, [_topic(settings, name, partitions, replication) for name in missing])
            # Made is not yet known everywhere: the next command must not find them missing.
            admin.wait_for_topics(list(missing), timeout_ms=30_000)
    return missing


def check(settings: KafkaSettings) -> str:
    """One line that says which broker answers and that all topics are there.

    Raises TemporaryError when none answers, ConfigurationError when none takes us or topics are missing.
    """
    check_listeners(settings)
    arguments = connection(settings, client_id=f"{GROUP_PREFIX}check-{uuid4().hex[:8]}")
    with (
        translated(settings, "checking"),
        open_client(KafkaConsumer, **arguments, bootstrap_timeout_ms=10_000) as consumer,
    ):
        version = ".".join(map(str, consumer.config["api_version"]))
        existing = consumer.topics()
    missing = [name for name in needed_topics(settings) if name not in existing]
    if missing:
        raise ConfigurationError(
            f"Kafka {version} at {settings.bootstrap_servers} answers and lacks {', '.join(missing)}; "
            "run `skureel topics create`"
        )
    return (
        f"Kafka {version} at {settings.bootstrap_servers} answers, all {len(needed_topics(settings))} topics are there"
    )


def _topic(settings: KafkaSettings, name: str, partitions: int, replication: int) -> Any:
    largest = settings.max_request_size_bytes
    more: dict[str, str] = {}
    if retry_delay(name) is not None:
        more = {"message.timestamp.type": "LogAppendTime"}
    if more or name.endswith(DEAD_LETTER_SUFFIX):
        largest += HEADER_ROOM_BYTES
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=replication,
        # A batch adds its own header to the record it holds.
        topic_configs={"max.message.bytes": str(largest + 1024), **more},
    )


def _create(admin: Any, topics: list[Any]) -> None:
    for topic in topics:
        try:
            admin.create_topics([topic])
        except TopicAlreadyExistsError:
            log.info("another process made %s meanwhile", topic.name)


def _ask_for(settings: KafkaSettings, names: Collection[str]) -> None:
    """As before a first record is sent; a consumer's question makes no topic there."""
    producer = open_client(KafkaProducer, **connection(settings, client_id=f"{GROUP_PREFIX}topics-{uuid4().hex[:8]}"))
    try:
        for name in names:
            producer.partitions_for(name)
    finally:
        producer.close(timeout=5)
