"""What a record becomes that failed: a retry while rounds are left, then a dead letter. Its story goes with it.

<topic> -> <topic>.retry.<delay> -> (redeliver) -> <topic> -> ... -> <topic>.dlq
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kafka.errors import InvalidRecordError

from shared.endings import Ending, ending_of, reason_of
from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError
from shared.kafka import story as stories
from shared.kafka.client import DEAD_LETTER_SUFFIX, HEADER_ROOM_BYTES, base_topic, named, place_of, retry_topic
from shared.kafka.producing import Outgoing
from shared.kafka.runtime.tracker import Outcome, Work
from shared.kafka.story import Story
from shared.printable import words_of
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

OUTPUT_REFUSED = "output-refused"
"""The reason of a dead letter whose handling went well, and led to something that the broker does not take."""


class Rejecting:
    """Makes of a failed record what goes on instead of its outputs. Sends nothing."""

    def __init__(self, settings: KafkaSettings, *, group: str, client_id: str, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._group = group
        self._client_id = client_id
        self._clock = clock

    def story_of(self, record: Any) -> Story:
        """What befell a record so far."""
        return stories.of(record, self._settings, now=self._clock())

    def rejected(
        self, record: Any, error: BaseException, *, stage: str, attempts: int, seconds: float = 0.0
    ) -> Outcome:
        """How a record ends whose handling raised. Never raises itself, whatever the error does when it is asked what
        it is: then the record is a dead letter, for a defect that is named after it.
        """
        try:
            return self._rejected(record, error, stage=stage, attempts=attempts, seconds=seconds)
        except Exception as second:  # noqa: BLE001 - the error is foreign code, asked what it is
            defect = RuntimeError(f"{type(error).__name__} was raised, which cannot be told ({type(second).__name__})")
            defect.with_traceback(error.__traceback__)
            return self._rejected(record, defect, stage=stage, attempts=attempts, seconds=seconds)

    def _rejected(self, record: Any, error: BaseException, *, stage: str, attempts: int, seconds: float) -> Outcome:
        now = self._clock()
        delays = self._settings.retry_delays_seconds
        told = self.story_of(record)
        topic, where = base_topic(record.topic), named(record)
        ending = ending_of(error)
        if ending is Ending.HELD:
            # Nothing is away: the failure was found to be this record's own.
            ending = Ending.RETRIED
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
            delay = self._delay(told, error)
            told = told._replace(rounds=told.rounds + 1)
            again = f"retrying in {delay:g} s ({told.rounds} of {len(delays)})"
            log.warning("%s failed: %s; %s", where, words_of(error), again)
            target, partition = retry_topic(topic, delay), record.partition
        else:
            shown = f"skureel deadletters show {place_of(told)}"
            log.error("%s is a dead letter (%s): %s; see `%s`", where, told.reason, words_of(error), shown)
            target, partition = topic + DEAD_LETTER_SUFFIX, None
        headers = stories.written(record.headers, told, group=self._group, client_id=self._client_id)
        output = self._fitting(Outgoing(target, record.key, record.value, headers, partition), where)
        return Outcome(ending, [output], error, attempts, seconds)

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """The dead letter that a record becomes whose output the broker will never take: without the record's bytes if
        the broker refused one with them, and with its place as key if the topic is compacted and it has none. Raises
        ConfigurationError when it refuses even that.
        """
        before = work.outcome
        if before is None:
            raise ValueError(f"{place_of(work.record)} has no outcome that could be refused")
        if before.ending is not Ending.DEAD:
            refusal = PermanentError(f"Kafka refuses its output: {error}; {_remedy(error)}", reason=OUTPUT_REFUSED)
            return self.rejected(work.record, refusal, stage="send", attempts=before.attempts, seconds=before.seconds)
        (output,) = work.outputs
        where = place_of(work.record)
        if output.key is None and isinstance(error, InvalidRecordError):
            # Of a compacted topic, and it may be of another cause: then the next refusal is of a letter with a key.
            log.error("%s is refused by %s (%s); with its place as key it may be kept", where, output.topic, error)
            return replace(before, outputs=[output._replace(key=where.encode())])
        if output.headers[-1][0] == stories.OMITTED:
            raise ConfigurationError(
                f"{output.topic} refuses even the story of a dead letter: {error}; {_remedy(error)}"
            ) from error
        return replace(before, outputs=[_story_alone(output, where, why=str(error))])

    def _delay(self, told: Story, error: BaseException) -> float:
        """The round's delay; where the error asks for a longer one, the shortest that is as long, or the longest."""
        delays = self._settings.retry_delays_seconds
        asked = (error.delay_seconds or 0.0) if isinstance(error, TemporaryError) else 0.0
        least = max(delays[told.rounds], asked)
        return min((delay for delay in delays if delay >= least), default=max(delays))

    def _fitting(self, output: Outgoing, where: str) -> Outgoing:
        most = self._settings.max_request_size_bytes + HEADER_ROOM_BYTES - 1024
        return output if _size(output) <= most else _story_alone(output, where, why="too large")


def _remedy(error: BaseException | None) -> str:
    """What an operator can do about a refusal."""
    if isinstance(error, InvalidRecordError):
        return "see the topic's settings: a compacted one (cleanup.policy) takes no record without a key"
    return "raise its max.message.bytes"


def _story_alone(output: Outgoing, where: str, *, why: str) -> Outgoing:
    """What a record that even the dead letter topic cannot hold leaves there: its story says where the bytes are."""
    size = _size(output)
    log.error("%s (%d bytes) cannot be kept in %s: %s; only its story is", where, size, output.topic, why)
    told = [(name, raw) for name, raw in output.headers if name.startswith((stories.CONNECT, stories.SKUREEL))]
    return Outgoing(output.topic, None, b"", [*told, (stories.OMITTED, str(size).encode())])


def _size(output: Outgoing) -> int:
    headers = sum(len(name.encode()) + len(raw) + 8 for name, raw in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers
