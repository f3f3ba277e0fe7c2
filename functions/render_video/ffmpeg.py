"""One run of ffmpeg, in a process of its own that can hold nobody up: every wait for it ends, and so does it.

What it is asked for, and what its answers mean, is said in encoding.
"""

import functools
import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, Self

import imageio_ffmpeg

from shared.errors import ConfigurationError, TemporaryError

WRITE_SECONDS = 60.0
"""How long ffmpeg may take to accept one frame. It encodes dozens a second; longer means that it hangs."""
FINISH_SECONDS = 300.0
"""How long ffmpeg may take to end once it has all its input; longer means a dead disk."""
KILL_SECONDS = 5.0
"""How long a killed process may take to go. One that a dead disk holds in the kernel is left to it."""
ANSWER_BYTES = 16 * 1024 * 1024
"""What is kept of standard output: a line of some 60 bytes for each frame of a clip."""
COMPLAINTS_BYTES = 8192
"""What is kept of the beginning, and again of the end, of standard error."""


@functools.cache
def ffmpeg_path() -> str:
    """The ffmpeg that imageio-ffmpeg brings, or the one it was told of. None at all is a ConfigurationError."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise ConfigurationError(f"ffmpeg is not there: {error}; pip install 'skureel[render]'") from error


class FfmpegRun:
    """A running command. `name` begins its messages. Left in any way, the process is gone and its pipes are closed."""

    def __init__(self, command: list[str], name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # what it may have started goes with it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._room = select.poll()
        self._room.register(self._stdin, select.POLLOUT)
        self._answer = _Drain(self._process.stdout, first=ANSWER_BYTES, last=0)
        self._complaints = _Drain(self._process.stderr, first=COMPLAINTS_BYTES, last=COMPLAINTS_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stdin.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
        self._answer.wait()
        self._complaints.wait()

    def write(self, data: memoryview) -> bool:
        """Give it bytes. False: it has ended. Raises TemporaryError when it takes none for too long."""
        deadline = time.monotonic() + WRITE_SECONDS
        left = data.cast("B")
        while left:
            if not self._room.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TemporaryError(
                    f"{self._name}: ffmpeg took no frame for {WRITE_SECONDS:.0f} s and was ended; the disk may hang, "
                    "the clip is tried again"
                )
            try:
                left = left[os.write(self._stdin.fileno(), left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return True

    def finish(self) -> int:
        """Say that there is no more and wait for its end; returns its status, negative for a signal's number.

        Raises TemporaryError when it does not end.
        """
        self._stdin.close()
        try:
            status = self._process.wait(FINISH_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TemporaryError(
                f"{self._name}: ffmpeg did not finish in {FINISH_SECONDS:.0f} s and was ended; the disk may hang, "
                "the clip is tried again"
            ) from error
        self._answer.wait()
        self._complaints.wait()
        return status

    @property
    def answer(self) -> str:
        """What it wrote to standard output, after `finish`."""
        return self._answer.text

    @property
    def complaints(self) -> str:
        """What it wrote to standard error, after `finish`: all of it, or its beginning and its end."""
        return self._complaints.text


class _Drain:
    """What a process writes, taken away all the time so that it never waits for a reader, and kept within bounds."""

    def __init__(self, stream: IO[bytes], *, first: int, last: int) -> None:
        self._stream = stream
        self._first = first
        self._last = last
        self._head = bytearray()
        self._tail = b""
        self._reader = threading.Thread(target=self._read, name="ffmpeg-drain", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return (bytes(self._head) + self._tail).decode(errors="replace")

    def wait(self) -> None:
        """Wait for the last words of a process that has ended; a child of its own may hold the pipe a while longer."""
        self._reader.join(KILL_SECONDS)

    def _read(self) -> None:
        # Closed by whoever reads it: a process that cannot be killed may hold the other end long after we have gone on.
        with self._stream:
            while data := self._stream.read(65536):
                taken = data[: self._first - len(self._head)]
                self._head += taken
                if self._last:
                    self._tail = (self._tail + data[len(taken) :])[-self._last :]
