"""The handler threads: they take records one by one, most urgent lane first, and hand back what came of them.

The owner thread and the handler threads meet in deques, whose ends are safe to use from several threads, so that a
record costs no lock and no future. Threads are daemons: a handler that never returns cannot hold the process.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from shared.kafka.runtime.tracker import Outcome, Work


class HandlerPool:
    """A fixed number of threads over one queue per lane."""

    def __init__(self, handle: Callable[[Work], Outcome], *, threads: int, lanes: int, wake: threading.Event) -> None:
        """`handle` must not raise. `wake` is set whenever a result lies ready."""
        self.finished: deque[tuple[Work, Outcome | None]] = deque()
        """Records whose handling ended, in the order in which it did, and how; emptied by the owner. None: its
        partition went to another owner."""
        self._handle = handle
        self._wake = wake
        self._queues: tuple[deque[Work], ...] = tuple(deque() for _ in range(lanes))
        self._condition = threading.Condition()
        self._idle = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"handler-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

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

    def close(self, timeout_seconds: float) -> bool:
        """Let the threads end after what they have in work, however much is queued. False if some are still busy after
        the timeout."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        share = timeout_seconds / max(len(self._threads), 1)
        for thread in self._threads:
            thread.join(share)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            # A partition that went to another owner: its records are handled there.
            outcome = None
            if work.tracker.alive:
                work.started_at = time.monotonic()
                outcome = self._handle(work)
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
