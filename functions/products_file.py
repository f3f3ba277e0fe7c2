"""Products in a file: bare product data or CloudEvents, one JSON object a line."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from functions.progress import printable
from shared.errors import PermanentError
from shared.events import Event, Product
from shared.events.cloudevents import from_structured

STANDARD_INPUT = Path("-")


def read_events(path: Path, type_name: str, *, source: str, stdin: BinaryIO | None = None) -> Iterator[Event[Any]]:
    """Read events from a file or, for `-`, from `stdin`.

    A line with a `specversion` is a structured CloudEvent and keeps its id; any other is a product's data and becomes
    a new event of `type_name` with a new id. Blank lines are skipped. A line that is neither is a PermanentError that
    names the line.
    """
    if path == STANDARD_INPUT and stdin is not None:
        yield from _events(stdin, "standard input", type_name, source)
        return
    with path.open("rb") as file:
        yield from _events(file, str(path), type_name, source)


def _events(lines: BinaryIO, name: str, type_name: str, source: str) -> Iterator[Event[Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _event(line, type_name, source)
        except PermanentError as error:
            raise PermanentError(f"{name}, line {number}: {error}", reason=error.reason) from error


def _event(line: bytes, type_name: str, source: str) -> Event[Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"not JSON: {error}", reason="invalid-json") from error
    if isinstance(document, dict) and "specversion" in document:
        return from_structured(line)
    try:
        product = Product.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = printable(".".join(map(str, first["loc"]))) or "product"
        raise PermanentError(f"{where}: {first['msg']}", reason="invalid-data") from error
    return Event(type=type_name, source=source, id=str(uuid.uuid4()), data=product, time=datetime.now(UTC))
