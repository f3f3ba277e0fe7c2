"""The one table from each way a handler can end to what becomes of its record, whichever transport brought it."""

from enum import Enum

from shared.errors import ConfigurationError, PermanentError, Superseded, TemporaryError, Unavailable


class Ending(Enum):
    """What becomes of a record. The value is the label of the metric."""

    EMITTED = "emitted"
    """The handler's events are sent and the offset is committed with them."""
    SUPERSEDED = "superseded"
    """Nothing is sent and the offset is committed: a later event has been answered."""
    HELD = "held"
    """The record stays where it is while what it stands on is away, and no attempt is counted. Where that answers and
    no other record fails likewise, the failure is the record's own, and it is RETRIED."""
    RETRIED = "retried"
    """The record goes to a retry topic."""
    DEAD = "dead"
    """The record goes to the dead letter topic."""
    HALTED = "halted"
    """The record stays where it is, uncommitted, and the worker stops: the next one would end the same way. A
    ConfigurationError with which the function's `check` agrees is HELD instead: the worker began well, and goes on once
    that is mended."""


ENDINGS: tuple[tuple[type[BaseException], Ending], ...] = (
    (Superseded, Ending.SUPERSEDED),
    (Unavailable, Ending.HELD),
    (TemporaryError, Ending.RETRIED),
    (PermanentError, Ending.DEAD),
    (ConfigurationError, Ending.HALTED),
    (Exception, Ending.DEAD),
    (BaseException, Ending.HALTED),
)
"""First row whose class matches. A handler that returns ends as EMITTED; a retry whose rounds are used up as DEAD."""


def ending_of(error: BaseException) -> Ending:
    """Look up what becomes of a record whose handler raised `error`."""
    return next(ending for kind, ending in ENDINGS if isinstance(error, kind))


def reason_of(error: BaseException) -> str:
    """The slug in headers and metrics: the error's own. An error that was not raised on purpose is a defect."""
    return error.reason if isinstance(error, PermanentError | TemporaryError) else "defect"
