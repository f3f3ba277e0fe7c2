"""Long work shows itself: plain lines in a log, not too many, and always the last; what others wrote, harmlessly."""

import io

from functions.cli.progress import PLAIN_LINE_SECONDS, Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_few_lines_and_the_last_one() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("clips", 100, stream=stream, clock=clock) as progress:
        for done in range(101):
            clock.now += PLAIN_LINE_SECONDS / 20
            progress.update(done, f"step {done}")
    lines = stream.getvalue().splitlines()
    assert 5 <= len(lines) <= 7
    assert lines[0] == "clips 0/100: step 0"
    assert lines[-1] == "clips 100/100: step 100"


def test_the_last_line_comes_once() -> None:
    stream = io.StringIO()
    with Progress("clips", 2, stream=stream, clock=Clock()) as progress:
        progress.update(1)
        progress.update(2)
        progress.update(2)
    assert stream.getvalue().splitlines() == ["clips 1/2", "clips 2/2"]


def test_a_products_name_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    with Progress("products", 2, stream=stream, clock=Clock()) as progress:
        progress.update(1, "杯\r\nproducts 2/2: everything rendered")
    assert stream.getvalue().splitlines() == ["products 1/2: 杯\\r\\nproducts 2/2: everything rendered"]
