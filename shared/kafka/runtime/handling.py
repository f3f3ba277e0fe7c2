"""The handling of one record: decoding, the handler, retries in place, encoding, and how it ended.

Runs in handler threads. It knows events, the function and topics by name; it sends nothing and commits nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import tenacity

from shared.endings import Ending, ending_of, reason_of
from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.function import Function
from shared.kafka import story as stories
from shared.kafka.client import DEAD_LETTER_SUFFIX, HEADER_ROOM_BYTES, RETRY_SUFFIX
from shared.kafka.reading import event_of
from shared.kafka.runtime.tracker import Outgoing, Work
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

OUTPUT_REFUSED = "output-refused"
"""The reason of a dead letter whose handling went well, and led to something that the broker does not take."""


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
        self._pause = pause
        self._interrupted = interrupted
        self._consumes = frozenset(function.consumes)
        self._largest = settings.max_request_size_bytes
        self._jitter = tenacity.wait_random_exponential(
            multiplier=settings.retry_wait_seconds, max=_LONGEST_PAUSE_SECONDS
        )

    def finish(self, work: Work) -> None:
        """Handle a record and set its ending, outputs and seconds. Never raises."""
        started = time.perf_counter()
        stage = "decode"
        try:
            event = event_of(work.record)
            if event.left_out:
                fields = ", ".join(event.left_out)
                log.warning("%s: what cannot be read of these fields is left out: %s", _place(work.record), fields)
            if event.type not in self._consumes:
                raise PermanentError(
                    f"{self._function.name} does not consume {event.type!r}; send it to its own topic",
                    reason="unexpected-type",
                )
            stage = "handle"
            work.attempts = 1
            try:
                events = self._function.handle(event)
            except TemporaryError as error:
                events = self._again(work, event, error)
            stage = "encode"
            work.outputs = self._encoded(events)
            work.ending = Ending.EMITTED
        except BaseException as error:  # noqa: BLE001 - the table decides about every one of them
            work.error = error
            work.ending = ending_of(error)
            if work.ending is not Ending.HALTED:
                work.ending, output = self.rejected(work.record, error, stage=stage, attempts=work.attempts)
                work.outputs = [output]
        work.seconds = time.perf_counter() - started

    def _again(self, work: Work, event: Event[Any], first: TemporaryError) -> Sequence[Event[Any]]:
        """Try further times in place, with growing jittered waits. Raises the last error."""
        last: TemporaryError = first

        def attempt() -> Sequence[Event[Any]]:
            nonlocal last
            work.attempts += 1
            try:
                return self._function.handle(event)
            except TemporaryError as error:
                last = error
                raise

        def wait(state: tenacity.RetryCallState) -> float:
            return max(self._jitter(state), last.delay_seconds or 0.0)

        def hopeless(state: tenacity.RetryCallState) -> bool:
            # What asks for a long wait gets it in the retry topic, where it holds no thread.
            return self._interrupted() or (last.delay_seconds or 0.0) > _LONGEST_PAUSE_SECONDS

        retrying = tenacity.Retrying(
            sleep=self._pause,
            wait=wait,
            stop=lambda state: state.attempt_number >= self._settings.retries_in_place or hopeless(state),
            retry=tenacity.retry_if_exception_type(TemporaryError),
            reraise=True,
        )
        # The first attempt was made before tenacity was asked.
        state = tenacity.RetryCallState(retrying, None, (), {})
        if self._settings.retries_in_place == 0 or hopeless(state):
            raise first
        self._pause(wait(state))
        return retrying(attempt)

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
        told = stories.read(record.headers)
        retried = record.topic.endswith(RETRY_SUFFIX)
        topic = record.topic.removesuffix(RETRY_SUFFIX)
        if not (retried and told.topic):
            # Only the retry topic is written by this runtime: elsewhere these headers are anybody's claim.
            told = replace(told, topic=record.topic, partition=record.partition, offset=record.offset, rounds=0)
        ending = ending_of(error)
        delays = self._settings.retry_delays_seconds
        where = _place(record)
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

    def refused(self, work: Work, error: BaseException | None) -> None:
        """Give a record whose output the broker will never take a dead letter instead, which is without its bytes if
        the broker refused one with them. Raises ConfigurationError when it refuses even that.
        """
        if work.ending is not Ending.DEAD:
            refusal = PermanentError(
                f"Kafka refuses its output: {error}; raise max.message.bytes", reason=OUTPUT_REFUSED
            )
            work.ending, output = self.rejected(work.record, refusal, stage="send", attempts=work.attempts)
        else:
            (output,) = work.outputs
            if output.headers[-1][0] == stories.OMITTED:
                raise ConfigurationError(
                    f"{output.topic} refuses even the story of a dead letter: {error}; raise its max.message.bytes"
                ) from error
            output = _story_alone(output, _place(work.record))
        work.outputs = [output]

    def _fitting(self, output: Outgoing, where: str) -> Outgoing:
        return output if _size(output) <= self._largest + HEADER_ROOM_BYTES - 1024 else _story_alone(output, where)


def _place(record: Any) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"


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
