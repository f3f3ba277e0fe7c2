"""Releases that fail for long are told to an operator, with what the broker says."""

import time
from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.errors import InvalidTimestampError

from shared.endings import Ending
from shared.kafka.runtime.books import Books
from shared.kafka.runtime.release import Ended, Release, Verdict
from shared.kafka.runtime.settlement import Settlement
from shared.kafka.runtime.tracker import Outcome, Work
from shared.metrics import RuntimeMetrics
from shared.settings import KafkaSettings

PARTITION = TopicPartition("t", 0)


class Refusing:
    """An outbox whose releases all end as it is told."""

    busy = stuck = False

    def __init__(self) -> None:
        self.ended: Ended | None = None

    def start(self) -> None:
        """Nothing is connected."""

    def take(self) -> Ended | None:
        ended, self.ended = self.ended, None
        return ended


def test_releases_that_fail_for_a_minute_are_told_with_the_brokers_words() -> None:
    books = Books(lambda _: 0)
    books.open(PARTITION)
    (tracker,) = books.trackers
    work = Work(SimpleNamespace(topic="t", partition=0, offset=0, key=None), tracker)
    tracker.take(work)
    work.end(Outcome(Ending.EMITTED, []))
    tracker.finish(work)
    outbox: Any = Refusing()
    handling: Any = SimpleNamespace(released=lambda works: None)
    unused: Any = None
    membership: Any = SimpleNamespace(missing=(), suspect=lambda topics: None)
    settlement = Settlement(
        KafkaSettings(),
        group="g",
        books=books,
        membership=membership,
        handling=handling,
        metrics=RuntimeMetrics(),
        open_outbox=lambda: outbox,
        pause=unused,
    )
    settlement.open()
    part = tracker.releasable(None)
    assert part is not None
    release = Release([part], None)
    outbox.ended = Ended(release, Verdict.FAILED, InvalidTimestampError("out of range"))
    settlement.settle()
    now = time.monotonic()
    assert settlement.reason(now + 50) is None
    told = settlement.reason(now + 70) or ""
    assert "out of range" in told
    assert "set this machine's clock" in told
    outbox.ended = Ended(release, Verdict.RELEASED)
    settlement.settle()
    assert settlement.reason(now + 70) is None
