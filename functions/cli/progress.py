"""What the command shows: long work as a bar on a terminal and as plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

import click

from shared.printable import one_line

PLAIN_LINE_SECONDS = 2.0
"""A log gets a line at most this often, and always the last one."""


class Progress:
    """One piece of work with a known total. Use as a context manager; `update` with what is done and a remark."""

    def __init__(
        self, label: str, total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label = label
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar = (
            click.progressbar(length=total, label=label, file=self._stream, show_pos=True, item_show_func=_remark)
            if self._stream.isatty()
            else None
        )
        self._done = 0
        self._last_line: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def update(self, done: int, remark: str = "") -> None:
        """Show that `done` of the total is done. The remark may hold what a product says."""
        remark = one_line(remark)
        advanced, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.update(advanced, remark)
            return
        now = self._clock()
        due = self._last_line is None or now - self._last_line[0] >= PLAIN_LINE_SECONDS
        finished = done >= self._total and (self._last_line is None or self._last_line[1] < done)
        if due or finished:
            self._last_line = (now, done)
            tail = f": {remark}" if remark else ""
            click.echo(f"{self._label} {done}/{self._total}{tail}", file=self._stream)


def _remark(remark: str | None) -> str | None:
    return remark or None
