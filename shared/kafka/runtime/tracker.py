"""What is known of one assigned partition: which records are taken and finished, and how far it may be committed.

Pure bookkeeping, used by the owner thread alone. No Kafka, no threads, no clock.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.producing import Outgoing
from shared.kafka.reading import next_offset, size_of

MOST_RECORDS = 1_000
"""Of one release: a transaction costs the broker the same whatever its size, and beyond this nothing is gained."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of handling one record."""

    ending: Ending
    outputs: list[Outgoing]
    """What is to be sent: the function's events, or the retry or dead letter that the record becomes."""
    error: BaseException | None = None
    attempts: int = 0
    """Times the handler was called in this round."""
    seconds: float = 0.0
    away: BaseException | None = None
    """Of a record that is held: what the function's `check` raised; None: what it stands on answers."""


class Work:
    """One taken record on its way: from the poll to the release of what came of it."""

    __slots__ = ("failures", "outcome", "output_bytes", "outputs", "record", "size_bytes", "started_at", "tracker")

    def __init__(self, record: Any, tracker: "PartitionTracker", size_bytes: int = 0) -> None:
        self.record = record
        self.tracker = tracker
        self.size_bytes = size_bytes
        self.started_at = 0.0
        """Monotonic time at which a handler thread took it up, which notes it here; 0.0 before."""
        self.failures = 0
        """Times it failed with `Unavailable` and was held, while what the function stands on answered."""
        self.outcome: Outcome | None = None
        """None until the owner has noted how it ended."""
        self.outputs: list[Outgoing] = []
        """What of the outcome is still to be sent."""
        self.output_bytes = 0
        """Bytes of what was to be sent when it ended."""

    @property
    def next_offset(self) -> int:
        """The offset that covers it and nothing behind it."""
        return next_offset(self.record)

    def leads_to(self, topics: Collection[str]) -> bool:
        """Whether something is still to be sent to one of these."""
        return bool(topics) and any(output.topic in topics for output in self.outputs)

    def end(self, outcome: Outcome) -> None:
        """Note how it ended, or, if its outputs are refused, how it ends instead."""
        self.outcome = outcome
        self.outputs = outcome.outputs
        self.output_bytes = sum(map(size_of, self.outputs))


@dataclass(frozen=True, slots=True)
class Part:
    """A run of finished records at the head of a partition, and the offset that covers exactly them."""

    tracker: "PartitionTracker"
    works: list[Work]
    offset: int


@dataclass(slots=True)
class Trial:
    """A partition whose release failed, and none has succeeded since (`turns`)."""

    began: float
    """Monotonic time of the first failure."""
    failures: int = 0
    """Those while others succeeded."""
    due: float = 0.0
    """Monotonic time before which it is not tried again."""


class PartitionTracker:
    """Records of one partition in one assignment epoch.

    Records arrive, are taken in offset order and finish in any order. The low watermark is the first offset whose work
    is not finished; nothing at or above it is ever offered for commit. What a finished record sends waits until the
    watermark passes it, so that an output and the offset that covers it can share one transaction.

    Records with equal keys are handed out one after the other, in offset order.
    """

    def __init__(self, partition: TopicPartition, *, lane: int = 0) -> None:
        self.partition = partition
        self.lane = lane
        self.alive = True
        """False once the partition went to another owner: late results are dropped, nothing is committed."""
        self.committed: int | None = None
        """The offset of the last commit of this epoch; None before the first."""
        self.next_offset: int | None = None
        """One past the highest offset taken; None before the first."""
        self.arrived: deque[Any] = deque()
        """Records that were read and not yet taken."""
        self.due_at = 0.0
        """Monotonic time before which the first of them must not be taken."""
        self.released_at = 0.0
        """Monotonic time of the last release that was put together of it: who waits longest comes first."""
        self.most_records = MOST_RECORDS
        """How many may go out at once: half as many after each failure, down to one."""
        self.trial: Trial | None = None
        """None while its releases go through."""
        self.size_bytes = 0
        """Bytes of the records taken and not yet committed."""
        self._open: deque[Work] = deque()
        self._finished: deque[Work] = deque()
        self._waiting: dict[bytes, deque[Work] | None] = {}

    def __len__(self) -> int:
        """Records taken and not yet committed."""
        return len(self._open) + len(self._finished)

    @property
    def unfinished(self) -> int:
        """Records above the low watermark."""
        return len(self._open)

    @property
    def finished(self) -> int:
        """Records below the low watermark that are not yet committed."""
        return len(self._finished)

    @property
    def watermark(self) -> int | None:
        """The low watermark: everything below it is finished. None before the first record."""
        return self._open[0].record.offset if self._open else self.next_offset

    @property
    def uncommitted_from(self) -> int | None:
        """The first offset that was read and is not committed yet. None before the first record."""
        if self._finished:
            first: int = self._finished[0].record.offset
            return first
        if not self._open and self.arrived:
            first = self.arrived[0].offset
            return first
        return self.watermark

    @property
    def head(self) -> Work | None:
        """The record at the low watermark, which keeps all finished ones behind it from being released."""
        return self._open[0] if self._open else None

    def knows(self, offset: int) -> bool:
        """Whether an offset was read before in this epoch: it comes again only where a log was truncated."""
        if self.arrived:
            return offset < next_offset(self.arrived[-1])
        return self.next_offset is not None and offset < self.next_offset

    def arrive(self, records: Sequence[Any]) -> None:
        """Note records that were read."""
        self.arrived.extend(records)

    def take(self, work: Work) -> bool:
        """Take the next record. True if it may be handled now, False if an equal key is still in work."""
        offset = work.record.offset
        if self.next_offset is not None and offset < self.next_offset:
            raise ValueError(
                f"{self.partition}: offset {offset} was taken already, next is {self.next_offset}; start a new epoch"
            )
        self.next_offset = work.next_offset
        self.size_bytes += work.size_bytes
        self._open.append(work)
        key = work.record.key
        if key is None:
            return True
        if key in self._waiting:
            queue = self._waiting[key]
            if queue is None:
                self._waiting[key] = deque((work,))
            else:
                queue.append(work)
            return False
        self._waiting[key] = None
        return True

    def finish(self, work: Work) -> Work | None:
        """Note that a record has ended. Returns the record with an equal key that may be handled next, if any."""
        opened = self._open
        while opened and opened[0].outcome is not None:
            self._finished.append(opened.popleft())
        key = work.record.key
        if key is None:
            return None
        queue = self._waiting[key]
        if queue:
            return queue.popleft()
        del self._waiting[key]
        return None

    def releasable(
        self,
        position: int | None,
        *,
        most: int | None = None,
        most_bytes: int | None = None,
        missing: Collection[str] = (),
    ) -> Part | None:
        """What may be committed now; None if all of it was done. Of the finished records the first ones, at most that
        many, with outputs of at most that many bytes, but for the very first, and of none to a topic that is missing.

        `position` is the consumer's: when the partition is drained it may lie beyond the last record, past the
        transaction markers that are no records, and lag reads 0 only if these are committed too.
        """
        if most is not None or most_bytes is not None or missing:
            works = self._first_finished(most, most_bytes, missing)
            if len(works) < len(self._finished):
                return Part(self, works, works[-1].next_offset) if works else None
        offset = self._drained_up_to(position)
        if offset is None:
            return None
        if not self._finished and (self._open or (self.committed is not None and offset <= self.committed)):
            return None
        # An idle partition's first position is committed as well, so that lag is known from the first minute on.
        return Part(self, list(self._finished), offset)

    def lacks(self, missing: Collection[str]) -> bool:
        """Whether the next of the finished records leads to a topic that is missing: nothing can be released."""
        return bool(self._finished) and self._finished[0].leads_to(missing)

    def _first_finished(self, most: int | None, most_bytes: int | None, missing: Collection[str]) -> list[Work]:
        works: list[Work] = []
        size = 0
        for work in islice(self._finished, most):
            size += work.output_bytes
            if (works and most_bytes is not None and size > most_bytes) or work.leads_to(missing):
                break
            works.append(work)
        return works

    def _drained_up_to(self, position: int | None) -> int | None:
        """The offset that covers all that is finished; None before the partition's position is known."""
        if self._open:
            head: int = self._open[0].record.offset
            return head
        if self.arrived:
            # The consumer's position lies behind these.
            first: int = self.arrived[0].offset
            return first
        if position is not None and (self.next_offset is None or position >= self.next_offset):
            return position
        return self.next_offset

    def released(self, part: Part) -> None:
        """Note that a part was committed."""
        for work in part.works:
            if self._finished.popleft() is not work:
                raise ValueError(f"{self.partition}: released out of order")
            self.size_bytes -= work.size_bytes
        self.committed = part.offset

    def highest_started(self) -> int:
        """The highest offset above the watermark that a handler took up; -1 if there is none."""
        return max((work.record.offset for work in self._open if work.started_at), default=-1)
