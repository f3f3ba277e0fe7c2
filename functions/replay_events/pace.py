"""A rate, and keeping to it. Time is given from outside."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|min|h))?")
_UNIT_SECONDS = {None: 1, "s": 1, "min": 60, "h": 3600}
_MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second."""

    per_second: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `5/s`, `30/min`, `100/h` or a bare number a second. Raises ValueError."""
        match = _RATE.fullmatch(text.strip())
        per_second = float(match[1]) / _UNIT_SECONDS[match[2]] if match else 0.0
        if per_second <= 0:
            raise ValueError(f"{text!r} is no rate; give a number above 0 as N/s, N/min or N/h, e.g. 5/s")
        return cls(per_second)

    @property
    def batch(self) -> int:
        """How many events go out together: those of half a second, at least one, not too many for a transaction."""
        return max(1, min(_MOST_AT_ONCE, int(self.per_second / 2)))

    def __str__(self) -> str:
        for unit in ("s", "min", "h"):
            number = self.per_second * _UNIT_SECONDS[unit]
            if number >= 1:
                break
        return f"{number:.3g}/{unit}"


class Pace:
    """Holds a rate over any stretch of time: a pause is not made up for by a burst."""

    def __init__(
        self, rate: Rate, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    def wait_for(self, events: int) -> None:
        """Wait until so many events may go out."""
        now = self._clock()
        if self._due > now:
            self._sleep(self._due - now)
        self._due = max(self._due, now) + events / self._rate.per_second
