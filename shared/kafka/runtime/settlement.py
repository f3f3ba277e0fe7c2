"""When finished records are released, and what the end of a release means for the books.

A release is put together on the owner's thread, leaves through the outbox, and comes back with a verdict. Where it
failed, each of its partitions goes alone next (`turns`), half as much each time, down to one record: whatever it was
that the broker could not take in its time, one release finds it, and the others go out meanwhile. What leads to a topic
that the cluster does not have is left out until it is there.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import InvalidTimestampError, KafkaError

from shared.endings import Ending
from shared.errors import ConfigurationError
from shared.kafka.runtime.books import Books
from shared.kafka.runtime.handling import RecordHandling
from shared.kafka.runtime.membership import Membership
from shared.kafka.runtime.outbox import Outbox
from shared.kafka.runtime.rejecting import OUTPUT_REFUSED
from shared.kafka.runtime.release import Ended, Release, Verdict, verdict_of
from shared.kafka.runtime.tracker import MOST_RECORDS, Part, PartitionTracker, Work
from shared.kafka.runtime.turns import Turns, is_due
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

_IDLE_COMMIT_SECONDS = 1.0
_AGAIN_SECONDS = 0.1
"""After a release that failed, before the next."""
_FAILING_SECONDS = 60.0
"""Releases that fail for longer are told: a broker that restarts is back by then."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one release's outputs, unless a single record has more: two seconds of sending, far below any timeout."""


class Settlement:
    """Releases what is finished, one release at a time."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        books: Books,
        membership: Membership,
        handling: RecordHandling,
        metrics: RuntimeMetrics,
        open_outbox: Callable[[], Outbox],
        pause: Callable[[float], object],
    ) -> None:
        self._settings = settings
        self._group = group
        self._books = books
        self._membership = membership
        self._handling = handling
        self._metrics = metrics
        self._open_outbox = open_outbox
        self._pause = pause
        self._outbox: Outbox | None = None
        self._uncertain: Ended | None = None
        """What nobody could tell yet whether it was committed."""
        self._turns = Turns()
        self._finished_since: float | None = None
        self._failing: tuple[float, BaseException | None] | None = None
        """While no release succeeds: since when, in monotonic time, and what the last one failed with."""
        self._due = 0.0
        self._idle_due = 0.0

    def open(self) -> None:
        """Connect the outbox. Raises KafkaError or OSError where no broker answers."""
        outbox = self._open_outbox()
        try:
            outbox.start()
        except BaseException:
            outbox.close(1.0)
            raise
        self._outbox = outbox

    def close(self, patience_seconds: float) -> None:
        """End the outbox."""
        if self._outbox is not None:
            self._outbox.close(patience_seconds)
            self._outbox = None

    @property
    def busy(self) -> bool:
        """Whether a release is under way, or its end not settled."""
        return self._outbox is not None and (self._outbox.busy or self._uncertain is not None)

    @property
    def is_waited_for(self) -> bool:
        """Whether finished records wait to be gathered into a release."""
        return self._finished_since is not None

    @property
    def outstanding(self) -> int:
        """Finished records that can be released now, as far as anybody knows: not those that lead to a missing topic,
        nor those of a partition that failed alone and whose time has not come."""
        now = time.monotonic()
        return sum(tracker.finished for tracker in self._sendable(self._books.trackers) if is_due(tracker, now))

    def _sendable(self, trackers: Iterable[PartitionTracker]) -> list[PartitionTracker]:
        missing = self._membership.missing
        return [tracker for tracker in trackers if not tracker.lacks(missing)]

    def reason(self, now: float) -> str | None:
        """Why nothing is released, for an operator, once that has lasted; None: it is, or nothing waits for it. From
        any thread.
        """
        failing = self._failing
        if failing is None or now - failing[0] < _FAILING_SECONDS:
            return None
        since, error = failing
        remedy = "; set this machine's clock" if isinstance(error, InvalidTimestampError) else ""
        return f"no release has succeeded for {now - since:.0f} s: {error}{remedy}"

    def note_finished(self) -> None:
        """Records may have been finished: from the first on a release is gathered."""
        if self._finished_since is None and self.outstanding:
            self._finished_since = time.monotonic()

    def seconds_until_gathered(self) -> float:
        """How long a release is still gathered."""
        if self._finished_since is None or self.busy:
            return float("inf")
        return self._finished_since + self._settings.commit_interval_seconds - time.monotonic()

    def settle(self) -> None:
        """Act on how a release ended, if one has. Raises ConfigurationError where no further one can do better."""
        ended = self._ended() or self._uncertain
        if ended is not None:
            self._uncertain = None
            if ended.verdict is Verdict.SENT:
                ended = self._committed_plainly(ended.release)
            elif ended.verdict is Verdict.UNCERTAIN:
                ended = self._found_out(ended)
            self._note(ended)
        if not self._books.finished:
            self._failing = None

    def release(self, *, more_in_work: bool) -> None:
        """Put together what is finished, if it is time, and hand it to the outbox."""
        now = time.monotonic()
        if self._outbox is None or self.busy or now < self._due or not self._is_time(now, more_in_work):
            return
        if not self._membership.joined:
            # Poll sees to it.
            return
        parts = self._releasable(self._books.trackers, positions=True)
        self._idle_due = now + _IDLE_COMMIT_SECONDS
        left = self.outstanding - sum(len(part.works) for part in parts)
        self._finished_since = now - self._settings.commit_interval_seconds if left > 0 else None
        if parts:
            self._put(self._outbox, parts)

    def _is_time(self, now: float, more_in_work: bool) -> bool:
        since = self._finished_since
        if since is None:
            return now >= self._idle_due
        return not more_in_work or now - since >= self._settings.commit_interval_seconds

    def _put(self, outbox: Outbox, parts: list[Part]) -> bool:
        """Hand a release to the outbox in this member's name. False: it is none any more."""
        identity = self._membership.identity()
        if identity is None:
            return False
        outbox.put(Release(parts, identity))
        return True

    def _releasable(self, trackers: Iterable[PartitionTracker], *, positions: bool) -> list[Part]:
        """What goes into one release, within its bounds."""
        parts: list[Part] = []
        records, size = MOST_RECORDS, MOST_BYTES
        for tracker in self._turns.next(self._sendable(trackers), time.monotonic()):
            if records <= 0 or size <= 0:
                break
            asks = positions and not tracker.unfinished and not tracker.arrived
            position = self._membership.position(tracker.partition) if asks else None
            part = tracker.releasable(
                position,
                most=min(records, tracker.most_records),
                most_bytes=size,
                missing=self._membership.missing,
            )
            if part is not None:
                parts.append(part)
                records -= len(part.works)
                size -= sum(work.output_bytes for work in part.works)
                tracker.released_at = time.monotonic()
        return parts

    def _ended(self) -> Ended | None:
        outbox = self._outbox
        if outbox is None:
            return None
        ended = outbox.take()
        if ended is None and outbox.stuck:
            log.error("%s: a release hangs in the client; going on with a new producer", self._group)
            self._outbox = outbox.forsake()
        return ended

    # What a verdict means.

    def _committed_plainly(self, release: Release) -> Ended:
        try:
            self._membership.commit(self._to_commit(release))
        except KafkaError as error:
            return Ended(release, verdict_of(error), error)
        return Ended(release, Verdict.RELEASED)

    async def _committed_while_rebalancing(self, release: Release) -> Ended:
        try:
            await self._membership.commit_while_rebalancing(self._to_commit(release))
        except KafkaError as error:
            return Ended(release, verdict_of(error), error)
        return Ended(release, Verdict.RELEASED)

    def _to_commit(self, release: Release) -> Mapping[TopicPartition, Any]:
        """The offsets of a release whose outputs are sent, of the partitions that are still owned."""
        for work in release.works():
            # Sent and acknowledged: should the commit fail, only the commit is repeated.
            work.outputs = []
        owned = self._books.partitions
        return {partition: offset for partition, offset in release.offsets.items() if partition in owned}

    def _found_out(self, ended: Ended) -> Ended:
        """Ask the group whether a transaction whose end was not heard of was committed.

        Outputs and offsets are one, and nobody else commits for a partition this worker owns.
        """
        alive = [part for part in ended.release.parts if part.tracker.alive]
        try:
            committed = [self._membership.committed(part.tracker.partition) for part in alive]
        except KafkaError as error:
            log.warning("%s: cannot tell yet whether a transaction was committed: %s", self._group, error)
            self._uncertain = ended
            self._pause(0.5)
            return ended
        made = all(offset is not None and offset >= part.offset for offset, part in zip(committed, alive, strict=True))
        return Ended(ended.release, Verdict.RELEASED if made else Verdict.FAILED, ended.error)

    def _note(self, ended: Ended) -> None:
        """Bring the books in line with a release's end."""
        self._metrics.releases.labels(ended.verdict.value).inc()
        if ended.verdict is Verdict.IMPOSSIBLE:
            raise ConfigurationError(
                f"Kafka refuses what {self._group} sends: {ended.error}; check its ACLs and transactional ids"
            ) from ended.error
        if ended.verdict is Verdict.RELEASED:
            self._failing = None
            self._turns.succeeded(ended.release, time.monotonic())
            self._metrics.release_seconds.observe(time.monotonic() - ended.release.started)
            self._metrics.release_records.observe(len(ended.release.works()))
            self._handling.released(ended.release.works())
            for part in ended.release.parts:
                if part.tracker.alive:
                    part.tracker.released(part)
        else:
            self._note_failure(ended)
        self.note_finished()

    def _note_failure(self, ended: Ended) -> None:
        since = time.monotonic() if self._failing is None else self._failing[0]
        self._failing = since, ended.error
        self._metrics.commit_failures.labels(ended.verdict.value).inc()
        places = ", ".join(
            f"{part.tracker.partition.topic}[{part.tracker.partition.partition}] to {part.offset}"
            for part in ended.release.parts
        )
        log.warning("%s: not committed (%s): %s", self._group, ended.verdict.value, places)
        if ended.verdict is Verdict.FAILED:
            self._turns.failed(ended.release, time.monotonic())
            self._membership.suspect({output.topic for work in ended.release.works() for output in work.outputs})
        for work in ended.refused:
            self._replace_output(work, ended.error)
        self._due = time.monotonic() + _AGAIN_SECONDS

    def _replace_output(self, work: Work, error: BaseException | None) -> None:
        """The broker will never take what a record led to: the record becomes a dead letter instead."""
        if work.outcome is not None and work.outcome.ending is not Ending.DEAD:
            self._metrics.dead_letters.labels(work.record.topic, OUTPUT_REFUSED).inc()
        work.end(self._handling.refused(work, error))

    # A revocation, on the IO thread.

    async def release_before_leaving(self, partitions: Collection[TopicPartition]) -> None:
        """Release what is finished of partitions that go to another owner, bounded in time: whatever is not committed
        now is repeated there.
        """
        outbox = self._outbox
        if outbox is None or self._uncertain is not None:
            # What nobody knows to be uncommitted must not be sent again; the next owner waits for its end.
            return
        deadline = time.monotonic() + max(1.0, self._settings.session_timeout_ms / 3000)
        if outbox.busy and await self._settled_by(deadline, outbox) is None:
            return
        while parts := [part for part in self._releasable(self._books.of(partitions), positions=False) if part.works]:
            if not self._put(outbox, parts) or await self._settled_by(deadline, outbox) is not Verdict.RELEASED:
                return

    async def _settled_by(self, deadline: float, outbox: Outbox) -> Verdict | None:
        """Settle the release under way. None: nobody knows yet whether it was committed."""
        ended = outbox.take(max(0.0, deadline - time.monotonic()))
        if ended is None:
            log.warning("%s: a release is still under way; its records are repeated elsewhere", self._group)
            return None
        if ended.verdict is Verdict.UNCERTAIN:
            self._uncertain = ended
            return None
        if ended.verdict is Verdict.SENT:
            ended = await self._committed_while_rebalancing(ended.release)
        self._note(ended)
        return ended.verdict
