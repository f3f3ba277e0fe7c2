"""A server in a child process that never outlives us, with a log file that says what went wrong."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from shared.embedded import guardian
from shared.errors import ConfigurationError
from shared.settings import child_environment

POLL_SECONDS = 0.02
LOG_LINES_SHOWN = 15
_SERVER_PORTS = range(20_000, 32_000)


class ServerProcess:
    """One running server. Leaving its `with` block kills it; so does the death of this process, even by SIGKILL."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        kept_open: Sequence[int] = (),
        leaves: Sequence[Path] = (),
    ) -> None:
        """Start `command`; its output is appended to `log`. `environment` is added to this process's.

        The descriptors `kept_open` (locks) stay open until the server is gone, even when this process dies before, and
        then the files that it `leaves` are removed.
        """
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._guardian = subprocess.Popen(
                # Isolated and without site: up in some 15 ms, whatever this interpreter has installed.
                [sys.executable, "-I", "-S", guardian.__file__, *map(str, leaves), "--", *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=child_environment(environment or {}),
                start_new_session=True,
                pass_fds=kept_open,
            )
        assert self._guardian.stdout is not None
        with self._guardian.stdout as told:
            line = told.readline()
        if not line:
            self.kill()
            raise ConfigurationError(f"{name} did not start; {self.last_lines()}")
        self.pid = int(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def running(self) -> bool:
        """Whether the server has not ended. A stopped (SIGSTOP) server runs."""
        return self._guardian.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it still runs."""
        if self.running():
            with suppress(ProcessLookupError):  # it ended this moment
                os.kill(self.pid, number)

    def terminate(self, timeout_seconds: float) -> None:
        """Ask the server to stop, and kill it when it has not after `timeout_seconds`."""
        self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._guardian.wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """End the server at once, and wait until it is gone. Doing it twice is harmless."""
        assert self._guardian.stdin is not None
        with suppress(BrokenPipeError):
            self._guardian.stdin.close()
        self._guardian.wait()

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return when `ready()`; a server that ends before, or takes longer, is a ConfigurationError with its log."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if not self.running():
                status = self._guardian.returncode
                raise ConfigurationError(f"{self.name} ended with status {status} while starting; {self.last_lines()}")
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{self.name} was not ready after {timeout_seconds:g} s; {self.last_lines()}")
            time.sleep(POLL_SECONDS)  # a server says nothing when it is ready; it has to be asked

    def last_lines(self) -> str:
        """Where the log is and how it ends, for an error's message."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join((f"the end of {self.log}:", *lines)) if lines else f"{self.log} is empty"


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports that are free on the loopback now. Another process may take one before it is used.

    They lie below those that the system gives to outgoing connections (Linux: from 32768, others: from 49152). A port
    among these may become the other end of somebody's connection while its server restarts; a client that tries to
    reach the absent server can even be connected to itself. Either way the server could not have its port back.
    """
    candidates = list(_SERVER_PORTS)
    random.SystemRandom().shuffle(candidates)
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            if not candidates:
                raise ConfigurationError(f"fewer than {count} loopback ports are free; stop what holds them")
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", port := candidates.pop()))
                found.append(port)
        return found
