"""Batches made for tests: by the client's own writer, and damaged by hand with a checksum that is right again."""

import struct
from collections.abc import Sequence
from typing import Any

from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from shared.kafka.batches import Fetched, Limits

LIMITS = Limits(unpacked_bytes=1_000_000, raw_bytes=100_000)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER_BYTES = 61
CHECKED_FROM = 21
AT = {"length": 8, "epoch": 12, "magic": 16, "checksum": 17, "attributes": 21, "last": 23, "producer": 43, "count": 57}


def batch(
    offset: int,
    values: Sequence[bytes | None],
    codec: int = 0,
    *,
    producer: int = -1,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> bytes:
    """A batch of records of these values; of a transaction if a producer is given."""
    transactional = {"transactional": True, "producer_id": producer, "producer_epoch": 0, "base_sequence": 0}
    builder = MemoryRecordsBuilder(2, codec, 1 << 30, offset=0, **(transactional if producer >= 0 else {}))
    for number, value in enumerate(values):
        builder.append(1_000 + number, b"key", value, list(headers))
    builder.close()
    # The client's writer leaves the offset to the broker.
    made = set_field(bytes(builder.buffer()), 0, ">q", offset, checked=False)
    assert made[AT["attributes"] + 1] & 7 == codec, "what does not get smaller is not packed"
    return made


def marker(offset: int, producer: int, *, abort: bool) -> bytes:
    """The marker that ends a transaction."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 20, producer_id=producer, producer_epoch=0, base_sequence=0)
    builder.append(1_000, struct.pack(">hh", 0, 0 if abort else 1), b"\x00" * 6, [])
    builder.close()
    made = set_field(bytes(builder.buffer()), 0, ">q", offset, checked=False)
    return set_field(made, AT["attributes"], ">h", 0x30)


def message(offset: int, values: Sequence[bytes], magic: int, codec: int = 0) -> bytes:
    """Messages of the format before batches, packed into one if there is a codec; `offset` is the first one's."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for number, value in enumerate(values):
        builder.append(number if codec else offset + number, 1_000 + number, b"key", value)
    made = bytes(builder.build())
    return struct.pack(">q", offset + len(values) - 1) + made[8:] if codec else made


def set_field(made: bytes, place: int, form: str, value: int, *, checked: bool = True) -> bytes:
    """Write a number into a batch; with a checksum that fits, if it is one that the checksum is of."""
    changed = bytearray(made)
    struct.pack_into(form, changed, place, value)
    return sealed(bytes(changed)) if checked else bytes(changed)


def sealed(made: bytes) -> bytes:
    """With its length and its checksum right again."""
    changed = bytearray(made)
    struct.pack_into(">i", changed, AT["length"], len(changed) - 12)
    struct.pack_into(">I", changed, AT["checksum"], calc_crc32c(memoryview(changed)[CHECKED_FROM:]))
    return bytes(changed)


def flipped(made: bytes, place: int, bit: int = 0) -> bytes:
    """With one bit another."""
    changed = bytearray(made)
    changed[place] ^= 1 << bit
    return bytes(changed)


def read(data: bytes, *, position: int = 0, **more: Any) -> list[Any]:
    """All that is given of a fetch."""
    return list(fetched(data, position=position, **more))


def fetched(data: bytes, *, position: int = 0, limits: Limits = LIMITS, **more: Any) -> Fetched:
    """A fetch from a position."""
    return Fetched(data, "t", 0, position=position, limits=limits, **more)
