"""How finished work leaves the worker: outputs are sent and offsets are committed, off the owner thread.

Two ways, by `SKUREEL_KAFKA__OFFSETS`. In a transaction, outputs and offsets are one: Kafka readers see both or neither.
Plainly, outputs are flushed here and the owner commits the offsets after it: at least once.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
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
from shared.kafka.tracker import Released, Work
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

MEMBERSHIP_ERRORS = (CommitFailedError, IllegalGenerationError, UnknownMemberIdError, RebalanceInProgressError)
"""The group has moved on: another owner repeats the work, or this one commits again after it has rejoined.

kafka-python raises CommitFailedError for the first two of the broker's three codes.
"""

_DELIVERY_SECONDS = 150.0
"""Above the client's own 120 s, after which it gives up a record."""
_SPLIT_POLL_SECONDS = 0.005
_REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)


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
    """One thread that releases, one release at a time. The owner puts one in, and later finds it ended."""

    def __init__(self, settings: KafkaSettings, *, client_id: str, wake: Callable[[], None]) -> None:
        self._settings = settings
        self._client_id = client_id
        self._wake = wake
        self._transactional = settings.offsets == "transaction"
        self._producer: Any = None
        self._condition = threading.Condition()
        self._waiting: Release | None = None
        self._ended: Release | None = None
        self._busy = False
        self._closed = False
        self._failures = 0
        self._begun = 0.0
        self._current: Release | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Connect, fence an earlier self, and start the thread."""
        self._producer = self._open()
        self._thread.start()

    def stuck(self, seconds: float) -> bool:
        """Whether the release under way takes longer than that."""
        return self._busy and self._ended is None and time.monotonic() - self._begun > seconds

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
            self._begun = time.monotonic()
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

    def forsake(self) -> Release | None:
        """Give up a release that is stuck. What became of it is uncertain; this outbox must not be used again.

        Its thread may still come back, hence the copy. A new outbox under the same name fences its producer.
        """
        with self._condition:
            self._closed = True
            stuck = self._current
        return None if stuck is None else Release(stuck.parts, stuck.group, Verdict.UNCERTAIN)

    def close(self, timeout_seconds: float) -> None:
        """Let the thread end, and close the producer within the timeout."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if self._producer is not None:
            _discard(self._producer, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting is not None or self._closed)
                release, self._waiting = self._waiting, None
            if release is None:
                return
            self._end(release)
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
            if isinstance(error, AuthorizationError | ConfigurationError):
                release.verdict = Verdict.IMPOSSIBLE
            log.warning("releasing %d records failed: %s: %s", len(release.works()), type(error).__name__, error)
            # A broker that is away must not be asked in a tight loop, nor keep the log busy.
            self._failures += 1
            with self._condition:
                self._condition.wait_for(lambda: self._closed, min(0.05 * 2**self._failures, 2.0))

    def _transact(self, release: Release) -> None:
        producer = self._producer
        sent: list[tuple[Work, Any]] = []
        committing = False
        try:
            producer.begin_transaction()
            sent = _send_all(producer, release.works())
            producer.send_offsets_to_transaction(release.offsets, release.group)
            # A commit that finds a failed batch is never answered by kafka-python 3.0.12: the failure must come first.
            producer.flush(timeout=_DELIVERY_SECONDS)
            _raise_first(sent)
            committing = True
            producer.commit_transaction()
            release.verdict = Verdict.RELEASED
        except KafkaError as error:
            release.refused = _refused(sent)
            if isinstance(error, MEMBERSHIP_ERRORS):
                release.verdict = Verdict.STALE
            elif release.refused:
                release.verdict = Verdict.REFUSED
            elif committing:
                # Whatever became of the producer, the broker may have heard.
                release.verdict = Verdict.UNCERTAIN
            # Lost parts of a split batch also keep an abort waiting; a new producer's start aborts for it.
            if not release.refused:
                try:
                    producer.abort_transaction()
                except KafkaError as broken:
                    # Fenced or broken: a new producer ends what this one left open.
                    log.debug("no transaction was aborted: %s", broken)
            # kafka-python 3.0.12 keeps offsets whose commit was refused, and would commit them with the next ones.
            self._lose_producer()
            raise

    def _send(self, release: Release) -> None:
        sent = _send_all(self._producer, release.works())
        self._producer.flush(timeout=_DELIVERY_SECONDS)
        release.refused = _refused(sent)
        release.verdict = Verdict.REFUSED if release.refused else Verdict.FAILED
        _raise_first(sent)
        release.verdict = Verdict.SENT

    def _lose_producer(self) -> None:
        lost, self._producer = self._producer, None
        # Closing waits for batches that may never be sent; nobody needs to wait for that.
        threading.Thread(target=_discard, args=(lost, 150.0), name="outbox-closing", daemon=True).start()

    def _open(self) -> Any:
        arguments = producer_arguments(self._settings, client_id=self._client_id)
        if self._transactional:
            arguments["transactional_id"] = self._client_id
            arguments["transaction_timeout_ms"] = self._settings.transaction_timeout_ms
        producer = KafkaProducer(**arguments)
        if self._transactional:
            try:
                producer.init_transactions()
            except BaseException:
                _discard(producer, 1.0)
                raise
        return producer


def _send_all(producer: Any, works: Sequence[Work]) -> list[tuple[Work, Any]]:
    sent = []
    send = producer.send
    for work in works:
        for output in work.outputs:
            value = NULL if output.value is None else output.value
            sent.append((work, send(output.topic, value, output.key, output.headers)))
    return sent


def _raise_first(sent: Sequence[tuple[Work, Any]]) -> None:
    """Wait until every record is acknowledged or failed, and raise what the first failed one failed with."""
    # A batch that was too large is split. A flush waits for the batch it was, not for its parts, and so does a future's
    # own `get`; once one part has failed, the others may never be heard of.
    deadline = time.monotonic() + _DELIVERY_SECONDS
    while True:
        unheard = False
        for _, future in sent:
            if not future.is_done:
                unheard = True
            elif future.failed():
                raise future.exception
        if not unheard:
            return
        if time.monotonic() > deadline:
            raise KafkaTimeoutError("the client lost sight of a record that it split off")
        time.sleep(_SPLIT_POLL_SECONDS)


def _refused(sent: Sequence[tuple[Work, Any]]) -> list[Work]:
    """Records whose outputs the broker will never take, each once."""
    found: dict[int, Work] = {}
    for work, future in sent:
        if future.failed() and isinstance(future.exception, _REFUSED):
            found[id(work)] = work
    return list(found.values())


def _discard(producer: Any, timeout_seconds: float) -> None:
    try:
        producer.close(timeout=timeout_seconds)
    except KafkaError as error:
        log.debug("a producer did not close cleanly: %s", error)
