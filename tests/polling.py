"""Waiting in tests: for a condition, bounded, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
"""How long anything may take on a machine that has other things to do. A calm one needs moments, so whoever waits for
what is sure to come waits this long, and whoever asserts that something is quick has a reason."""

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], timeout_seconds: float = PATIENCE_SECONDS, describe: str | Callable[[], object] = ""
) -> T:
    """Ask `condition` until it is true and return what it returned; fail the test after `timeout_seconds`.

    `describe` says what was waited for, or, as a function, what is there instead.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            told = describe() if callable(describe) else describe
            raise AssertionError(f"not within {timeout_seconds:g} s: {told or condition}")
        time.sleep(POLL_SECONDS)
