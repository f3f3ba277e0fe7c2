"""Live while the owner comes round, ready while records are taken; metrics without labels from events."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import GroupAuthorizationFailedError
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import ConfigurationError, PermanentError, SkureelError
from shared.events import Event
from shared.health import MOST_CONNECTIONS, HealthServer
from shared.kafka import Worker
from shared.kafka.client import retry_topic
from shared.kafka.listener import problem_of
from shared.metrics import JOB_BUCKETS_SECONDS
from shared.settings import HealthSettings, KafkaSettings
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    Answering,
    answered,
    make_delivery_topics,
    publish_products,
    running,
)
from tests.polling import eventually
from tests.servers import make_topics

LOOPBACK = HealthSettings(host="127.0.0.1", port=0)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(("live", "ready"), [(True, True), (True, False), (False, True), (False, False)])
def test_probes_answer_by_status_and_body(live: bool, ready: bool) -> None:
    reason = None if ready else "its topics are missing\x1b"
    with HealthServer(LOOPBACK, live=lambda: live, unready=lambda: reason, registry=CollectorRegistry()) as server:
        status, body = get(server.port, "/health/live")
        assert (status, json.loads(body)) == (200 if live else 503, {"live": live})
        status, body = get(server.port, "/health/ready?verbose")
        told = json.loads(body)
        assert (status, told["ready"]) == (200 if live and ready else 503, live and ready)
        if not live:
            assert told["reason"] == "the worker has not come round for too long"
        else:
            assert told.get("reason") == (None if ready else "its topics are missing\\x1b")
        assert get(server.port, "/elsewhere")[0] == 404


def test_who_is_ready_says_what_is_wrong_all_the_same() -> None:
    with HealthServer(
        LOOPBACK, live=lambda: True, unready=lambda: None, notice=lambda: "one is held", registry=CollectorRegistry()
    ) as server:
        status, body = get(server.port, "/health/ready")
    assert (status, json.loads(body)) == (200, {"ready": True, "notice": "one is held"})


def test_a_probe_that_fails_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise RuntimeError("the function cannot tell")

    with HealthServer(LOOPBACK, live=lambda: True, unready=broken, registry=CollectorRegistry()) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            get(server.port, "/health/ready")
        assert get(server.port, "/health/live")[0] == 200
    assert "a probe from 127.0.0.1 was not answered: RuntimeError('the function cannot tell')" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


def test_a_crowd_of_slow_clients_costs_few_threads_and_keeps_no_probe_from_its_answer() -> None:
    with (
        HealthServer(LOOPBACK, live=lambda: True, unready=lambda: None, registry=CollectorRegistry()) as server,
        ExitStack() as crowd,
    ):
        before = threading.active_count()
        for _ in range(100):
            slow = crowd.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            slow.sendall(b"GET /health/li")
        for path in ("/health/live", "/health/ready"):
            assert get(server.port, path)[0] == 200
        assert threading.active_count() - before <= MOST_CONNECTIONS + 2  # two that are about to end


def test_a_request_that_never_ends_is_ended_whatever_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.health.REQUEST_SECONDS", 0.5)
    with (
        HealthServer(LOOPBACK, live=lambda: True, unready=lambda: None, registry=CollectorRegistry()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as slow,
    ):

        def ended() -> bool:
            try:
                slow.sendall(b"x")
                return slow.recv(1024) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(ended)
        assert get(server.port, "/health/live")[0] == 200


def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    with HealthServer(LOOPBACK, live=lambda: True, unready=lambda: None, registry=CollectorRegistry()) as server:
        taken = HealthSettings(host="127.0.0.1", port=server.port)
        second = HealthServer(taken, live=lambda: True, unready=lambda: None, registry=CollectorRegistry())
        with pytest.raises(ConfigurationError, match="SKUREEL_HEALTH__PORT"):
            second.__enter__()


@pytest.mark.parametrize(
    ("host", "asked"),
    [("::", ("127.0.0.1", "[::1]")), ("::1", ("[::1]",)), ("0.0.0.0", ("127.0.0.1",)), ("localhost", ("localhost",))],
)
def test_probes_are_answered_on_both_kinds_of_addresses(host: str, asked: tuple[str, ...]) -> None:
    settings = HealthSettings(host=host, port=0)
    with HealthServer(settings, live=lambda: True, unready=lambda: None, registry=CollectorRegistry()) as server:
        for name in asked:
            with urllib.request.urlopen(f"http://{name}:{server.port}/health/ready", timeout=5) as response:
                assert response.status == 200


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_a_configuration_error(host: str) -> None:
    settings = HealthSettings(host=host, port=0)
    server = HealthServer(settings, live=lambda: True, unready=lambda: None, registry=CollectorRegistry())
    with pytest.raises(ConfigurationError, match="SKUREEL_HEALTH__HOST"):
        server.__enter__()


def test_a_worker_is_ready_only_with_a_warm_function_and_a_group(kafka_broker: KafkaSettings) -> None:
    class Warming(Answering):
        warm = False

        def ready(self) -> bool:
            return self.warm

    make_delivery_topics(kafka_broker, partitions=1)
    function = Warming()
    idle = Worker(function, kafka_broker)
    assert idle.live()
    assert not idle.ready()
    publish_products(kafka_broker, ["p-1"])
    with running(function, kafka_broker) as worker:
        # Whoever has answered is a member.
        eventually(lambda: answered(kafka_broker) == ["p-1"])
        assert not worker.ready()
        function.warm = True
        eventually(worker.ready)
        worker.stop()
        assert not worker.ready(), "a draining worker must not be sent anything"


def test_a_long_job_does_not_make_a_worker_look_dead(
    kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.kafka.runtime.worker._STALLED_SECONDS", 2.0)
    make_delivery_topics(kafka_broker, partitions=1)
    gate = threading.Event()
    function = Answering(lambda event: gate.wait(60) and None)
    publish_products(kafka_broker, ["p-1"])
    with running(function, kafka_broker) as worker:
        eventually(lambda: function.handled)
        for _ in range(8):
            # Half a second each, four in all: twice what an owner may stay away.
            gate.wait(0.5)
            seen = worker._came_round
            eventually(lambda: worker._came_round > seen)  # noqa: B023 - called at once
            assert worker.live()
        gate.set()
        eventually(lambda: answered(kafka_broker) == ["p-1"])


def test_an_owner_that_is_stuck_is_not_live(kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.kafka.runtime.worker._STALLED_SECONDS", 2.0)
    make_delivery_topics(kafka_broker, partitions=1)
    go_on = threading.Event()
    with running(Answering(), kafka_broker) as worker:
        eventually(worker.ready)
        poll = worker._membership._consumer.poll

        def hang(timeout_ms: int) -> Any:
            assert go_on.wait(60)
            return poll(timeout_ms=timeout_ms)

        monkeypatch.setattr(worker._membership._consumer, "poll", hang)
        try:
            eventually(lambda: not worker.live())
        finally:
            go_on.set()
        eventually(worker.live)


def test_a_broker_that_takes_connections_and_answers_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    def unanswered(settings: KafkaSettings) -> SkureelError:
        attempts.append(str(settings.bootstrap_servers))
        return problem_of(settings) or pytest.fail("nobody has answered")

    monkeypatch.setattr("shared.kafka.listener.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("shared.kafka.client.problem_of", unanswered)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = KafkaSettings(bootstrap_servers=f"127.0.0.1:{listener.getsockname()[1]}")
        with running(Answering(), broker) as worker:
            eventually(lambda: attempts)
            at_first = worker._came_round
            eventually(lambda: len(attempts) >= 3)
            assert worker._came_round > at_first, "it looks dead, and is restarted, however often it asks"
            assert not worker.ready()
        # Leaving has stopped it: it did not go on asking.


def test_a_group_that_may_not_be_joined_stops_the_worker(
    kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_delivery_topics(kafka_broker, partitions=1)

    def refused(*_: object, **__: object) -> None:
        raise GroupAuthorizationFailedError("skureel-answering")

    monkeypatch.setattr(KafkaConsumer, "poll", refused)
    with pytest.raises(ConfigurationError, match="check credentials and ACLs"):
        Worker(Answering(), kafka_broker).run()


@pytest.mark.connected
def test_a_worker_without_its_topics_says_so_and_is_not_ready(
    real_kafka: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: "run `skureel topics create`" in caplog.text)
        topic = real_kafka.topic_prefix + "product.created"
        needed = ", ".join(topic + ending for ending in ("", ".dlq", ".retry.30s", ".retry.300s"))
        assert f"has none of the topics {needed}, or does not" in caplog.text
        assert worker.live()
        assert not worker.ready()
        make_delivery_topics(real_kafka, partitions=2)
        publish_products(real_kafka, ["p-1"])
        # The client by itself would find them after five minutes.
        eventually(lambda: answered(real_kafka) == ["p-1"], 60)
        eventually(worker.ready)


class Derive(Answering):
    name = "derive_prompt"
    """The table of event types says what it writes."""


@pytest.mark.connected
@pytest.mark.parametrize("missing", [CREATED + ".dlq", retry_topic(CREATED, 300.0), ANSWER])
def test_a_worker_that_lacks_a_topic_it_writes_to_says_so_and_is_not_ready(
    real_kafka: KafkaSettings, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    needed = [CREATED, CREATED + ".dlq", *(retry_topic(CREATED, delay) for delay in (30.0, 300.0))]
    needed += ["video.requested", "video.ready", ANSWER]
    make_topics(real_kafka, *(topic for topic in needed if topic != missing))
    with running(Derive(), real_kafka) as worker:
        eventually(lambda: f"has no topic {real_kafka.topic_prefix}{missing}, or does not" in caplog.text)
        assert worker.live()
        assert not worker.ready()
        assert f"Kafka has no topic {real_kafka.topic_prefix}{missing}" in (worker.unready_reason() or "")
        make_topics(real_kafka, missing)
        eventually(worker.ready)


def test_metrics_count_every_ending(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)

    def behave(event: Event[Any]) -> None:
        if event.data.product_id == "bad":
            raise PermanentError("never", reason="no-name")

    publish_products(kafka_broker, ["a", "bad", "b"])
    with running(Answering(behave), kafka_broker) as worker:
        eventually(lambda: len(answered(kafka_broker)) == 2)
        registry = worker.metrics.registry
        with HealthServer(LOOPBACK, live=worker.live, unready=lambda: None, registry=registry) as server:
            text = get(server.port, "/metrics")[1]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    topic = kafka_broker.topic_prefix + "product.created"
    counts = {
        sample.labels["ending"]: sample.value
        for sample in families["skureel_records"].samples
        if sample.name.endswith("_total") and sample.labels["topic"] == topic
    }
    assert counts == {"emitted": 2, "dead": 1}
    reasons = [s.labels["reason"] for s in families["skureel_dead_letters"].samples if s.name.endswith("_total")]
    assert reasons == ["no-name"]
    buckets = [s for s in families["skureel_handler_seconds"].samples if s.name.endswith("_bucket")]
    assert [bucket.labels["le"] for bucket in buckets] == [*map(str, JOB_BUCKETS_SECONDS), "+Inf"]
    assert buckets[-1].value == 3
    labels = {label for family in families.values() for sample in family.samples for label in sample.labels}
    bounded = {"topic", "ending", "reason", "verdict", "kind", "outcome", "slot", "le"}
    assert labels <= bounded, "a label could take any value"
