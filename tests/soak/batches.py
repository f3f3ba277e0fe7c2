"""What producers and disks do to a log: every codec, bombs, and batches that nobody can read."""

import struct
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.record.util import calc_crc32c

from shared.kafka.client import connection
from shared.settings import KafkaSettings

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
BOMBER = "bomber"
"""A producer that packs all it is given at once into one batch."""
_HEAD = struct.Struct(">qiibIhiqqqhii")
"""A batch's head, format 2: base offset, length, leader epoch, magic, checksum, attributes, last offset's distance, two
times, producer id and epoch, first sequence, number of records."""
_COUNT_AT = 57
_CHECKED_FROM = 21
"""The checksum covers what stands behind it."""
_LARGEST_REQUEST = 1 << 30
"""Unpacked; packed, a batch still has to fit the topic."""


class Producers:
    """One producer for each codec. Closing waits until all is acknowledged."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._producers: dict[str | None, Any] = {}

    def __enter__(self) -> Self:
        for codec in (*CODECS, BOMBER):
            bomber = codec == BOMBER
            producer = KafkaProducer(
                **connection(self._settings, client_id=f"soak-{codec}"),
                compression_type="gzip" if bomber else codec,
                linger_ms=2_000 if bomber else 50,
                batch_size=32 << 20 if bomber else 64 << 10,
                max_request_size=_LARGEST_REQUEST,
                max_block_ms=120_000,
                delivery_timeout_ms=300_000,
                metrics_enabled=False,
            )
            self._stack.callback(producer.close, timeout=30)
            self._producers[codec] = producer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def send(self, codec: str | None, topic: str, message: Any, partition: int | None = None) -> Any:
        """Send what has key, value and headers; returns the future of its place in the log."""
        return self._producers[codec].send(
            topic, key=message.key, value=message.value, headers=message.headers, partition=partition
        )

    def flush(self) -> None:
        for producer in self._producers.values():
            producer.flush(timeout=300)


def damage(logs: Path, topic: str, partition: int, offset: int, *, mend_checksum: bool) -> tuple[int, int]:
    """Make the batch that holds `offset` unreadable, on the broker's disk; returns its first and last offset.

    A byte in its middle is flipped; or, with the checksum mended, it says that it holds one record more.
    """
    (segment,) = sorted((logs / f"{topic}-{partition}").glob("*.log"))
    with segment.open("r+b") as file:
        position = 0
        while True:
            file.seek(position)
            head = file.read(_HEAD.size)
            fields = _HEAD.unpack(head)
            base, length, last = fields[0], fields[1], fields[0] + fields[6]
            if base <= offset <= last:
                break
            position += 12 + length
        batch = bytearray(head + file.read(12 + length - _HEAD.size))
        if not mend_checksum:
            batch[(_HEAD.size + len(batch)) // 2] ^= 0x55
        else:
            struct.pack_into(">i", batch, _COUNT_AT, fields[12] + 1)
            struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[_CHECKED_FROM:])))
        file.seek(position)
        file.write(batch)
    return base, last
