"""The bytes of a log: batches, the records in them, and the messages of brokers before 0.11.

    batch   = header, packed records      magic 2; the checksum leaves out offset, length, epoch and magic
    message = header, key, value          magic 0 and 1; the value may be packed messages

Nothing is known here of topics, positions or transactions. What is not as it should be raises Damaged.
"""

import struct
from binascii import crc32
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from kafka.record.util import calc_crc32c

from shared.kafka.codecs import Damaged, unpack

FRAME = struct.Struct(">qi")
MAGIC_AT = 16
BATCH = struct.Struct(">qiibIhiqqqhii")
_CHECKED_FROM = 21
"""Where the part of a batch begins that its checksum is of."""
_MESSAGE = struct.Struct(">qiIbb")
_MESSAGE_CHECKED_FROM = 16
LEAST_BYTES: Final = _MESSAGE.size + 8
"""The smallest message: a frame, a header, and a key and a value that are null."""
CODEC = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20


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


class Header(NamedTuple):
    """How a batch of magic 2 begins."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    checksum: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        """Compaction may have taken the record."""
        return self.base_offset + self.last_offset_delta


def header_of(frame: memoryview) -> Header | None:
    """The header of a batch; None where there is no room for one."""
    return Header(*BATCH.unpack_from(frame)) if len(frame) >= BATCH.size else None


def is_sound(frame: memoryview, header: Header) -> bool:
    """Whether it has the checksum that it gives, and no number that makes no sense."""
    return (
        header.last_offset_delta >= 0
        and header.records >= 0
        and bool(calc_crc32c(frame[_CHECKED_FROM:]) == header.checksum)
    )


def is_abort(frame: memoryview, header: Header) -> bool:
    """Whether a marker ends its transaction as aborted. Raises Damaged where it is no marker."""
    packed = frame[BATCH.size :]
    for raw in pieces(unpack(header.attributes & CODEC, packed, len(packed)), 1):
        _, _, key, _, _ = record_of(raw)
        if key is not None and len(key) >= 4:
            (kind,) = struct.unpack_from(">h", key, 2)
            return bool(kind == 0)
    raise Damaged("should say how a transaction ended and does not")


def pieces(chunks: Iterator[Any], count: int) -> Iterator[bytes]:
    """The bytes of each of `count` records. Raises Damaged where there are fewer, or where more is left."""
    held = bytearray()
    start = 0
    for number in range(count):
        while True:
            try:
                length, begin = _varint(held, start)
                end = begin + length
                if end <= len(held):
                    break
            except IndexError:
                pass  # the number itself goes on in the next chunk
            chunk = next(chunks, None)
            if chunk is None:
                raise Damaged(f"should hold {count} records and ends within the {number + 1}th")
            del held[:start]
            start = 0
            held += chunk
        if length <= 0:
            raise Damaged(f"has a record of {length} bytes")
        yield bytes(held[begin:end])
        start = end
    if start < len(held) or any(len(chunk) for chunk in chunks):
        raise Damaged(f"should hold {count} records and holds more")


def record_of(raw: bytes) -> tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """A record's timestamp and offset, counted from its batch's, its key, its value and its headers."""
    try:
        since, place = _varint(raw, 1)
        delta, place = _varint(raw, place)
        key, place = _bytes(raw, place)
        value, place = _bytes(raw, place)
        count, place = _varint(raw, place)
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(count):
            name, place = _bytes(raw, place)
            held, place = _bytes(raw, place)
            if name is None:
                raise Damaged("has a header without a name")
            try:
                headers.append((name.decode(), held))
            except UnicodeDecodeError:
                headers.append((GarbledName(name), held))
    except IndexError as error:
        raise Damaged("has a record that ends too early") from error
    if count < 0 or place != len(raw):
        raise Damaged(f"has a record of {len(raw)} bytes whose parts take {place}")
    return since, delta, key, value, headers


def _bytes(raw: bytes, place: int) -> tuple[bytes | None, int]:
    # Fifteen of these are read of an event, and nearly all lengths have one byte: a call for each would cost a tenth.
    byte = raw[place]
    length, place = ((byte >> 1) ^ -(byte & 1), place + 1) if byte < 0x80 else _varint(raw, place)
    if length < 0:
        return None, place
    end = place + length
    if end > len(raw):
        raise IndexError
    return raw[place:end], end


def _varint(raw: bytes | bytearray, place: int) -> tuple[int, int]:
    """The signed number at a place, and the place behind it. Raises IndexError where the bytes end before it does."""
    byte = raw[place]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), place + 1
    number = byte & 0x7F
    shift = 7
    while True:
        place += 1
        byte = raw[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), place + 1
        shift += 7
        if shift > 63:
            raise Damaged("has a number of more than 64 bits")


class Message(NamedTuple):
    """One message of magic 0 or 1."""

    offset: int
    checksum: int
    attributes: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None


def message_of(frame: memoryview) -> Message:
    """One message, of magic 0 or 1. Raises Damaged."""
    offset, _, checksum, magic, attributes = _MESSAGE.unpack_from(frame)
    if crc32(frame[_MESSAGE_CHECKED_FROM:]) != checksum:
        raise Damaged("does not have its own checksum")
    place = _MESSAGE.size
    timestamp = None
    try:
        if magic == 1:
            (timestamp,) = struct.unpack_from(">q", frame, place)
            place += 8
        key, place = _field(frame, place)
        value, place = _field(frame, place)
    except struct.error as error:
        raise Damaged("has a message that ends too early") from error
    return Message(offset, checksum, attributes, timestamp, key, value)


def _field(frame: memoryview, place: int) -> tuple[bytes | None, int]:
    (length,) = struct.unpack_from(">i", frame, place)
    place += 4
    if length < 0:
        return None, place
    if place + length > len(frame):
        raise Damaged(f"has a field of {length} bytes where {len(frame) - place} are left")
    return bytes(frame[place : place + length]), place + length
