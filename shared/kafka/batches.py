"""What a fetch brings of a partition, read: records, and in their place whatever cannot be read.

A fetch is a row of batches. Batches are unpacked a chunk at a time and records read one by one, so that a batch of a
million takes no more memory than one of a hundred. Nothing here raises for what stands in a log: a batch that cannot be
read is given as an `UnreadableBatch`, so that whoever reads goes on behind it; only where its end is not known either,
`EndUnknown` says so.

The last batch of a fetch may be cut off. How batches are written is in `log_format`.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from kafka.consumer.fetcher import ConsumerRecord

from shared.kafka.codecs import CodecMissing, Damaged, unpack
from shared.kafka.log_format import (
    BATCH,
    CODEC,
    CONTROL,
    FRAME,
    LEAST_BYTES,
    LOG_APPEND_TIME,
    MAGIC_AT,
    TRANSACTIONAL,
    Header,
    Message,
    header_of,
    is_abort,
    is_sound,
    message_of,
    pieces,
    record_of,
)

_FAR = 2**63 - 1
_MOST_RECORDS = 1_000_000
"""So many take a third of a second to count, and nobody else is served meanwhile."""


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
                if frame[MAGIC_AT] < 2:
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
                # Its epoch cannot be believed, and behind it an earlier one would ask for what never was.
                self.leader_epoch = -1
                yield self._pass_over(frame, last, str(damage))
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
        if left >= LEAST_BYTES:
            _, length = FRAME.unpack_from(self._data, self._place)
            if LEAST_BYTES <= length + FRAME.size <= left:
                return self._data[self._place : self._place + FRAME.size + length]
        if self._place == 0 and left:
            # Brokers send the first batch whole, however large. Where a later one is cut off, it is the next's first.
            raise EndUnknown("the batch there gives a length that it does not have")
        return None

    def _last_offset(self, frame: memoryview, following: "Header | None") -> int | None:
        """Where a batch ends that cannot be read; None where what it says itself cannot be believed either."""
        if following is not None and self.position < following.base_offset < self._end:
            return following.base_offset - 1
        if frame[MAGIC_AT] < 2:
            (offset,) = struct.unpack_from(">q", frame)
            return offset if self.position <= offset < self._end else None
        header = header_of(frame)
        if header is None or not (is_sound(frame, header) or header.records == header.last_offset_delta + 1):
            return None
        believable = self._is_in_place(header.base_offset, header.last_offset, first=True)
        return header.last_offset if believable else None

    def _frame_behind(self) -> "Header | None":
        """The header of the next batch, if all is well with that one."""
        frame, header = self._frame(), self._header_behind()
        return header if frame is not None and header is not None and is_sound(frame, header) else None

    def _header_behind(self) -> "Header | None":
        frame = self._frame()
        return header_of(frame) if frame is not None and frame[MAGIC_AT] == 2 else None

    def _pass_over(self, frame: memoryview, last: int, why: str, timestamp: int = -1) -> UnreadableBatch:
        """Go on behind a batch that cannot be read, before it is given: whoever asks may stop there."""
        first, self.position = self.position, last + 1
        return UnreadableBatch(
            topic=self._topic,
            partition=self._partition,
            offset=first,
            last_offset=last,
            why=why,
            value=bytes(frame[: self._limits.raw_bytes]),
            timestamp=timestamp,
        )

    # Magic 2.

    def _batch(self, frame: memoryview, first: bool) -> Iterator[Any]:
        header = header_of(frame)
        if header is None or header.magic != 2:
            raise Damaged(f"is of the unknown format {frame[MAGIC_AT]}")
        if not is_sound(frame, header):
            raise Damaged("does not have its own checksum")
        last = header.last_offset
        if not self._is_in_place(header.base_offset, last, first):
            raise Damaged(f"gives the offsets {header.base_offset} to {last}, where {self.position} should follow")
        self.leader_epoch = header.leader_epoch
        try:
            if not self._is_left_out(frame, header, last):
                yield from self._records(frame, header, last)
        except Damaged as damage:
            if header.attributes & CONTROL:
                raise
            if self.position <= last:
                yield self._pass_over(frame, last, str(damage), header.max_timestamp)
        self.position = last + 1

    def _is_in_place(self, base: int, last: int, first: bool) -> bool:
        """Whether these offsets can be right, of which the checksum is not."""
        if last < self.position or last >= self._end or (base < self.position and not first):
            return False
        following = self._header_behind() if base > self.position else None
        # Compaction leaves gaps; but what comes then must come behind.
        return following is None or following.base_offset > last or following.last_offset < self.position

    def _is_left_out(self, frame: memoryview, header: "Header", last: int) -> bool:
        """Whether it is a transaction's marker, or part of an aborted one."""
        control = bool(header.attributes & CONTROL)
        if self._read_committed and header.producer_id >= 0:
            while self._aborted and self._aborted[0].first_offset <= last:
                self._aborting.add(self._aborted.popleft().producer_id)
            if control:
                if is_abort(frame, header):
                    self._aborting.discard(header.producer_id)
            elif header.attributes & TRANSACTIONAL and header.producer_id in self._aborting:
                return True
        return control

    def _records(self, frame: memoryview, header: "Header", last: int) -> Iterator[Any]:
        if header.records == 0:
            # Compaction leaves such a batch for its producer's sake.
            return
        if header.records > _MOST_RECORDS:
            raise Damaged(f"says that it holds {header.records} records, where {_MOST_RECORDS} are counted at most")
        codec = header.attributes & CODEC
        packed = frame[BATCH.size :]
        most_bytes = self._limits.unpacked_bytes
        # Read through once before anything is given: what does not unpack, or not to so many records, is one whole.
        for _ in pieces(unpack(codec, packed, most_bytes), header.records):
            pass
        kind = int(bool(header.attributes & LOG_APPEND_TIME))
        previous = header.base_offset - 1
        for raw in pieces(unpack(codec, packed, most_bytes), header.records):
            since, delta, key, value, headers = record_of(raw)
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
        outer = message_of(frame)
        if not self.position <= outer.offset < self._end:
            raise Damaged(f"gives the offset {outer.offset}, where {self.position} should follow")
        codec = outer.attributes & CODEC
        messages = [outer] if codec == 0 else self._packed_messages(outer, codec)
        for message in messages:
            if message.offset < self.position:
                continue
            kind = -1 if message.timestamp is None else int(bool(outer.attributes & LOG_APPEND_TIME))
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

    def _packed_messages(self, outer: "Message", codec: int) -> list["Message"]:
        if outer.value is None:
            raise Damaged("is a message of messages and has no value")
        data = memoryview(b"".join(unpack(codec, memoryview(outer.value), self._limits.unpacked_bytes)))
        messages = []
        place = 0
        while place < len(data):
            if len(data) - place < LEAST_BYTES:
                raise Damaged("ends within a message")
            _, length = FRAME.unpack_from(data, place)
            end = place + FRAME.size + length
            if not place + LEAST_BYTES <= end <= len(data):
                raise Damaged(f"has a message of {length} bytes where {len(data) - place - FRAME.size} are left")
            message = message_of(data[place:end])
            if message.attributes & CODEC:
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
