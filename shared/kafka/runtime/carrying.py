"""Carrying what waits in retry topics back to where it came from: exact key, value and headers, when it is due.

The delivery runtime around it makes of each record and its offset one transaction: every record arrives once.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.endings import Ending
from shared.errors import PermanentError
from shared.kafka.client import base_topic, retry_delay
from shared.kafka.producing import Outgoing
from shared.kafka.reading import check_readable
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import Outcome, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A record that was asked for."""

    offset: int
    written: float
    """Epoch seconds, by whatever clock dated it."""
    due: float
    """Monotonic time."""


class Carrying:
    """The handling of a worker that opens no record."""

    def __init__(
        self, rejecting: Rejecting, *, clock: Callable[[], float], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` gives epoch seconds, by which records are dated; what is left to wait is counted by `monotonic`,
        which nobody sets back.
        """
        self._rejecting = rejecting
        self._clock = clock
        self._monotonic = monotonic
        self._asked: dict[tuple[str, int], _Asked] = {}
        """The record of each partition that was asked for last: it waits no longer for being asked for again."""

    def due_at(self, record: Any) -> float:
        """Monotonic time before which a record waits: its topic's delay after it was written, and no longer than that
        from the first time it is seen, whatever the clock said that dated it.
        """
        partition = (record.topic, record.partition)
        before = self._asked.get(partition)
        if before is not None and before.offset == record.offset:
            return before.due
        written: float = record.timestamp / 1000
        delay = retry_delay(record.topic) or 0.0
        ago = self._clock() - written
        now = self._monotonic()
        due: float = now + delay - max(0.0, ago)
        if ago < 0 and before is not None and before.written <= written and now - before.due < delay:
            # The clock that dated it is ahead. It lay behind the other, which has waited, and waits no longer than it
            # was written later: records of such a clock do not wait one after the other.
            due = min(due, before.due + written - before.written)
        self._asked[partition] = _Asked(record.offset, written, due)
        return due

    def finish(self, work: Work) -> Outcome:
        """Hand a record on. Of a batch that cannot be read nothing can be: it becomes a dead letter."""
        record = work.record
        try:
            check_readable(record)
        except PermanentError as error:
            return self._rejecting.rejected(record, error, stage="decode", attempts=0)
        back = Outgoing(base_topic(record.topic), record.key, record.value, list(record.headers), record.partition)
        return Outcome(Ending.EMITTED, [back])

    def failed(self, work: Work, error: BaseException, *, attempts: int) -> Outcome:
        """The retry or dead letter that a record becomes which failed with `error`."""
        return self._rejecting.rejected(work.record, error, stage="send", attempts=attempts)

    def refused(self, work: Work, error: BaseException | None) -> Outcome:
        """The dead letter that a record becomes which its topic does not take."""
        return self._rejecting.refused(work, error)

    def released(self, works: Sequence[Work]) -> None:
        """Say how many records are back, by topic: a line for all that came at once."""
        back = Counter(topic for work in works if (topic := _carried_to(work)) is not None)
        if back:
            told = ", ".join(f"{number} to {topic}" for topic, number in sorted(back.items()))
            log.info("carried %d record%s back: %s", back.total(), "" if back.total() == 1 else "s", told)


def _carried_to(work: Work) -> str | None:
    """The topic that a record is back in; None where it became a dead letter."""
    carried = work.outcome is not None and work.outcome.ending is Ending.EMITTED
    return base_topic(work.record.topic) if carried else None
