"""A broker that is away costs no sockets, however often it is asked for."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.inet import KafkaNetSocket

from shared.kafka.client import open_consumer
from shared.kafka.mends import open_client
from shared.kafka.producing import discard, open_producer
from shared.settings import KafkaSettings
from tests.polling import eventually
from tests.servers import RealKafka, make_topics

ATTEMPTS = 10


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process has no more files and threads open at the end; what the garbage collector would close counts."""
    process = psutil.Process()
    before, threads = process.num_fds(), process.num_threads()
    yield
    eventually(lambda: process.num_threads() <= threads, describe=lambda: f"{process.num_threads()} threads")
    assert process.num_fds() <= before


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("kind", [KafkaConsumer, KafkaProducer])
def test_clients_that_do_not_open_leave_nothing_behind(kind: type, nobody: str) -> None:
    with no_more_files():
        for _ in range(ATTEMPTS):
            with pytest.raises(KafkaError):
                open_client(kind, bootstrap_servers=nobody, bootstrap_timeout_ms=50, reconnect_backoff_ms=10)


def test_what_the_runtime_opens_leaves_nothing_behind(nobody: str) -> None:
    settings = KafkaSettings(bootstrap_servers=nobody)
    with no_more_files():
        with pytest.raises(KafkaError):
            open_consumer(settings, client_id="t", group_id=None, bootstrap_timeout_ms=50)
        with pytest.raises(KafkaError):
            open_producer(settings, client_id="t", bootstrap_timeout_ms=50)


def test_a_connection_that_is_refused_closes_its_socket(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _, port = nobody.partition(":")
    opened: list[socket.socket] = []

    def counted(self: KafkaNetSocket, *kind: int) -> socket.socket:
        opened.append(socket.socket(*kind))
        return opened[-1]

    class Net:
        async def wait_write(self, sock: socket.socket, timeout_at: float | None = None) -> None: ...

    async def connect() -> None:
        [address] = KafkaNetSocket().dns_lookup(host, int(port))
        await KafkaNetSocket().connect(Net(), address)

    monkeypatch.setattr(KafkaNetSocket, "socket", counted)
    with pytest.raises(KafkaConnectionError):
        asyncio.run(connect())
    assert [sock.fileno() for sock in opened] == [-1]


@pytest.mark.connected
def test_open_clients_whose_broker_is_away_ask_on_and_leave_no_sockets_behind(
    breakable_kafka: RealKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = breakable_kafka.settings.model_copy(update={"topic_prefix": "sockets."})
    make_topics(settings, "events")
    often = {"reconnect_backoff_ms": 10, "reconnect_backoff_max_ms": 20}
    consumer = open_consumer(settings, client_id="t", group_id=None, auto_offset_reset="earliest", **often)
    producer = open_producer(settings, client_id="t", **often)
    attempts: list[tuple[int, ...]] = []
    sock = KafkaNetSocket.socket

    def counted(self: KafkaNetSocket, *kind: int) -> socket.socket:
        attempts.append(kind)
        return sock(self, *kind)

    monkeypatch.setattr(KafkaNetSocket, "socket", counted)
    process = psutil.Process()
    try:
        consumer.assign([TopicPartition("sockets.events", 0)])
        producer.send("sockets.events", b"v", partition=0).get(timeout=30)
        eventually(lambda: consumer.poll(timeout_ms=100))
        connected = process.num_fds()
        breakable_kafka.kill()
        producer.send("sockets.events", b"v", partition=0)

        def asked_often() -> bool:
            consumer.poll(timeout_ms=50)
            return len(attempts) >= 60

        eventually(asked_often, 60, describe="sixty attempts to connect")
        # One of each client is being tried.
        assert process.num_fds() <= connected + 2
    finally:
        breakable_kafka.start()
        consumer.close(autocommit=False)
        discard(producer, 5)
