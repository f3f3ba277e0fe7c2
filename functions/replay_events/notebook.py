"""What a replay knows of each product, on disk: it takes the same memory for ten products and for ten million.

The one place of this function with I/O of its own: a database in a temporary folder (`TMPDIR` says where), about 2 KiB
a product, gone with the process. What must outlive a crash is in the ledger.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from shared.errors import TemporaryError
from shared.events import Event, VideoRequested, event_type
from shared.kafka import Partition, Past

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -16384;
CREATE TABLE inside (
    product TEXT PRIMARY KEY, topic TEXT, number INTEGER, "offset" INTEGER, sequence TEXT, time_ms INTEGER, event TEXT
);
CREATE TABLE beyond (
    product TEXT PRIMARY KEY, topic TEXT, number INTEGER, "offset" INTEGER, sequence TEXT
) WITHOUT ROWID;
CREATE INDEX place ON inside (topic, number, "offset");
CREATE TABLE videos (video_id TEXT PRIMARY KEY, outcome TEXT) WITHOUT ROWID;
CREATE TABLE steps (
    topic TEXT, number INTEGER, "offset" INTEGER, sequence TEXT, cause TEXT, request TEXT, is_there INTEGER
);
BEGIN;
"""
_MARK = 'topic, number, "offset", sequence'


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a product event lies, and what orders it among its product's events (`shared.events.sequence`)."""

    partition: Partition
    offset: int
    sequence: str

    @classmethod
    def of(cls, past: Past) -> "Mark":
        """The mark of an event of the past."""
        return cls(past.partition, past.offset, past.event.sequence)

    def is_newer_than(self, other: "Mark") -> bool:
        """The order that answers have, too: an event that came back from its retries is as old as it was before."""
        return self.sequence > other.sequence


@dataclass(frozen=True, slots=True)
class Cause:
    """The product event that an answer names: as much of it as the answer says."""

    source: str
    id: str
    subject: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One product to be answered: with the clip that is there, or by asking for one."""

    mark: Mark
    cause: Cause
    request: VideoRequested
    is_there: bool


class Notebook:
    """A replay's notes. Use as a context manager. Raises TemporaryError where the disk has no room for them."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="skureel-replay-")
        self._notes = sqlite3.connect(Path(self._folder.name) / "notes", isolation_level=None)
        with self._room():
            self._notes.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notes.close()
        self._folder.cleanup()

    # The latest events.

    def latest_inside(self, product: str) -> Mark | None:
        """Where the latest event of this product in the window lies."""
        return self._mark("inside", product)

    def latest_beyond(self, product: str) -> Mark | None:
        """Where the latest event of this product beyond the window lies."""
        return self._mark("beyond", product)

    def keep_inside(self, past: Past) -> None:
        """Take an event for its product's latest in the window."""
        values = (past.event.data.product_id, *_columns(Mark.of(past)), past.time_ms, _written(past.event))
        with self._room():
            self._notes.execute("INSERT OR REPLACE INTO inside VALUES (?,?,?,?,?,?,?)", values)

    def keep_beyond(self, past: Past) -> None:
        """Take an event for its product's latest beyond the window; what it says does not matter."""
        values = (past.event.data.product_id, *_columns(Mark.of(past)))
        with self._room():
            self._notes.execute("INSERT OR REPLACE INTO beyond VALUES (?,?,?,?,?)", values)

    def events_inside(self) -> Iterator[Past]:
        """The latest events in the window, in the log's order of each partition."""
        rows = self._notes.execute(
            'SELECT topic, number, "offset", time_ms, event FROM inside ORDER BY topic, number, "offset"'
        )
        for topic, number, offset, time_ms, event in rows:
            yield Past((topic, number), offset, time_ms, _read(event))

    def count_inside(self) -> int:
        """How many products have an event in the window."""
        return self._count("inside")

    # What is to be done.

    def outcome_of(self, video_id: str) -> tuple[str | None] | None:
        """What became of a video, if that was looked up before: `ready`, `review`, or nothing so far."""
        found: tuple[str | None] | None = self._notes.execute(
            "SELECT outcome FROM videos WHERE video_id = ?", (video_id,)
        ).fetchone()
        return found

    def keep_outcome(self, video_id: str, outcome: str | None) -> None:
        """Note what became of a video."""
        with self._room():
            self._notes.execute("INSERT INTO videos VALUES (?,?)", (video_id, outcome))

    def keep_step(self, step: Step) -> None:
        """Note what is to be answered. Steps come back in the order in which they were kept."""
        cause = json.dumps([step.cause.source, step.cause.id, step.cause.subject, step.cause.traceparent])
        values = (*_columns(step.mark), cause, step.request.model_dump_json(), step.is_there)
        with self._room():
            self._notes.execute("INSERT INTO steps VALUES (?,?,?,?,?,?,?)", values)

    def steps(self) -> Iterator[Step]:
        """All that is to be answered."""
        rows = self._notes.execute(f"SELECT {_MARK}, cause, request, is_there FROM steps ORDER BY rowid")
        for topic, number, offset, sequence, cause, request, is_there in rows:
            yield Step(
                Mark((topic, number), offset, sequence),
                Cause(*json.loads(cause)),
                VideoRequested.model_validate_json(request),
                bool(is_there),
            )

    def count_steps(self) -> int:
        """How many products are to be answered."""
        return self._count("steps")

    def _count(self, table: str) -> int:
        (number,) = self._notes.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(number)

    def _mark(self, table: str, product: str) -> Mark | None:
        row = self._notes.execute(f"SELECT {_MARK} FROM {table} WHERE product = ?", (product,)).fetchone()
        return None if row is None else Mark((row[0], row[1]), row[2], row[3])

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise TemporaryError(
                f"the replay's notes in {self._folder.name} cannot be written: {error}; free some space, or set TMPDIR "
                "to a folder that has some"
            ) from error


def _columns(mark: Mark) -> tuple[str, int, int, str]:
    return (*mark.partition, mark.offset, mark.sequence)


def _written(event: Event[Any]) -> str:
    attributes = {
        "type": event.type,
        "source": event.source,
        "id": event.id,
        "subject": event.subject,
        "time": event.time.isoformat() if event.time else None,
        "extensions": dict(event.extensions),
        "data": event.data.model_dump_json(),
    }
    return json.dumps(attributes)


def _read(text: str) -> Event[Any]:
    attributes = json.loads(text)
    time = attributes["time"]
    return Event(
        type=attributes["type"],
        source=attributes["source"],
        id=attributes["id"],
        data=event_type(attributes["type"]).payload.model_validate_json(attributes["data"]),
        time=datetime.fromisoformat(time) if time else None,
        subject=attributes["subject"],
        extensions=attributes["extensions"],
    )
