"""An outage is no fault of a record: consumption holds, no attempt is counted, and all goes on when it is over."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from shared.endings import Ending
from shared.errors import ConfigurationError, PermanentError, TemporaryError, Unavailable
from shared.events import Event
from shared.kafka import Worker
from shared.kafka.client import retry_topic
from shared.kafka.runtime.outage import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_FAILURES, RUN, Outage
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.kafka.runtime.workbench import Workbench
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings
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
from tests.delivery.test_endings import Clockwork
from tests.polling import eventually

AWAY = Unavailable("the store does not answer")


class Standing(Answering):
    """Stands on a store that the test takes away."""

    def __init__(self) -> None:
        super().__init__(self._use)
        self.away = threading.Event()
        """The store answers nothing."""
        self.refusing = threading.Event()
        """It answers, and refuses every write."""
        self.cursed: set[str] = set()
        """Products whose writes it always refuses."""
        self.checks = 0

    def _use(self, event: Event[Any]) -> None:
        if self.away.is_set() or self.refusing.is_set() or event.data.product_id in self.cursed:
            raise Unavailable(f"{event.data.product_id}: no answer")

    def check(self) -> None:
        self.checks += 1
        if self.away.is_set():
            raise AWAY


@pytest.fixture
def kafka(kafka_broker: KafkaSettings) -> KafkaSettings:
    """Either broker, with retry rounds that are over at once."""
    settings = kafka_broker.model_copy(
        update={"retries_in_place": 0, "retry_delays_seconds": (0.1, 0.2), "handler_threads": 2, "max_in_flight": 20}
    )
    make_delivery_topics(settings, partitions=2)
    return settings


def value(worker: Worker, name: str) -> float:
    return worker.metrics.registry.get_sample_value(name) or 0.0


def nothing_was_rejected(settings: KafkaSettings) -> bool:
    topics = [CREATED + ".dlq", *(retry_topic(CREATED, delay) for delay in settings.retry_delays_seconds)]
    return not any(records_of(settings, topic) for topic in topics)


PRODUCTS = [f"p-{number}" for number in range(60)]


def test_a_store_that_is_away_for_long_costs_no_record_an_attempt(
    kafka: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    function = Standing()
    function.away.set()
    publish_products(kafka, PRODUCTS)
    with running(function, kafka) as worker:
        eventually(lambda: value(worker, "skureel_holding") == 1)
        eventually(lambda: value(worker, "skureel_held_records") == value(worker, "skureel_in_flight_records") > 0)
        handled, checks = len(function.handled), function.checks
        # Longer than all rounds of retries.
        eventually(lambda: function.checks > checks + 1)
        assert not worker.ready()
        assert "the store does not answer" in (worker.unready_reason() or "")
        assert worker.live(), "a restart would not bring the store back"
        assert value(worker, "skureel_held_records") > 0
        assert committed(kafka, worker.group).get(0, 0) == 0
        assert len(function.handled) == handled, "a handler began although the check had failed"
        function.away.clear()
        eventually(lambda: set(answered(kafka)) == set(PRODUCTS), 60)
        eventually(worker.ready)
        assert value(worker, "skureel_held_records") == 0
        eventually(lambda: committed(kafka, worker.group) == ends(kafka))
    assert sorted(answered(kafka)) == sorted(PRODUCTS)
    assert nothing_was_rejected(kafka)
    assert caplog.text.count("holding from now on, losing nothing") == 1


def test_a_store_that_answers_and_refuses_everything_is_away_too(kafka: KafkaSettings) -> None:
    function = Standing()
    function.refusing.set()
    publish_products(kafka, PRODUCTS)
    with running(function, kafka) as worker:
        eventually(lambda: value(worker, "skureel_holding") == 1)
        function.refusing.clear()
        eventually(lambda: value(worker, "skureel_holding") == 0)
        # The first few could not be told from records that are at fault themselves.
        eventually(lambda: len(set(answered(kafka))) >= len(PRODUCTS) - (RUN - 1), 60)
    assert records_of(kafka, CREATED + ".dlq") == []


def test_no_few_records_hold_up_the_others(kafka: KafkaSettings) -> None:
    """More than make an outage, and nothing but these is in work."""
    function = Standing()
    cursed = [f"cursed-{number}" for number in range(3 * RUN)]
    function.cursed = set(cursed)
    publish_products(kafka, [*cursed, *PRODUCTS])
    with running(function, kafka):
        eventually(lambda: set(answered(kafka)) == set(PRODUCTS), 120)


def test_draining_hands_back_what_is_held(kafka: KafkaSettings) -> None:
    function = Standing()
    function.away.set()
    publish_products(kafka, PRODUCTS[:10])
    with running(function, kafka) as worker:
        eventually(lambda: value(worker, "skureel_holding") == 1)
    with running(Answering(), kafka):
        eventually(lambda: sorted(answered(kafka)) == sorted(PRODUCTS[:10]))
    assert nothing_was_rejected(kafka)


@pytest.mark.parametrize("raised", [Unavailable, ConfigurationError])
def test_credentials_that_are_changed_hold_consumption_and_end_no_worker(
    kafka: KafkaSettings, raised: type[Exception]
) -> None:
    """Whether the handler takes it for an outage or names it itself."""

    class Revoked(Standing):
        def _use(self, event: Event[Any]) -> None:
            if self.away.is_set():
                raise raised("access refused")

        def check(self) -> None:
            if self.away.is_set():
                raise ConfigurationError("bucket skureel does not exist")

    function = Revoked()
    function.away.set()
    publish_products(kafka, PRODUCTS)
    with running(function, kafka) as worker:
        eventually(lambda: value(worker, "skureel_holding") == 1)
        assert "bucket skureel does not exist" in (worker.unready_reason() or "")
        assert worker.live()
        function.away.clear()
        eventually(lambda: sorted(answered(kafka)) == sorted(PRODUCTS), 60)
        eventually(worker.ready)
    assert nothing_was_rejected(kafka)


# Handling.


def checking(behave: Callable[[], None], error: Exception | None = None, retries_in_place: int = 0) -> Clockwork:
    class Checked(Answering):
        def check(self) -> None:
            behave()

    def handle(event: Event[Any]) -> None:
        if error is not None:
            raise error

    return Clockwork(Checked(handle), KafkaSettings(retries_in_place=retries_in_place))


def away() -> None:
    raise AWAY


def test_what_is_unavailable_is_held_with_what_the_check_says() -> None:
    outcome = checking(away, Unavailable("p-1: no answer")).end()
    assert (outcome.ending, outcome.outputs, outcome.away) == (Ending.HELD, [], AWAY)
    outcome = checking(lambda: None, Unavailable("p-1: no answer")).end()
    assert (outcome.ending, outcome.outputs, outcome.away) == (Ending.HELD, [], None)


def test_a_check_that_has_a_defect_makes_no_dead_letter() -> None:
    def broken() -> None:
        raise KeyError("defect")

    assert checking(broken, Unavailable("no answer")).end().ending is Ending.HELD


def test_what_is_mended_while_it_is_asked_about_stops_no_worker_that_holds() -> None:
    answers = deque([ConfigurationError("access refused")])

    def refused_once() -> None:
        if answers:
            raise answers.popleft()

    clockwork = checking(refused_once)
    clockwork.holding = True
    assert clockwork.end().ending is Ending.HELD


def test_what_was_mended_before_it_was_asked_about_stops_no_worker() -> None:
    failures = deque([ConfigurationError("access refused")])

    def refused_once(event: Event[Any]) -> None:
        if failures:
            raise failures.popleft()

    clockwork = Clockwork(Answering(refused_once), KafkaSettings(retries_in_place=0))
    assert clockwork.end().ending is Ending.EMITTED


def test_while_consumption_holds_no_handler_begins_before_the_check_passes() -> None:
    clockwork = checking(away)
    clockwork.holding = True
    assert clockwork.end().ending is Ending.HELD
    assert clockwork.function.handled == []


def test_while_consumption_holds_a_record_is_tried_once() -> None:
    clockwork = checking(lambda: None, Unavailable("p-1: no answer"), retries_in_place=3)
    assert clockwork.end().attempts == 4
    clockwork.holding = True
    assert clockwork.end().attempts == 1


@pytest.mark.parametrize("error", [TemporaryError("later"), PermanentError("never", reason="no-name")])
def test_other_errors_ask_no_check(error: Exception) -> None:
    assert checking(away, error).end().ending is not Ending.HELD


# The state machine.


def test_a_failed_check_holds_at_once_and_a_run_of_failures_later() -> None:
    outage = Outage("w")
    assert [outage.failed(record, AWAY, None, now=0) for record in range(RUN)] == [False] * (RUN - 1) + [True]
    outage = Outage("w")
    assert outage.failed(1, AWAY, AWAY, now=0)
    assert outage.holding


def test_one_record_is_no_run_and_a_success_ends_one() -> None:
    outage = Outage("w")
    assert not any(outage.failed(1, AWAY, None, now=0) for _ in range(3 * RUN))
    for record in range(3 * RUN):
        outage.succeeded(tried=False, now=0)
        assert not outage.failed(record, AWAY, None, now=0)


def test_waits_between_tries_double_up_to_their_bound() -> None:
    outage = Outage("w")
    outage.failed(1, AWAY, AWAY, now=0.0)
    assert not outage.may_try(FIRST_WAIT_SECONDS / 2)
    tries = [now / 10 for now in range(3_000) if outage.may_try(now / 10)]
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert tries[0] == FIRST_WAIT_SECONDS
    assert waits == pytest.approx([2, 4, 8, 16, *[LONGEST_WAIT_SECONDS] * (len(waits) - 4)])


def test_what_was_begun_before_an_outage_does_not_end_it() -> None:
    outage = Outage("w")
    outage.failed(1, AWAY, AWAY, now=0)
    outage.succeeded(tried=False, now=1)
    assert outage.holding
    outage.succeeded(tried=True, now=2)
    assert not outage.holding


def test_an_outage_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("w")
    outage.failed(1, AWAY, AWAY, now=0)
    for now in range(181):
        outage.tell(now)
    outage.succeeded(tried=True, now=181)
    outage.tell(1_000)
    assert caplog.text.count("losing nothing") == 4
    assert "goes on after 181 s" in caplog.text


# The workbench.


class Unspeakable(Unavailable):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_outage_that_cannot_be_told_holds_all_the_same() -> None:
    outage = Outage("w")
    assert outage.failed(1, Unspeakable(""), Unspeakable(""), now=0)
    assert (outage.reason(0) or "").endswith("Unspeakable")


class Bench:
    """A workbench whose handler fails with `Unavailable` for some, and whose clock is moved by hand."""

    def __init__(self, cursed: set[int]) -> None:
        self.now = 0.0
        self.mended: deque[Exception] = deque()
        """What handling fails with before `check` finds nothing wrong."""
        self.breaks: BaseException | None = None
        """What handling raises, against its word."""
        self._cursed = cursed
        self.tracker = PartitionTracker(TopicPartition("t", 0))
        self.woken = threading.Event()
        self.outage = Outage("w")
        self.bench = Workbench(
            self,
            self.outage,
            RuntimeMetrics(),
            threads=1,
            lanes=1,
            deadline_seconds=1e9,
            wake=self.woken,
            clock=lambda: self.now,
        )

    def due_at(self, record: Any) -> float:
        return 0.0

    def finish(self, work: Work) -> Outcome:
        if self.breaks is not None:
            raise self.breaks
        if self.mended:
            return Outcome(Ending.HELD, [], self.mended.popleft())
        if work.record.offset in self._cursed:
            return Outcome(Ending.HELD, [], Unavailable("no answer"))
        return Outcome(Ending.EMITTED, [])

    def failed(self, work: Work, error: BaseException, *, attempts: int) -> Outcome:
        return Outcome(Ending.RETRIED, [], error, attempts)

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        raise AssertionError

    def turn(self, arrived: deque[int]) -> BaseException | None:
        """Come round once, a second later. Returns what stops the worker."""
        self.now += 1
        self.bench.hold_or_go_on()
        room = self.bench.room()
        taken = [arrived.popleft() for _ in range(len(arrived) if room is None else min(room, len(arrived)))]
        works = [
            Work(SimpleNamespace(topic="t", partition=0, offset=o, key=None, value=b"%d" % o), self.tracker)
            for o in taken
        ]
        assert all(map(self.tracker.take, works))
        self.bench.hand_out(0, works)
        eventually(lambda: len(self.bench.pool.finished) == self.bench.in_work)
        return self.bench.collect(lambda _: True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(set(range(2 * RUN)))
    bench.bench.open()
    yield bench
    bench.bench.close(1.0)


def test_however_many_records_fail_by_their_own_fault_the_others_are_tried(bench: Bench) -> None:
    arrived = deque(range(2 * RUN))
    while arrived:
        bench.turn(arrived)
    assert bench.outage.holding
    arrived.extend(range(100, 103))
    for _ in range(4 * RUN):
        bench.turn(arrived)
    assert not arrived, "those that would succeed were not taken"


def test_a_record_that_fails_again_and_again_is_at_fault_itself(bench: Bench) -> None:
    arrived = deque(range(2 * RUN))
    while arrived or bench.outage.holding:
        bench.turn(arrived)
        assert bench.now < 2 * RUN * MOST_FAILURES * LONGEST_WAIT_SECONDS
    assert bench.tracker.unfinished == 0


def test_a_success_in_turn_with_failures_ends_the_hold(bench: Bench) -> None:
    arrived = deque([*range(2 * RUN), 100])
    while arrived or bench.outage.holding:
        bench.turn(arrived)
        assert bench.now < 10 * LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("error", [RuntimeError("a defect of our own"), KeyError("k"), Unavailable("no answer")])
def test_a_record_whose_handling_breaks_ends_at_once(bench: Bench, error: Exception) -> None:
    bench.breaks = error
    assert bench.turn(deque([1, 2, 3])) is None
    assert bench.tracker.unfinished == 0
    bench.breaks = None
    bench.turn(deque([100]))
    assert bench.tracker.unfinished == 0, "no thread was left"


def test_handling_that_breaks_beyond_repair_stops_the_worker(bench: Bench) -> None:
    bench.breaks = SystemExit(3)
    assert bench.turn(deque([1])) is bench.breaks
    assert bench.tracker.unfinished == 1


def test_what_failed_for_an_outage_that_is_over_by_now_stops_no_worker(bench: Bench) -> None:
    bench.mended.append(ConfigurationError("access refused"))
    assert bench.turn(deque([100])) is None
    assert bench.turn(deque()) is None
    assert bench.tracker.unfinished == 0
