"""What a deployable function is. Triggers (Kafka worker, HTTP app, direct call) know functions by these forms."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from shared.events import Event


class Function(Protocol):
    """A warm container's content. `handle` never touches Kafka: it returns the events to emit."""

    name: str
    consumes: Sequence[str]
    """Event types this function takes, most urgent first: a later type yields to an earlier one."""
    deadline_seconds: float
    """How long `handle` may take with all its attempts in place. What takes longer is given up: another thread goes on,
    and the record is tried again later."""

    def start(self) -> None:
        """Load and warm. Called once, before the first event and before partitions are asked for."""

    def ready(self) -> bool:
        """Whether `handle` can be called now. Asked by the readiness probe, from another thread."""

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        """Do the work of one event and return the events to emit, in order.

        Called from a small pool: several events with different keys may be in work at once. Raises TemporaryError
        or PermanentError; any other exception counts as a defect and makes the record a dead letter. Unavailable says
        that what every event stands on is away, if `check` says so too.
        """

    def check(self) -> None:
        """Ask whether what `handle` stands on answers; called from the same threads, and bounded in time.

        Raises Unavailable or ConfigurationError.
        """

    def stop(self) -> None:
        """Release what `start` took. Called once, after the last event."""


@contextmanager
def warm(function: "Function | Carrier") -> Iterator[None]:
    """The function for as long as the block runs: started and, whatever becomes of that, stopped."""
    try:
        function.start()
        yield
    finally:
        function.stop()


@dataclass(frozen=True, slots=True)
class Carrier:
    """A function without a handler: what waits in retry topics goes back, as it is, when it is due."""

    name: str
    carries: Sequence[str]
    """Event types whose retries it takes."""
    deadline_seconds: float = 60.0
    """Carrying is handing on; it waits for nothing."""

    def start(self) -> None:
        """Nothing to load."""

    def ready(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """Nothing to release."""

    def check(self) -> None:
        """It stands on Kafka alone."""
