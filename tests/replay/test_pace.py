"""A rate is what it says, over any stretch of time."""

import pytest

from functions.replay_events.pace import Pace, Rate
from tests.replay.past import Clock


@pytest.mark.parametrize(
    ("text", "per_second"), [("5/s", 5), ("0.5/s", 0.5), ("30/min", 0.5), ("36/h", 0.01), ("7", 7), (" 2/s ", 2)]
)
def test_a_rate_is_read_in_plain_words(text: str, per_second: float) -> None:
    assert Rate.parse(text).per_second == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["", "fast", "0/s", "-1/s", "5/day", "5 s", "1e9/s", "nan/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="N/s"):
        Rate.parse(text)


@pytest.mark.parametrize(("text", "told"), [("5/s", "5/s"), ("30/min", "30/min"), ("36/h", "36/h"), ("0.5/h", "0.5/h")])
def test_a_rate_is_told_as_it_was_given(text: str, told: str) -> None:
    assert str(Rate.parse(text)) == told


def test_the_first_events_do_not_wait_and_the_rest_keep_the_rate() -> None:
    clock = Clock(0.0)
    pace = Pace(Rate(4.0), clock=clock, sleep=clock.sleep)
    times = []
    for _ in range(5):
        pace.wait_for(2)
        times.append(clock.now)
    assert times == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    clock = Clock(0.0)
    pace = Pace(Rate(1.0), clock=clock, sleep=clock.sleep)
    pace.wait_for(1)
    clock.now = 100.0
    pace.wait_for(1)
    assert clock.now == 100.0
    pace.wait_for(1)
    assert clock.now == 101.0


@pytest.mark.parametrize(("per_second", "batch"), [(0.1, 1), (1, 1), (10, 5), (10_000, 100)])
def test_events_go_out_in_batches_of_half_a_second(per_second: float, batch: int) -> None:
    assert Rate(per_second).batch == batch
