"""The log of a process: lines on standard error that no event text can forge."""

import json
import logging
import sys
import time

from shared.printable import one_line
from shared.settings import LogSettings

LONGEST = 16_000
"""Characters of a message or of a trace: what a stranger sends fills no disk."""


def configure_logging(settings: LogSettings) -> None:
    """Send this process's log to standard error, one line a record: JSON objects, or text for people."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if as_json else TextLine())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    # The client tells of every reconnect and rejoin at INFO and ERROR alike; the worker says what of it matters.
    logging.getLogger("kafka").setLevel("DEBUG" if settings.level == "DEBUG" else "CRITICAL")


class TextLine(logging.Formatter):
    """`2026-11-20T09:41:07Z WARNING shared.kafka.runtime.worker: message`, always one line."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"{_time(record)} {record.levelname} {record.name}: {one_line(record.getMessage(), LONGEST)}"]
        if record.exc_info:
            parts.append(one_line(self.formatException(record.exc_info)[-LONGEST:], LONGEST))
        return " | ".join(parts)


class JsonLine(logging.Formatter):
    """One JSON object a line, with `time`, `level`, `logger`, `message` and, after an exception, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": one_line(record.getMessage(), LONGEST),
        }
        if record.exc_info:
            document["exception"] = one_line(self.formatException(record.exc_info)[-LONGEST:], LONGEST)
        return json.dumps(document, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03d}Z"
