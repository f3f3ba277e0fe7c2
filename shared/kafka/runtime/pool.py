"""The handler threads: they take records one by one, most urgent lane first, and hand back what came of them.

The owner thread and the handler threads meet in deques, whose ends are safe to use from several threads, so that a
record costs no lock and no future. Threads are daemons: a handler that never returns cannot hold the process. It can be
relieved: another thread takes its place, and whatever it still comes to is for the owner to ignore.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from shared.kafka.runtime.tracker import Outcome, Work


class HandlerPool:
    """A fixed number of threads over one queue per lane."""

    def __init__(
        self,
        handle: Callable[[Work], Outcome],
        *,
        threads: int,
        lanes: int,
        wake: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`handle` should not raise; the thread goes on if it does. `wake` is set whenever a result lies ready."""
        self.finished: deque[tuple[Work, Outcome | BaseException | None]] = deque()
        """Records whose handling ended, in the order in which it did, and how; emptied by the owner. An exception: what
        `handle` raised, against its word. None: its partition went to another owner."""
        self._handle = handle
        self._wake = wake
        self._clock = clock
        self._queues: tuple[deque[Work], ...] = tuple(deque() for _ in range(lanes))
        self._condition = threading.Condition()
        self._idle = 0
        self._closed = False
        self._numbers = count()
        self._relieved: list[_Handler] = []
        self._handlers = [self._handler() for _ in range(threads)]

    def submit(self, lane: int, works: Iterable[Work]) -> None:
        """Queue records for handling."""
        before = len(self._queues[lane])
        self._queues[lane].extend(works)
        added = len(self._queues[lane]) - before
        with self._condition:
            if self._idle:
                self._condition.notify(max(1, added))

    def queued(self, lane: int) -> int:
        """Records of a lane that no thread has taken up."""
        return len(self._queues[lane])

    def take_back(self) -> list[tuple[int, Work]]:
        """Take all records that no thread has taken up, with their lanes."""
        taken = []
        for lane, queue in enumerate(self._queues):
            while True:
                try:
                    taken.append((lane, queue.popleft()))
                except IndexError:
                    break
        return taken

    def oldest_seconds(self) -> float:
        """For how long the handler that has been at it longest, of those that were not relieved, has had its record."""
        now = self._clock()
        return max((now - work.started_at for handler in self._handlers if (work := handler.work)), default=0.0)

    def overdue(self, deadline_seconds: float) -> list[Work]:
        """The records that a handler has had for longer than that."""
        latest = self._clock() - deadline_seconds
        return [work for handler in self._handlers if (work := handler.work) and work.started_at < latest]

    @property
    def relieved(self) -> int:
        """Relieved threads that have not come back yet."""
        self._relieved = [handler for handler in self._relieved if handler.is_alive()]
        return len(self._relieved)

    def relieve(self, work: Work) -> bool:
        """Put another thread in the place of the one that has this record. False where as many as there are handlers
        have not come back: then only a new process helps.
        """
        if self.relieved >= len(self._handlers):
            return False
        for place, handler in enumerate(self._handlers):
            if handler.work is work:
                handler.relieved = True
                self._relieved.append(handler)
                self._handlers[place] = self._handler()
                return True
        return False

    def close(self, timeout_seconds: float) -> bool:
        """Let the threads end after what they have in work, however much is queued. False if some are still busy after
        the timeout."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        share = timeout_seconds / max(len(self._handlers), 1)
        for handler in self._handlers:
            handler.join(share)
        return not any(handler.is_alive() for handler in self._handlers)

    def _handler(self) -> "_Handler":
        handler = _Handler(self._run, next(self._numbers))
        handler.start()
        return handler

    def _run(self, handler: "_Handler") -> None:
        while not handler.relieved and (work := self._next()) is not None:
            # A partition that went to another owner: its records are handled there.
            outcome: Outcome | BaseException | None = None
            if work.tracker.alive:
                work.started_at = self._clock()
                handler.work = work
                try:
                    outcome = self._handle(work)
                except BaseException as error:  # noqa: BLE001 - the owner decides; the others need this thread
                    outcome = error
                handler.work = None
            self.finished.append((work, outcome))
            if not self._wake.is_set():
                self._wake.set()

    def _next(self) -> Work | None:
        while not self._closed:
            for queue in self._queues:
                if queue:
                    try:
                        return queue.popleft()
                    except IndexError:
                        pass
            with self._condition:
                if not (self._closed or any(self._queues)):
                    self._idle += 1
                    self._condition.wait()
                    self._idle -= 1
        return None


class _Handler(threading.Thread):
    """One thread, and the record that it has in work."""

    def __init__(self, run: Callable[["_Handler"], None], number: int) -> None:
        super().__init__(target=run, args=(self,), name=f"handler-{number}", daemon=True)
        self.work: Work | None = None
        self.relieved = False
