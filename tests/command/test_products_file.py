"""Files of products, as `skureel publish` and `skureel demo` read them."""

import io
import json
from pathlib import Path

import pytest

from functions.products_file import read_events
from shared.errors import PermanentError

EVENT = {
    "specversion": "1.0",
    "id": "e-7",
    "source": "/shop",
    "type": "product.updated",
    "data": {"product_id": "p", "name": "杯"},
}


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def test_bare_products_become_new_events(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", '{"id": "1", "name": "杯"}', "", '{"product_id": "1", "name": "杯"}')
    first, second = read_events(file, "product.created", source="/here")
    assert (first.type, first.source, first.data) == ("product.created", "/here", second.data)
    assert first.id != second.id


def test_cloudevents_keep_their_id_and_type(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", json.dumps(EVENT))
    (event,) = read_events(file, "product.created", source="/here")
    assert (event.id, event.type, event.source) == ("e-7", "product.updated", "/shop")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "invalid-json"),
        (b'{"id": "1", "name": "\xff"}', "invalid-json"),
        ("[1]", "invalid-data"),
        ('{"id": "1"}', "invalid-data"),
        (json.dumps({**EVENT, "id": ""}), "no-id"),
        ("[" * 100_000, "invalid-json"),
    ],
)
def test_a_bad_line_is_named(line: str | bytes, reason: str, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", '{"id": "1", "name": "x"}', line)
    with pytest.raises(PermanentError, match=r"p\.jsonl, line 2: ") as caught:
        list(read_events(file, "product.created", source="/here"))
    assert caught.value.reason == reason


def test_a_dash_is_standard_input() -> None:
    events = read_events(Path("-"), "product.created", source="/here", stdin=io.BytesIO(b'{"id": "1", "name": "x"}'))
    assert [event.data.product_id for event in events] == ["1"]
