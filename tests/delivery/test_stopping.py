"""SIGTERM and its friends: finish or hand back, commit or abandon, leave the group, exit 0."""

import signal
import threading
import time
from pathlib import Path

import pytest

from shared.kafka import Worker, serve
from shared.settings import HealthSettings, KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    make_delivery_topics,
    publish_products,
    records_of,
    running,
)
from tests.delivery.test_rebalances import Gated
from tests.delivery.worker_process import began, worker_process
from tests.polling import eventually

GROUP_OF = "skureel-{}answering"


@pytest.mark.slow
def test_the_first_sigterm_finishes_what_is_in_work_and_hands_back_the_rest(
    kafka_broker: KafkaSettings, tmp_path: Path
) -> None:
    settings = kafka_broker.model_copy(update={"handler_threads": 2})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, [f"p-{number}" for number in range(10)])
    with worker_process(settings, tmp_path, gate="open") as process:
        eventually(lambda: len(process.noted("began")) == 2, describe=process.log)
        in_work = process.noted("began")
        process.signal(signal.SIGTERM)
        # Longer than the session.
        silence = time.monotonic() + 1.5 * settings.session_timeout_ms / 1000
        eventually(lambda: time.monotonic() > silence or not process.running())
        assert process.running()
        (tmp_path / "open").touch()
        assert process.wait(60) == 0, process.log()
    assert process.noted("began") == in_work, "a record was taken up after SIGTERM"
    assert sorted(answered(settings)) == sorted(in_work)
    rest = Answering()
    with running(rest, settings):
        eventually(lambda: len(answered(settings)) == 10)
    assert sorted(rest.handled + in_work) == sorted(f"p-{number}" for number in range(10))
    assert (tmp_path / f"stopped-{process.pid}").exists()


@pytest.mark.connected
def test_a_draining_worker_stays_a_member_by_polling_on(real_kafka: KafkaSettings) -> None:
    # Heartbeats go on by themselves: it is for want of polls that the group gives a member up.
    settings = real_kafka.model_copy(update={"max_poll_interval_ms": 5_000})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, ["p-1"])
    function = Gated()
    with running(function, settings) as worker:
        eventually(lambda: function.handled)
        member = worker._membership._consumer.group_metadata()
        worker.stop()
        silence = time.monotonic() + 8
        eventually(lambda: time.monotonic() > silence)
        assert worker._membership._consumer.group_metadata() == member
        function.gate.set()
    assert answered(settings) == ["p-1"]


@pytest.mark.connected
def test_a_drained_worker_leaves_its_group(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = real_kafka.model_copy(update={"session_timeout_ms": 60_000})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, ["p-1"])
    with worker_process(settings, tmp_path) as process:
        eventually(lambda: answered(settings) == ["p-1"], describe=process.log)
        process.signal(signal.SIGTERM)
        assert process.wait(60) == 0
    # A member that had not left would hold its partitions for a minute.
    publish_products(settings, ["p-2"])
    with running(Answering(), settings):
        eventually(lambda: "p-2" in answered(settings))


@pytest.mark.slow
def test_the_second_signal_abandons_without_commit(kafka_broker: KafkaSettings, tmp_path: Path) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1"])
    with worker_process(kafka_broker, tmp_path, gate="never") as process:
        began(process, "p-1")
        process.signal(signal.SIGTERM)
        eventually(lambda: "finishing" in process.log())
        process.signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.log()
    assert answered(kafka_broker) == []
    again = Answering()
    with running(again, kafka_broker):
        eventually(lambda: answered(kafka_broker) == ["p-1"])


def test_the_deadline_abandons_without_commit(kafka_broker: KafkaSettings, tmp_path: Path) -> None:
    settings = kafka_broker.model_copy(update={"drain_seconds": 0.5})
    make_delivery_topics(settings, partitions=1)
    publish_products(settings, ["p-1"])
    with worker_process(settings, tmp_path, gate="never") as process:
        began(process, "p-1")
        process.signal(signal.SIGINT)
        assert process.wait(60) == 0, process.log()
        assert "handed back" in process.log()
    assert answered(settings) == []
    assert committed(settings, GROUP_OF.format(settings.topic_prefix)).get(0, 0) == 0


def test_a_signal_while_warming_ends_at_once(kafka_broker: KafkaSettings, tmp_path: Path) -> None:
    with worker_process(kafka_broker, tmp_path, start_seconds=60) as process:
        eventually(lambda: (tmp_path / f"warming-{process.pid}").exists())
        process.signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.log()
        assert "stopped while warming" in process.log()


class Interrupted(Answering):
    """Is told to stop while it warms, and again while it stops."""

    stopped = False

    def start(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on warming")

    def stop(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.stopped = True


def test_a_second_signal_while_warming_lets_the_function_stop() -> None:
    function = Interrupted()
    handler = signal.getsignal(signal.SIGTERM)
    assert (
        serve(function, KafkaSettings(bootstrap_servers="127.0.0.1:1"), HealthSettings(host="127.0.0.1", port=0)) == 0
    )
    assert function.stopped
    assert signal.getsignal(signal.SIGTERM) is handler


def test_signals_are_heeded_beside_the_thread_they_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    # That thread may hold the very lock that heeding them needs.
    heeded: list[tuple[str, bool]] = []

    def note(what: str) -> None:
        heeded.append((what, threading.current_thread() is threading.main_thread()))

    def run(self: Worker) -> None:
        for number in (1, 2):
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: len(heeded) == number)  # noqa: B023 - called at once

    monkeypatch.setattr(Worker, "run", run)
    for name in ("stop", "abandon"):
        monkeypatch.setattr(Worker, name, lambda self, name=name: note(name))
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    assert serve(Answering(), nowhere, HealthSettings(host="127.0.0.1", port=0)) == 0
    assert heeded == [("stop", False), ("abandon", False)]


@pytest.mark.connected
@pytest.mark.slow
def test_kill_9_repeats_only_what_was_not_committed(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, [f"p-{number}" for number in range(20)])
    with worker_process(real_kafka, tmp_path, seconds=0.05) as process:
        eventually(lambda: len(answered(real_kafka)) >= 5, describe=process.log)
        process.kill()
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: len(answered(real_kafka)) >= 20, 60)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    assert sorted(answered(real_kafka)) == sorted(f"p-{number}" for number in range(20))
    assert records_of(real_kafka, CREATED + ".dlq") == []


@pytest.mark.parametrize("heed", ["stop", "abandon"])
def test_a_client_that_does_not_come_back_is_left_behind(
    embedded_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, heed: str
) -> None:
    monkeypatch.setattr("shared.kafka.runtime.worker._STALLED_SECONDS", 2.0)
    monkeypatch.setattr("shared.kafka.runtime.worker._LEAVE_SECONDS", 1.0)
    make_delivery_topics(embedded_kafka, partitions=1)
    come_back = threading.Event()
    hangs = threading.Event()
    with running(Answering(), embedded_kafka) as worker:
        eventually(worker.ready)
        poll = worker._membership._consumer.poll

        def hang(timeout_ms: int) -> object:
            hangs.set()
            come_back.wait(60)
            return poll(timeout_ms=timeout_ms)

        monkeypatch.setattr(worker._membership._consumer, "poll", hang)
        eventually(hangs.is_set)
        asked = time.monotonic()
        getattr(worker, heed)()
        eventually(lambda: "the client does not come back" in caplog.text)
        assert time.monotonic() - asked < 10
        assert not worker.ready()
    come_back.set()
