"""The one table from each way a handler can end to what becomes of its record."""

import errno
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import InvalidRecordError, MessageSizeTooLargeError

from shared.endings import Ending, ending_of
from shared.errors import (
    ConfigurationError,
    DamagedRecord,
    Overdue,
    PermanentError,
    PhotoNotYet,
    Superseded,
    TemporaryError,
    Unavailable,
    UnreadableRecord,
)
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka.runtime.handling import Handling
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.settings import KafkaSettings
from tests.delivery.harness import ANSWER, CREATED, Answering, answer_to, product_event

CLOCK = 1_800_000_000.0


class Clockwork:
    """A handling whose pauses are noted instead of waited for."""

    def __init__(self, function: Any, settings: KafkaSettings, *, abandoned_after: float = float("inf")) -> None:
        """The worker is abandoned as soon as more than `abandoned_after` seconds were paused."""
        self.function = function
        self.pauses: list[float] = []
        self.holding = False
        self.handling = Handling(
            function,
            settings,
            rejecting=Rejecting(settings, group="g", client_id="c", clock=lambda: CLOCK),
            clock=lambda: CLOCK,
            holding=lambda: self.holding,
            interrupted=lambda: sum(self.pauses) > abandoned_after,
            pause=self.pauses.append,
        )

    def end(self, event: Event[Any] | None = None, topic: str = CREATED, **changes: Any) -> Outcome:
        message = to_kafka(event or product_event("p-1"))
        record = {"topic": topic, "partition": 2, "offset": 7, "timestamp": 0, **message._asdict(), **changes}
        work = Work(SimpleNamespace(**record), PartitionTracker(None))  # type: ignore[arg-type]  # unused
        return self.handling.finish(work)


def raising(error: BaseException) -> Callable[[Event[Any]], None]:
    def behave(event: Event[Any]) -> None:
        raise error

    return behave


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (TemporaryError("later"), Ending.RETRIED),
        (PermanentError("never", reason="no-name"), Ending.DEAD),
        (ConfigurationError("no bucket"), Ending.HALTED),
        (ValueError("a defect"), Ending.DEAD),
        (SystemExit(3), Ending.HALTED),
        (KeyboardInterrupt(), Ending.HALTED),
    ],
)
def test_each_error_has_one_ending(error: BaseException, ending: Ending) -> None:
    assert ending_of(error) is ending
    work = Clockwork(Answering(raising(error)), KafkaSettings(retries_in_place=0)).end()
    assert work.ending is ending
    assert work.error is error
    assert bool(work.outputs) is (ending is not Ending.HALTED)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
    ids=repr,
)
def test_what_this_machine_has_run_out_of_is_no_fault_of_a_record(error: Exception) -> None:
    work = Clockwork(Answering(raising(error)), KafkaSettings(retries_in_place=0)).end()
    assert work.ending is Ending.HELD
    assert isinstance(work.error, Unavailable)
    assert work.error.__cause__ is error
    assert str(work.error).endswith("it is tried again")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no such file"), OSError("odd"), RuntimeError("odd")]
)
def test_other_errors_of_the_system_are_defects(error: Exception) -> None:
    assert Clockwork(Answering(raising(error)), KafkaSettings(retries_in_place=0)).end().ending is Ending.DEAD


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Refused(Unspeakable, PermanentError):
    pass


class Later(Unspeakable, TemporaryError):
    pass


class Repeated(Unspeakable, Superseded):
    pass


class Unreasoned(PermanentError):
    """Never says why: its base class was not asked to begin."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "ending", "told"),
    [
        (Unspeakable(), Ending.DEAD, "Unspeakable"),
        (Refused("", reason="no-name"), Ending.DEAD, "Refused"),
        (Later(""), Ending.RETRIED, "Later"),
        (Repeated(""), Ending.SUPERSEDED, ""),
        (Unreasoned(), Ending.DEAD, "Unreasoned was raised, which cannot be told"),
        (ValueError("x" * 1_000_000), Ending.DEAD, "x" * 1_999 + "…"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_that_cannot_be_told_ends_its_record_as_any_other(
    error: Exception, ending: Ending, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        outcome = Clockwork(Answering(raising(error)), KafkaSettings(retries_in_place=0)).end()
    assert outcome.ending is ending
    for output in outcome.outputs:
        assert dict(output.headers)["__connect.errors.exception.message"].decode().startswith(told)
    assert len(caplog.text) < 10_000


def test_a_defect_of_an_error_is_told_with_the_place_where_it_arose() -> None:
    (letter,) = Clockwork(Answering(raising(Unreasoned())), KafkaSettings()).end().outputs
    headers = dict(letter.headers)
    assert headers["skureel.reason"] == b"defect"
    assert b"in behave" in headers["__connect.errors.exception.stacktrace"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnreadableRecord("of a newer release; upgrade"), b"unreadable-record"),
        (Overdue("too long"), b"overdue"),
        (DamagedRecord("garbage"), b"temporary"),
        (TemporaryError("later"), b"temporary"),
    ],
)
def test_what_is_retried_and_comes_to_nothing_says_in_its_dead_letter_what_it_waited_for(
    error: TemporaryError, reason: bytes
) -> None:
    clockwork = Clockwork(Answering(raising(error)), KafkaSettings(retries_in_place=0, retry_delays_seconds=(1.0,)))
    (waiting,) = clockwork.end().outputs
    assert dict(waiting.headers)["skureel.reason"] == reason
    (letter,) = clockwork.end(topic=waiting.topic, headers=waiting.headers).outputs
    assert letter.topic == CREATED + ".dlq"
    assert dict(letter.headers)["skureel.reason"] == reason
    assert dict(letter.headers)["__connect.errors.exception.message"].decode() == str(error)


def test_a_photo_that_is_not_there_yet_is_waited_for_without_a_thread() -> None:
    function = Answering(raising(PhotoNotYet("not there")))
    clockwork = Clockwork(function, KafkaSettings(retries_in_place=5))
    work = clockwork.end()
    assert work.ending is Ending.RETRIED
    assert (len(function.handled), clockwork.pauses) == (1, [])


def test_a_function_is_told_of_the_last_round_and_may_answer_instead_of_waiting() -> None:
    rounds: list[bool] = []

    def wait(event: Event[Any]) -> None:
        rounds.append(event.last_round)
        if not event.last_round:
            raise TemporaryError("not yet")

    clockwork = Clockwork(Answering(wait), KafkaSettings(retries_in_place=0, retry_delays_seconds=(1.0, 2.0)))
    work = clockwork.end()
    while work.ending is Ending.RETRIED:
        (again,) = work.outputs
        work = clockwork.end(topic=again.topic, headers=again.headers)
    assert work.ending is Ending.EMITTED
    assert rounds == [False, False, True]


def test_events_of_a_handler_are_encoded_for_their_topics() -> None:
    event = product_event("p-1")
    work = Clockwork(Answering(), KafkaSettings(topic_prefix="x.")).end(event, topic="x." + CREATED)
    assert work.ending is Ending.EMITTED
    assert [(output.topic, output.key) for output in work.outputs] == [("x." + ANSWER, b"p-1")]
    assert work.outputs[0].value == to_kafka(answer_to(event)).value


def test_what_is_left_out_of_a_product_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    odd = b'{"product_id": "p-1", "name": "a red cup", "locale": "\\u202eevil", "color": [{}, "red"]}'
    work = Clockwork(Answering(), KafkaSettings()).end(value=odd)
    assert work.ending is Ending.EMITTED
    (line,) = caplog.records
    assert line.getMessage() == (
        "product.created:2:7 (key p-1): what cannot be read of these fields is left out: color, locale"
    )


def test_a_temporary_error_that_passes_in_place_is_not_seen() -> None:
    errors: list[Exception] = [TemporaryError("once"), TemporaryError("twice")]

    def behave(event: Event[Any]) -> None:
        if errors:
            raise errors.pop()

    function = Answering(behave)
    clockwork = Clockwork(function, KafkaSettings(retries_in_place=2, retry_wait_seconds=0.5))
    work = clockwork.end()
    assert work.ending is Ending.EMITTED
    assert (work.attempts, len(function.handled)) == (3, 3)
    assert len(clockwork.pauses) == 2
    assert clockwork.pauses[0] <= 0.5
    assert clockwork.pauses[1] <= 1.0


def test_waits_in_place_are_jittered_so_that_workers_do_not_come_all_at_once() -> None:
    settings = KafkaSettings(retries_in_place=1, retry_wait_seconds=0.5)
    pauses = []
    for _ in range(20):
        clockwork = Clockwork(Answering(raising(TemporaryError("always"))), settings)
        clockwork.end()
        pauses += clockwork.pauses
    assert len(set(pauses)) > 10
    assert max(pauses) <= 0.5


def test_a_wait_that_was_asked_for_is_kept_in_place() -> None:
    settings = KafkaSettings(retries_in_place=2, retry_wait_seconds=0.01)
    clockwork = Clockwork(Answering(raising(TemporaryError("busy", delay_seconds=5))), settings)
    clockwork.end()
    assert clockwork.pauses == [5, 5]


def test_an_abandoned_worker_tries_no_further() -> None:
    function = Answering(raising(TemporaryError("always", delay_seconds=5)))
    clockwork = Clockwork(function, KafkaSettings(retries_in_place=5), abandoned_after=7)
    clockwork.end()
    assert clockwork.pauses == [5, 5]
    assert len(function.handled) == 3


def test_retries_in_place_are_bounded_and_counted() -> None:
    function = Answering(raising(TemporaryError("always")))
    work = Clockwork(function, KafkaSettings(retries_in_place=2, retry_delays_seconds=(30.0,))).end()
    assert len(function.handled) == 3
    assert work.ending is Ending.RETRIED
    headers = dict(work.outputs[0].headers)
    assert work.outputs[0].topic == CREATED + ".retry.30s"
    assert headers["skureel.attempts"] == b"3"


def test_what_asks_for_a_long_wait_holds_no_thread() -> None:
    function = Answering(raising(TemporaryError("busy", delay_seconds=90)))
    clockwork = Clockwork(function, KafkaSettings(retries_in_place=5, retry_delays_seconds=(30.0, 120.0, 600.0)))
    work = clockwork.end()
    assert clockwork.pauses == []
    assert len(function.handled) == 1
    assert work.outputs[0].topic == CREATED + ".retry.120s"


def test_what_asks_for_a_longer_wait_than_any_gets_the_longest() -> None:
    function = Answering(raising(TemporaryError("busy", delay_seconds=9999)))
    work = Clockwork(function, KafkaSettings(retry_delays_seconds=(30.0, 120.0))).end()
    assert work.outputs[0].topic == CREATED + ".retry.120s"


def test_an_error_of_another_kind_ends_the_retries() -> None:
    errors: list[Exception] = [PermanentError("never", reason="no-name"), TemporaryError("once")]

    def behave(event: Event[Any]) -> None:
        raise errors.pop()

    work = Clockwork(Answering(behave), KafkaSettings(retries_in_place=5)).end()
    assert work.ending is Ending.DEAD
    assert dict(work.outputs[0].headers)["skureel.reason"] == b"no-name"
    assert dict(work.outputs[0].headers)["skureel.attempts"] == b"2"


def test_without_retry_rounds_a_temporary_error_is_a_dead_letter() -> None:
    function = Answering(raising(TemporaryError("always")))
    work = Clockwork(function, KafkaSettings(retries_in_place=0, retry_delays_seconds=())).end()
    assert work.ending is Ending.DEAD
    assert work.outputs[0].topic == CREATED + ".dlq"


def test_a_defect_tells_its_place_in_the_code() -> None:
    work = Clockwork(Answering(raising(ValueError("boom"))), KafkaSettings()).end()
    headers = dict(work.outputs[0].headers)
    assert headers["skureel.reason"] == b"defect"
    assert headers["__connect.errors.exception.class.name"] == b"builtins.ValueError"
    assert b"test_endings.py" in headers["__connect.errors.exception.stacktrace"]
    assert len(headers["__connect.errors.exception.stacktrace"]) <= 8_000


def test_an_event_of_another_type_is_a_dead_letter() -> None:
    function = Answering()
    event = product_event("p-1")
    event = Event("product.updated", event.source, event.id, event.data, event.time)
    work = Clockwork(function, KafkaSettings()).end(event)
    assert work.ending is Ending.DEAD
    assert dict(work.outputs[0].headers)["skureel.reason"] == b"unexpected-type"
    assert function.handled == []


def test_an_output_too_large_to_send_is_a_defect_not_a_stuck_worker() -> None:
    work = Clockwork(Answering(), KafkaSettings(max_request_size_bytes=10)).end()
    assert work.ending is Ending.DEAD
    assert b"make it smaller" in dict(work.outputs[0].headers)["__connect.errors.exception.message"]


def test_a_dead_letter_too_large_even_for_its_topic_keeps_its_story() -> None:
    settings = KafkaSettings(max_request_size_bytes=1000)
    work = Clockwork(Answering(), settings).end(value=b"x" * 400_000)
    assert work.ending is Ending.DEAD
    assert work.outputs[0].value == b""
    headers = dict(work.outputs[0].headers)
    assert headers["__connect.errors.offset"] == b"7"
    assert int(headers["skureel.omitted-bytes"]) > 400_000


class Silent(Answering):
    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        return None  # type: ignore[return-value]  # the defect under test


def test_a_handler_that_returns_no_sequence_is_a_defect() -> None:
    work = Clockwork(Silent(), KafkaSettings()).end()
    assert work.ending is Ending.DEAD
    assert dict(work.outputs[0].headers)["__connect.errors.stage"] == b"encode"


@pytest.mark.parametrize("clock", [1e12, 1e18, -1e12])
def test_a_failure_can_be_told_whatever_the_clock_says(clock: float) -> None:
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: clock)
    record = SimpleNamespace(topic=CREATED, partition=2, offset=7, timestamp=0, key=None, value=b"poison", headers=[])
    outcome = rejecting.rejected(record, ValueError("a defect"), stage="handle", attempts=1)
    assert outcome.ending is Ending.DEAD


def test_a_dead_letter_without_a_key_gets_its_place_where_the_topic_is_compacted() -> None:
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: CLOCK)
    record = SimpleNamespace(topic=CREATED, partition=2, offset=7, timestamp=0, key=None, value=b"poison", headers=[])
    work = Work(record, PartitionTracker(None))  # type: ignore[arg-type]  # unused
    work.end(rejecting.rejected(record, ValueError("a defect"), stage="handle", attempts=1))
    refusal = InvalidRecordError("Compacted topic cannot accept message without key")
    work.end(rejecting.refused(work, refusal))
    (letter,) = work.outputs
    assert (letter.key, letter.value) == (f"{CREATED}:2:7".encode(), b"poison")
    work.end(rejecting.refused(work, MessageSizeTooLargeError()))
    (letter,) = work.outputs
    assert (letter.key, letter.value) == (None, b"")
    work.end(rejecting.refused(work, refusal))
    (letter,) = work.outputs
    assert (letter.key, letter.value) == (f"{CREATED}:2:7".encode(), b"")


def test_an_output_without_a_key_that_is_refused_tells_why() -> None:
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: CLOCK)
    record = SimpleNamespace(topic=CREATED, partition=2, offset=7, timestamp=0, key=None, value=b"", headers=[])
    work = Work(record, PartitionTracker(None))  # type: ignore[arg-type]  # unused
    work.end(Outcome(Ending.EMITTED, []))
    outcome = rejecting.refused(work, InvalidRecordError("Compacted topic cannot accept message without key"))
    assert "without a key" in str(outcome.error)
    assert "max.message.bytes" not in str(outcome.error)
