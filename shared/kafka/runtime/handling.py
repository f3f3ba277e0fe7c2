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

from shared.endings import Ending, ending_of, reason_of
from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.function import Function
from shared.kafka import story as stories
from shared.kafka.client import DEAD_LETTER_SUFFIX, HEADER_ROOM_BYTES, RETRY_SUFFIX, place_of
from shared.kafka.producing import Outgoing
from shared.kafka.reading import event_of
from shared.kafka.runtime.tracker import Outcome, Work
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

OUTPUT_REFUSED = "output-refused"
"""The reason of a dead letter whose handling went well, and led to something that the broker does not take."""


class RecordHandling(Protocol):
    """What a worker asks of whatever handles its records. Of one partition, records come in offset order."""

    def due_at(self, record: Any) -> float:
        """Epoch seconds before which a record must not be handled, nor any behind it in its partition; 0.0: now."""

    def finish(self, work: Work) -> Outcome:
        """Handle a record, in a handler thread. Never raises: how it ended is the outcome."""

    def failed(self, work: Work, error: BaseException) -> Outcome:
        """How a record ends whose handling came to nothing: given up for being overdue, or `Unavailable` alone."""

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """How a record ends whose outputs the broker will never take. Raises ConfigurationError when it refuses even
        the dead letter that became of it.
        """


class Handling:
    """Takes a record through decoding, the handler, retries in place and encoding, and notes how it ended."""

    def __init__(
        self,
        function: Function,
        settings: KafkaSettings,
        *,
        group: str,
        client_id: str,
        clock: Callable[[], float],
        interrupted: Callable[[], bool],
        pause: Callable[[float], None],
    ) -> None:
        """`pause(seconds)` waits between attempts in place; `interrupted()` ends them early, without an ending."""
        self._function = function
        self._settings = settings
        self._group = group
        self._client_id = client_id
        self._clock = clock
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
        """When a record of a retry topic is due; any other is due at once."""
        return stories.read(record.headers).due_at if record.topic.endswith(RETRY_SUFFIX) else 0.0

    def finish(self, work: Work) -> Outcome:
        """Decode a record, have the function handle it, and encode the answers. Never raises."""
        started = time.perf_counter()
        stage = "decode"
        attempts = 0
        try:
            event = self._decoded(work.record)
            stage = "handle"
            try:
                events = self._retrying(self._function.handle, event)
            finally:
                attempts = self._retrying.statistics["attempt_number"]
            stage = "encode"
            return Outcome(Ending.EMITTED, self._encoded(events), None, attempts, time.perf_counter() - started)
        except BaseException as error:  # noqa: BLE001 - the table decides about every one of them
            if ending_of(error) is Ending.HALTED:
                return Outcome(Ending.HALTED, [], error, attempts, time.perf_counter() - started)
            ending, output = self.rejected(work.record, error, stage=stage, attempts=attempts)
            return Outcome(ending, [output], error, attempts, time.perf_counter() - started)

    def failed(self, work: Work, error: BaseException) -> Outcome:
        """The retry or dead letter that a record becomes which failed with `error`, told beside its handler."""
        attempts = 1 if work.outcome is None else work.outcome.attempts
        ending, output = self.rejected(work.record, error, stage="handle", attempts=attempts)
        return Outcome(ending, [output], error, attempts)

    def _decoded(self, record: Any) -> Event[Any]:
        event = event_of(record)
        if event.left_out:
            fields = ", ".join(event.left_out)
            log.warning("%s: what cannot be read of these fields is left out: %s", place_of(record), fields)
        if event.type not in self._consumes:
            raise PermanentError(
                f"{self._function.name} does not consume {event.type!r}; send it to its own topic",
                reason="unexpected-type",
            )
        return replace(event, last_round=self._told(record).rounds >= len(self._settings.retry_delays_seconds))

    def _told(self, record: Any) -> stories.Story:
        """What befell the record so far."""
        told = stories.read(record.headers)
        if record.topic.endswith(RETRY_SUFFIX) and told.topic:
            return told
        # Only the retry topic is written by this runtime: elsewhere these headers are anybody's claim.
        return replace(told, topic=record.topic, partition=record.partition, offset=record.offset, rounds=0)

    def _pause_before_next(self, state: tenacity.RetryCallState) -> float:
        """Growing and jittered, unless the error asks for longer."""
        return max(self._jitter(state), _asked_delay_seconds(state))

    def _is_last_attempt(self, state: tenacity.RetryCallState) -> bool:
        """What asks for a long wait gets it in the retry topic, where it holds no thread."""
        asks_for_long = _asked_delay_seconds(state) > _LONGEST_PAUSE_SECONDS
        return self._enough_attempts(state) or self._interrupted() or asks_for_long

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

    def rejected(self, record: Any, error: BaseException, *, stage: str, attempts: int) -> tuple[Ending, Outgoing]:
        """The record that a failed record becomes: a retry while rounds are left, then a dead letter."""
        now = self._clock()
        told = self._told(record)
        topic = record.topic.removesuffix(RETRY_SUFFIX)
        ending = ending_of(error)
        delays = self._settings.retry_delays_seconds
        where = place_of(record)
        if ending is Ending.RETRIED and told.rounds >= len(delays):
            ending = Ending.DEAD
        told = stories.failed(
            told,
            error,
            reason=reason_of(error),
            stage=stage,
            attempts=attempts,
            now=now,
            defect=not isinstance(error, SkureelError),
        )
        if ending is Ending.RETRIED:
            asked = error.delay_seconds if isinstance(error, TemporaryError) else None
            delay = max(delays[told.rounds], asked or 0.0)
            told = replace(told, rounds=told.rounds + 1, due_at=now + delay)
            log.warning("%s failed: %s; retrying in %g s (%d of %d)", where, error, delay, told.rounds, len(delays))
            target = topic + RETRY_SUFFIX
        else:
            log.error("%s is a dead letter (%s): %s; see `skureel deadletters show`", where, told.reason, error)
            target = topic + DEAD_LETTER_SUFFIX
        headers = stories.written(record.headers, told, group=self._group, client_id=self._client_id)
        return ending, self._fitting(Outgoing(target, record.key, record.value, headers), where)

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """The dead letter that a record becomes whose output the broker will never take: without the record's bytes if
        the broker refused one with them.
        """
        before = work.outcome
        if before is None:
            raise ValueError(f"{place_of(work.record)} has no outcome that could be refused")
        if before.ending is not Ending.DEAD:
            refusal = PermanentError(
                f"Kafka refuses its output: {error}; raise max.message.bytes", reason=OUTPUT_REFUSED
            )
            ending, output = self.rejected(work.record, refusal, stage="send", attempts=before.attempts)
            return Outcome(ending, [output], refusal, before.attempts, before.seconds)
        (output,) = work.outputs
        if output.headers[-1][0] == stories.OMITTED:
            raise ConfigurationError(
                f"{output.topic} refuses even the story of a dead letter: {error}; raise its max.message.bytes"
            ) from error
        alone = _story_alone(output, place_of(work.record))
        return Outcome(Ending.DEAD, [alone], before.error, before.attempts, before.seconds)

    def _fitting(self, output: Outgoing, where: str) -> Outgoing:
        return output if _size(output) <= self._largest + HEADER_ROOM_BYTES - 1024 else _story_alone(output, where)


def _asked_delay_seconds(state: tenacity.RetryCallState) -> float:
    """The wait that the last attempt's error asks for."""
    error = None if state.outcome is None else state.outcome.exception()
    return (error.delay_seconds or 0.0) if isinstance(error, TemporaryError) else 0.0


def _story_alone(output: Outgoing, where: str) -> Outgoing:
    """What a record that even the dead letter topic cannot hold leaves there: its story says where the bytes are."""
    size = _size(output)
    log.error("%s has %d bytes, too large for %s; only its story is kept there", where, size, output.topic)
    told = [(name, raw) for name, raw in output.headers if name.startswith((stories.CONNECT, stories.SKUREEL))]
    return Outgoing(output.topic, None, b"", [*told, (stories.OMITTED, str(size).encode())])


def _size(output: Outgoing) -> int:
    headers = sum(len(name.encode()) + len(raw) + 8 for name, raw in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


_LONGEST_PAUSE_SECONDS = 10.0
