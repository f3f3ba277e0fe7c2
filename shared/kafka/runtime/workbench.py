"""What is in work: records that were handed to the handler threads, and what becomes of the books when they end."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial

from shared.endings import Ending, reason_of
from shared.kafka.client import place_of
from shared.kafka.runtime.handling import RecordHandling
from shared.kafka.runtime.pool import HandlerPool
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.metrics import RuntimeMetrics

log = logging.getLogger(__name__)


class Workbench:
    """Hands records to the handler threads and collects how they ended. Used by the owner's thread alone."""

    def __init__(
        self,
        handling: RecordHandling,
        metrics: RuntimeMetrics,
        *,
        threads: int,
        lanes: int,
        wake: threading.Event,
    ) -> None:
        """`wake` is set whenever a result lies ready."""
        self.in_work = 0
        """Records handed out whose result has not been collected."""
        self._metrics = metrics
        self._open_pool = partial(HandlerPool, handling.finish, threads=threads, lanes=lanes, wake=wake)
        self._pool: HandlerPool

    def open(self) -> None:
        """Start the handler threads."""
        self._pool = self._open_pool()

    def hand_out(self, lane: int, works: Sequence[Work]) -> None:
        """Have records handled."""
        if works:
            self.in_work += len(works)
            self._pool.submit(lane, works)

    def queued(self, lane: int) -> int:
        """Records of a lane that no handler has taken up."""
        return self._pool.queued(lane)

    def collect(self, may_start: Callable[[Work], bool]) -> BaseException | None:
        """Note what has ended, and hand out what waited for it where `may_start` allows.

        Returns the error that stops the worker, if a handler raised one: its record stays where it is.
        """
        stops: BaseException | None = None
        endings: Counter[tuple[str, Ending]] = Counter()
        results = self._pool.finished
        while results:
            work, outcome = results.popleft()
            self.in_work -= 1
            if not work.tracker.alive or outcome is None:
                continue
            if outcome.ending is Ending.HALTED:
                stops = stops or outcome.error
                log.error("%s stops the worker: %s", place_of(work.record), outcome.error)
                continue
            following = self._end(work, outcome)
            if following is not None and may_start(following):
                self.hand_out(work.tracker.lane, [following])
            endings[work.record.topic, outcome.ending] += 1
        for (topic, ending), number in endings.items():
            self._metrics.records.labels(topic, ending.value).inc(number)
        return stops

    def _end(self, work: Work, outcome: Outcome) -> Work | None:
        """Note how a record ended. Returns the one with an equal key that may be handled next, if any."""
        work.end(outcome)
        self._metrics.handler_seconds.observe(outcome.seconds)
        if outcome.ending is Ending.DEAD and outcome.error is not None:
            self._metrics.dead_letters.labels(work.record.topic, reason_of(outcome.error)).inc()
        return work.tracker.finish(work)

    def hand_back(self, trackers: Collection[PartitionTracker]) -> None:
        """Leave the records that no handler has taken up to the next owner.

        But for those below a record that is finished or in work: without them that work could not be committed.
        """
        taken = self._pool.take_back()
        if not taken:
            return
        self.in_work -= len(taken)
        started = {tracker: tracker.highest_started() for tracker in trackers}
        for lane, work in taken:
            if work.record.offset < started.get(work.tracker, -1):
                self.hand_out(lane, [work])

    def close(self, patience_seconds: float) -> None:
        """End the threads, waiting that long for what they have in work."""
        self._pool.close(patience_seconds)
