"""Taking turns on the device: first come, first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock whose waiters are served in the order they came.

    With `threading.Lock`, a loop that lets go between two steps and takes hold again at once may keep a waiter out for
    as long as it runs; here the waiter comes next.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, hold it, pass it on. Not to be held across a `yield` to other code."""
        self._take()
        try:
            yield
        finally:
            self._pass_on()

    def _take(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # stays taken: handed over, so that nobody slips in between
            else:
                self._taken = False
