"""The delivery runtime: a consumer-group worker around one function.

One thread, the owner, polls always, keeps the books and decides; handler threads handle (`pool`, `endings`), one more
thread releases (`release`). The rebalance listener runs on the client's IO thread, but only while the owner is blocked
inside `poll`: the books are never touched by two threads at once.

    poll -> take -> handle -> finish -> release (outputs and offsets, one transaction) -> forget
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any
from uuid import uuid4

from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    SaslAuthenticationFailedError,
)
from kafka.structs import MemberState

from shared.endings import Ending, reason_of
from shared.errors import ConfigurationError
from shared.function import Carrier, Function
from shared.kafka.client import group_name, open_consumer, place_of, wait_for_broker
from shared.kafka.runtime.assignment import EvenAssignor
from shared.kafka.runtime.carrying import Carrying
from shared.kafka.runtime.handling import Handling, RecordHandling
from shared.kafka.runtime.pool import HandlerPool
from shared.kafka.runtime.rejecting import OUTPUT_REFUSED, Rejecting
from shared.kafka.runtime.release import MEMBERSHIP_ERRORS, Outbox, Release, Verdict
from shared.kafka.runtime.subscription import subscription_of
from shared.kafka.runtime.tracker import PartitionTracker, Released, Work
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

_IDLE_POLL_SECONDS = 0.2
_BUSY_WAIT_SECONDS = 0.02
_IDLE_COMMIT_SECONDS = 1.0
_FIRST_FETCH_SECONDS = 1.0
"""After an assignment less urgent lanes wait this long, until the first fetches tell which lanes have a backlog."""
_BACKLOG_SECONDS = 0.05
"""How often a lane's backlog is looked at."""
_LOOK_FOR_TOPICS_SECONDS = 5.0
"""How often missing topics are asked for; the client by itself asks every five minutes."""
_METADATA_MS = 30_000
"""How soon it is noticed that there are more topics of a pattern, or more partitions of a topic."""
_TELL_AGAIN_SECONDS = 60.0
"""How often it is told that topics are missing."""
_STALLED_SECONDS = 60.0
"""An owner that has not come round for this long is stuck: every call it makes is bounded well below."""
_CLOSE_SECONDS = 10.0


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
    ) -> None:
        """`clock` gives epoch seconds; it dates failures and decides when a retry is due."""
        self.function = function
        self.group = group_name(settings, function.name)
        self.metrics = RuntimeMetrics()
        self._settings = settings
        self._clock = clock
        self._client_id = f"{self.group}-{uuid4().hex[:12]}"
        self._subscription = subscription_of(function, settings)
        self._lanes = self._subscription.lanes
        self._largest_bytes = 8 * settings.max_request_size_bytes

        self._phase = Phase.RUNNING
        self._wake = threading.Event()
        self._abandoned = threading.Event()
        self._drain_deadline = float("inf")
        self._came_round = time.monotonic()
        self._joined = False
        self._unheard = False
        self._missing: tuple[str, ...] = ()
        """Topics that the cluster does not have, as it said itself."""
        self._topics_asked: Any = None
        self._topics_due = 0.0
        self._missing_told = -_TELL_AGAIN_SECONDS

        self._consumer: Any = None
        self._outbox: Outbox | None = None
        self._pool: HandlerPool | None = None
        self._handling = self._handling_of(function)
        self._trackers: dict[TopicPartition, PartitionTracker] = {}
        self._due: dict[TopicPartition, float] = {}
        self._in_flight = [0] * self._lanes
        self._in_flight_bytes = 0
        self._in_work = 0
        """Records handed to the pool whose result has not been collected."""
        self._assigned_at = 0.0
        self._backlog = [True] * self._lanes
        self._backlog_due = 0.0
        self._lane_full = [False] * self._lanes
        self._finished_since: float | None = None
        self._release_due = 0.0
        self._idle_commit_due = 0.0
        self._uncommitted: Release | None = None
        self._stopped_by: BaseException | None = None
        self._listener_error: BaseException | None = None
        self._closing = False
        self._told = False

    # From any thread, but not from a signal handler: a lock may be held by what the signal interrupts.

    def stop(self) -> None:
        """Take nothing more, finish what is in work, commit, leave the group."""
        if self._phase is Phase.RUNNING:
            self._drain_deadline = time.monotonic() + self._settings.drain_seconds
            self._phase = Phase.DRAINING
        self._wake.set()

    def abandon(self) -> None:
        """Leave the group without committing anything more."""
        self._phase = Phase.ABANDONED
        self._abandoned.set()
        self._wake.set()

    def live(self) -> bool:
        """Whether the owner came round recently, however long a handler takes."""
        return time.monotonic() - self._came_round < _STALLED_SECONDS

    def ready(self) -> bool:
        """Whether the function is warm, its topics are there, and this worker is a member of its group, of whom the
        group has lately heard, and takes records."""
        return self._joined and not self._missing and self._phase is Phase.RUNNING and self.function.ready()

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions this worker owns now."""
        return frozenset(self._trackers)

    def _handling_of(self, function: Function | Carrier) -> RecordHandling:
        rejecting = Rejecting(self._settings, group=self.group, client_id=self._client_id, clock=self._clock)
        if isinstance(function, Carrier):
            return Carrying(rejecting, clock=self._clock)
        return Handling(
            function,
            self._settings,
            rejecting=rejecting,
            clock=self._clock,
            interrupted=self._abandoned.is_set,
            pause=self._pause_in_place,
        )

    # The owner thread.

    def run(self) -> None:
        """Consume until `stop` has drained or `abandon` was called. The calling thread becomes the owner.

        Raises ConfigurationError when the worker cannot do its job as it is set up, and what a handler raised beyond
        Exception. The record at fault is then not committed.
        """
        self._pool = HandlerPool(
            self._handling.finish, threads=self._settings.handler_threads, lanes=self._lanes, wake=self._wake
        )
        try:
            self._connect()
            while self._phase is Phase.RUNNING or (self._phase is Phase.DRAINING and not self._drained()):
                self._turn()
        finally:
            self._close()
        if self._stopped_by is not None:
            raise self._stopped_by

    def _connect(self) -> None:
        """Reach the brokers, however long they are away, and ask to join the group."""
        while wait_for_broker(self._settings, give_up=self._not_wanted, pause=self._abandoned.wait):
            self._outbox = Outbox(self._settings, client_id=self._client_id, wake=self._wake.set)
            try:
                self._outbox.start()
                # Each of the two may wait for half a minute.
                self._came_round = time.monotonic()
                self._subscribe()
                return
            except (AuthorizationError, SaslAuthenticationFailedError) as error:
                raise ConfigurationError(f"Kafka refuses {self.group}: {error}; check credentials and ACLs") from error
            except (KafkaError, OSError) as error:
                self._outbox.close(1.0)
                log.warning("%s: connecting to Kafka failed (%s); trying again", self.group, error)
                self._abandoned.wait(1.0)

    def _not_wanted(self) -> bool:
        self._came_round = time.monotonic()
        return self._phase is not Phase.RUNNING

    def _subscribe(self) -> None:
        self._consumer = open_consumer(
            self._settings,
            client_id=self._client_id,
            group_id=self.group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(EvenAssignor(lambda: self._trackers.keys()),),
            max_poll_interval_ms=self._settings.max_poll_interval_ms,
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_interval_ms=self._settings.heartbeat_interval_ms,
            metadata_max_age_ms=_METADATA_MS,
        )
        self._subscription.apply_to(self._consumer, _Listener(self))
        _tell_losses_while_joining(self._consumer._coordinator)

    def _pause_in_place(self, seconds: float) -> None:
        self._abandoned.wait(seconds)

    def _turn(self) -> None:
        """Come round once: poll, take, collect, release, and wait if there is nothing else to do."""
        self._came_round = time.monotonic()
        self._poll()
        self._look_for_topics()
        self._collect()
        self._settle(self._outbox_ended())
        if self._phase is Phase.DRAINING:
            self._hand_back()
            if not self._told:
                self._told = True
                log.info("%s: stopping; finishing %d records in work", self.group, self._in_work)
        self._release()
        self._steer()
        if self._in_work or self._busy():
            self._wake.wait(self._pause_seconds())
            self._wake.clear()

    def _poll(self) -> None:
        idle = not (self._in_work or self._busy() or self._finished_since is not None)
        # A join needs longer than a glance, and until it is done nothing can be released anyway.
        joining = not self._joined and self._phase is not Phase.ABANDONED
        timeout = _IDLE_POLL_SECONDS if joining or (idle and self._phase is Phase.RUNNING) else 0.0
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout * 1000))
            stable = self._consumer.group_metadata().state is MemberState.STABLE
            self._joined = stable and not self._is_unheard()
            if not stable:
                # A join outlasts a short poll. If a change of the topics' metadata began it, kafka-python 3.0.12 finds
                # no reason to go on with it at the next poll, and the member waits for ever, without heartbeats.
                self._consumer._coordinator.request_rejoin()
        except (AuthorizationError, SaslAuthenticationFailedError) as error:
            raise ConfigurationError(f"Kafka refuses {self.group}: {error}; check credentials and ACLs") from error
        except (InvalidSessionTimeoutError, InvalidGroupIdError, InconsistentGroupProtocolError) as error:
            raise ConfigurationError(
                f"Kafka does not let {self.group} join: {error}; check the session timeout and the group's "
                "other members"
            ) from error
        except KafkaError as error:
            self._poll_failed(error)
            return
        for partition, records in polled.items():
            self._take(partition, records)

    def _is_unheard(self) -> bool:
        """Whether a session has passed without an answer from the group, as when the broker is away: the client does
        not say so, and goes on as a member until the group answers.
        """
        unheard: bool = self._consumer._coordinator.heartbeat.session_timeout_expired()
        if unheard and not self._unheard:
            seconds = self._settings.session_timeout_ms / 1000
            log.warning("%s: the group has not answered for %g s; is Kafka away? Asking on", self.group, seconds)
        elif self._unheard and not unheard:
            log.warning("%s: the group answers again", self.group)
        self._unheard = unheard
        return unheard

    def _look_for_topics(self) -> None:
        """Find out which topics are not there: the client reads the others and says nothing."""
        now = time.monotonic()
        if not self._joined or now < self._topics_due:
            return
        self._topics_due = now + _LOOK_FOR_TOPICS_SECONDS
        cluster = self._consumer._cluster
        missing = tuple(topic for topic in self._subscription.topics if not cluster.partitions_for_topic(topic))
        if not missing:
            self._missing = ()
            self._topics_asked = None
            return
        if self._topics_asked is not None and self._topics_asked.succeeded():
            self._missing = missing
            if now - self._missing_told >= _TELL_AGAIN_SECONDS:
                self._missing_told = now
                log.error(
                    "%s: Kafka has no %s, or does not let this user see it; run `skureel topics create`, or check "
                    "SKUREEL_KAFKA__TOPIC_PREFIX and ACLs; asking on",
                    self.group,
                    ", ".join(missing),
                )
        # What was not there at the first look may only not have been asked for yet.
        self._topics_asked = cluster.request_update()
        self._topics_due = now + (_LOOK_FOR_TOPICS_SECONDS if self._missing else 0.5)

    def _poll_failed(self, error: KafkaError) -> None:
        if self._listener_error is not None:
            # An error of our own: it must not be taken for a broker's whim.
            raise self._listener_error
        log.warning("%s: polling failed: %s; polling again", self.group, error)
        self.metrics.poll_failures.inc()
        self._abandoned.wait(0.5)

    def _take(self, partition: TopicPartition, records: list[Any]) -> None:
        """Take polled records into the books and hand to the pool what may be handled now."""
        tracker = self._trackers.get(partition)
        if tracker is None:
            # Revoked inside the same poll: its new owner reads it.
            return
        if tracker.next_offset is not None and records[0].offset < tracker.next_offset:
            # The log was truncated and offsets come again: what is known of the old ones is worth nothing.
            log.error("%s went back from offset %d to %d", partition, tracker.next_offset, records[0].offset)
            self._drop([partition])
            tracker = self._adopt(partition)
        lane = tracker.lane
        if records:
            records = self._due_only(partition, records)
        if not records:
            return
        ready = []
        taken_bytes = 0
        for record in records:
            size = len(record.value) if record.value is not None else 0
            taken_bytes += size
            work = Work(record, tracker, size)
            if tracker.take(work):
                ready.append(work)
        self._in_flight[lane] += len(records)
        self._in_flight_bytes += taken_bytes
        self._hand_out(lane, ready)

    def _hand_out(self, lane: int, works: list[Work]) -> None:
        if works and self._pool is not None:
            self._in_work += len(works)
            self._pool.submit(lane, works)

    def _due_only(self, partition: TopicPartition, records: list[Any]) -> list[Any]:
        """The records before the first that is not due yet; from that one on the partition is paused until it is."""
        now = self._clock()
        for index, record in enumerate(records):
            due = self._handling.due_at(record)
            if due > now:
                self._consumer.seek(partition, record.offset)
                self._consumer.pause(partition)
                self._due[partition] = due
                return records[:index]
        return records

    def _collect(self) -> None:
        """Note what the handler threads have finished."""
        pool = self._pool
        if pool is None or not pool.finished:
            return
        finished = pool.finished
        endings: dict[tuple[str, Ending], int] = {}
        while finished:
            work, outcome = finished.popleft()
            self._in_work -= 1
            tracker = work.tracker
            if not tracker.alive or outcome is None:
                continue
            ending = outcome.ending
            if ending is Ending.HALTED:
                self._halt(work, outcome.error)
                continue
            work.end(outcome)
            following = tracker.finish(work)
            if following is not None and self._may_start(following):
                self._hand_out(tracker.lane, [following])
            place = (work.record.topic, ending)
            endings[place] = endings.get(place, 0) + 1
            self.metrics.handler_seconds.observe(outcome.seconds)
            if ending is Ending.DEAD and outcome.error is not None:
                self.metrics.dead_letters.labels(work.record.topic, reason_of(outcome.error)).inc()
        for (topic, ending), number in endings.items():
            self.metrics.records.labels(topic, ending.value).inc(number)
        if self._finished_since is None and any(tracker.finished for tracker in self._trackers.values()):
            self._finished_since = time.monotonic()

    def _halt(self, work: Work, error: BaseException | None) -> None:
        """A handler found that the process cannot do its job: stop, leaving the record to whoever comes next."""
        log.error("%s stops the worker: %s", place_of(work.record), error)
        if self._stopped_by is None:
            self._stopped_by = error
        self.stop()

    def _may_start(self, work: Work) -> bool:
        if self._phase is Phase.RUNNING:
            return True
        return self._phase is Phase.DRAINING and work.record.offset < work.tracker.highest_started()

    # Releasing.

    def _busy(self) -> bool:
        return self._outbox is not None and (self._outbox.busy or self._uncommitted is not None)

    def _release(self) -> None:
        """Put together what is finished, if it is time, and hand it to the outbox."""
        outbox = self._outbox
        if outbox is None or self._busy():
            return
        now = time.monotonic()
        if now < self._release_due:
            return
        since = self._finished_since
        idle = since is None
        if idle and now < self._idle_commit_due:
            return
        if since is not None and now - since < self._settings.commit_interval_seconds and self._in_work:
            return
        if not self._joined:
            # Whoever is not a member may not commit; poll sees to it.
            return
        parts = self._releasable(self._trackers.values())
        self._idle_commit_due = now + _IDLE_COMMIT_SECONDS
        self._finished_since = None
        if parts:
            self._put(outbox, parts)

    def _put(self, outbox: Outbox, parts: list[Released]) -> bool:
        """Hand a release to the outbox in this member's name. False: it is none any more."""
        group = self._consumer.group_metadata()
        if group.generation_id < 0:
            # The IO thread has heard so since the last poll. The broker fences no transaction that names no generation:
            # it takes it for an old client's, whoever owns the partitions.
            return False
        outbox.put(Release(parts, group))
        return True

    def _releasable(self, trackers: Iterable[PartitionTracker], *, positions: bool = True) -> list[Released]:
        parts = []
        for tracker in trackers:
            position = self._position(tracker) if positions and not tracker.unfinished else None
            part = tracker.releasable(position)
            if part is not None:
                parts.append(part)
        return parts

    def _position(self, tracker: PartitionTracker) -> int | None:
        try:
            position: int | None = self._consumer.position(tracker.partition, timeout_ms=0)
        except (KafkaError, IllegalStateError):
            return None
        return position

    def _outbox_ended(self) -> Release | None:
        outbox = self._outbox
        if outbox is None:
            return None
        release = outbox.take()
        if release is None and outbox.stuck:
            log.error("%s: a release hangs in the client; going on with a new producer", self.group)
            self._outbox = outbox.forsake()
        return release or self._uncommitted

    def _settle(self, release: Release | None) -> None:
        """Act on how a release ended. In the plain way this is where offsets are committed."""
        if release is None:
            return
        self._uncommitted = None
        if release.verdict is Verdict.SENT:
            self._commit_plainly(release)
        elif release.verdict is Verdict.UNCERTAIN:
            self._verify(release)
        self._book(release)

    def _book(self, release: Release) -> None:
        """Bring the books in line with a release's end."""
        self.metrics.releases.labels(release.verdict.value).inc()
        if release.verdict is Verdict.RELEASED:
            self.metrics.release_seconds.observe(time.monotonic() - release.started)
            for part in release.parts:
                if part.tracker.alive:
                    part.tracker.released(part)
                    self._in_flight[part.tracker.lane] -= len(part.works)
                    self._in_flight_bytes -= sum(work.size_bytes for work in part.works)
        elif release.verdict is Verdict.IMPOSSIBLE:
            raise ConfigurationError(
                f"Kafka refuses what {self.group} sends: {release.error}; check its ACLs and transactional ids"
            ) from release.error
        else:
            self.metrics.commit_failures.labels(release.verdict.value).inc()
            places = ", ".join(
                f"{part.tracker.partition.topic}[{part.tracker.partition.partition}] to {part.offset}"
                for part in release.parts
            )
            log.warning("%s: not committed (%s): %s", self.group, release.verdict.value, places)
            for work in release.refused:
                self._refuse(work, release.error)
            self._release_due = time.monotonic() + 0.1
        if any(tracker.finished for tracker in self._trackers.values()):
            self._finished_since = self._finished_since or time.monotonic()

    def _refuse(self, work: Work, error: BaseException | None) -> None:
        """The broker will never take what a record led to: the record becomes a dead letter instead."""
        if work.outcome is not None and work.outcome.ending is not Ending.DEAD:
            self.metrics.dead_letters.labels(work.record.topic, OUTPUT_REFUSED).inc()
        work.end(self._handling.refused(work, error))

    def _commit_plainly(self, release: Release) -> None:
        for work in release.works():
            # Sent and acknowledged: should the commit fail, only the commit is repeated.
            work.outputs = []
        try:
            self._consumer.commit({p: o for p, o in release.offsets.items() if p in self._trackers}, timeout_ms=5_000)
            release.verdict = Verdict.RELEASED
        except MEMBERSHIP_ERRORS as error:
            release.verdict, release.error = Verdict.STALE, error
        except AuthorizationError as error:
            release.verdict, release.error = Verdict.IMPOSSIBLE, error
        except KafkaError as error:
            release.verdict, release.error = Verdict.FAILED, error

    def _verify(self, release: Release) -> None:
        """Ask the group whether a transaction whose end was not heard of was committed.

        Outputs and offsets are one, and nobody else commits for a partition this worker owns.
        """
        try:
            committed = [
                self._consumer.committed(part.tracker.partition, timeout_ms=5_000)
                for part in release.parts
                if part.tracker.alive
            ]
        except KafkaError as error:
            log.warning("%s: cannot tell yet whether a transaction was committed: %s", self.group, error)
            self._uncommitted = release
            self._abandoned.wait(0.5)
            return
        alive = [part for part in release.parts if part.tracker.alive]
        if all(offset is not None and offset >= part.offset for offset, part in zip(committed, alive, strict=True)):
            release.verdict = Verdict.RELEASED
        else:
            release.verdict = Verdict.FAILED

    # Rebalances: on the IO thread, while the owner waits in poll or close.

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep an error of the listener as it is: the client wraps it so that its kind is lost."""
        try:
            yield
        except BaseException as error:
            self._listener_error = error
            raise

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Commit what is finished of partitions that go to another owner, then forget them."""
        if self._closing:
            return
        self.metrics.rebalances.labels("revoked").inc()
        trackers = [self._trackers[partition] for partition in partitions if partition in self._trackers]
        if self._phase is not Phase.ABANDONED:
            self._collect()
            await self._release_now(trackers)
        self._drop(partitions)
        log.info("%s: revoked %s", self.group, _names(partitions))

    async def _release_now(self, trackers: list[PartitionTracker]) -> None:
        """Release what is finished, bounded in time: whatever is not committed now is repeated by the next owner."""
        outbox = self._outbox
        if outbox is None or self._uncommitted is not None:
            # What nobody knows to be uncommitted must not be sent again; the next owner waits for its end.
            return
        patience = max(1.0, self._settings.session_timeout_ms / 3000)
        for _ in range(2):
            # First the release that is under way, then the rest.
            if outbox.busy:
                release = outbox.take(patience)
                if release is None:
                    log.warning("%s: a release is still under way; its records are repeated elsewhere", self.group)
                    return
                if release.verdict is Verdict.SENT:
                    await self._commit_now(release)
                if release.verdict is Verdict.UNCERTAIN:
                    self._uncommitted = release
                    return
                self._book(release)
            parts = self._releasable(trackers, positions=False)
            if not any(part.works for part in parts):
                return
            if not self._put(outbox, parts):
                return
        release = outbox.take(patience)
        if release is not None:
            if release.verdict is Verdict.SENT:
                await self._commit_now(release)
            self._book(release)

    async def _commit_now(self, release: Release) -> None:
        """As `_commit_plainly`, on the IO thread, where a blocking commit is impossible."""
        for work in release.works():
            work.outputs = []
        try:
            await self._consumer.commit_async(release.offsets)
            release.verdict = Verdict.RELEASED
        except MEMBERSHIP_ERRORS as error:
            release.verdict, release.error = Verdict.STALE, error
        except KafkaError as error:
            release.verdict, release.error = Verdict.FAILED, error

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions that another owner has already: nothing of them may be committed."""
        self.metrics.rebalances.labels("lost").inc()
        self._drop(partitions)
        log.warning("%s: lost %s; their work is repeated by the next owner", self.group, _names(partitions))

    def assigned_to_me(self, partitions: Collection[TopicPartition]) -> None:
        """Open the books of new partitions. Those kept are not among them: their books go on."""
        self.metrics.rebalances.labels("assigned").inc()
        for partition in partitions:
            self._adopt(partition)
        self._assigned_at = time.monotonic()
        self._backlog_due = 0.0
        self._steer()
        log.info("%s: assigned %s", self.group, _names(partitions))

    def forget_answers(self) -> None:
        """Let no committed offset be believed that was asked for before an assignment.

        kafka-python 3.0.12 keeps the answer to a request that timed out, for whoever asks for the same partitions
        next. If they were lost meanwhile, that is their next assignment, and they would be read from there again.
        """
        self._consumer._coordinator._offset_fetch_futures.clear()

    def _adopt(self, partition: TopicPartition) -> PartitionTracker:
        tracker = PartitionTracker(partition, lane=self._subscription.lane_of(partition.topic))
        self._trackers[partition] = tracker
        self._due.pop(partition, None)
        return tracker

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._due.pop(partition, None)
            tracker = self._trackers.pop(partition, None)
            if tracker is None:
                continue
            tracker.alive = False
            self._in_flight[tracker.lane] -= len(tracker)
            self._in_flight_bytes -= tracker.size_bytes

    # Flow control.

    def _steer(self) -> None:
        """Pause and resume partitions: full lanes, lanes that yield, retries not due, draining."""
        now = time.monotonic()
        limit = self._settings.max_in_flight
        for lane, number in enumerate(self._in_flight):
            heavy = self._in_flight_bytes > self._largest_bytes
            # Resuming at half spares a pause and a resume for every few records.
            full = number >= limit or heavy or (self._lane_full[lane] and number > limit // 2)
            self._lane_full[lane] = full
        if self._lanes > 1 and now >= self._backlog_due:
            self._backlog_due = now + _BACKLOG_SECONDS
            self._backlog = [self._has_backlog(lane, now) for lane in range(self._lanes - 1)]
        closed = [
            self._lane_full[lane] or any(self._backlog[:lane]) or self._phase is not Phase.RUNNING
            for lane in range(self._lanes)
        ]
        for partition, due in list(self._due.items()):
            if due <= self._clock():
                del self._due[partition]
        paused = self._consumer.paused()
        to_pause, to_resume = [], []
        for partition, tracker in self._trackers.items():
            hold = closed[tracker.lane] or partition in self._due
            if hold and partition not in paused:
                to_pause.append(partition)
            elif not hold and partition in paused:
                to_resume.append(partition)
        try:
            if to_pause:
                self._consumer.pause(*to_pause)
            if to_resume:
                self._consumer.resume(*to_resume)
        except (KafkaError, KeyError) as error:
            log.debug("%s: assignment changed meanwhile: %s", self.group, error)
        self.metrics.in_flight.set(sum(self._in_flight))
        self.metrics.watermark_gap.set(sum(tracker.unfinished for tracker in self._trackers.values()))
        self.metrics.paused.set(len(paused) + len(to_pause) - len(to_resume))

    def _has_backlog(self, lane: int, now: float) -> bool:
        """Whether a lane has records that no handler has taken up yet, here or still in the log."""
        if now - self._assigned_at < _FIRST_FETCH_SECONDS or (self._pool is not None and self._pool.queued(lane)):
            return True
        for partition, tracker in self._trackers.items():
            if tracker.lane != lane or partition in self._due:
                continue
            end = self._consumer.highwater(partition)
            # Not the last record's offset: behind it may lie nothing but transaction markers.
            position = self._position(tracker)
            if end is not None and position is not None and position < end:
                return True
        return False

    def _pause_seconds(self) -> float:
        """How long to wait for a result before coming round again."""
        if self._finished_since is not None and not self._busy():
            left = self._finished_since + self._settings.commit_interval_seconds - time.monotonic()
            return min(max(left, 0.001), _BUSY_WAIT_SECONDS)
        return _BUSY_WAIT_SECONDS

    # The end.

    def _hand_back(self) -> None:
        """While draining, records that no handler has taken up are left to the next owner.

        But for those below a record that is finished or in work: without them that work could not be committed.
        """
        pool = self._pool
        if pool is None:
            return
        taken = pool.take_back()
        if not taken:
            return
        self._in_work -= len(taken)
        started = {tracker: tracker.highest_started() for tracker in self._trackers.values()}
        for lane, work in taken:
            if work.record.offset < started.get(work.tracker, -1):
                self._hand_out(lane, [work])

    def _drained(self) -> bool:
        if time.monotonic() > self._drain_deadline:
            log.warning(
                "%s: %d records are still in work at the deadline; they are handed back", self.group, self._in_work
            )
            self.abandon()
            return False
        if self._in_work or self._busy():
            return False
        return not any(tracker.finished for tracker in self._trackers.values())

    def _close(self) -> None:
        if self._phase is Phase.ABANDONED:
            log.warning("%s: leaving at once; %d records in work are handed back", self.group, self._in_work)
        self._closing = True
        self._joined = False
        patience = 1.0 if self._phase is Phase.ABANDONED else _CLOSE_SECONDS
        if self._pool is not None:
            self._pool.close(0.0 if self._phase is Phase.ABANDONED else patience)
        if self._outbox is not None:
            self._outbox.close(patience)
        if self._consumer is not None:
            try:
                self._consumer.close(autocommit=False, timeout_ms=int(patience * 1000))
            except KafkaError as error:
                log.warning("%s: leaving the group failed: %s; the session timeout will end it", self.group, error)
        self._phase = Phase.STOPPED


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Passes rebalances on. A synchronous listener could not commit: it would block the thread it waits for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        with self._worker.listening():
            await self._worker.revoked(revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        with self._worker.listening():
            self._worker.lost(lost)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        with self._worker.listening():
            self._worker.forget_answers()
            self._worker.assigned_to_me(assigned)


def _tell_losses_while_joining(coordinator: Any) -> None:
    """Have a membership that ends in the middle of a join end as any other does: its partitions are lost.

    kafka-python 3.0.12 looks for that once, before it begins to join. A member that learns only from the answer that
    it was expelled would join anew and keep its partitions, with what was taken from them, while others have worked
    on them.
    """
    reset = coordinator.reset_generation

    def reset_and_prepare_again(*arguments: Any, **named: Any) -> None:
        reset(*arguments, **named)
        coordinator.rejoining = False

    coordinator.reset_generation = reset_and_prepare_again


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{partition.topic}[{partition.partition}]" for partition in partitions)) or "nothing"
