"""What is carried goes on as it is; what cannot be carried is told."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.endings import Ending
from shared.errors import PermanentError, TemporaryError
from shared.kafka.reading import UnreadableBatch
from shared.kafka.runtime.carrying import Carrying
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import Outcome, PartitionTracker, Work
from shared.settings import KafkaSettings

NOW = 1_800_000_000.0


def carried(record: Any) -> Outcome:
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: NOW)
    carrying = Carrying(rejecting, clock=lambda: NOW, monotonic=lambda: 0.0)
    assert carrying.due_at(record) <= 0
    return carrying.finish(Work(record, PartitionTracker(None)))  # type: ignore[arg-type]  # unused


def test_a_batch_that_cannot_be_read_is_a_dead_letter_with_its_bytes() -> None:
    batch = UnreadableBatch("product.created.retry.30s", 2, 7, 12, "has another checksum", value=b"\x00bytes")
    outcome = carried(batch)
    assert outcome.ending is Ending.DEAD
    (letter,) = outcome.outputs
    assert (letter.topic, letter.key, letter.value) == ("product.created.dlq", None, b"\x00bytes")
    told = dict(letter.headers)
    assert told["skureel.reason"] == b"unreadable-batch"
    assert told["__connect.errors.topic"] == b"product.created.retry.30s"
    assert told["__connect.errors.offset"] == b"7"


def test_what_is_back_is_told_in_one_line_for_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: NOW)
    carrying = Carrying(rejecting, clock=lambda: NOW, monotonic=lambda: 0.0)
    works = []
    for topic, ending in (("a.retry.30s", Ending.EMITTED), ("a.retry.5s", Ending.EMITTED), ("b.retry.5s", Ending.DEAD)):
        work = Work(SimpleNamespace(topic=topic), PartitionTracker(None))  # type: ignore[arg-type]  # unused
        work.end(Outcome(ending, []))
        works.append(work)
    carrying.released(works)
    carrying.released([])
    assert caplog.messages == ["carried 2 records back: 2 to a"]


def test_a_failure_is_told_with_the_products_id(caplog: pytest.LogCaptureFixture) -> None:
    rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=lambda: NOW)
    record = SimpleNamespace(
        topic="product.created", partition=0, offset=5, key=b"cup\x1b", value=b"", headers=[], timestamp=0
    )
    for error in (TemporaryError("no"), PermanentError("never", reason="r")):
        rejecting.rejected(record, error, stage="handle", attempts=1)
    retried, dead = caplog.messages
    assert retried.startswith("product.created:0:5 (key cup\\x1b) failed: no")
    assert dead.startswith("product.created:0:5 (key cup\\x1b) is a dead letter (r): never")
