"""A commit whose end was not heard of is found out about before anything is sent again, however late it was made."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from shared.kafka import producing
from shared.kafka.producing import Outgoing
from shared.kafka.runtime import outbox as releasing
from shared.kafka.runtime.outbox import Outbox
from shared.kafka.runtime.release import Release, Verdict
from shared.kafka.runtime.tracker import Part, PartitionTracker, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    make_delivery_topics,
    publish_products,
    running,
)
from tests.delivery.test_rebalances import Gated, expel, partitions_of
from tests.polling import eventually

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class Producer:
    """Notes what it is asked for; hangs or fails where its test says."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []
        self.hangs_in = ""
        self.fails: BaseException | None = None
        self.go_on = threading.Event()
        self._sender = SimpleNamespace(force_close=lambda: None)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.hangs_in:
            assert self.go_on.wait(60)
        if call == "commit" and self.fails is not None:
            raise self.fails

    def init_transactions(self) -> None:
        self._note("init")

    def begin_transaction(self) -> None:
        self._note("begin")

    def send(self, *_: object) -> Any:
        self._note("send")
        return SimpleNamespace(exception=None, get=lambda timeout: None)

    def send_offsets_to_transaction(self, *_: object) -> None:
        self._note("offsets")

    def commit_transaction(self) -> None:
        self._note("commit")

    def close(self, timeout: float) -> None:
        self.calls.append("close")


class Producers:
    """Those that were opened, in order, and what the next ones do."""

    def __init__(self) -> None:
        self.opened: list[Producer] = []
        self.arguments: list[dict[str, object]] = []
        self.hangs_in: dict[int, str] = {}
        self.fails: dict[int, BaseException] = {}

    def __call__(self, **arguments: object) -> Producer:
        self.arguments.append(arguments)
        producer = Producer(len(self.opened))
        producer.hangs_in = self.hangs_in.get(producer.number, "")
        producer.fails = self.fails.get(producer.number)
        self.opened.append(producer)
        return producer


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Producers]:
    producers = Producers()
    monkeypatch.setattr(producing, "KafkaProducer", producers)
    yield producers
    for producer in producers.opened:
        producer.go_on.set()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def one_record() -> Release:
    tracker = PartitionTracker(TopicPartition(CREATED, 0))
    work = Work(None, tracker)
    work.outputs = [Outgoing("t", b"k", b"v", [])]
    return Release([Part(tracker, [work], 1)], "group")


def test_a_hanging_release_is_given_up_and_found_out_about(producers: Producers) -> None:
    clock = Clock()
    producers.hangs_in = {0: "commit", 1: "init"}
    outbox = Outbox(SETTINGS, client_id="c", wake=lambda: None, clock=clock)
    outbox.start()
    release = one_record()
    outbox.put(release)
    eventually(lambda: "commit" in producers.opened[0].calls)
    # 30 s for a transaction, 90 s for all that is waited for besides.
    clock.now = 120.0
    assert not outbox.stuck
    clock.now = 120.1
    assert outbox.stuck
    successor = outbox.forsake()
    eventually(lambda: len(producers.opened) == 2 and "init" in producers.opened[1].calls)
    # Until its start has ended the old transaction, the group's offsets tell nothing.
    assert successor.busy
    assert successor.take() is None
    producers.opened[1].go_on.set()
    found = successor.take(10)
    assert found is not None
    assert found.release is not release
    assert found.verdict is Verdict.UNCERTAIN
    assert found.release.works() == release.works()
    # The hanging thread comes back, and leaves it at that.
    producers.opened[0].go_on.set()
    outbox._thread.join(60)
    assert not outbox._thread.is_alive()
    assert len(producers.opened) == 2
    successor.put(one_record())
    ended = successor.take(10)
    assert ended is not None
    assert ended.verdict is Verdict.RELEASED
    successor.close(5)


def test_who_was_given_up_while_connecting_sends_nothing(producers: Producers) -> None:
    clock = Clock()
    producers.fails = {0: KafkaError("lost")}
    producers.hangs_in = {1: "init"}
    outbox = Outbox(SETTINGS, client_id="c", wake=lambda: None, clock=clock)
    outbox.start()
    outbox.put(one_record())
    eventually(lambda: len(producers.opened) == 2 and "init" in producers.opened[1].calls)
    clock.now = 1_000.0
    assert outbox.stuck
    successor = outbox.forsake()
    assert successor.take(10) is not None
    producers.opened[1].go_on.set()
    outbox._thread.join(60)
    assert not outbox._thread.is_alive()
    assert "begin" not in producers.opened[1].calls
    assert len(producers.opened) == 3
    successor.close(5)


@pytest.mark.parametrize("error", [KafkaError("lost"), RuntimeError("a defect of the client"), KafkaTimeoutError("?")])
def test_whatever_a_commit_raises_it_may_have_been_made(producers: Producers, error: BaseException) -> None:
    producers.fails = {0: error}
    outbox = Outbox(SETTINGS, client_id="c", wake=lambda: None)
    outbox.start()
    outbox.put(one_record())
    ended = outbox.take(10)
    assert ended is not None
    assert ended.verdict is Verdict.UNCERTAIN
    assert producers.opened[1].calls == ["init"]
    outbox.close(5)


def test_transactions_are_named_after_the_client_and_last_as_long_as_the_settings_say(producers: Producers) -> None:
    """As long as that a dead worker's open transaction hides what stands behind it."""
    outbox = Outbox(SETTINGS.model_copy(update={"transaction_timeout_ms": 12_000}), client_id="c", wake=lambda: None)
    outbox.start()
    outbox.close(5)
    (arguments,) = producers.arguments
    assert (arguments["transactional_id"], arguments["transaction_timeout_ms"]) == ("c", 12_000)


def test_what_the_broker_does_not_allow_is_not_tried_again(producers: Producers) -> None:
    producers.fails = {0: TopicAuthorizationFailedError("video.ready")}
    outbox = Outbox(SETTINGS, client_id="c", wake=lambda: None)
    outbox.start()
    outbox.put(one_record())
    ended = outbox.take(10)
    assert ended is not None
    assert ended.verdict is Verdict.IMPOSSIBLE
    outbox.close(5)


def test_a_topic_that_cannot_be_sent_to_is_named(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise KafkaTimeoutError("Failed to update metadata after 15.0 secs.")

    monkeypatch.setattr(Producer, "send", unknown)
    outbox = Outbox(SETTINGS, client_id="c", wake=lambda: None)
    outbox.start()
    outbox.put(one_record())
    ended = outbox.take(10)
    assert ended is not None
    assert ended.verdict is Verdict.FAILED
    assert "t: Failed to update metadata" in str(ended.error)
    assert "skureel topics create" in str(ended.error)
    outbox.close(5)


class Unheard(KafkaProducer):  # type: ignore[misc]  # kafka-python is untyped
    """Commits once, with answers, so that nobody hears of it."""

    armed = threading.Event()
    way = ""
    go_on = threading.Event()

    def commit_transaction(self) -> None:
        if not (self.armed.is_set() and self._transaction_manager._partitions_in_transaction):
            super().commit_transaction()
            return
        self.armed.clear()
        if self.way.startswith("made"):
            super().commit_transaction()
        if self.way.endswith("hangs"):
            assert self.go_on.wait(60)
        if self.way == "not made, hangs":
            # The thread comes back after it was given up, and does what it was about to do.
            super().commit_transaction()
        raise KafkaError("nobody heard")


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Unheard]]:
    monkeypatch.setattr(producing, "KafkaProducer", Unheard)
    monkeypatch.setattr(Unheard, "armed", threading.Event())
    monkeypatch.setattr(Unheard, "go_on", threading.Event())
    yield Unheard
    Unheard.go_on.set()


@pytest.mark.connected
@pytest.mark.parametrize("way", ["made", "not made", "made, hangs", "not made, hangs"])
def test_an_unheard_commit_costs_and_repeats_nothing(
    real_kafka: KafkaSettings, unheard: type[Unheard], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(unheard, "way", way)
    monkeypatch.setattr(releasing, "_CONNECT_SECONDS", 1.0 - real_kafka.transaction_timeout_ms / 1000)
    make_delivery_topics(real_kafka, partitions=1)
    products = [f"p-{number}" for number in range(10)]
    with running(Answering(), real_kafka) as worker:
        eventually(worker.ready)
        unheard.armed.set()
        publish_products(real_kafka, products)
        eventually(lambda: len(answered(real_kafka)) >= 10)
        unheard.go_on.set()
        publish_products(real_kafka, ["later"])
        eventually(lambda: "later" in answered(real_kafka))
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
        assert not unheard.armed.is_set(), "no commit went unheard"
    assert answered(real_kafka) == [*products, "later"]


@pytest.mark.connected
def test_what_may_be_committed_is_not_sent_again_when_its_partition_is_revoked(
    real_kafka: KafkaSettings, unheard: type[Unheard], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it goes out in one release.
    settings = real_kafka.model_copy(update={"handler_threads": 20, "commit_interval_seconds": 60.0})
    make_delivery_topics(settings, partitions=2)
    products = [f"p-{number}" for number in range(20)]
    publish_products(settings, products)
    asked = threading.Event()
    answering = threading.Event()
    function = Gated()
    with running(function, settings) as one:
        eventually(lambda: len(function.handled) == 20)
        ask = one._membership._consumer.committed

        def away(partition: TopicPartition, timeout_ms: int) -> Any:
            asked.set()
            if not answering.is_set():
                raise KafkaTimeoutError("the coordinator is away")
            return ask(partition, timeout_ms=timeout_ms)

        monkeypatch.setattr(one._membership._consumer, "committed", away)
        monkeypatch.setattr(unheard, "way", "made")
        unheard.armed.set()
        function.gate.set()
        eventually(asked.is_set)
        with running(Answering(), real_kafka) as other:
            eventually(lambda: len(partitions_of(other, real_kafka)) == 1 == len(partitions_of(one, real_kafka)))
            answering.set()
            eventually(lambda: set(answered(real_kafka)) == set(products))
            eventually(lambda: committed(real_kafka, one.group) == ends(real_kafka))
    assert sorted(answered(real_kafka)) == sorted(products)


@pytest.mark.connected
def test_an_old_answer_about_committed_offsets_is_not_believed_after_a_rebalance(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    first = [f"p-{number}" for number in range(5)]
    second = [f"q-{number}" for number in range(5)]
    publish_products(real_kafka, first)
    function = Answering()
    with running(function, real_kafka) as worker:
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
        # As when a rebalance came between: asked for, given up, and answered to nobody.
        coordinator = worker._membership._consumer._coordinator
        with pytest.raises(KafkaTimeoutError):
            coordinator.fetch_committed_offsets(sorted(worker.assigned), timeout_ms=0)
        eventually(lambda: all(found.is_done for found in coordinator._offset_fetch_futures.values()))
        assert coordinator._offset_fetch_futures, "the client keeps no answers any more; forget_answers can go"
        publish_products(real_kafka, second)
        eventually(lambda: len(answered(real_kafka)) == 10)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
        expel(real_kafka, worker.group)
        lost = worker.metrics.registry.get_sample_value
        eventually(lambda: lost("skureel_rebalances_total", {"kind": "lost"}))
        publish_products(real_kafka, ["later"])
        eventually(lambda: "later" in answered(real_kafka))
    assert answered(real_kafka) == [*first, *second, "later"]
