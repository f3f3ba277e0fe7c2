"""Every touch of kafka-python's private places, each with its reason. Nothing else in the package reaches into it.

The client is mended for the one release that these mends were proved with; another one may have moved what they touch,
or mended it. Tests show the trouble without each of them.
"""

from importlib.metadata import version
from typing import Any, Final

from kafka.record.default_records import DefaultRecordBatch

from shared.errors import ConfigurationError

PROVED: Final = "3.0.12"
"""The release of kafka-python whose private places are known here."""


def check_release(installed: str) -> None:
    """Raises ConfigurationError where another release is installed than the one that is mended here."""
    if installed != PROVED:
        raise ConfigurationError(
            f"kafka-python {installed} is installed, and delivery is proved with {PROVED} alone; "
            f"install kafka-python=={PROVED}, or prove shared/kafka/mends.py anew"
        )


check_release(version("kafka-python"))


# Records.


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
    """A header whose name is not UTF-8, which every broker takes, is no corrupt batch that is polled again for ever."""
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        # Nothing is noted of a record before it is read to its end, so it can be read anew; the batch's other records
        # come out of the same buffer.
        batch._buffer = _Buffer(batch._buffer)
        return _read_strictly(batch)


DefaultRecordBatch._read_msg = _read


# Producers.


def give_up_sending(producer: Any) -> None:
    """End the thread of a producer that has something left to send. Its own `close` gives up before that, and the
    thread would try on for ever."""
    producer._sender.force_close()
