"""Files of products, as `skureel publish` and `skureel demo` read them."""

import base64
import io
import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from functions.cli.products_file import read_lines, refuse_bad_lines
from shared.errors import PermanentError
from shared.events import Event
from shared.events.cloudevents import MAX_DATA_BYTES

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


def read_events(path: Path, stdin: BinaryIO | None = None) -> list[Event[Any]]:
    return [line.event for line in read_lines(path, "product.created", source="/here", stdin=stdin)]


def test_bare_products_become_new_events(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", '{"id": "1", "name": "杯"}', "", '{"product_id": "1", "name": "杯"}')
    first, second = read_events(file)
    assert (first.type, first.source, first.data) == ("product.created", "/here", second.data)
    assert first.id != second.id


def test_cloudevents_keep_their_id_and_type(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", json.dumps(EVENT))
    (event,) = read_events(file)
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
        (json.dumps({"id": "1", "name": "x", "pad": "x" * MAX_DATA_BYTES}), "too-large"),
    ],
)
def test_a_bad_line_is_named(line: str | bytes, reason: str, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", '{"id": "1", "name": "x"}', line)
    with pytest.raises(PermanentError, match=r"p\.jsonl, line 2: ") as caught:
        read_events(file)
    assert caught.value.reason == reason
    with pytest.raises(PermanentError, match=r"p\.jsonl, line 2: (?!.*bad too)"):
        refuse_bad_lines(file)


def test_a_dash_is_standard_input() -> None:
    events = read_events(Path("-"), io.BytesIO(b'{"id": "1", "name": "x"}'))
    assert [event.data.product_id for event in events] == ["1"]


def test_a_line_is_read_as_soon_as_it_is_there() -> None:
    class Typed(io.BytesIO):
        def __next__(self) -> bytes:
            line = super().__next__()
            taken.append(line)
            return line

    taken: list[bytes] = []
    lines = read_lines(Path("-"), "product.created", source="/", stdin=Typed(b'{"id": "1", "name": "x"}\n' * 3))
    next(lines)
    assert len(taken) == 1


def test_the_data_are_all_that_was_written(tmp_path: Path) -> None:
    bare = '{"id": 1, "name": "杯", "price": 9.90, "brand": {"id": 3}}'
    data = {"product_id": "p", "name": "杯", "price": "9.90 \ud83d"}
    encoded = {**EVENT, "data_base64": base64.b64encode(bare.encode()).decode()}
    del encoded["data"]
    file = write(tmp_path / "p.jsonl", f" {bare}\r", json.dumps({**EVENT, "data": data}), json.dumps(encoded))
    first, second, third = read_lines(file, "product.created", source="/")
    assert first.data.decode() == third.data.decode() == bare
    assert json.loads(second.data) == data


def test_all_bad_lines_of_a_file_are_numbered(tmp_path: Path) -> None:
    refuse_bad_lines(write(tmp_path / "good.jsonl", "", '{"id": "1", "name": "x"}', json.dumps(EVENT)))
    bad = write(tmp_path / "p.jsonl", '{"id": "1", "name": "x"}', "{", '{"id": "1"}', "[]")
    with pytest.raises(PermanentError, match=r"line 2: not JSON.*\(bad too: lines 3, 4\)$"):
        refuse_bad_lines(bad)


def test_a_file_of_bad_lines_alone_is_told_within_bounds(tmp_path: Path) -> None:
    bad = write(tmp_path / "p.jsonl", *["{"] * 1000)
    with pytest.raises(PermanentError, match=r"line 1: .*\(bad too: lines 2, 3, .*, 21 and 979 more\)$"):
        refuse_bad_lines(bad)
    with pytest.raises(PermanentError, match=r"\(bad too: line 2\)$"):
        refuse_bad_lines(write(tmp_path / "p.jsonl", "{", "{"))


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path) -> None:
    file = write(
        tmp_path / "p.jsonl", b'\xef\xbb\xbf{"id": "1", "name": "x"}', b"\xef\xbb\xbf" + json.dumps(EVENT).encode()
    )
    bare, event = read_lines(file, "product.created", source="/here")
    assert (bare.event.data.product_id, bare.data) == ("1", b'{"id": "1", "name": "x"}')
    assert event.event.id == "e-7"
