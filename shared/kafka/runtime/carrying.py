"""Carrying what waits in retry topics back to where it came from: exact key, value and headers, when it is due.

The delivery runtime around it makes of each record and its offset one transaction: every record arrives once.
"""

from collections.abc import Callable
from typing import Any

from shared.endings import Ending
from shared.errors import PermanentError
from shared.kafka.client import base_topic, retry_delay
from shared.kafka.producing import Outgoing
from shared.kafka.reading import check_readable
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import Outcome, Work


class Carrying:
    """The handling of a worker that opens no record."""

    def __init__(self, rejecting: Rejecting, *, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds."""
        self._rejecting = rejecting
        self._clock = clock
        self._asked: dict[tuple[str, int], tuple[int, float]] = {}
        """The record of each partition that was asked for last, and when it is due: it waits no longer for being asked
        for again."""
        self._ahead: dict[tuple[str, int], float] = {}
        """By how many seconds the clock that dates a partition's records was seen to be ahead of ours."""

    def due_at(self, record: Any) -> float:
        """Epoch seconds before which a record waits: its topic's delay after it was written, and no longer than that
        from the first time it is seen, whatever the clock said that dated it.
        """
        partition = (record.topic, record.partition)
        offset, due = self._asked.get(partition, (-1, 0.0))
        if offset != record.offset:
            due = self._written_at(partition, record.timestamp / 1000) + (retry_delay(record.topic) or 0.0)
            self._asked[partition] = (record.offset, due)
        return due

    def _written_at(self, partition: tuple[str, int], written: float) -> float:
        """When a record was written, by our clock. Seen before it was written, it tells that the two clocks differ."""
        now = self._clock()
        if written <= now:
            return written
        ahead = self._ahead[partition] = max(self._ahead.get(partition, 0.0), written - now)
        return written - ahead

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
