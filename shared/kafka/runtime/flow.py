"""Which partitions may be read now, and which records may be taken. Pure: it is told what it must know of Kafka.

Limits are a partition's own, so that a record which stands at the head of one for long stops nothing else. Lanes are
the only tie between partitions: a less urgent one yields while a more urgent one has records that could be handled.
"""

from collections.abc import Callable, Collection

from kafka import TopicPartition

from shared.kafka.runtime.tracker import PartitionTracker

FIRST_FETCH_SECONDS = 1.0
"""After an assignment less urgent lanes wait this long, until the first fetches tell which lanes have a backlog."""
LOOK_SECONDS = 0.05
"""How often the lanes' backlogs are looked at."""
STANDING_SECONDS = 1.0
"""A full partition whose head has been in work for longer stands still: nobody yields to it."""


class Flow:
    """Decides by the books alone, and by what is asked of it at each look."""

    def __init__(self, *, lanes: int, most_records: int, most_bytes: int) -> None:
        """At most `most_records` records of one partition are taken and not yet committed, and `most_bytes` of all:
        each partition has an equal share of these, and always room for one record.
        """
        self._lanes = lanes
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._share_bytes = most_bytes
        self._open_lanes = 1
        self._assigned_at = 0.0
        self._look_due = 0.0

    def assigned(self, now: float) -> None:
        """Partitions were assigned at this monotonic time."""
        self._assigned_at = now
        self._look_due = now

    def look(
        self,
        trackers: Collection[PartitionTracker],
        *,
        now: float,
        queued: Callable[[int], int],
        unread: Callable[[TopicPartition], bool],
    ) -> None:
        """Find out which lanes may be read.

        `queued` tells how many records of a lane no handler has taken up, `unread` whether there is something to read
        of a partition.
        """
        self._share_bytes = self._most_bytes // max(1, len(trackers))
        if now < self._look_due:
            return
        self._look_due = now + LOOK_SECONDS
        for lane in range(self._lanes - 1):
            waits = now - self._assigned_at < FIRST_FETCH_SECONDS or queued(lane)
            if waits or any(
                (tracker.arrived or unread(tracker.partition))
                and tracker.due_at <= now
                and not self._stands_still(tracker, now)
                for tracker in trackers
                if tracker.lane == lane
            ):
                self._open_lanes = lane + 1
                return
        self._open_lanes = self._lanes

    def may_take(self, tracker: PartitionTracker) -> bool:
        """Whether a partition's next record may be taken."""
        return tracker.lane < self._open_lanes and self._has_room(tracker)

    def readable(self, trackers: Collection[PartitionTracker]) -> set[TopicPartition]:
        """The partitions to read: what has arrived of them is taken, and more may be."""
        return {tracker.partition for tracker in trackers if not tracker.arrived and self.may_take(tracker)}

    def _has_room(self, tracker: PartitionTracker) -> bool:
        taken = len(tracker)
        return not taken or (taken < self._most_records and tracker.size_bytes < self._share_bytes)

    def _stands_still(self, tracker: PartitionTracker, now: float) -> bool:
        head = tracker.head
        if head is None or self._has_room(tracker):
            return False
        return 0.0 < head.started_at < now - STANDING_SECONDS
