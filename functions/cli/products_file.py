"""Products in a file, for the commands that take one: whatever `shared.feeds` reads, as events."""

import base64
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click
from pydantic import ValidationError

from functions.cli.printing import tell
from shared.errors import PermanentError
from shared.events import ENTRY_TYPES, Event, Product
from shared.events.cloudevents import MAX_DATA_BYTES, from_structured
from shared.events.reading import read
from shared.feeds import Columns, Item, Notes, read_feed, read_mapping
from shared.plural import counted
from shared.printable import one_line
from shared.validation import described

STANDARD_INPUT = Path("-")
MOST_IDS = 1_000_000
"""Products that a replay names one by one: their ids are kept in memory."""

mapping_option = click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file that says what the columns are, where they bear names of their own.",
)


_HOST = re.compile(r"https?://([^/:?#@\s]{1,253})", re.IGNORECASE)


class Line(NamedTuple):
    """A row that holds an event: its line, the event, and the JSON of the event's data with all that it says."""

    number: int
    event: Event[Any]
    data: bytes


class ProductsFile:
    """A file of products, or standard input. What cannot be read of it is told, and the rest goes on."""

    def __init__(
        self,
        path: Path,
        *,
        mapping: Path | None = None,
        stdin: BinaryIO | None = None,
        image_hosts: Collection[str] | None = None,
        told: Callable[[str], None] = tell,
    ) -> None:
        """`image_hosts`: those that photos are fetched from; of others it is told, if they are given.

        Raises ConfigurationError for a mapping that cannot be used.
        """
        self._path = path
        self._stdin = stdin if path == STANDARD_INPUT else None
        self._columns = read_mapping(mapping) if mapping is not None else Columns()
        self._image_hosts = None if image_hosts is None else {host.casefold() for host in image_hosts}
        self._told = told
        self.name = "standard input" if self._stdin is not None else str(path)
        self.notes = Notes(self.name, told)

    def lines(self, type_name: str, *, source: str) -> Iterator[Line]:
        """Read the events, each when its row is there.

        A JSON object with a `specversion` is a structured CloudEvent and keeps its id. Any other row is a product's
        data and becomes an event of `type_name` with a new id at every reading: whoever sends a product again wants it
        answered again. PermanentError: none of it can be read.
        """
        with nullcontext(self._stdin) if self._stdin is not None else self._path.open("rb", 1 << 16) as stream:
            for item in read_feed(stream, self._columns, self.notes):
                try:
                    line = _line(item, type_name, source)
                except PermanentError as error:
                    self.notes.tell_bad(item.line, str(error))
                    continue
                for field in line.event.left_out:
                    self.notes.remark(line.number, f"cannot be read, or not wholly, and will be ignored: {field}")
                if self._image_hosts is not None and isinstance(line.event.data, Product):
                    self._remark_host(line.number, line.event.data.image)
                self.notes.good += 1
                yield line

    def _remark_host(self, number: int, image: str | None) -> None:
        found = _HOST.match(image or "")
        if found is not None and self._image_hosts is not None and found[1].casefold() not in self._image_hosts:
            self.notes.remark(
                number,
                f"pictures on {found[1]} are not fetched, and their products rejected: "
                "SKUREEL_RENDER__IMAGE_HOSTS does not name that host",
            )

    def events(self, source: str) -> Iterator[Line]:
        """Read the events that hold products; any other is told as a row that cannot be used."""
        for line in self.lines(ENTRY_TYPES[0], source=source):
            if line.event.type in ENTRY_TYPES:
                yield line
                continue
            self.notes.good -= 1
            told = f"a {line.event.type} holds no product; give {' or '.join(ENTRY_TYPES)}"
            self.notes.tell_bad(line.number, told)

    def conclude(self, done: str) -> None:
        """Tell of the columns that say nothing; raise PermanentError if there are rows that were not `done`."""
        for line in self.notes.told():
            self._told(line)
        lost = self.notes.told_bad()
        if lost is not None:
            told = f"{lost}, {counted(self.notes.good, 'event')} {done}; mend these rows and give them again"
            raise PermanentError(told, reason="invalid-data")


def product_ids(path: Path | None, mapping: Path | None) -> frozenset[str]:
    """The ids of a file's products; none without a file.

    PermanentError: there is no product in it, rows cannot be read, or there are more than `MOST_IDS`.
    """
    if path is None:
        return frozenset()
    file = ProductsFile(path, mapping=mapping)
    ids: set[str] = set()
    for line in file.events("/skureel/replay"):
        ids.add(line.event.data.product_id)
        if len(ids) > MOST_IDS:
            raise PermanentError(f"{path} has more than {MOST_IDS} products; give it in parts", reason="too-large")
    if not ids and not file.notes.bad:
        raise PermanentError(f"{path} holds no product; give a product a row", reason="no-event")
    file.conclude("read, and nothing was sent")
    return frozenset(ids)


def _line(item: Item, type_name: str, source: str) -> Line:
    if item.is_event:
        return Line(item.line, from_structured(item.data), _data(item.data))
    return Line(item.line, _new_event(item.data, type_name, source), item.data)


def _data(event: bytes) -> bytes:
    """The data of a structured event that was read."""
    document = json.loads(event)
    if document.get("data_base64") is not None:
        return base64.b64decode(document["data_base64"])
    return json.dumps(document["data"], ensure_ascii=False).encode("utf-8", "backslashreplace")


def _new_event(data: bytes, type_name: str, source: str) -> Event[Any]:
    if len(data) > MAX_DATA_BYTES:
        raise PermanentError(f"{len(data)} bytes, {MAX_DATA_BYTES} are allowed; send less", reason="too-large")
    try:
        product, left_out = read(Product, data)
    except ValidationError as error:
        raise PermanentError(one_line(described(error, whole="product")), reason="invalid-data") from error
    return Event(type_name, source, str(uuid.uuid4()), product, datetime.now(UTC), left_out=left_out)
