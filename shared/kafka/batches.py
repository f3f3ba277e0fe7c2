"""What a fetch brings of a partition, read: records, and in their place whatever cannot be read.

A fetch is a row of batches. Batches are unpacked a chunk at a time and records read one by one, so that a batch of a
million takes no more memory than one of a hundred. Nothing here raises for what stands in a log: a batch that cannot be
read is given as an `UnreadableBatch`, so that whoever reads goes on behind it; only where its end is not known either,
`EndUnknown` says so.

    fetch   = batch*                      the last one may be cut off
    batch   = header, packed records      magic 2; the checksum leaves out offset, length, epoch and magic
    message = header, key, value          magic 0 and 1, of brokers before 0.11; the value may be packed messages
"""

import struct
from binascii import crc32
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

from kafka.consumer.fetcher import ConsumerRecord
from kafka.record.util import calc_crc32c

from shared.kafka.codecs import CodecMissing, Damaged, unpack

_FRAME = struct.Struct(">qi")
_MAGIC_AT = 16
_BATCH = struct.Struct(">qiibIhiqqqhii")
_CHECKED_FROM = 21
"""Where the part of a batch begins that its checksum is of."""
_MESSAGE = struct.Struct(">qiIbb")
_MESSAGE_CHECKED_FROM = 16
_LEAST_BYTES: Final = _MESSAGE.size + 8
"""The smallest message: a frame, a header, and a key and a value that are null."""
_CODEC = 0x07
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_FAR = 2**63 - 1


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
    """What is wrong with it, to go on after "it"."""
    value: bytes | None = field(default=None, repr=False)
    """The batch's raw bytes, as far as they are there and no larger than a record may be."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = -1
    """Milliseconds since the epoch, as the batch says itself; -1 where that cannot be believed."""


class EndUnknown(Exception):
    """A batch cannot be read, nor be told where the next one begins."""


class Limits(NamedTuple):
    """What reading may take of memory."""

    unpacked_bytes: int
    """Most that one batch may unpack to."""
    raw_bytes: int
    """Most that is kept of a batch that cannot be read."""


class Fetched:
    """One partition's part of a fetch, read once, record by record."""

    def __init__(
        self,
        data: Any,
        topic: str,
        partition: int,
        *,
        position: int,
        limits: Limits,
        high_watermark: int = -1,
        aborted: Iterable[Any] | None = None,
    ) -> None:
        """`data` as the broker sent it in answer to a fetch from `position`.

        No offset from `high_watermark` on exists yet; -1 where that is not known. `aborted` are the aborted
        transactions that the broker names, with `producer_id` and `first_offset`; None: what was aborted is read too.
        """
        self.position = position
        """The offset to read next, after all that was given."""
        self.leader_epoch = -1
        """Of the last batch that was read."""
        self._data = memoryview(data)
        self._place = 0
        self._topic = topic
        self._partition = partition
        self._limits = limits
        self._end = high_watermark if high_watermark >= 0 else _FAR
        self._read_committed = aborted is not None
        self._aborted = deque(sorted(aborted or (), key=lambda transaction: transaction.first_offset))
        self._aborting: set[int] = set()

    def __iter__(self) -> Iterator[Any]:
        """Records and unreadable batches. Raises EndUnknown, and CodecMissing, if it is the first batch."""
        first = True
        while (frame := self._frame()) is not None:
            self._place += len(frame)
            try:
                if frame[_MAGIC_AT] < 2:
                    yield from self._messages(frame)
                else:
                    yield from self._batch(frame, first)
            except Damaged as damage:
                following = self._frame_behind()
                if following is not None and following.base_offset <= self.position <= following.last_offset:
                    # It gives itself out for a later one than it is, and the broker sends it again and again.
                    continue
                if (last := self._last_offset(frame, following)) is None:
                    if first:
                        raise EndUnknown(f"the batch there {damage}, and where it ends is not known") from damage
                    return
                yield self._unreadable(frame, last, str(damage))
                self.position = last + 1
                # What lies behind is fetched anew: had this been the marker that ends an aborted transaction, only the
                # broker could say so.
                return
            except CodecMissing:
                if first:
                    raise
                return
            first = False

    def _frame(self) -> memoryview | None:
        """The next whole batch; None at the end. Raises EndUnknown where not even the first one is whole."""
        left = len(self._data) - self._place
        if left >= _LEAST_BYTES:
            _, length = _FRAME.unpack_from(self._data, self._place)
            if _LEAST_BYTES <= length + _FRAME.size <= left:
                return self._data[self._place : self._place + _FRAME.size + length]
        if self._place == 0 and left:
            # Brokers send the first batch whole, however large. Where a later one is cut off, it is the next's first.
            raise EndUnknown("the batch there gives a length that it does not have")
        return None

    def _last_offset(self, frame: memoryview, following: "_Header | None") -> int | None:
        """Where a batch ends that cannot be read; None where what it says itself cannot be believed either."""
        if following is not None and self.position < following.base_offset < self._end:
            return following.base_offset - 1
        if frame[_MAGIC_AT] < 2:
            (offset,) = struct.unpack_from(">q", frame)
            return offset if self.position <= offset < self._end else None
        header = _header(frame)
        if header is None or not (_is_sound(frame, header) or header.records == header.last_offset_delta + 1):
            return None
        believable = self._is_in_place(header.base_offset, header.last_offset, first=True)
        return header.last_offset if believable else None

    def _frame_behind(self) -> "_Header | None":
        """The header of the next batch, if all is well with that one."""
        frame, header = self._frame(), self._header_behind()
        return header if frame is not None and header is not None and _is_sound(frame, header) else None

    def _header_behind(self) -> "_Header | None":
        frame = self._frame()
        return _header(frame) if frame is not None and frame[_MAGIC_AT] == 2 else None

    def _unreadable(self, frame: memoryview, last: int, why: str, timestamp: int = -1) -> UnreadableBatch:
        return UnreadableBatch(
            topic=self._topic,
            partition=self._partition,
            offset=self.position,
            last_offset=last,
            why=why,
            value=bytes(frame[: self._limits.raw_bytes]),
            timestamp=timestamp,
        )

    # Magic 2.

    def _batch(self, frame: memoryview, first: bool) -> Iterator[Any]:
        header = _header(frame)
        if header is None or header.magic != 2:
            raise Damaged(f"is of the unknown format {frame[_MAGIC_AT]}")
        if not _is_sound(frame, header):
            raise Damaged("does not have its own checksum")
        last = header.last_offset
        if not self._is_in_place(header.base_offset, last, first):
            raise Damaged(f"gives the offsets {header.base_offset} to {last}, where {self.position} should follow")
        self.leader_epoch = header.leader_epoch
        try:
            if not self._is_left_out(frame, header, last):
                yield from self._records(frame, header, last)
        except Damaged as damage:
            if header.attributes & _CONTROL:
                raise
            if self.position <= last:
                yield self._unreadable(frame, last, str(damage), header.max_timestamp)
        self.position = last + 1

    def _is_in_place(self, base: int, last: int, first: bool) -> bool:
        """Whether these offsets can be right, of which the checksum is not."""
        if last < self.position or last >= self._end or (base < self.position and not first):
            return False
        following = self._header_behind() if base > self.position else None
        # Compaction leaves gaps; but what comes then must come behind.
        return following is None or following.base_offset > last or following.last_offset < self.position

    def _is_left_out(self, frame: memoryview, header: "_Header", last: int) -> bool:
        """Whether it is a transaction's marker, or part of an aborted one."""
        control = bool(header.attributes & _CONTROL)
        if self._read_committed and header.producer_id >= 0:
            while self._aborted and self._aborted[0].first_offset <= last:
                self._aborting.add(self._aborted.popleft().producer_id)
            if control:
                if _is_abort(frame, header):
                    self._aborting.discard(header.producer_id)
            elif header.attributes & _TRANSACTIONAL and header.producer_id in self._aborting:
                return True
        return control

    def _records(self, frame: memoryview, header: "_Header", last: int) -> Iterator[Any]:
        if header.records == 0:
            # Compaction leaves such a batch for its producer's sake.
            return
        codec = header.attributes & _CODEC
        packed = frame[_BATCH.size :]
        most_bytes = self._limits.unpacked_bytes
        # Read through once before anything is given: what does not unpack, or not to so many records, is one whole.
        for _ in _pieces(unpack(codec, packed, most_bytes), header.records):
            pass
        kind = int(bool(header.attributes & _LOG_APPEND_TIME))
        previous = header.base_offset - 1
        for raw in _pieces(unpack(codec, packed, most_bytes), header.records):
            since, delta, key, value, headers = _record(raw)
            offset = header.base_offset + delta
            if not previous < offset <= last:
                raise Damaged(f"has a record of offset {offset}, where one from {previous + 1} to {last} should follow")
            previous = offset
            if offset < self.position:
                continue
            self.position = offset + 1
            timestamp = header.max_timestamp if kind else header.first_timestamp + since
            yield _given(
                self._topic, self._partition, header.leader_epoch, offset, timestamp, kind, key, value, headers, None
            )

    # Magic 0 and 1.

    def _messages(self, frame: memoryview) -> Iterator[Any]:
        outer = _message(frame)
        if not self.position <= outer.offset < self._end:
            raise Damaged(f"gives the offset {outer.offset}, where {self.position} should follow")
        codec = outer.attributes & _CODEC
        messages = [outer] if codec == 0 else self._packed_messages(outer, codec)
        for message in messages:
            if message.offset < self.position:
                continue
            kind = -1 if message.timestamp is None else int(bool(outer.attributes & _LOG_APPEND_TIME))
            timestamp = outer.timestamp if kind == 1 else message.timestamp
            self.position = message.offset + 1
            yield _given(
                self._topic,
                self._partition,
                -1,
                message.offset,
                -1 if timestamp is None else timestamp,
                kind,
                message.key,
                message.value,
                [],
                message.checksum,
            )
        self.position = outer.offset + 1

    def _packed_messages(self, outer: "_Message", codec: int) -> list["_Message"]:
        if outer.value is None:
            raise Damaged("is a message of messages and has no value")
        data = memoryview(b"".join(unpack(codec, memoryview(outer.value), self._limits.unpacked_bytes)))
        messages = []
        place = 0
        while place < len(data):
            if len(data) - place < _LEAST_BYTES:
                raise Damaged("ends within a message")
            _, length = _FRAME.unpack_from(data, place)
            end = place + _FRAME.size + length
            if not place + _LEAST_BYTES <= end <= len(data):
                raise Damaged(f"has a message of {length} bytes where {len(data) - place - _FRAME.size} are left")
            message = _message(data[place:end])
            if message.attributes & _CODEC:
                raise Damaged("is packed twice")
            messages.append(message)
            place = end
        if not messages:
            raise Damaged("is a message of messages and holds none")
        if outer.timestamp is not None:
            # From magic 1 on, offsets are counted from the first one, and the outer one is the last one's.
            base = outer.offset - messages[-1].offset
            messages = [message._replace(offset=base + message.offset) for message in messages]
        if any(one.offset >= two.offset for one, two in pairwise(messages)):
            raise Damaged("has messages whose offsets do not rise")
        return messages


class _Header(NamedTuple):
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


def _header(frame: memoryview) -> _Header | None:
    return _Header(*_BATCH.unpack_from(frame)) if len(frame) >= _BATCH.size else None


def _is_sound(frame: memoryview, header: _Header) -> bool:
    """Whether it has the checksum that it gives, and no number that makes no sense."""
    return (
        header.last_offset_delta >= 0
        and header.records >= 0
        and bool(calc_crc32c(frame[_CHECKED_FROM:]) == header.checksum)
    )


def _is_abort(frame: memoryview, header: _Header) -> bool:
    """Whether a marker ends its transaction as aborted. Raises Damaged where it is no marker."""
    packed = frame[_BATCH.size :]
    for raw in _pieces(unpack(header.attributes & _CODEC, packed, len(packed)), 1):
        _, _, key, _, _ = _record(raw)
        if key is not None and len(key) >= 4:
            (kind,) = struct.unpack_from(">h", key, 2)
            return bool(kind == 0)
    raise Damaged("should say how a transaction ended and does not")


def _pieces(chunks: Iterator[Any], count: int) -> Iterator[bytes]:
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


def _record(raw: bytes) -> tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
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
    length, place = _varint(raw, place)
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


class _Message(NamedTuple):
    offset: int
    checksum: int
    attributes: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None


def _message(frame: memoryview) -> _Message:
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
    return _Message(offset, checksum, attributes, timestamp, key, value)


def _field(frame: memoryview, place: int) -> tuple[bytes | None, int]:
    (length,) = struct.unpack_from(">i", frame, place)
    place += 4
    if length < 0:
        return None, place
    if place + length > len(frame):
        raise Damaged(f"has a field of {length} bytes where {len(frame) - place} are left")
    return bytes(frame[place : place + length]), place + length


def _given(
    topic: str,
    partition: int,
    leader_epoch: int,
    offset: int,
    timestamp: int,
    kind: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    checksum: int | None,
) -> Any:
    return ConsumerRecord(
        topic,
        partition,
        leader_epoch,
        offset,
        timestamp,
        kind,
        key,
        value,
        headers,
        checksum,
        -1 if key is None else len(key),
        -1 if value is None else len(value),
        sum(len(name.encode()) + len(held or b"") for name, held in headers) if headers else -1,
    )
