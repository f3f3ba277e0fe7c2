"""How the workers of the mixed run do while it lasts: sampled, told on one line, drawn at the end."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from functions.registry import CARRIES, CONSUMES, FUNCTIONS
from shared.errors import ConfigurationError, TemporaryError
from shared.kafka.operating.lag import read_lag
from shared.settings import KafkaSettings
from tests.soak.members import Crew, Sample
from tests.soak.proxy import StoreProxy

SAMPLE_SECONDS = 2.0
DEAD_LOOKS = 3
"""So many times in a row a probe must fail, as platforms have it, since a busy machine may answer one too late."""
EXCUSED_SECONDS = 20.0
"""A worker that begins while the store comes or goes may say so and end, for this long after."""
OLDEST = "skureel_oldest_in_work_seconds"
"""The age of the oldest record in work."""


@dataclass
class Moment:
    """All samples of one look, with the lag as it was last read."""

    seconds: float
    samples: Sequence[Sample]
    lag: Mapping[str, int]
    weather: str


@dataclass
class Figures:
    """What the samples come to, for one function."""

    memory_bytes: int = 0
    oldest_seconds: float = 0.0
    dead_moments: list[str] = field(default_factory=list)
    """When a worker that should have been alive said that it was not, or nothing."""


class Watch:
    """Samples all members until the context ends."""

    def __init__(
        self,
        crew: Crew,
        settings: KafkaSettings,
        store: StoreProxy,
    ) -> None:
        self.moments: list[Moment] = []
        self._crew = crew
        self._settings = settings
        self._store = store
        self._lag: Mapping[str, int] = {}
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._sample, name="samples", daemon=True),
            threading.Thread(target=self._read_lag, name="lag", daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(120)

    def lag(self) -> Mapping[str, int]:
        """By function, as last read; empty where it never was."""
        return self._lag

    def in_flight(self) -> int:
        """Records that workers hold now."""
        latest = self.moments[-1].samples if self.moments else ()
        return int(sum(sample.figures.get("skureel_in_flight_records", 0.0) for sample in latest))

    def line(self) -> str:
        """The last look, for people."""
        latest = self.moments[-1].samples if self.moments else ()
        oldest = max((sample.figures.get(OLDEST, 0.0) for sample in latest), default=0.0)
        memory = max((sample.memory_bytes for sample in latest), default=0)
        behind = ", ".join(f"{name} {number}" for name, number in self._lag.items())
        return (
            f"behind: {behind or 'unknown'}; in work {self.in_flight()}, oldest {oldest:.0f} s; "
            f"largest worker {memory >> 20} MiB; store {self._store.weather.value}"
        )

    def figures(self) -> dict[str, Figures]:
        """The worst that was seen of each function."""
        found: dict[str, Figures] = {}
        in_a_row: Counter[int] = Counter()
        for moment in self.moments:
            for sample in moment.samples:
                worst = found.setdefault(sample.function, Figures())
                worst.memory_bytes = max(worst.memory_bytes, sample.peak_bytes)
                worst.oldest_seconds = max(worst.oldest_seconds, sample.figures.get(OLDEST, 0.0))
                in_a_row[sample.pid] = in_a_row[sample.pid] + 1 if sample.live is False else 0
                if in_a_row[sample.pid] == DEAD_LOOKS:
                    worst.dead_moments.append(f"{moment.seconds:.0f} s: process {sample.pid}")
        return found

    def draw(self, path: Path) -> None:
        """Lag, age and memory over time, with the store's bad weather shaded."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (behind, age, memory) = pyplot.subplots(3, 1, sharex=True, figsize=(10, 9))
        minutes = [moment.seconds / 60 for moment in self.moments]
        for function in FUNCTIONS:
            behind.plot(minutes, [moment.lag.get(function, 0) for moment in self.moments], label=function)
            age.plot(minutes, [self._worst(moment, function, OLDEST) for moment in self.moments], label=function)
            memory.plot(
                minutes,
                [
                    max((s.memory_bytes for s in moment.samples if s.function == function), default=0) / 2**20
                    for moment in self.moments
                ],
                label=function,
            )
        for axes, title in ((behind, "records behind"), (age, "oldest in work, s"), (memory, "largest worker, MiB")):
            axes.set_ylabel(title)
            for moment, after in zip(self.moments, self.moments[1:], strict=False):
                if moment.weather != "clear":
                    axes.axvspan(moment.seconds / 60, after.seconds / 60, color="0.9")
        behind.legend()
        memory.set_xlabel("minutes; grey: the store is away")
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)

    def _worst(self, moment: Moment, function: str, figure: str) -> float:
        return max((s.figures.get(figure, 0.0) for s in moment.samples if s.function == function), default=0.0)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._crew.mend(excused=self._store.was_away(EXCUSED_SECONDS))
            samples = [sample for member in self._crew.members() if (sample := member.sample()) is not None]
            self.moments.append(Moment(time.monotonic() - self._began, samples, self._lag, self._store.weather.value))

    def _read_lag(self) -> None:
        while not self._ended.wait(2 * SAMPLE_SECONDS):
            try:
                found: dict[str, int] = {}
                for part in read_lag(self._settings, CONSUMES, CARRIES):
                    found[part.function] = found.get(part.function, 0) + part.offsets
                self._lag = found
            except (TemporaryError, ConfigurationError):  # the broker restarts; what was last read stays
                continue
