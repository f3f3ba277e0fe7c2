"""What is carried goes on as it is; what cannot be carried is told."""

from typing import Any

from shared.endings import Ending
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
