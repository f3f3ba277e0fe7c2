"""What is in work: records that were handed to the handler threads, and what becomes of the books when they end."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from functools import partial

from shared.endings import Ending, ending_of, reason_of
from shared.errors import Overdue
from shared.kafka.client import named
from shared.kafka.runtime.handling import RecordHandling
from shared.kafka.runtime.outage import MOST_FAILURES, RUN, Outage
from shared.kafka.runtime.pool import HandlerPool
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.metrics import RuntimeMetrics
from shared.printable import words_of

log = logging.getLogger(__name__)


class Workbench:
    """Hands records to the handler threads and collects how they ended. Used by the owner's thread alone."""

    def __init__(
        self,
        handling: RecordHandling,
        outage: Outage,
        metrics: RuntimeMetrics,
        *,
        threads: int,
        lanes: int,
        deadline_seconds: float,
        wake: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A handler that has a record for longer than `deadline_seconds` is given up. `wake` is set whenever a result
        lies ready.
        """
        self.in_work = 0
        """Records handed out whose result has not been collected."""
        self._handling = handling
        self._outage = outage
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._open_pool = partial(HandlerPool, handling.finish, threads=threads, lanes=lanes, wake=wake, clock=clock)
        self._pool: HandlerPool | None = None
        self._given_up: set[Work] = set()
        """Those of which a late result may still come."""
        self._held: deque[Work] = deque()
        """While consumption holds: what has failed for the outage, and what no handler may take up; next one first."""
        self._tried: Work | None = None
        """The one of them that is in work, to find out whether the outage is over."""

    @property
    def pool(self) -> HandlerPool:
        """The handler threads, once `open`."""
        if self._pool is None:
            raise RuntimeError("the workbench is not open; call open() first")
        return self._pool

    def open(self) -> None:
        """Start the handler threads."""
        self._pool = self._open_pool()

    def close(self, patience_seconds: float) -> None:
        """End the threads, waiting that long for what they have in work."""
        self.pool.close(patience_seconds)

    def is_stuck(self, grace_seconds: float) -> bool:
        """Whether a handler is overdue for that long and could not be relieved. From any thread."""
        return self._pool is not None and self._pool.oldest_seconds() > self._deadline_seconds + grace_seconds

    def oldest_seconds(self) -> float:
        """For how long the oldest record in work has been there. From any thread."""
        return 0.0 if self._pool is None else self._pool.oldest_seconds()

    # In.

    def room(self) -> int | None:
        """How many records may be taken; None: as many as there are."""
        if not self._outage.holding:
            return None
        if not self._outage.answers:
            return 0
        # What the function stands on answers: let no records of their own, however many, hold up those that would
        # succeed. There is always one to try that has not failed.
        new = sum(not work.failures for work in self._held)
        return max(0, RUN - len(self._held) - self.in_work, 1 - new - self.in_work)

    def hand_out(self, lane: int, works: Sequence[Work]) -> None:
        """Have records handled; while consumption holds each waits until it is tried."""
        if not works:
            return
        if self._outage.holding:
            self._held.extendleft(reversed(works))
            return
        self.in_work += len(works)
        self.pool.submit(lane, works)

    def queued(self, lane: int) -> int:
        """Records of a lane that no handler has taken up."""
        return self.pool.queued(lane)

    # Out.

    def collect(self, may_start: Callable[[Work], bool]) -> BaseException | None:
        """Note what has ended, and hand out what waited for it where `may_start` allows.

        Returns the error that stops the worker, if a handler raised one: its record stays where it is.
        """
        stops: BaseException | None = None
        endings: Counter[tuple[str, Ending]] = Counter()
        results = self.pool.finished
        while results:
            work, outcome = results.popleft()
            if work in self._given_up:
                self._given_up.remove(work)
                continue
            self.in_work -= 1
            tried = self._note_tried(work)
            if not work.tracker.alive or outcome is None:
                continue
            outcome = self._ending_of(work, outcome, tried=tried)
            if outcome is None:
                continue
            if outcome.ending is Ending.HALTED:
                stops = stops or outcome.error or RuntimeError("a handler stops the worker")
                log.error("%s stops the worker: %s", named(work.record), words_of(stops))
                continue
            self._end(work, outcome, may_start)
            endings[work.record.topic, outcome.ending] += 1
        for (topic, ending), number in endings.items():
            self._metrics.records.labels(topic, ending.value).inc(number)
        return stops

    def _ending_of(self, work: Work, result: Outcome | BaseException, *, tried: bool) -> Outcome | None:
        """How a record ended, whose handling came to this. None: not yet, it is held, or in work once more."""
        outcome = self._own_failure(work, result, attempts=1) if isinstance(result, BaseException) else result
        if outcome.ending is Ending.HELD:
            if self._hold(work, outcome):
                return None
            error = outcome.error or Exception()
            if ending_of(error) is Ending.HALTED and work.failures < MOST_FAILURES:
                # The outage was over while this was in work.
                self.hand_out(work.tracker.lane, [work])
                return None
            return self._own_failure(work, error, attempts=outcome.attempts)
        if outcome.ending is Ending.EMITTED:
            self._outage.succeeded(tried=tried, now=self._clock())
        elif tried:
            self._outage.try_at_once(self._clock())
        return outcome

    def _own_failure(self, work: Work, error: BaseException, *, attempts: int) -> Outcome:
        """How a record ends whose failure is no outage's, or was not even told by its handling."""
        if ending_of(error) is Ending.HALTED:
            return Outcome(Ending.HALTED, [], error)
        return self._handling.failed(work, error, attempts=attempts)

    def _end(self, work: Work, outcome: Outcome, may_start: Callable[[Work], bool]) -> None:
        """Note how a record ended, and hand out the one with an equal key that waited for it."""
        work.end(outcome)
        self._metrics.handler_seconds.observe(outcome.seconds)
        if outcome.ending is Ending.DEAD and outcome.error is not None:
            self._metrics.dead_letters.labels(work.record.topic, reason_of(outcome.error)).inc()
        following = work.tracker.finish(work)
        if following is not None and may_start(following):
            self.hand_out(work.tracker.lane, [following])

    def give_up_overdue(self, may_start: Callable[[Work], bool]) -> None:
        """End the records whose handlers are overdue as temporary failures, and put other threads in their place."""
        for work in self.pool.overdue(self._deadline_seconds):
            if not self.pool.relieve(work):
                continue
            self._given_up.add(work)
            self.in_work -= 1
            self._note_tried(work)
            self._metrics.overdue.inc()
            log.error(
                "%s has been in work for %g s; its handler is given up", named(work.record), self._deadline_seconds
            )
            if work.tracker.alive:
                error = Overdue(f"its handler took longer than {self._deadline_seconds:g} s and was given up")
                outcome = self._handling.failed(work, error, attempts=1)
                self._metrics.records.labels(work.record.topic, outcome.ending.value).inc()
                self._end(work, outcome, may_start)

    # While consumption holds.

    def _hold(self, work: Work, outcome: Outcome) -> bool:
        if outcome.away is None:
            work.failures += 1
            if work.failures >= MOST_FAILURES:
                return False
        record = hash((work.record.key, work.record.value))
        if not self._outage.failed(record, outcome.error, outcome.away, now=self._clock()):
            return False
        work.started_at = 0.0
        self._held.append(work)
        return True

    def _note_tried(self, work: Work) -> bool:
        """Whether this was the one that was tried; then another may be."""
        if work is not self._tried:
            return False
        self._tried = None
        return True

    def hold_or_go_on(self) -> None:
        """While there is an outage: leave nothing to the handlers but one record now and then. After it: all."""
        now = self._clock()
        if self._outage.holding:
            self._take_back()
            self._held = deque(work for work in self._held if work.tracker.alive)
            if not self._held and not self.in_work:
                self._outage.end(now=now)
            elif self._tried is None and (work := self._next_to_try(now)) is not None:
                self._tried = work
                self._held.remove(work)
                self.in_work += 1
                self.pool.submit(work.tracker.lane, [work])
            self._outage.tell(now)
        if self._held and not self._outage.holding:
            held, self._held = sorted(self._held, key=lambda work: int(work.record.offset)), deque()
            for work in held:
                self.hand_out(work.tracker.lane, [work])
        self._metrics.holding.set(self._outage.holding)
        self._metrics.held.set(len(self._held))
        self._metrics.relieved.set(self.pool.relieved)

    def _next_to_try(self, now: float) -> Work | None:
        """The record to try now, if it is time: one that has not failed first, which may tell that others go well."""
        new = next((work for work in self._held if not work.failures), None)
        if new is not None and self._outage.may_try_new(now):
            return new
        failed = next((work for work in self._held if work.failures), None)
        return failed if failed is not None and self._outage.may_try(now) else None

    def _take_back(self) -> None:
        for lane, work in self.pool.take_back():
            if work is self._tried:
                self.pool.submit(lane, [work])
            else:
                self.in_work -= 1
                self._held.append(work)

    # The end.

    def hand_back(self, trackers: Collection[PartitionTracker]) -> None:
        """Leave the records that no handler has taken up to the next owner.

        But for those below a record that is finished or in work: without them that work could not be committed. What
        an outage holds is left all the same: nobody knows when it could be done.
        """
        self._held.clear()
        taken = self.pool.take_back()
        if not taken:
            return
        self.in_work -= len(taken)
        started = {tracker: tracker.highest_started() for tracker in trackers}
        for lane, work in taken:
            if work.record.offset < started.get(work.tracker, -1):
                self.hand_out(lane, [work])
