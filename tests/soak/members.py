"""The workers of the mixed run, each the process that production runs: started, killed, frozen, asked how they do."""

import http.client
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from shared.embedded.server_process import free_ports
from shared.settings import child_environment
from tests.servers import REPOSITORY

SKUREEL = str(Path(sys.executable).with_name("skureel"))
COMMANDS: Mapping[str, Sequence[str]] = {
    "derive_prompt": (SKUREEL, "run", "derive_prompt"),
    "redeliver": (SKUREEL, "run", "redeliver"),
    "render_video": (sys.executable, "-m", "tests.soak.painted"),
}
STOP_SECONDS = 60.0
STARTING_SECONDS = 90.0
"""How long a process may take, beside all the others, until it answers its probes."""


@dataclass(frozen=True)
class Sample:
    """How one worker did at one moment."""

    function: str
    pid: int
    memory_bytes: int
    peak_bytes: int
    """The most it ever took, where the system counts it: a bomb goes off between two looks."""
    live: bool | None
    """None: it is frozen, or has only just begun."""
    figures: Mapping[str, float]
    """Its metrics without labels."""


@dataclass
class Member:
    """One worker process. Its log stays when it is gone."""

    function: str
    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    frozen: bool = False
    dismissed: bool = False
    """It is killed on purpose."""

    def __post_init__(self) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                COMMANDS[self.function],
                cwd=REPOSITORY,
                env=child_environment({**self.environment, "SKUREEL_HEALTH__PORT": str(self.port)}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._began = time.monotonic()
        self._answered = False

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def waited(self) -> str | None:
        """Wait for its end; what was wrong with it, if anything."""
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{self.function} did not stop within {STOP_SECONDS:.0f} s: {self.log}"
        return f"{self.function} stopped with {code}: {self.log}" if code else None

    def freeze(self) -> None:
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False
        self._began, self._answered = time.monotonic(), False

    def sample(self) -> Sample | None:
        """How it does; None where it has ended."""
        try:
            memory = psutil.Process(self.process.pid).memory_info().rss
            peak = max(memory, _peak(self.process.pid))
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return None
        live, figures = (None, {}) if self.frozen else (self._asks("/health/live"), self._figures())
        self._answered = self._answered or bool(live)
        if self.frozen or self.dismissed or not self.running():
            return None  # while it was asked
        if not live and not self._answered and time.monotonic() - self._began < STARTING_SECONDS:
            live = None
        return Sample(self.function, self.process.pid, memory, peak, live, figures)

    def _asks(self, path: str) -> bool:
        return self._get(path)[0] == 200

    def _figures(self) -> dict[str, float]:
        _, text = self._get("/metrics")
        lines = (line.split(" ") for line in text.splitlines() if line and "{" not in line and not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()


def _peak(pid: int) -> int:
    """The most memory that a process has had, as Linux counts it; 0 elsewhere, and of a process that has ended."""
    if not sys.platform.startswith("linux"):
        return 0
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


class Crew:
    """All workers of the run. Whoever ends, however, is replaced at once; all are killed at the end."""

    def __init__(self, environment: Mapping[str, str], wanted: Mapping[str, int], folder: Path) -> None:
        self.ended_unasked: list[str] = []
        """Members that ended by themselves: none should."""
        self._environment = environment
        self._wanted = wanted
        self._folder = folder
        self._lock = threading.Lock()
        self._members: list[Member] = []
        self._started = 0
        self._stopping = False

    def __enter__(self) -> Self:
        for function, number in self._wanted.items():
            for _ in range(number):
                self._add(function)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members():
            member.kill()

    def members(self) -> list[Member]:
        with self._lock:
            return list(self._members)

    def one(self, chance: random.Random) -> Member:
        """Any member that is not frozen."""
        return chance.choice([member for member in self.members() if not member.frozen])

    def replace(self, member: Member) -> None:
        """Kill a member and start another in its place."""
        member.dismissed = True
        member.kill()
        self._swap(member)

    def stop(self) -> list[str]:
        """SIGTERM to all. Returns who did not end with 0 in time."""
        self._stopping = True
        members = self.members()
        for member in members:
            member.process.send_signal(signal.SIGTERM)
        return [told for member in members if (told := member.waited()) is not None]

    def mend(self, *, excused: bool) -> None:
        """Replace those that ended by themselves, as a platform does, and note it where there is no excuse.

        A worker that starts while the store is away may say so and end.
        """
        for member in () if self._stopping else self.members():
            if not member.running() and not member.dismissed:
                if not excused:
                    self.ended_unasked.append(f"{member.function} ended with {member.process.returncode}: {member.log}")
                self._swap(member)

    def _swap(self, member: Member) -> None:
        with self._lock:
            self._members.remove(member)
        self._add(member.function)

    def _add(self, function: str) -> None:
        self._started += 1
        member = Member(function, self._environment, self._folder / f"{function}-{self._started}.log")
        with self._lock:
            self._members.append(member)
