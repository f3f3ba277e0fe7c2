"""A record waits its topic's delay and no longer, whatever a clock says."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.kafka.runtime.carrying import Carrying
from shared.kafka.runtime.rejecting import Rejecting
from shared.settings import KafkaSettings

START = 1_800_000_000.0
YEAR = 365 * 24 * 3600.0


class Carrier:
    """A carrying whose clock is moved by hand."""

    def __init__(self) -> None:
        self.now = START
        self.step = 0.0
        """By how much the wall clock was set."""
        rejecting = Rejecting(KafkaSettings(), group="g", client_id="c", clock=self._wall)
        self._carrying = Carrying(rejecting, clock=self._wall, monotonic=lambda: self.now)

    def _wall(self) -> float:
        return self.now + self.step

    def waits(self, written: float, *, offset: int = 0, topic: str = "t.retry.30s", headers: Any = ()) -> float:
        """How many seconds from now on a record waits that was dated so."""
        record = SimpleNamespace(
            topic=topic, partition=0, offset=offset, timestamp=int(written * 1000), headers=headers
        )
        return self._carrying.due_at(record) - self.now


def test_a_record_waits_from_when_it_was_written() -> None:
    assert Carrier().waits(START - 10) == pytest.approx(20)
    assert Carrier().waits(START - 40) == pytest.approx(-10)
    assert Carrier().waits(START - 0.1, topic="t.retry.0.5s") == pytest.approx(0.4)


@pytest.mark.parametrize("ahead", [0.2, 20.0, 300.0, YEAR])
def test_a_clock_that_is_ahead_delays_no_record_beyond_its_delay(ahead: float) -> None:
    carrier = Carrier()
    assert carrier.waits(START + ahead) == pytest.approx(30)
    carrier.now += 30
    assert carrier.waits(START + ahead) <= 0


def test_records_behind_one_of_such_a_clock_do_not_wait_one_after_the_other() -> None:
    carrier = Carrier()
    assert carrier.waits(START + YEAR, offset=0) == pytest.approx(30)
    carrier.now += 30
    # It was written ten seconds after the first one, so it waits ten seconds more.
    assert carrier.waits(START + YEAR + 10, offset=1) == pytest.approx(10)


def test_one_record_of_such_a_clock_leaves_the_others_as_they_are() -> None:
    carrier = Carrier()
    carrier.waits(START + YEAR, offset=0)
    carrier.now += 60
    assert carrier.waits(START + 50, offset=1) == pytest.approx(20)


def test_a_clock_that_is_set_back_makes_nobody_wait_longer() -> None:
    carrier = Carrier()
    assert carrier.waits(START - 10) == pytest.approx(20)
    carrier.step = -3600.0
    assert carrier.waits(START - 10) == pytest.approx(20)
    carrier.now += 20
    assert carrier.waits(START - 10) <= 0
    assert carrier.waits(START, offset=1) == pytest.approx(10), "written ten seconds after the first"


def test_one_record_that_is_far_ahead_takes_no_delay_from_those_a_little_ahead() -> None:
    carrier = Carrier()
    assert carrier.waits(START + 3600, offset=0) == pytest.approx(30)
    for offset in range(1, 4):
        carrier.now += 31
        assert carrier.waits(carrier.now + 0.2, offset=offset) == pytest.approx(30, abs=0.3)


def test_a_header_cannot_say_when_a_record_is_due() -> None:
    forged = [("skureel.due-at", b"99999999999999")]
    assert Carrier().waits(START, headers=forged) == pytest.approx(30)


def test_a_record_without_a_time_is_due() -> None:
    assert Carrier().waits(-0.001) < 0
