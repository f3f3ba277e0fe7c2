"""How finished work leaves the worker: outputs are sent and offsets are committed, off the owner thread.

Two ways, by `SKUREEL_KAFKA__OFFSETS`. In a transaction, outputs and offsets are one: Kafka readers see both or neither.
Plainly, outputs are flushed here and the owner commits the offsets after it: at least once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    IllegalGenerationError,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RebalanceInProgressError,
    RecordListTooLargeError,
    UnknownMemberIdError,
)

from shared.errors import ConfigurationError
from shared.kafka.client import NULL, producer_arguments
from shared.kafka.producing import Outgoing, discard, wait_for_all
from shared.kafka.runtime.tracker import Released, Work
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

MEMBERSHIP_ERRORS = (CommitFailedError, IllegalGenerationError, UnknownMemberIdError, RebalanceInProgressError)
"""The group has moved on: another owner repeats the work, or this one commits again after it has rejoined.

kafka-python raises CommitFailedError for the first two of the broker's three codes.
"""

DELIVERY_SECONDS = 150.0
"""Above the client's own 120 s, after which it gives up a record."""
_CONNECT_SECONDS = 90.0
"""What a release may wait for besides its records' delivery: metadata, a new producer and its start."""
REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)
"""What the broker says of a record that it will never take."""


class Verdict(Enum):
    """How a release ended."""

    RELEASED = "released"
    SENT = "sent"
    """Plain way only: outputs are flushed, offsets are still to be committed."""
    STALE = "stale"
    """The group membership was out of date; nothing was committed."""
    REFUSED = "refused"
    """The broker refused single records; nothing was committed."""
    FAILED = "failed"
    """Anything else; nothing was committed."""
    UNCERTAIN = "uncertain"
    """The producer was lost while it ended the transaction: the group's committed offsets tell."""
    IMPOSSIBLE = "impossible"
    """This process may not do it; an operator must act."""


@dataclass(slots=True)
class Release:
    """Finished records of several partitions, to be released together."""

    parts: list[Released]
    group: Any
    """The consumer's group metadata when the release was put together: a stale one is fenced (KIP-447)."""
    verdict: Verdict = Verdict.FAILED
    error: BaseException | None = None
    refused: list[Work] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit."""
        return {part.tracker.partition: OffsetAndMetadata(part.offset, "", -1) for part in self.parts}

    def works(self) -> list[Work]:
        """All records that it releases, per partition in offset order."""
        return [work for part in self.parts for work in part.works]


class Outbox:
    """One thread that releases, one release at a time. The owner puts one in, and later finds it ended.

    A release goes out in batches. Where the broker refuses a batch nobody can tell whose record it was, and whether
    the batch or one record in it was too large; so it goes out once more, output by output.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        client_id: str,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._wake = wake
        self._clock = clock
        self._transactional = settings.offsets == "transaction"
        self._patience = DELIVERY_SECONDS
        if self._transactional:
            # The broker aborts what is open for longer: waiting on would be in vain.
            self._patience = min(DELIVERY_SECONDS, settings.transaction_timeout_ms / 1000)
        self._producer: Any = None
        self._condition = threading.Condition()
        self._waiting: Release | None = None
        self._ended: Release | None = None
        self._busy = False
        self._closed = False
        self._failures = 0
        self._came_round = 0.0
        self._current: Release | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Connect, fence an earlier self, and start the thread."""
        self._producer = self._open()
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether the release under way has been waiting for the client longer than whatever it waits for can take.

        kafka-python 3.0.12 waits without a bound for the answers to a transaction's offsets and to its end.
        """
        allowed = self._patience + _CONNECT_SECONDS
        return self._busy and self._ended is None and self._clock() - self._came_round > allowed

    @property
    def busy(self) -> bool:
        """Whether a release is under way or its end has not been looked at."""
        return self._busy

    def put(self, release: Release) -> None:
        """Hand over a release; there must be none under way."""
        with self._condition:
            if self._busy:
                raise RuntimeError("a release is under way; wait for its end")
            self._busy = True
            self._came_round = self._clock()
            self._current = release
            self._waiting = release
            self._condition.notify_all()

    def take(self, timeout_seconds: float = 0.0) -> Release | None:
        """The release that has ended, if any; waits for it up to the timeout."""
        with self._condition:
            if self._ended is None and timeout_seconds > 0 and self._busy:
                self._condition.wait_for(lambda: self._ended is not None, timeout_seconds)
            ended, self._ended = self._ended, None
            if ended is not None:
                self._busy = False
            return ended

    def forsake(self) -> "Outbox":
        """Give up a release that is stuck, and return the outbox that takes its place and finds out what became of it.

        The stuck thread may still come back, hence the copy. Its producer is fenced by the new one of the same name,
        and it opens no other.
        """
        with self._condition:
            self._closed = True
            stuck, producer = self._current, self._producer
        _discard_aside(producer)
        successor = Outbox(self._settings, client_id=self._client_id, wake=self._wake, clock=self._clock)
        successor._thread.start()
        if stuck is not None:
            successor.put(Release(stuck.parts, stuck.group, Verdict.UNCERTAIN))
        return successor

    def close(self, timeout_seconds: float) -> None:
        """Let the thread end, and close the producer within the timeout."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if self._producer is not None:
            discard(self._producer, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting is not None or self._closed)
                release, self._waiting = self._waiting, None
            if release is None:
                return
            if release.verdict is not Verdict.UNCERTAIN:
                self._end(release)
            self._reopen(release)
            with self._condition:
                self._ended = release
                self._condition.notify_all()
            self._wake()

    def _end(self, release: Release) -> None:
        try:
            if self._producer is None:
                self._producer = self._open()
            if self._transactional:
                self._transact(release)
            else:
                self._send(release)
            self._failures = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the owner must hear of it
            release.error = error
            if release.refused:
                release.verdict = Verdict.REFUSED
            elif isinstance(error, AuthorizationError | ConfigurationError):
                release.verdict = Verdict.IMPOSSIBLE
            elif release.verdict is Verdict.FAILED and isinstance(error, MEMBERSHIP_ERRORS):
                release.verdict = Verdict.STALE
            log.warning("releasing %d records failed: %r", len(release.works()), error)
            self._pause()

    def _reopen(self, release: Release) -> None:
        """Open a new producer for a lost one at once: its start ends what that one left open, which readers wait for.

        A transaction that was given up on may still be committed until then, and never after: the start waits for one
        that is being committed and aborts any other. So a release comes out as uncertain only when it has succeeded.
        """
        while self._producer is None and not self._closed:
            try:
                self._producer = self._open()
            except BaseException as error:  # noqa: BLE001 - as above
                release.error = error
                if isinstance(error, AuthorizationError | ConfigurationError):
                    release.verdict = Verdict.IMPOSSIBLE
                log.warning("no new producer yet: %r", error)
                self._pause()
                if release.verdict is not Verdict.UNCERTAIN:
                    return

    def _pause(self) -> None:
        """A broker that is away must not be asked in a tight loop, nor keep the log busy."""
        self._failures += 1
        with self._condition:
            self._condition.wait_for(lambda: self._closed, min(0.05 * 2**self._failures, 2.0))
        self._came_round = self._clock()

    # In a transaction.

    def _transact(self, release: Release) -> None:
        """Send outputs and offsets as one. Raises when they were not committed, or nobody knows."""
        sent: list[Any] = []
        try:
            self._commit(release, self._send_in_batches, sent)
        except KafkaError as error:
            if release.verdict is not Verdict.FAILED or not _refused(error, sent):
                raise
            log.warning("a batch was refused (%s); sending its records one by one", error)
            self._producer = self._open()
            self._commit(release, self._send_singly, [])

    def _commit(self, release: Release, send: Callable[[Release, list[Any]], None], sent: list[Any]) -> None:
        release.verdict = Verdict.FAILED
        try:
            self._producer.begin_transaction()
            send(release, sent)
            self._producer.send_offsets_to_transaction(release.offsets, release.group)
            # A commit that finds a failed batch is never answered by kafka-python 3.0.12: the failure must come first.
            wait_for_all(sent, self._patience)
            # Whatever is heard from here on, the broker may commit.
            release.verdict = Verdict.UNCERTAIN
            self._producer.commit_transaction()
            release.verdict = Verdict.RELEASED
        except BaseException:
            # The start of the next producer ends what is left open. This one may never hear of an abort, keeps offsets
            # whose commit was refused and would commit them with the next ones (kafka-python 3.0.12), and has after a
            # refused batch a gap in its sequence numbers that the broker does not forgive.
            self._lose_producer()
            raise

    def _send_in_batches(self, release: Release, sent: list[Any]) -> None:
        for work in release.works():
            for output in work.outputs:
                sent.append(self._hand_over(output))

    # Either way.

    def _send_singly(self, release: Release, sent: list[Any]) -> None:
        """Send each output when the one before is acknowledged. Raises when some are refused, and notes whose."""
        for work in release.works():
            for output in work.outputs:
                self._came_round = self._clock()
                try:
                    self._hand_over(output).get(timeout=self._patience)
                except REFUSALS as error:
                    release.refused.append(work)
                    release.error = error
                    self._start_over()
                    break
                if not self._transactional:
                    # What is out is out: it must not be sent again.
                    work.outputs = work.outputs[1:]
        if release.error is not None:
            raise release.error

    def _start_over(self) -> None:
        """After a refusal: the producer is of no more use, and with it what was sent in the transaction."""
        self._lose_producer()
        self._producer = self._open()
        if self._transactional:
            self._producer.begin_transaction()

    def _hand_over(self, output: Outgoing) -> Any:
        value = NULL if output.value is None else output.value
        try:
            return self._producer.send(output.topic, value, output.key, output.headers)
        except (TypeError, ValueError) as error:
            # The client cannot write it, and never will.
            raise InvalidRecordError(str(error)) from error
        except KafkaTimeoutError as error:
            told = error.args[0] if error.args else "no answer"
            raise KafkaTimeoutError(f"{output.topic}: {told}; is it there? See `skureel topics create`") from error

    # Plainly.

    def _send(self, release: Release) -> None:
        """Send outputs; their offsets are committed by the owner."""
        sent: list[tuple[Outgoing, Any]] = []
        works = release.works()
        release.verdict = Verdict.FAILED
        try:
            try:
                for work in works:
                    for output in work.outputs:
                        sent.append((output, self._hand_over(output)))
            finally:
                self._producer.flush(timeout=self._patience)
                done = {id(output) for output, future in sent if future.succeeded()}
                for work in works:
                    work.outputs = [output for output in work.outputs if id(output) not in done]
            wait_for_all([future for _, future in sent], 0.0)
        except KafkaError as error:
            # An idempotent producer sends nothing more after a refusal.
            self._lose_producer()
            if not _refused(error, [future for _, future in sent]):
                raise
            log.warning("a batch was refused (%s); sending its records one by one", error)
            self._producer = self._open()
            self._send_singly(release, [])
        release.verdict = Verdict.SENT

    # The producer.

    def _lose_producer(self) -> None:
        lost, self._producer = self._producer, None
        _discard_aside(lost)

    def _open(self) -> Any:
        arguments = producer_arguments(self._settings, client_id=self._client_id)
        if self._transactional:
            arguments["transactional_id"] = self._client_id
            arguments["transaction_timeout_ms"] = self._settings.transaction_timeout_ms
        else:
            # After a refusal the client forgets what is on its way elsewhere, which would then be sent twice.
            arguments["max_in_flight_requests_per_connection"] = 1
        producer = KafkaProducer(**arguments)
        # kafka-python 3.0.12 splits a refused batch, and then loses sight of some of its records.
        producer._sender._can_split = lambda batch, error: False
        try:
            if self._transactional:
                producer.init_transactions()
            if self._closed:
                # Given up meanwhile: a successor goes by this name, and this producer has just fenced it.
                raise KafkaError("the outbox is closed")
        except BaseException:
            discard(producer)
            raise
        return producer


def _refused(error: BaseException, futures: Iterable[Any]) -> bool:
    """Whether the broker refused something: what is raised then may only say that the producer has failed before."""
    return isinstance(error, REFUSALS) or any(isinstance(future.exception, REFUSALS) for future in futures)


def _discard_aside(producer: Any) -> None:
    """Without waiting for a client that may hang."""
    if producer is not None:
        threading.Thread(target=discard, args=(producer,), name="outbox-closing", daemon=True).start()
