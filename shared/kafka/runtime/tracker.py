"""What is known of one assigned partition: which records are taken and finished, and how far it may be committed.

Pure bookkeeping, used by the owner thread alone. No Kafka, no threads, no clock.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from shared.endings import Ending
from shared.kafka.producing import Outgoing


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


class Work:
    """One taken record on its way: from the poll to the release of what came of it."""

    __slots__ = ("outcome", "outputs", "record", "size_bytes", "started", "tracker")

    def __init__(self, record: Any, tracker: "PartitionTracker", size_bytes: int = 0) -> None:
        self.record = record
        self.tracker = tracker
        self.size_bytes = size_bytes
        self.started = False
        """Set by the handler thread that takes it up."""
        self.outcome: Outcome | None = None
        """None until the owner has seen how it ended."""
        self.outputs: list[Outgoing] = []
        """What of the outcome is still to be sent."""

    def end(self, outcome: Outcome) -> None:
        """Note how it ended, or, if its outputs are refused, how it ends instead."""
        self.outcome = outcome
        self.outputs = outcome.outputs


@dataclass(frozen=True, slots=True)
class Released:
    """A run of finished records at the head of a partition, and the offset that covers exactly them."""

    tracker: "PartitionTracker"
    works: list[Work]
    offset: int


class PartitionTracker:
    """Records of one partition in one assignment epoch.

    Records are taken in offset order and finish in any order. The low watermark is the first offset whose work is not
    finished; nothing at or above it is ever offered for commit. What a finished record sends waits until the
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

    def take(self, work: Work) -> bool:
        """Take the next record. True if it may be handled now, False if an equal key is still in work."""
        offset = work.record.offset
        if self.next_offset is not None and offset < self.next_offset:
            raise ValueError(
                f"{self.partition}: offset {offset} was taken already, next is {self.next_offset}; start a new epoch"
            )
        self.next_offset = offset + 1
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

    def releasable(self, position: int | None) -> Released | None:
        """What may be committed now, or None if that was done.

        `position` is the consumer's: when the partition is drained it may lie beyond the last record, past the
        transaction markers that are no records, and lag reads 0 only if these are committed too.
        """
        if self._open:
            offset = self._open[0].record.offset
        elif position is not None and (self.next_offset is None or position >= self.next_offset):
            offset = position
        elif self.next_offset is not None:
            offset = self.next_offset
        else:
            return None
        if not self._finished and (self._open or (self.committed is not None and offset <= self.committed)):
            return None
        # An idle partition's first position is committed as well, so that lag is known from the first minute on.
        return Released(self, list(self._finished), offset)

    def released(self, released: Released) -> None:
        """Note that a release was committed."""
        for work in released.works:
            if self._finished.popleft() is not work:
                raise ValueError(f"{self.partition}: released out of order")
        self.committed = released.offset

    @property
    def size_bytes(self) -> int:
        """Bytes of the values of the records taken and not yet committed."""
        return sum(work.size_bytes for work in self._open) + sum(work.size_bytes for work in self._finished)

    def highest_started(self) -> int:
        """The highest offset above the watermark that a handler took up; -1 if there is none."""
        return max((work.record.offset for work in self._open if work.started), default=-1)
