"""The books of all partitions that this worker owns. Pure bookkeeping, used by the owner thread alone."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kafka import TopicPartition

from shared.kafka.runtime.tracker import PartitionTracker

log = logging.getLogger(__name__)


class Books:
    """One tracker for each owned partition; a partition that goes and comes back gets a new one."""

    def __init__(self, lane_of: Callable[[str], int]) -> None:
        """`lane_of` gives each topic's lane; 0 is the most urgent."""
        self._lane_of = lane_of
        self._trackers: dict[TopicPartition, PartitionTracker] = {}

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """The partitions owned now."""
        return frozenset(self._trackers)

    @property
    def trackers(self) -> Collection[PartitionTracker]:
        """The open books."""
        return self._trackers.values()

    @property
    def in_flight(self) -> int:
        """Records taken and not yet committed."""
        return sum(map(len, self._trackers.values()))

    @property
    def unfinished(self) -> int:
        """Records at or above a low watermark."""
        return sum(tracker.unfinished for tracker in self._trackers.values())

    @property
    def finished(self) -> int:
        """Finished records that could be released."""
        return sum(tracker.finished for tracker in self._trackers.values())

    def of(self, partitions: Collection[TopicPartition]) -> list[PartitionTracker]:
        """The open books of these partitions."""
        return [self._trackers[partition] for partition in partitions if partition in self._trackers]

    def open(self, partition: TopicPartition) -> PartitionTracker:
        """Begin a partition's epoch."""
        tracker = PartitionTracker(partition, lane=self._lane_of(partition.topic))
        self._trackers[partition] = tracker
        return tracker

    def close(self, partitions: Collection[TopicPartition]) -> None:
        """End the epochs of partitions that are another's now: what is in work for them leads to nothing."""
        for tracker in self.of(partitions):
            tracker.alive = False
            del self._trackers[tracker.partition]

    def arrive(self, partition: TopicPartition, records: Sequence[Any]) -> int | None:
        """Note records that were read. Returns where to read the partition from instead; None: all is well."""
        tracker = self._trackers.get(partition)
        if tracker is None:
            # Revoked inside the same poll: its new owner reads it.
            return None
        first = records[0].offset
        if tracker.knows(first):
            # The log was truncated and offsets come again: what is known of the old ones is worth nothing. Those before
            # them stand, and what of them is not committed would be passed over: it is read again.
            log.error("%s went back from offset %d to %d", partition, tracker.next_offset or 0, first)
            uncommitted = tracker.uncommitted_from
            self.close([partition])
            tracker = self.open(partition)
            if uncommitted is not None and uncommitted < first:
                return uncommitted
        tracker.arrive(records)
        return None
