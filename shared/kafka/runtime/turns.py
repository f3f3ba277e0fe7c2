"""Whose finished records go out next, once a release has failed. Pure: it is told the time, and how releases end.

All partitions go out together while all is well. Nobody can tell whose output it was that a release failed for: each of
its partitions goes alone next. Those that succeed go together again; one that fails alone, while others succeed, comes
back ever later, for what it fails with may take the only outbox a quarter of a minute each time: its topic is gone, or
has too few replicas left. While nobody succeeds it is the broker that is away, and nobody waits.
"""

from collections.abc import Collection

from shared.kafka.runtime.release import Release
from shared.kafka.runtime.tracker import MOST_RECORDS, PartitionTracker, Trial

LONGEST_WAIT_SECONDS = 60.0
"""Between two tries of a partition that fails while others succeed."""


class Turns:
    """Decides by how releases ended. All times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._succeeded_at = 0.0
        self._alone_last = False
        """Whether the last turn was of a partition that goes alone: then the others are next."""

    def next(self, trackers: Collection[PartitionTracker], now: float) -> list[PartitionTracker]:
        """The partitions of the next release; who has waited longest comes first."""
        waiting = sorted(trackers, key=lambda tracker: tracker.released_at)
        together = [tracker for tracker in waiting if tracker.trial is None]
        on_trial = [tracker for tracker in waiting if tracker.trial is not None and tracker.finished]
        alone = [tracker for tracker in on_trial if is_due(tracker, now)][:1]
        others_are_next = self._alone_last and any(tracker.finished for tracker in together)
        self._alone_last = bool(alone) and not others_are_next
        return alone if self._alone_last else together

    def succeeded(self, release: Release, now: float) -> None:
        """A release went through."""
        for part in release.parts:
            if part.works:
                self._succeeded_at = now
                part.tracker.trial = None
                part.tracker.most_records = min(2 * part.tracker.most_records, MOST_RECORDS)

    def failed(self, release: Release, now: float) -> None:
        """A release failed, by the fault of one of its partitions or of none."""
        parts = [part for part in release.parts if part.works]
        for part in parts:
            trial = part.tracker.trial = part.tracker.trial or Trial(began=now)
            if self._succeeded_at > trial.began:
                trial.failures += 1
                wait = max(2.0 ** min(trial.failures, 10), 2 * (now - release.started))
                trial.due = now + min(wait, LONGEST_WAIT_SECONDS)
        if len(parts) == 1:
            parts[0].tracker.most_records = max(1, len(parts[0].works) // 2)


def is_due(tracker: PartitionTracker, now: float) -> bool:
    """Whether a partition may have a turn by now."""
    return tracker.trial is None or tracker.trial.due <= now
