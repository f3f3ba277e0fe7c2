"""What the worker's own machine may run out of: room, memory, file descriptors, processes. No fault of any record."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Unavailable

_SCARCE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EMFILE: "raise the limit of open files of this process",
    errno.ENFILE: "close files on this machine, or raise its limit",
    errno.EAGAIN: "end some processes, or raise the limit of processes",
    errno.ENOMEM: "free some memory, or give the worker more",
}
"""What an OSError says is used up, and what helps."""
_NO_THREAD = "can't start new thread"
"""How Python says EAGAIN of a thread, in a RuntimeError."""


@contextmanager
def own_machine(subject: str) -> Iterator[None]:
    """Where the block fails because the machine has run out of something, raise Unavailable. `subject` begins it."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if (number := _used_up(error)) is None:
            raise
        fact = str(error) or "out of memory"
        raise Unavailable(f"{subject}: {fact}; {_SCARCE[number]}, it is tried again") from error


def _used_up(error: Exception) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError):
        return error.errno if error.errno in _SCARCE else None
    return errno.EAGAIN if str(error) == _NO_THREAD else None
