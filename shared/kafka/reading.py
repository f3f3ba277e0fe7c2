"""Records as they are read: what a poll gives, in what the books, the bounds and the handlers ask of it."""

from dataclasses import dataclass, field
from typing import Any

from shared.errors import PermanentError
from shared.events import Event
from shared.events.cloudevents import from_kafka
from shared.kafka.mends import GarbledName


@dataclass(frozen=True, slots=True)
class UnreadableBatch:
    """What a poll gives in the place of records that cannot be read: a part of a log, with what a record has."""

    topic: str
    partition: int
    offset: int
    """The first offset that cannot be read."""
    last_offset: int
    """The last one: whoever has done with this goes on behind it."""
    why: str
    """What is wrong with it."""
    value: bytes | None = field(default=None, repr=False)
    """The batch's raw bytes, as far as they are there and no larger than a record may be."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = -1
    """Milliseconds since the epoch, as the batch says itself; -1 where that cannot be believed."""

    def error(self) -> PermanentError:
        """What it fails with, being no record."""
        many = self.last_offset - self.offset + 1
        return PermanentError(
            f"{self.topic}[{self.partition}] cannot be read at the offsets {self.offset} to {self.last_offset} "
            f"({many} at most): {self.why}; have what was lost with them sent again",
            reason="unreadable-batch",
        )


def event_of(record: Any) -> Event[Any]:
    """Read a consumed record's event.

    Raises PermanentError as `from_kafka`; a garbled header is `invalid-utf8`, a batch that cannot be read
    `unreadable-batch`.
    """
    if isinstance(record, UnreadableBatch):
        raise record.error()
    for name, _ in record.headers:
        if isinstance(name, GarbledName):
            raise PermanentError(f"the name of header {name!r} is not UTF-8; send it as UTF-8", reason="invalid-utf8")
    return from_kafka(record.headers, record.value)


def next_offset(record: Any) -> int:
    """The offset to commit once this is done with: of what comes after it."""
    last: int = record.last_offset if isinstance(record, UnreadableBatch) else record.offset
    return last + 1


def size_of(record: Any) -> int:
    """What a record holds in bytes: key, value, and its headers' names and values."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, raw in record.headers:
        size += len(name) + len(raw or b"")
    return size
