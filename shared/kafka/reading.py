"""Records as they are read: events, and what is no event although the client would choke on it.

kafka-python 3.0.12 takes a header whose name is not UTF-8 for a corrupt batch, and polls it again and again: one such
record, which every broker accepts, would stop its partition for ever. Importing this module mends its reader.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

from shared.errors import PermanentError
from shared.events import Event
from shared.events.cloudevents import from_kafka


class GarbledName(str):
    """A header's name that is not UTF-8. It reads with escapes, and is sent again with its own bytes."""

    _raw: bytes

    def __new__(cls, raw: bytes) -> "GarbledName":
        name = super().__new__(cls, raw.decode("utf-8", "backslashreplace"))
        name._raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes it came with."""
        return self._raw


def event_of(record: Any) -> Event[Any]:
    """Read a consumed record's event. Raises PermanentError as `from_kafka`; a garbled header is `invalid-utf8`."""
    for name, _ in record.headers:
        if isinstance(name, GarbledName):
            raise PermanentError(f"the name of header {name!r} is not UTF-8; send it as UTF-8", reason="invalid-utf8")
    return from_kafka(record.headers, record.value)


class _Bytes(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return GarbledName(self)


class _Buffer(bytearray):
    """The reader takes names out as slices and decodes those; keys and values it copies as they are."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Bytes(found) if isinstance(place, slice) else found


_read_strictly = DefaultRecordBatch._read_msg


def _read(batch: Any) -> Any:
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        # Nothing is noted of a record before it is read to its end, so it can be read anew; the batch's other records
        # come out of the same buffer.
        batch._buffer = _Buffer(batch._buffer)
        return _read_strictly(batch)


DefaultRecordBatch._read_msg = _read
