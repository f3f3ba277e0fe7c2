"""How every Kafka client of skureel is set up: connection, security, names of topics and groups.

Settings become kafka-python arguments here and nowhere else.
"""

import logging
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import count
from typing import Any, Final

from kafka import KafkaConsumer
from kafka.serializer import Serializer

from shared.errors import ConfigurationError
from shared.kafka.batches import Limits
from shared.kafka.listener import problem_of, sasl_arguments
from shared.kafka.mends import open_client, read_patiently
from shared.printable import one_line_of_bytes
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

DEAD_LETTER_SUFFIX = ".dlq"
GROUP_PREFIX = "skureel-"

_NO_SENSORS = {"metrics_enabled": False}
# The client's own sensors cost about a tenth of a consume-produce loop; the runtime counts for itself.

HEADER_ROOM_BYTES = 256 * 1024
"""What a retry or dead letter record may be larger than the record it holds: the headers that tell its story."""

_BOOTSTRAP_MS = 30_000
_KEY_CHARACTERS = 80

FETCH_BYTES = 256 * 1024
"""What one fetch brings of a partition at most, unless a single record is larger: about a hundred product events."""

POLL_RECORDS = 500
"""What one poll brings at most."""

UNPACKED_RECORDS = 8
"""How many of the largest records a packed batch may unpack to: a bomb unpacks to a thousand times its size."""


class NullableBytes(Serializer):  # type: ignore[misc]  # kafka-python is untyped
    """Lets a record with neither key nor value be sent, which the producer's own check refuses.

    Such a record can be read, so it must be possible to keep it as a dead letter.
    """

    def serialize(self, topic: str, headers: list[tuple[str, bytes]], data: Any) -> Any:
        return None if data is NULL else data


NULL: Final = object()
"""Stands for a null value in `KafkaProducer.send`."""


def topic_name(settings: KafkaSettings, event_type: str) -> str:
    """The topic of an event type in this environment."""
    return settings.topic_prefix + event_type


def group_name(settings: KafkaSettings, function_name: str) -> str:
    """The consumer group of a function in this environment."""
    return GROUP_PREFIX + settings.topic_prefix + function_name


_RETRY_ENDING = r"\.retry\.(\d+(?:\.\d+)?)s$"
"""How the name of a retry topic ends: with its delay, in seconds."""


def retry_topic(topic: str, delay_seconds: float) -> str:
    """Where a topic's records wait that long: `product.created.retry.30s`, `product.created.retry.0.5s`."""
    return f"{topic}.retry.{format(Decimal(repr(delay_seconds)).normalize(), 'f')}s"


def retry_topics(settings: KafkaSettings, event_type: str) -> tuple[str, ...]:
    """The retry topics of an event type with the delays of today, shortest first."""
    topic = topic_name(settings, event_type)
    return tuple(retry_topic(topic, delay) for delay in sorted(set(settings.retry_delays_seconds)))


def any_retry_topic(settings: KafkaSettings, event_types: Iterable[str]) -> str:
    """A regular expression of all retry topics of these event types, with delays of former settings too."""
    return f"^{re.escape(settings.topic_prefix)}(?:{'|'.join(map(re.escape, event_types))}){_RETRY_ENDING}"


def retry_delay(topic: str) -> float | None:
    """How long records wait in a retry topic, in seconds; None for any other topic."""
    found = re.search(_RETRY_ENDING, topic)
    return float(found[1]) if found else None


def base_topic(topic: str) -> str:
    """The topic that a retry or dead letter topic belongs to; any other topic is its own."""
    return re.sub(_RETRY_ENDING, "", topic.removesuffix(DEAD_LETTER_SUFFIX))


def place_of(record: Any) -> str:
    """Where a record lies, as everything prints it and `skureel deadletters show` takes it: topic:partition:offset."""
    return f"{record.topic}:{record.partition}:{record.offset}"


def named(record: Any) -> str:
    """A record as the log speaks of it: its place and its key, which is the product's id where products are."""
    key = f" (key {one_line_of_bytes(record.key, _KEY_CHARACTERS)})" if record.key else ""
    return place_of(record) + key


def connection(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    """kafka-python arguments that every client shares: where the brokers are and how to speak to them.

    Raises ConfigurationError when no broker is named or a SASL protocol lacks its credentials.
    """
    if not settings.bootstrap_servers:
        raise ConfigurationError("no Kafka broker is set; set SKUREEL_KAFKA__BOOTSTRAP_SERVERS=host:port")
    arguments: dict[str, Any] = {
        "bootstrap_servers": [part.strip() for part in settings.bootstrap_servers.split(",") if part.strip()],
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        # The default of 30 s is how long a broker could be back before anyone looks.
        "reconnect_backoff_max_ms": 2_000,
    }
    if settings.api_version is not None:
        arguments["api_version"] = tuple(int(part) for part in settings.api_version.split("."))
    if settings.security_protocol in ("SSL", "SASL_SSL"):
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(settings, name)
            if path is not None:
                arguments[name] = str(path)
    if settings.security_protocol.startswith("SASL_"):
        arguments |= sasl_arguments(settings)
    return arguments


def wait_for_broker(settings: KafkaSettings, *, give_up: Callable[[], bool], pause: Callable[[float], object]) -> bool:
    """Wait until one of the brokers takes us; False if `give_up()` said so before. Raises ConfigurationError when one
    says that it never will.

    kafka-python's clients give up connecting in their constructor; the listener can be asked as often as it takes.
    """
    for attempt in count():
        if give_up():
            return False
        problem = problem_of(settings)
        if problem is None:
            return True
        if isinstance(problem, ConfigurationError):
            raise problem
        if attempt % 30 == 0:
            log.warning("%s; asking on", problem)
        pause(1.0)
    raise AssertionError("unreachable")


def producer_arguments(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    """Arguments of an idempotent producer of records as large as any that can be read, and headers besides."""
    return {
        **connection(settings, client_id=client_id),
        **_NO_SENSORS,
        "enable_idempotence": True,
        "acks": "all",
        "max_request_size": settings.max_request_size_bytes + HEADER_ROOM_BYTES,
        # Full batches matter more than the first record's latency: a release is flushed as a whole anyway.
        "batch_size": 128 * 1024,
        # The client checksums every byte it sends in Python, at 9 MB/s; events shrink to a tenth, in C.
        "compression_type": "gzip",
        "max_block_ms": 15_000,
        "value_serializer": NullableBytes(),
    }


def open_consumer(settings: KafkaSettings, *, client_id: str, **more: Any) -> Any:
    """A consumer that reads committed records only and never commits by itself; `more` are kafka-python arguments.

    What it polls are records and `UnreadableBatch`es, at most `POLL_RECORDS` at once, each partition's in its turn. A
    partition that cannot be read on is held: see `mends.held_partitions`. Raises KafkaError when no broker answers.
    """
    consumer = open_client(KafkaConsumer, **{**_consumer_arguments(settings, client_id=client_id), **more})
    try:
        most_bytes = settings.max_request_size_bytes
        read_patiently(consumer, Limits(unpacked_bytes=UNPACKED_RECORDS * most_bytes, raw_bytes=most_bytes))
        # Told the brokers' version, kafka-python 3.0.12 asks for the cluster's metadata beside its caller. Topics that
        # are subscribed to before the answer are taken for answered, and found five minutes later.
        consumer.bootstrap(timeout_ms=_BOOTSTRAP_MS)
    except BaseException:
        consumer.close(autocommit=False)
        raise
    return consumer


def _consumer_arguments(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    return {
        **connection(settings, client_id=client_id),
        **_NO_SENSORS,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "max_poll_records": POLL_RECORDS,
        "max_partition_fetch_bytes": FETCH_BYTES,
    }
