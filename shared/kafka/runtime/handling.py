"""The handling of one record: decoding, the handler, retries in place, encoding, and how it ended.

`finish` runs in handler threads, the rest on the owner's. It knows events, the function and topics by name; it sends
nothing and commits nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import tenacity

from shared.endings import Ending, ending_of
from shared.errors import ConfigurationError, PermanentError, TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.function import Function
from shared.kafka.client import named
from shared.kafka.ordering import ordered
from shared.kafka.producing import Outgoing
from shared.kafka.reading import event_of
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import Outcome, Work
from shared.machine import own_machine
from shared.printable import words_of
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)


class RecordHandling(Protocol):
    """What a worker asks of whatever handles its records. Of one partition, records come in offset order."""

    def due_at(self, record: Any) -> float:
        """Monotonic time before which a record must not be handled, nor any behind it in its partition; 0.0: now."""

    def finish(self, work: Work) -> Outcome:
        """Handle a record, in a handler thread. Never raises: how it ended is the outcome."""

    def failed(self, work: Work, error: BaseException, *, attempts: int) -> Outcome:
        """How a record ends whose handling came to nothing after so many attempts: given up for being overdue, or
        `Unavailable` alone.
        """

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """How a record ends whose outputs the broker will never take. Raises ConfigurationError when it refuses even
        the dead letter that became of it.
        """

    def released(self, works: Sequence[Work]) -> None:
        """These records' outputs are sent, and their offsets committed."""


class Handling:
    """Takes a record through decoding, the handler, retries in place and encoding, and notes how it ended."""

    def __init__(
        self,
        function: Function,
        settings: KafkaSettings,
        *,
        rejecting: Rejecting,
        clock: Callable[[], float],
        holding: Callable[[], bool],
        interrupted: Callable[[], bool],
        pause: Callable[[float], None],
    ) -> None:
        """`holding()` says whether there is an outage; then a record is handled only if what it stands on answers.

        `pause(seconds)` waits between attempts in place; `interrupted()` ends them early, without an ending.
        """
        self._function = function
        self._settings = settings
        self._rejecting = rejecting
        self._clock = clock
        self._holding = holding
        self._interrupted = interrupted
        self._consumes = frozenset(function.consumes)
        self._largest = settings.max_request_size_bytes
        self._jitter = tenacity.wait_random_exponential(
            multiplier=settings.retry_wait_seconds, max=_LONGEST_PAUSE_SECONDS
        )
        self._enough_attempts = tenacity.stop_after_attempt(1 + settings.retries_in_place)
        # Its state is each thread's own.
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TemporaryError),
            stop=self._is_last_attempt,
            wait=self._pause_before_next,
            sleep=pause,
            reraise=True,
        )

    def due_at(self, record: Any) -> float:
        """At once: what waits for its time lies in a retry topic."""
        return 0.0

    def finish(self, work: Work) -> Outcome:
        """Decode a record, have the function handle it, and encode the answers. Never raises."""
        outcome = self._finished(work)
        if outcome.ending is Ending.HALTED and isinstance(outcome.error, ConfigurationError):
            # With which `check` does not agree: it may have been mended just now.
            outcome = self._finished(work)
        return outcome

    def _finished(self, work: Work) -> Outcome:
        started = time.perf_counter()
        stage = "decode"
        attempts = 0
        try:
            event = self._decoded(work.record)
            stage = "handle"
            if self._holding():
                self._function.check()
            attempts = 1
            try:
                events = self._answers(event)
            except TemporaryError as error:
                try:
                    events = self._retried(event, error)
                finally:
                    attempts = self._retrying.statistics["attempt_number"]
            stage = "encode"
            return Outcome(Ending.EMITTED, self._encoded(events), None, attempts, time.perf_counter() - started)
        except BaseException as error:  # noqa: BLE001 - the table decides about every one of them
            seconds = time.perf_counter() - started
            ending = ending_of(error)
            if ending is Ending.HELD or isinstance(error, ConfigurationError):
                return self._held(error, attempts, seconds)
            if ending is Ending.SUPERSEDED:
                log.info("%s: %s", named(work.record), words_of(error))
            if ending in _SENDING_NOTHING:
                return Outcome(ending, [], error, attempts, seconds)
            return self._rejecting.rejected(work.record, error, stage=stage, attempts=attempts, seconds=seconds)

    def _retried(self, event: Event[Any], first: TemporaryError) -> Sequence[Event[Any]]:
        """Have the function try again in place. A record that goes well at once costs nothing of this."""
        told = [first]

        def attempt() -> Sequence[Event[Any]]:
            # The first attempt was made, and failed; it counts with the others.
            if told:
                raise told.pop()
            return self._answers(event)

        return self._retrying(attempt)

    def _answers(self, event: Event[Any]) -> Sequence[Event[Any]]:
        """The handler's answers. That this machine has run out of something is Unavailable, as for a store."""
        with own_machine(f"{self._function.name}, handling {event.id}"):
            return self._function.handle(event)

    def _held(self, error: BaseException, attempts: int, seconds: float) -> Outcome:
        """Ask the function's `check` whether it is an outage; the worker decides what to make of it.

        Credentials that are changed, or a bucket that is gone, are an outage as well: when the worker began they were
        right, so that somebody will mend them, and a worker that ends would only be started again. Where `check`
        finds nothing wrong a ConfigurationError is about something else, and every record would meet it.
        """
        try:
            self._function.check()
        except Exception as found:  # noqa: BLE001 - whatever is wrong with asking, it is not the record
            return Outcome(Ending.HELD, [], error, attempts, seconds, found)
        except BaseException as found:  # noqa: BLE001 - as the table has it
            return Outcome(ending_of(found), [], found, attempts, seconds)
        # While consumption holds it may just have been mended.
        return Outcome(Ending.HELD if self._holding() else ending_of(error), [], error, attempts, seconds)

    def failed(self, work: Work, error: BaseException, *, attempts: int) -> Outcome:
        """The retry or dead letter that a record becomes which failed with `error`, told beside its handler."""
        return self._rejecting.rejected(work.record, error, stage="handle", attempts=attempts)

    def released(self, works: Sequence[Work]) -> None:
        """Nothing more: what came of each is in the metrics."""

    def _decoded(self, record: Any) -> Event[Any]:
        event = event_of(record)
        if event.left_out:
            fields = ", ".join(event.left_out)
            log.warning("%s: what cannot be read of these fields is left out: %s", named(record), fields)
        if event.type not in self._consumes:
            raise PermanentError(
                f"{self._function.name} does not consume {event.type!r}; send it to its own topic",
                reason="unexpected-type",
            )
        story = self._rejecting.story_of(record)
        event = ordered(event, story, now=self._clock())
        if story.rounds >= len(self._settings.retry_delays_seconds):
            event = replace(event, last_round=True)
        return event

    def _pause_before_next(self, state: tenacity.RetryCallState) -> float:
        """Growing and jittered, unless the error asks for longer."""
        return max(self._jitter(state), _asked_delay_seconds(state))

    def _is_last_attempt(self, state: tenacity.RetryCallState) -> bool:
        """What asks for a long wait gets it in a retry topic, where it holds no thread. In an outage others wait for
        the end of the one that is tried.
        """
        asks_for_long = _asked_delay_seconds(state) > _LONGEST_PAUSE_SECONDS
        return self._enough_attempts(state) or self._interrupted() or self._holding() or asks_for_long

    def _encoded(self, events: Sequence[Event[Any]]) -> list[Outgoing]:
        outputs = []
        prefix = self._settings.topic_prefix
        for event in events:
            message = to_kafka(event)
            if len(message.value) > self._largest:
                raise ValueError(
                    f"{self._function.name} made a {event.type} of {len(message.value)} bytes, {self._largest} can be "
                    "sent; make it smaller or raise SKUREEL_KAFKA__MAX_REQUEST_SIZE_BYTES"
                )
            outputs.append(Outgoing(prefix + event.type, message.key, message.value, message.headers))
        return outputs

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """The dead letter that a record becomes whose output the broker will never take."""
        return self._rejecting.refused(work, error)


def _asked_delay_seconds(state: tenacity.RetryCallState) -> float:
    """The wait that the last attempt's error asks for."""
    error = None if state.outcome is None else state.outcome.exception()
    return (error.delay_seconds or 0.0) if isinstance(error, TemporaryError) else 0.0


_LONGEST_PAUSE_SECONDS = 10.0
_SENDING_NOTHING = (Ending.SUPERSEDED, Ending.HALTED)
