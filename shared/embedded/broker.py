"""The embedded broker: librdkafka's mock cluster, a TCP server inside this process. Up in milliseconds, no Java.

It speaks the real protocol: our kafka-python clients, in this process or another, use it as they use Apache Kafka.
Measured with confluent-kafka 2.14 and kafka-python 3.0.12, this is what it does otherwise:

- It keeps nothing: topics, records and offsets are gone with the context manager.
- It keeps the last 5 MiB of a partition. Older records are dropped while new ones come, read or not. Records over
  5 MiB are accepted and lost, with others that follow them; those of 2 MiB pass.
- Topics are made at first use, with 4 partitions, always. Requests that need a controller (create, delete or alter
  topics) fail with UnknownBrokerIdError; listing and describing consumer groups closes the connection. Topics and the
  cluster can be described, and committed offsets be read by a consumer of the group.
- Transactions are accepted and mean nothing: records of an aborted or open transaction are visible, also to
  `read_committed`, and offsets sent in a transaction are dropped. Hence `offsets="plain"` in the settings yielded.
  Exactly-once can only be shown on Apache Kafka. From confluent-kafka 2.15 on it writes transaction markers without a
  checksum, on which kafka-python stops, therefore the extra asks for an older one.
- `offsets_for_times` answers None for every time.
- It refuses offset commits during a whole rebalance; Apache Kafka takes them in its first half.
- A member that has left its group is only forgotten when its session times out, and the next one waits for that long;
  hence a short session.
- Broker versions above 2.3 are not understood by it, hence `api_version="2.3"`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ConfigurationError
from shared.settings import KafkaSettings

START_TIMEOUT_SECONDS = 10.0
SESSION_TIMEOUT_MS = 10_000


@contextmanager
def embedded_broker() -> Iterator[KafkaSettings]:
    """Run a one-node broker on a free loopback port; yields the settings that reach it."""
    try:
        from confluent_kafka import KafkaException, Producer  # an extra
    except ImportError as error:
        raise ConfigurationError(
            "the embedded broker needs confluent-kafka, which is not installed; `pip install 'skureel[embedded]'`, "
            "or name a broker in SKUREEL_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    # The mock cluster belongs to a client and lives as long as it. This one never sends anything.
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    try:
        brokers = owner.list_topics(timeout=START_TIMEOUT_SECONDS).brokers.values()
    except KafkaException as error:
        raise ConfigurationError(
            f"the embedded broker does not answer on the loopback: {error}; "
            "name a broker in SKUREEL_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    try:
        yield KafkaSettings(
            bootstrap_servers=",".join(f"{broker.host}:{broker.port}" for broker in brokers),
            api_version="2.3",
            offsets="plain",
            session_timeout_ms=SESSION_TIMEOUT_MS,
        )
    finally:
        del owner
