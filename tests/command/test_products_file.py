"""Files of products, as `skureel publish`, `derive` and `demo` read them: products become events, bad rows are told."""

import base64
import io
import json
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from functions.cli.products_file import ProductsFile
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
GOOD = '{"id": "1", "name": "x"}'


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def read_events(path: Path, stdin: BinaryIO | None = None) -> list[Event[Any]]:
    return [line.event for line in ProductsFile(path, stdin=stdin).lines("product.created", source="/here")]


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
    ("line", "problem"),
    [
        ("{", "not JSON"),
        (b'{"id": "1", "name": "\xff"}', "not JSON: 'utf-8'"),
        ("[1]", "product: Input should be an object"),
        ('{"id": "1"}', "name: Field required"),
        (json.dumps({**EVENT, "id": ""}), "id"),
        ("[" * 100_000, "not JSON"),
        (json.dumps({"id": "1", "name": "x", "pad": "x" * MAX_DATA_BYTES}), "are allowed; send less"),
        (json.dumps({"id": "1", "name": "x", "pad": "x" * (2 << 20)}), "characters in a line; send less"),
    ],
)
def test_a_bad_line_is_told_and_loses_no_other(line: str | bytes, problem: str, tmp_path: Path) -> None:
    told: list[str] = []
    file = ProductsFile(write(tmp_path / "p.jsonl", GOOD, line, "", GOOD), told=told.append)
    assert [found.number for found in file.lines("product.created", source="/")] == [1, 4]
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path / 'p.jsonl'}, line 2: ")
    assert problem in told[0]
    with pytest.raises(PermanentError, match=r"1 row could not be read \(line 2\), 2 events sent; mend these rows"):
        file.conclude("sent")


def test_bad_lines_are_told_within_bounds(tmp_path: Path) -> None:
    told: list[str] = []
    file = ProductsFile(write(tmp_path / "p.jsonl", GOOD, *['{"id": 1'] * 1000), told=told.append)
    assert len(list(file.lines("product.created", source="/"))) == 1
    assert len(told) == 20
    with pytest.raises(
        PermanentError, match=r"1000 rows could not be read \(lines 2, 3, .*, 21 and 980 more\), 1 event"
    ):
        file.conclude("sent")


def test_a_dash_is_standard_input() -> None:
    events = read_events(Path("-"), io.BytesIO(GOOD.encode()))
    assert [event.data.product_id for event in events] == ["1"]


@pytest.mark.parametrize("start", [b"", b"sku,title\n"])
def test_a_row_is_read_as_soon_as_it_is_there(start: bytes) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", 0) as pipe:
        row = b"1,mug\n" if start else GOOD.encode() + b"\n"
        pipe.write(start + row)
        lines = ProductsFile(Path("-"), stdin=stdin).lines("product.created", source="/")
        # Whoever waits for more than there is would hang here.
        closing = threading.Timer(20, pipe.close)
        closing.start()
        assert next(lines).event.data.product_id == "1"
        assert not pipe.closed
        closing.cancel()
        pipe.close()
        assert list(lines) == []


def test_the_data_are_all_that_was_written(tmp_path: Path) -> None:
    bare = '{"id": 1, "name": "杯", "price": 9.90, "brand": {"id": 3}, "color": ""}'
    data = {"product_id": "p", "name": "杯", "price": "9.90 \ud83d"}
    encoded = {**EVENT, "data_base64": base64.b64encode(bare.encode()).decode()}
    del encoded["data"]
    file = write(tmp_path / "p.jsonl", f" {bare}\r", json.dumps({**EVENT, "data": data}), json.dumps(encoded))
    first, second, third = ProductsFile(file).lines("product.created", source="/")
    assert first.data.decode() == third.data.decode() == bare
    assert json.loads(second.data) == data


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", b"\xef\xbb\xbf" + GOOD.encode(), b"\xef\xbb\xbf" + json.dumps(EVENT).encode())
    bare, event = ProductsFile(file).lines("product.created", source="/here")
    assert (bare.event.data.product_id, bare.data) == ("1", GOOD.encode())
    assert event.event.id == "e-7"


def test_pictures_that_are_not_fetched_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    rows = ["id,title,image_link", "1,Jug,https://A.example.com/1.jpg", "2,Cup,https://b.example.com/2.jpg", "3,Mug,"]
    file = ProductsFile(write(tmp_path / "p.csv", *rows), image_hosts=["a.example.com"], told=told.append)
    assert [line.event.data.image is None for line in file.lines("product.created", source="/")] == [False, False, True]
    file.conclude("sent")
    (line,) = told
    assert "pictures on b.example.com are not fetched, and their products rejected: SKUREEL_RENDER__IMAGE_HOSTS" in line
    assert "(1 row, the first in line 3)" in line


def test_standard_input_stays_open() -> None:
    stdin = io.BytesIO(GOOD.encode())
    read_events(Path("-"), stdin)
    assert not stdin.closed
