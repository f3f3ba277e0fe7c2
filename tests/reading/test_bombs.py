"""What is unpacked is bounded: a few kilobytes of a log must not become gigabytes of memory."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import snappy
import zstandard
from kafka.codec import lz4_encode, snappy_encode

from shared.kafka.batches import Fetched, Limits, UnreadableBatch
from tests.reading.made import AT, CODECS, HEADER_BYTES, batch, sealed, set_field

MIB = 2**20
LIMITS = Limits(unpacked_bytes=64 * MIB, raw_bytes=8 * MIB)
BOMB_BYTES = 256 * MIB


def varint(number: int) -> bytes:
    number <<= 1
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    coded.append(number)
    return bytes(coded)


def giant() -> bytes:
    """One record whose value are zeros."""
    body = b"\x00\x00\x00\x01" + varint(BOMB_BYTES) + bytes(BOMB_BYTES) + b"\x00"
    return varint(len(body)) + body


def packed(codec: str, records: bytes, count: int) -> bytes:
    pack = {
        "gzip": lambda data: gzip.compress(data, 1),
        "snappy": snappy_encode,
        "bare snappy": snappy.compress,
        "lz4": lz4_encode,
        "zstd": zstandard.compress,
    }[codec]
    made = batch(0, [b"v"])[:HEADER_BYTES] + pack(records)
    for field, form, value in (("attributes", ">h", CODECS[codec.split()[-1]]), ("count", ">i", count)):
        made = set_field(made, AT[field], form, value)
    return set_field(made, AT["last"], ">i", count - 1)


def tiny_records(count: int) -> bytes:
    """As many records of a few bytes, not all alike."""
    parts = []
    for number in range(count):
        body = b"\x00\x00" + varint(number) + b"\x01\x14" + b"product %02d" % (number * 37 % 100) + b"\x00"
        parts.append(varint(len(body)) + body)
    return b"".join(parts)


PEAK = """
import resource, sys, pathlib
from shared.kafka.batches import Fetched, Limits, UnreadableBatch
limits = Limits(unpacked_bytes=64 * 2**20, raw_bytes=8 * 2**20)
data = pathlib.Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
records = unreadable = 0
for record in Fetched(data, "t", 0, position=0, limits=limits):
    unreadable += isinstance(record, UnreadableBatch)
    records += 1
print(records, unreadable, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def peak_of(data: bytes, folder: Path) -> tuple[int, int, int]:
    """Records, unreadable batches and the most MiB that reading takes, in a process of its own."""
    (folder / "fetch").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, folder / "fetch"], capture_output=True, text=True, check=True, timeout=120
    )
    records, unreadable, mib = map(int, done.stdout.split())
    return records, unreadable, mib


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["gzip", "snappy", "bare snappy", "lz4", "zstd"])
def test_a_bomb_is_unreadable_and_takes_little_memory(codec: str, tmp_path: Path) -> None:
    bomb = packed(codec, giant(), 1)
    records, unreadable, mib = peak_of(bomb, tmp_path)
    assert (records, unreadable) == (1, 1)
    assert mib < 200
    [found] = Fetched(bomb, "t", 0, position=0, limits=LIMITS)
    assert isinstance(found, UnreadableBatch)
    assert found.why == f"unpacks to more than {64 * MIB} bytes"


def test_a_million_tiny_records_are_read_one_by_one(tmp_path: Path) -> None:
    fetch = packed("gzip", tiny_records(900_000), 900_000)
    assert 1_000_000 < len(fetch) < 6_000_000
    records, unreadable, mib = peak_of(fetch, tmp_path)
    assert (records, unreadable) == (900_000, 0)
    assert mib < 50


def test_a_size_that_snappy_gives_and_does_not_have_costs_nothing() -> None:
    liar = struct.pack("5B", 0xFF, 0xFF, 0xFF, 0xFF, 0x0F) + b"\x00a"
    made = sealed(set_field(batch(0, [b"v"]), AT["attributes"], ">h", CODECS["snappy"])[:HEADER_BYTES] + liar)
    [found] = Fetched(made, "t", 0, position=0, limits=LIMITS)
    assert isinstance(found, UnreadableBatch)
    assert found.why == f"unpacks to more than {64 * MIB} bytes"
