"""Records as they are read: what a poll gives, in what the books, the bounds and the handlers ask of it."""

from typing import Any

from shared.errors import PermanentError
from shared.events import Event
from shared.events.cloudevents import from_kafka
from shared.kafka.batches import UnreadableBatch
from shared.kafka.log_format import GarbledName

__all__ = ["UNREADABLE", "GarbledName", "UnreadableBatch", "check_readable", "event_of", "next_offset", "size_of"]

UNREADABLE = "unreadable-batch"
"""The reason of a dead letter that is a part of a log, and no record."""


def event_of(record: Any) -> Event[Any]:
    """Read a consumed record's event.

    Raises PermanentError as `from_kafka`; a garbled header is `invalid-utf8`, a batch that cannot be read
    `unreadable-batch`.
    """
    check_readable(record)
    for name, _ in record.headers:
        if isinstance(name, GarbledName):
            raise PermanentError(f"the name of header {name!r} is not UTF-8; send it as UTF-8", reason="invalid-utf8")
    return from_kafka(record.headers, record.value)


def check_readable(record: Any) -> None:
    """Let a record pass, and raise PermanentError `unreadable-batch` for a batch of which none can be had."""
    if isinstance(record, UnreadableBatch):
        raise _unreadable(record)


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


def _unreadable(batch: UnreadableBatch) -> PermanentError:
    many = batch.last_offset - batch.offset + 1
    return PermanentError(
        f"{batch.topic}[{batch.partition}] cannot be read at the offsets {batch.offset} to {batch.last_offset}, which "
        f"are {many} records at most: the batch there {batch.why}; have what was lost with them sent again",
        reason=UNREADABLE,
    )
