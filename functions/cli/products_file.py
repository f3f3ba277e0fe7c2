"""Products in a file: bare product data or CloudEvents, one JSON object a line."""

import base64
import codecs
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import ValidationError

from shared.errors import PermanentError
from shared.events import Event, Product
from shared.events.cloudevents import MAX_DATA_BYTES, from_structured
from shared.events.reading import read
from shared.printable import one_line
from shared.validation import described

STANDARD_INPUT = Path("-")
NUMBERED = 20
"""Of so many bad lines beside the first it is said which they are."""


class Line(NamedTuple):
    """A line that holds an event: its place, the event, and the JSON of the event's data with all that it says."""

    place: str
    event: Event[Any]
    data: bytes


def read_lines(path: Path, type_name: str, *, source: str, stdin: BinaryIO | None = None) -> Iterator[Line]:
    """Read the events of a file or, for `-`, of `stdin`, each when its line is there.

    A line with a `specversion` is a structured CloudEvent and keeps its id. Any other is a product's data and becomes
    an event of `type_name` with a new id at every reading: whoever sends a product again wants it answered again.
    Blank lines are skipped. A line that is neither is a PermanentError that names the line.
    """
    if path == STANDARD_INPUT and stdin is not None:
        yield from (_line(place, line, type_name, source) for place, line in _filled(stdin, "standard input"))
        return
    with path.open("rb") as file:
        yield from (_line(place, line, type_name, source) for place, line in _filled(file, str(path)))


def refuse_bad_lines(path: Path) -> None:
    """Raise the PermanentError of a file's first bad line, with the numbers of the others, if it has any."""
    first: PermanentError | None = None
    numbers: list[str] = []
    others = 0
    with path.open("rb") as file:
        for place, line in _filled(file, str(path)):
            try:
                _line(place, line, "product.created", "/")
            except PermanentError as error:
                if first is None:
                    first = error
                    continue
                others += 1
                if len(numbers) < NUMBERED:
                    numbers.append(place.rpartition(" ")[2])
    if first is not None:
        unnumbered = f" and {others - len(numbers)} more" if others > len(numbers) else ""
        more = f" (bad too: line{'s'[: others > 1]} {', '.join(numbers)}{unnumbered})" if others else ""
        raise PermanentError(f"{first}{more}", reason=first.reason)


def _filled(lines: BinaryIO, name: str) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(lines, start=1):
        filled = line.removeprefix(codecs.BOM_UTF8).strip()
        if filled:
            yield f"{name}, line {number}", filled


def _line(place: str, line: bytes, type_name: str, source: str) -> Line:
    try:
        document = json.loads(line)
        if isinstance(document, dict) and "specversion" in document:
            return Line(place, from_structured(line), _data(document))
        return Line(place, _new_event(line, type_name, source), line)
    except PermanentError as error:
        raise PermanentError(f"{place}: {error}", reason=error.reason) from error
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"{place}: not JSON: {error}", reason="invalid-json") from error


def _data(document: dict[str, Any]) -> bytes:
    """The data of a structured event that was read."""
    if document.get("data_base64") is not None:
        return base64.b64decode(document["data_base64"])
    return json.dumps(document["data"], ensure_ascii=False).encode("utf-8", "backslashreplace")


def _new_event(line: bytes, type_name: str, source: str) -> Event[Any]:
    if len(line) > MAX_DATA_BYTES:
        raise PermanentError(f"{len(line)} bytes, {MAX_DATA_BYTES} are allowed; send less", reason="too-large")
    try:
        product, left_out = read(Product, line)
    except ValidationError as error:
        raise PermanentError(one_line(described(error, whole="product")), reason="invalid-data") from error
    return Event(type_name, source, str(uuid.uuid4()), product, datetime.now(UTC), left_out=left_out)
