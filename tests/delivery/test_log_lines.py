"""No text of an event can forge a log line, colour a terminal or turn text around."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.logs import JsonLine, TextLine, configure_logging
from shared.printable import one_line
from shared.settings import LogSettings

NASTY = "p-1\n2026-11-20T00:00:00Z ERROR root: all is lost\r\x1b[31m\x00\u202etxt.exe\u2028\ud800 黑色 🎧"


def record(message: str, *arguments: object, exception: BaseException | None = None) -> logging.LogRecord:
    info = (type(exception), exception, exception.__traceback__) if exception else None
    return logging.LogRecord("shared.kafka", logging.ERROR, __file__, 1, message, arguments, info)


@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()])
def test_a_record_is_one_line_whatever_it_says(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        line = formatter.format(record("product %s failed", NASTY, exception=error))
    assert line.splitlines() == [line]
    assert "\x1b" not in line
    assert "\u202e" not in line
    line.encode()


def test_chinese_and_emoji_stay_readable() -> None:
    assert one_line("黑色\u3000无线耳机 🎧") == "黑色\u3000无线耳机 🎧"


def test_a_json_line_can_be_read_back() -> None:
    document = json.loads(JsonLine().format(record("product %s", NASTY)))
    assert document["level"] == "ERROR"
    assert document["message"].startswith("product p-1\\n2026")


@given(st.text())
def test_no_control_or_format_character_is_left(text: str) -> None:
    told = one_line(text)
    assert len(told.splitlines()) <= 1
    told.encode()


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level, kafka = list(root.handlers), root.level, logging.getLogger("kafka").level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("kafka").setLevel(kafka)


def test_logs_are_json_where_nobody_watches(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(format="auto"))
    logging.getLogger("shared").warning("a\nb")
    assert json.loads(capsys.readouterr().err)["message"] == "a\\nb"
    assert not sys.stderr.isatty()


def test_the_level_is_the_settings(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="ERROR", format="text"))
    logging.getLogger("shared").warning("not this")
    logging.getLogger("shared").error("this")
    assert capsys.readouterr().err.strip().endswith("ERROR shared: this")
