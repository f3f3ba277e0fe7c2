"""The thread that releases: outputs are sent and offsets are committed, off the owner's thread.

Two ways, by `SKUREEL_KAFKA__OFFSETS`. In a transaction, outputs and offsets are one: Kafka readers see both or neither.
Plainly, outputs are flushed here and the owner commits the offsets after it: at least once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from kafka.errors import InvalidRecordError, InvalidTimestampError, KafkaError, KafkaTimeoutError

from shared.kafka import mends
from shared.kafka.producing import Outgoing, Transaction, discard, hand_over, open_producer, wait_for_all
from shared.kafka.runtime.release import (
    REFUSALS,
    Ended,
    OutputsRefused,
    Release,
    Unheard,
    Verdict,
    verdict_of,
)
from shared.kafka.runtime.tracker import Work
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 150.0
"""Above the client's own 120 s, after which it gives up a record."""
_CONNECT_SECONDS = 90.0
"""What a release may wait for besides its records' delivery: metadata, a new producer and its start."""


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
        self._ended: Ended | None = None
        self._busy = False
        self._closed = False
        self._failures = 0
        self._came_round = 0.0
        self._current: Release | None = None
        self._is_unheard = False
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

    def put(self, release: Release, *, unheard: bool = False) -> None:
        """Hand over a release; there must be none under way. `unheard`: one that an outbox before this one may have
        committed, which ends as uncertain as soon as that can be found out.
        """
        with self._condition:
            if self._busy:
                raise RuntimeError("a release is under way; wait for its end")
            self._busy = True
            self._came_round = self._clock()
            self._current = release
            self._is_unheard = unheard
            self._waiting = release
            self._condition.notify_all()

    def take(self, timeout_seconds: float = 0.0) -> Ended | None:
        """How the release has ended, if it has; waits for it up to the timeout."""
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
            successor.put(Release(stuck.parts, stuck.group), unheard=True)
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
            ended = Ended(release, Verdict.UNCERTAIN) if self._is_unheard else self._end(release)
            ended = self._reopen(ended)
            with self._condition:
                self._ended = ended
                self._condition.notify_all()
            self._wake()

    def _end(self, release: Release) -> Ended:
        try:
            if self._producer is None:
                self._producer = self._open()
            if self._transactional:
                self._transact(release)
            else:
                self._send(release)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the owner must hear of it
            cause = error.__cause__ if isinstance(error, Unheard) else error
            log.warning("releasing %d records failed: %r", len(release.works()), cause)
            self._pause()
            if isinstance(error, OutputsRefused):
                return Ended(release, Verdict.REFUSED, error.cause, error.works)
            return Ended(release, verdict_of(error), cause)
        self._failures = 0
        return Ended(release, Verdict.RELEASED if self._transactional else Verdict.SENT)

    def _reopen(self, ended: Ended) -> Ended:
        """Open a new producer for a lost one at once: its start ends what that one left open, which readers wait for.

        A transaction that was given up on may still be committed until then, and never after: the start waits for one
        that is being committed and aborts any other. So a release comes out as uncertain only when it has succeeded.
        """
        while self._producer is None and not self._closed:
            try:
                self._producer = self._open()
            except BaseException as error:  # noqa: BLE001 - as above
                log.warning("no new producer yet: %r", error)
                self._pause()
                if verdict_of(error) is Verdict.IMPOSSIBLE:
                    return Ended(ended.release, Verdict.IMPOSSIBLE, error)
                if ended.verdict is not Verdict.UNCERTAIN:
                    return ended
        return ended

    def _pause(self) -> None:
        """A broker that is away must not be asked in a tight loop, nor keep the log busy."""
        self._failures += 1
        with self._condition:
            self._condition.wait_for(lambda: self._closed, min(0.05 * 2**self._failures, 2.0))
        self._came_round = self._clock()

    # In a transaction.

    def _transact(self, release: Release) -> None:
        """Send outputs and offsets as one. Raises when they were not committed, or nobody knows."""
        transaction = Transaction(self._producer, patience_seconds=self._patience)
        try:
            self._commit(transaction, release, self._send_in_batches)
        except KafkaError as error:
            if not _refused(error, transaction.sent):
                told = _refused_time(transaction.sent)
                if told is not None and told is not error:
                    # What was raised may only say that the producer has failed before.
                    raise told from error
                raise
            log.warning("a batch was refused (%s); sending its records one by one", error)
            self._producer = self._open()
            self._commit(Transaction(self._producer, patience_seconds=self._patience), release, self._send_singly)

    def _commit(self, transaction: Transaction, release: Release, send: Callable[[Release, list[Any]], None]) -> None:
        try:
            with transaction:
                send(release, transaction.sent)
                transaction.commit_offsets(release.offsets, release.group)
        except BaseException as error:
            self._lose_producer()
            if transaction.may_be_committed and verdict_of(error) is not Verdict.IMPOSSIBLE:
                # Whatever was heard, the broker may have committed it.
                raise Unheard from error
            raise

    def _send_in_batches(self, release: Release, sent: list[Any]) -> None:
        for work in release.works():
            for output in work.outputs:
                sent.append(self._hand_over(output))

    # Either way.

    def _send_singly(self, release: Release, sent: list[Any]) -> None:
        """Send each output when the one before is acknowledged. Raises OutputsRefused when some are refused."""
        refused: list[Work] = []
        refusal: BaseException | None = None
        for work in release.works():
            for output in work.outputs:
                self._came_round = self._clock()
                try:
                    self._hand_over(output).get(timeout=self._patience)
                except REFUSALS as error:
                    refused.append(work)
                    refusal = error
                    self._start_over()
                    break
                if not self._transactional:
                    # What is out is out: it must not be sent again.
                    work.outputs = work.outputs[1:]
        if refusal is not None:
            raise OutputsRefused(refused, refusal)

    def _start_over(self) -> None:
        """After a refusal: the producer is of no more use, and with it what was sent in the transaction."""
        self._lose_producer()
        self._producer = self._open()
        if self._transactional:
            self._producer.begin_transaction()

    def _hand_over(self, output: Outgoing) -> Any:
        try:
            return hand_over(self._producer, output)
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

    # The producer.

    def _lose_producer(self) -> None:
        lost, self._producer = self._producer, None
        _discard_aside(lost)

    def _open(self) -> Any:
        # After a refusal the client forgets what is on its way elsewhere, which would then be sent twice.
        more = {} if self._transactional else {"max_in_flight_requests_per_connection": 1}
        name = self._client_id if self._transactional else None
        producer = open_producer(self._settings, client_id=self._client_id, transactional_id=name, **more)
        mends.never_split(producer)
        if self._closed:
            # Given up meanwhile: a successor goes by this name, and this producer has just fenced it.
            discard(producer)
            raise KafkaError("the outbox is closed")
        return producer


def _refused(error: BaseException, futures: Iterable[Any]) -> bool:
    """Whether the broker refused something: what is raised then may only say that the producer has failed before."""
    return isinstance(error, REFUSALS) or any(isinstance(future.exception, REFUSALS) for future in futures)


def _refused_time(futures: Iterable[Any]) -> InvalidTimestampError | None:
    """What the broker said of records that a clock dated which is far from its own."""
    errors = (future.exception for future in futures)
    return next((error for error in errors if isinstance(error, InvalidTimestampError)), None)


def _discard_aside(producer: Any) -> None:
    """Without waiting for a client that may hang."""
    if producer is not None:
        threading.Thread(target=discard, args=(producer,), name="outbox-closing", daemon=True).start()
