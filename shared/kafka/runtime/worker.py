"""The delivery runtime: a consumer-group worker around one function.

One thread, the owner, polls always, keeps the books and decides. Handler threads handle (`pool`, `handling`), one more
thread releases (`outbox`). Beside the worker's life, which is here, stand

    membership    connect, poll, join, rebalances, topics that are missing
    books         of each partition: what has arrived, is in work, is finished
    flow          which partitions may be read, which records taken
    workbench     what is in work, and how it ended
    settlement    when finished records are released, and what became of that

    poll -> take -> handle -> collect -> release (outputs and offsets, one transaction) -> settle
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Any
from uuid import uuid4

from kafka import TopicPartition
from kafka.errors import KafkaError

from shared.function import Carrier, Function
from shared.kafka.client import group_name, wait_for_broker
from shared.kafka.reading import size_of
from shared.kafka.runtime.books import Books
from shared.kafka.runtime.carrying import Carrying
from shared.kafka.runtime.flow import Flow
from shared.kafka.runtime.handling import Handling, RecordHandling
from shared.kafka.runtime.membership import Membership, names
from shared.kafka.runtime.outage import Outage
from shared.kafka.runtime.outbox import Outbox
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.settlement import Settlement
from shared.kafka.runtime.subscription import subscription_of
from shared.kafka.runtime.tracker import PartitionTracker, Work
from shared.kafka.runtime.workbench import Workbench
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

_IDLE_POLL_SECONDS = 0.2
_BUSY_WAIT_SECONDS = 0.02
_STALLED_SECONDS = 60.0
"""An owner that has not come round for this long is stuck: every call it makes is bounded well below."""
_CLOSE_SECONDS = 10.0
_LEAVE_SECONDS = 3 * _CLOSE_SECONDS
"""Leaving takes no longer, with its three waits."""
_WATCH_SECONDS = 0.5
_MOST_NOTICED = 5
"""Partitions that are named where some are held."""


class Phase(Enum):
    """Where a worker stands in its life."""

    RUNNING = "running"
    DRAINING = "draining"
    ABANDONED = "abandoned"
    STOPPED = "stopped"


class Worker:
    """Runs one function's consumer-group member until it is stopped."""

    def __init__(
        self,
        function: Function | Carrier,
        settings: KafkaSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives epoch seconds; it dates failures and tells how long ago a retry was written. What a retry has
        left to wait is counted by `monotonic`.
        """
        self.function = function
        self.group = group_name(settings, function.name)
        self.metrics = RuntimeMetrics()
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._phase = Phase.RUNNING
        self._wake = threading.Event()
        self._abandoned = threading.Event()
        self._leave_by = float("inf")
        self._ended = threading.Event()
        self._came_round = time.monotonic()
        self._stopped_by: BaseException | None = None
        self._told = False
        """Whether it was told that the worker is stopping."""

        client_id = f"{self.group}-{uuid4().hex[:12]}"
        subscription = subscription_of(function, settings)
        lanes = subscription.lanes
        self._books = Books(subscription.lane_of)
        self._flow = Flow(
            lanes=lanes, most_records=settings.max_in_flight, most_bytes=8 * settings.max_request_size_bytes
        )
        self._membership = Membership(
            settings,
            group=self.group,
            client_id=client_id,
            subscription=subscription,
            owned=lambda: self._books.partitions,
            rebalances=self,
        )
        self._outage = Outage(self.group)
        self._handling = self._handling_of(
            function, Rejecting(settings, group=self.group, client_id=client_id, clock=clock)
        )
        self._workbench = Workbench(
            self._handling,
            self._outage,
            self.metrics,
            threads=settings.handler_threads,
            lanes=lanes,
            deadline_seconds=settings.handler_deadline_seconds or function.deadline_seconds,
            wake=self._wake,
        )
        self.metrics.oldest_in_work.set_function(self._workbench.oldest_seconds)
        self._settlement = Settlement(
            settings,
            group=self.group,
            books=self._books,
            membership=self._membership,
            handling=self._handling,
            metrics=self.metrics,
            open_outbox=lambda: Outbox(settings, client_id=client_id, wake=self._wake.set),
            pause=self._pause,
        )

    def _handling_of(self, function: Function | Carrier, rejecting: Rejecting) -> RecordHandling:
        if isinstance(function, Carrier):
            return Carrying(rejecting, clock=self._clock, monotonic=self._monotonic)
        return Handling(
            function,
            self._settings,
            rejecting=rejecting,
            clock=self._clock,
            holding=lambda: self._outage.holding,
            interrupted=self._abandoned.is_set,
            pause=self._pause,
        )

    # From any thread, but not from a signal handler: a lock may be held by what the signal interrupts.

    def stop(self) -> None:
        """Take nothing more, finish what is in work, commit, leave the group."""
        if self._phase is Phase.RUNNING:
            self._leave_by = time.monotonic() + self._settings.drain_seconds
            self._phase = Phase.DRAINING
        self._wake.set()

    def abandon(self) -> None:
        """Leave the group without committing anything more."""
        if self._phase is not Phase.STOPPED:
            self._phase = Phase.ABANDONED
        self._leave_by = time.monotonic()
        self._abandoned.set()
        self._wake.set()

    def live(self) -> bool:
        """Whether the owner came round recently, and no handler is long overdue: one that is not relieved any more
        needs a new process.
        """
        stalled = time.monotonic() - self._came_round >= _STALLED_SECONDS
        return not (stalled or self._workbench.is_stuck(_STALLED_SECONDS))

    def ready(self) -> bool:
        """Whether this worker takes records: see `unready_reason`."""
        return self.unready_reason() is None

    def unready_reason(self) -> str | None:
        """Why this worker takes no records, for an operator; None: it does, or would if there were any."""
        if self._phase is not Phase.RUNNING:
            return f"the worker is {self._phase.value}"
        if self._membership.trouble is not None:
            return self._membership.trouble
        if not self.function.ready():
            return f"{self.function.name} is not warm"
        now = time.monotonic()
        return self._outage.reason(now) or self._settlement.reason(now)

    def notice(self) -> str | None:
        """What an operator must see to, although this worker takes records: partitions of which it has no more; None:
        there are none.

        They make it no less ready. All others go on, and a roll-out that waited for each new process to be ready
        would wait for a broker's disk, or for a stranger's transaction.
        """
        told = {**self._membership.waiting, **self._membership.held}
        shown = [f"{names([partition])}: {told[partition]}" for partition in sorted(told)[:_MOST_NOTICED]]
        more = f"; and {len(told) - len(shown)} more" if len(told) > len(shown) else ""
        return f"held, while all others go on: {'; '.join(shown)}{more}" if told else None

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions this worker owns now."""
        return self._books.partitions

    # The owner thread.

    def run(self) -> None:
        """Consume until `stop` has drained or `abandon` was called.

        The owner is a thread of its own, so that this returns in bounded time, whatever the client does: an owner that
        does not come back from it is left behind.

        Raises ConfigurationError when the worker cannot do its job as it is set up, and what a handler raised beyond
        Exception. The record at fault is then not committed.
        """
        owner = threading.Thread(target=self._own, name="owner", daemon=True)
        owner.start()
        while not self._ended.wait(_WATCH_SECONDS):
            if self._is_forsaken():
                log.error("%s: the client does not come back; leaving without it", self.group)
                break
        self._phase = Phase.STOPPED
        if self._stopped_by is not None:
            raise self._stopped_by

    def _is_forsaken(self) -> bool:
        """Whether the owner was to be done by now, and has not come round since."""
        if self._phase is Phase.RUNNING:
            return False
        now = time.monotonic()
        stands = now - self._came_round
        return stands > _STALLED_SECONDS or (stands > _LEAVE_SECONDS and now > self._leave_by)

    def _own(self) -> None:
        try:
            self._workbench.open()
            try:
                self._connect()
                while self._phase is Phase.RUNNING or (self._phase is Phase.DRAINING and not self._drained()):
                    self._turn()
            finally:
                self._close()
        except BaseException as error:  # noqa: BLE001 - raised where `run` was called
            self._stopped_by = self._stopped_by or error
        finally:
            self._ended.set()

    def _connect(self) -> None:
        """Reach the brokers, however long they are away, and ask to join the group."""
        while wait_for_broker(self._settings, give_up=self._is_unwanted, pause=self._pause):
            try:
                self._settlement.open()
                # Each of the two may wait for half a minute.
                self._came_round = time.monotonic()
                self._membership.join()
                return
            except (KafkaError, OSError) as error:
                self._settlement.close(1.0)
                log.warning("%s: connecting to Kafka failed (%s); trying again", self.group, error)
                self._pause(1.0)

    def _is_unwanted(self) -> bool:
        self._came_round = time.monotonic()
        return self._phase is not Phase.RUNNING

    def _pause(self, seconds: float) -> None:
        self._abandoned.wait(seconds)

    def _turn(self) -> None:
        """Come round once: poll, take, collect, release, and wait if there is nothing else to do."""
        self._came_round = time.monotonic()
        self._poll()
        self._membership.look_for_topics()
        self._collect()
        self._workbench.give_up_overdue(self._may_start)
        self._settlement.note_finished()
        self._settlement.settle()
        if self._phase is Phase.DRAINING:
            self._hand_back()
        self._workbench.hold_or_go_on()
        self._take()
        self._settlement.release(more_in_work=self._workbench.in_work > 0)
        self._steer()
        if self._workbench.in_work or self._settlement.busy:
            self._wake.wait(min(max(self._settlement.seconds_until_gathered(), 0.001), _BUSY_WAIT_SECONDS))
            self._wake.clear()

    def _poll(self) -> None:
        waits = self._workbench.in_work or self._settlement.busy or self._settlement.is_waited_for
        idle = self._phase is Phase.RUNNING and not waits
        # A join needs longer than a glance, and until it is done nothing can be released anyway.
        joining = not self._membership.joined and self._phase is not Phase.ABANDONED
        try:
            polled = self._membership.poll(_IDLE_POLL_SECONDS if joining or idle else 0.0)
        except KafkaError as error:
            log.warning("%s: polling failed: %s; polling again", self.group, error)
            self.metrics.poll_failures.inc()
            self._pause(0.5)
            return
        for partition, records in polled.items():
            self._arrive(partition, records)

    def _arrive(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        elsewhere = self._books.arrive(partition, records)
        if elsewhere is not None:
            self._membership.read_from(partition, elsewhere)

    def _take(self) -> None:
        """Take of what has arrived what may be taken, and hand out what may be handled now."""
        if self._phase is not Phase.RUNNING:
            return
        for tracker in self._books.trackers:
            if tracker.arrived:
                self._workbench.hand_out(tracker.lane, self._taken(tracker, self._workbench.room()))

    def _taken(self, tracker: PartitionTracker, most: int | None) -> list[Work]:
        ready: list[Work] = []
        now = self._monotonic()
        while tracker.arrived and tracker.due_at <= now and self._flow.may_take(tracker):
            if most is not None and len(ready) >= most:
                break
            record = tracker.arrived[0]
            tracker.due_at = self._handling.due_at(record)
            if tracker.due_at > now:
                break
            tracker.arrived.popleft()
            work = Work(record, tracker, size_of(record))
            if tracker.take(work):
                ready.append(work)
        return ready

    def _collect(self) -> None:
        """Note what the handlers have finished. Whatever stops the worker leaves its record to whoever comes next."""
        error = self._workbench.collect(self._may_start)
        if error is not None:
            self._stopped_by = self._stopped_by or error
            self.stop()
        self._settlement.note_finished()

    def _may_start(self, work: Work) -> bool:
        if self._phase is Phase.RUNNING:
            return True
        return self._phase is Phase.DRAINING and work.record.offset < work.tracker.highest_started()

    def _steer(self) -> None:
        """Have the partitions read that may be read now, and no other."""
        trackers = self._books.trackers
        self._flow.look(
            trackers,
            now=self._monotonic(),
            queued=self._workbench.queued,
            unread=self._membership.has_unread,
        )
        reads = self._phase is Phase.RUNNING and self._workbench.room() != 0
        readable = self._flow.readable(trackers) if reads else set()
        self.metrics.paused.set(self._membership.read_only(readable))
        self.metrics.held_partitions.set(len(self._membership.held))
        self.metrics.waiting_partitions.set(len(self._membership.waiting))
        self.metrics.in_flight.set(self._books.in_flight)
        self.metrics.watermark_gap.set(self._books.unfinished)

    # Rebalances: on the IO thread, while the owner waits in poll.

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Commit what is finished of partitions that go to another owner, then forget them."""
        if self._phase is Phase.STOPPED:
            return
        self.metrics.rebalances.labels("revoked").inc()
        if self._phase is not Phase.ABANDONED:
            self._collect()
            await self._settlement.release_before_leaving(partitions)
        self._books.close(partitions)
        log.info("%s: revoked %s", self.group, names(partitions))

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions that another owner has already: nothing of them may be committed."""
        self.metrics.rebalances.labels("lost").inc()
        self._books.close(partitions)
        log.warning("%s: lost %s; their work is repeated by the next owner", self.group, names(partitions))

    def received(self, partitions: Collection[TopicPartition]) -> None:
        """Open the books of new partitions. Those kept are not among them: their books go on."""
        self.metrics.rebalances.labels("assigned").inc()
        for partition in partitions:
            self._books.open(partition)
        self._flow.assigned(self._monotonic())
        self._steer()
        log.info("%s: assigned %s", self.group, names(partitions))

    # The end.

    def _hand_back(self) -> None:
        self._workbench.hand_back(self._books.trackers)
        if not self._told:
            self._told = True
            log.info("%s: stopping; finishing %d records in work", self.group, self._workbench.in_work)

    def _drained(self) -> bool:
        if time.monotonic() > self._leave_by:
            log.warning(
                "%s: %d records are still in work at the deadline; they are handed back",
                self.group,
                self._workbench.in_work,
            )
            self.abandon()
            return False
        if self._workbench.in_work or self._settlement.busy or self._settlement.outstanding:
            return False
        if self._books.finished:
            log.warning(
                "%s: %d finished records cannot be released now; they are repeated by the next owner",
                self.group,
                self._books.finished,
            )
        return True

    def _close(self) -> None:
        abandoned = self._phase is Phase.ABANDONED
        if abandoned:
            log.warning("%s: leaving at once; %d records in work are handed back", self.group, self._workbench.in_work)
        self._phase = Phase.STOPPED
        patience = 1.0 if abandoned else _CLOSE_SECONDS
        self._workbench.close(0.0 if abandoned else patience)
        self._settlement.close(patience)
        self._membership.leave(patience)
