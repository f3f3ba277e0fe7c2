"""The mixed run's judgement finds what is planted."""

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from shared.events import Event, follow_up_id
from tests.delivery.harness import NOW, product_event
from tests.soak.ledger import Log, judge
from tests.soak.products import ANSWERED, CREATED, DEAD, UPDATED, Message, Sent


class Place:
    """An acknowledged record's future."""

    def __init__(self, offset: int) -> None:
        self._told = SimpleNamespace(partition=0, offset=offset)

    def get(self, timeout: float) -> Any:
        return self._told


class Written(Log):
    """A log that holds what a test says."""

    def __init__(self) -> None:
        self.answers = defaultdict(list)
        self.dead = defaultdict(list)

    def answer(self, cause: Event[Any], topic: str = "video.rejected") -> Event[Any]:
        told = Event(topic, "/tests", follow_up_id(topic, cause), cause.data, NOW, extensions=cause.extensions)
        self.answers[told.id].append((topic, told))
        return told

    def places(self, topics: Any) -> dict[str, tuple[str, int, int]]:
        return {event.id: ("video.requested", 0, 7) for event in self.requests()}


def sent(offset: int, *allowed: str) -> Sent:
    record = Sent("plain", frozenset(allowed), Message(None, b"", []), CREATED, product_event(f"p-{offset}"))
    record.place = Place(offset)
    return record


def test_each_answered_once_is_well() -> None:
    log, record = Written(), sent(0, ANSWERED)
    assert record.event is not None
    log.answer(log.answer(record.event, "video.requested"), "video.ready")
    rows = judge([record], (), log)
    assert {kind: row.faults() for kind, row in rows.items()} == {"plain": 0, "order": 0, "a clip": 0}
    assert rows["plain"].endings == {ANSWERED: 1}


def test_silence_is_a_loss() -> None:
    rows = judge([sent(3, ANSWERED)], (), Written())
    assert rows["plain"].lost == ["plain at ('product.created', 0, 3)"]


def test_a_request_that_nobody_answers_is_a_loss() -> None:
    log, record = Written(), sent(0, ANSWERED)
    assert record.event is not None
    log.answer(record.event, "video.requested")
    assert len(judge([record], (), log)["a clip"].lost) == 1


def test_an_answer_beside_a_dead_letter_is_one_too_many() -> None:
    log, record = Written(), sent(0, ANSWERED, DEAD)
    assert record.event is not None
    log.answer(record.event, "video.ready")
    log.dead[CREATED, 0, 0].append("defect")
    assert judge([record], (), log)["plain"].twice == ["plain at ('product.created', 0, 0): video.ready, defect"]


def test_a_dead_letter_of_what_was_well_is_wrong() -> None:
    log = Written()
    log.dead[CREATED, 0, 0].append("store-away")
    assert judge([sent(0, ANSWERED)], (), log)["plain"].wrong == [
        "plain at ('product.created', 0, 0): dead, store-away"
    ]


def test_an_answer_to_nothing_is_wrong() -> None:
    log = Written()
    log.answer(product_event("nobody"), "video.ready")
    assert judge([], (), log)["answers to nothing"].faults() == 1


def test_a_damaged_batch_ends_its_records_by_one_letter() -> None:
    log, records = Written(), [sent(offset, ANSWERED) for offset in range(4, 7)]
    damaged = [(CREATED, 0, 4, 6)]
    assert [row.faults() for row in judge(records, damaged, log).values()] == [3, 0, 1]
    log.dead[CREATED, 0, 4].append("unreadable-batch")
    assert [row.faults() for row in judge(records, damaged, log).values()] == [0, 0, 0]
    log.dead[CREATED, 0, 4].append("unreadable-batch")
    assert [row.faults() for row in judge(records, damaged, log).values()] == [3, 0, 1]


@pytest.mark.parametrize(("of_created", "of_updated", "faults"), [("1", "2", 0), ("2", "1", 1), ("2", "", 1)])
def test_a_correction_that_sorts_before_what_it_corrects_is_wrong(
    of_created: str, of_updated: str, faults: int
) -> None:
    log, created, updated = Written(), sent(0, ANSWERED), sent(1, ANSWERED)
    assert created.event is not None
    updated.topic, updated.event = UPDATED, replace(created.event, type=UPDATED, id="later")
    for event, sequence in ((created.event, of_created), (updated.event, of_updated)):
        log.answer(replace(event, extensions={"sequence": sequence} if sequence else {}))
    assert judge([created, updated], (), log)["order"].faults() == faults
