"""What is wrong in one row is told with its line and the next step, within bounds, and loses no other row."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from pydantic import ValidationError

from shared.errors import PermanentError
from shared.feeds import Columns, Notes, read_feed
from shared.feeds.table import RECORD_CHARACTERS
from shared.feeds.text import LINE_CHARACTERS
from tests.feeds.reading import read_text

HEADS = "id,title,color\n"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('2,"Mug,red', "a quote is left open"),
        ('2,"Mug" tall,red', "a quote is left open, or stands in quoted text by itself"),
        ("2,Mug, tall,red", "4 cells where the heads are 3; put text with commas"),
        ("2,Mug", "2 cells where the heads are 3"),
        ("2,Mug \udcff,red", "not UTF-8"),
        ("2," + "x" * (LINE_CHARACTERS + 5) + ",red", "characters in a row"),
    ],
)
@pytest.mark.parametrize("after", ["3,Cup,blue\n4,Bowl,green\n", '3,"Cup","blue"\n4,"Bowl, deep","green"\n'])
def test_a_bad_row_is_told_with_its_line_and_those_around_it_are_read(row: str, problem: str, after: str) -> None:
    text = f"{HEADS}1,Jug,white\n{row}\n{after}"
    read = read_text(text.encode("utf-8", "surrogateescape"))
    assert (read.ids, read.lines) == (["1", "3", "4"], [2, 4, 5])
    assert len(read.told) == 1
    assert read.told[0].startswith("feed, line 3: ")
    assert problem in read.told[0]
    assert read.notes.told_bad() == "feed: 1 row could not be read (line 3)"


def test_line_ends_and_quotes_within_quotes_are_text() -> None:
    read = read_text(f'{HEADS}1,"Jug\r\n""big""",white\r\n\r\n2,Cup,\r\n,,\r\n')
    assert [product.name for product in read.products] == ['Jug "big"', "Cup"]
    assert (read.lines, read.told) == ([2, 5], [])


def test_a_quote_left_open_in_the_last_row_is_told() -> None:
    read = read_text(f'{HEADS}1,Jug,white\n2,"Cup,blue\n')
    assert (read.ids, read.told[0][:13]) == (["1"], "feed, line 3:")


def test_a_quote_left_open_far_from_any_other_loses_its_own_row_alone() -> None:
    rows = "".join(f"{n},Cup {n},blue\n" for n in range(3, 40_000))
    assert len(rows) > RECORD_CHARACTERS
    read = read_text(f'{HEADS}1,Jug,white\n2,"Bowl,red\n{rows}')
    assert len(read.ids) == 1 + 39_997
    assert read.notes.bad == 1


def test_columns_with_one_head_are_read_and_told() -> None:
    read = read_text("id,title,tags,tags,image_link,image_link\n1,Jug,tall,white,https://a.example.com/1.jpg,\n")
    assert read.products[0].keywords == ("tall", "white")
    assert [line for line in read.notes.told() if "column tags is there 2 times (columns 3, 4)" in line]


def test_nul_bytes_are_refused_in_their_row() -> None:
    told: list[str] = []
    notes = Notes("feed", told.append)
    items = list(read_feed(io.BytesIO(b"id,title\n1,Jug\n2,C\0up\n"), Columns(), notes))
    assert [item.line for item in items] == [2, 3]
    assert "\\u0000" in items[1].data.decode()  # Product refuses it, where an event is made of it


def test_titles_of_any_length_and_make_are_cut_and_cleaned() -> None:
    read = read_text(
        json.dumps({"id": 1, "name": "杯" * 20_000}) + '\n{"id": 2, "title": "<b>Jug</b> &amp;<br/>Cup"}\n'
    )
    assert [len(read.products[0].name), read.products[1].name] == [1024, "Jug & Cup"]
    assert "name is longer than 1024 characters, and cut there (1 row, the first in line 1)" in next(read.notes.told())


def test_many_categories_and_emoji_alone_lose_nothing() -> None:
    read = read_text(json.dumps({"sku": "a", "title": "🎁🎁", "categories": [{"name": f"c{n}"} for n in range(300)]}))
    assert (read.products[0].name, len(read.products[0].category), len(read.data[0]["category"])) == ("🎁🎁", 64, 300)


def test_markup_without_end_takes_no_time() -> None:
    body = "<script " * 20_000 + "<!-- " * 20_000 + "<p <p " * 20_000
    assert read_text(json.dumps({"sku": "a", "title": "Jug", "body_html": body})).ids == ["a"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04\x14\x00", "is a workbook or a zip archive; save it as CSV"),
        (b"\x1f\x8b\x08\x00", "is compressed; unpack it"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><rss/>", "is XML or HTML; export it"),
        (
            b"Artikel,Bezeichnung\n1,Krug\n",
            "no column is known to hold the product's id and name (Artikel, Bezeichnung)",
        ),
        ("甲栏,乙栏\n壶,1\n".encode("gb18030"), "line 1: not UTF-8; save the file in UTF-8"),
        (b"title,colour\nJug,red\n", "no column is known to hold the product's id (title, colour)"),
        ("sku,Größe,title\n1,Krug,x\n".encode("cp1252"), ""),
    ],
)
def test_what_is_no_feed_says_what_to_do(content: bytes, told: str) -> None:
    if not told:
        assert read_text(content).ids == ["1"]
        return
    with pytest.raises(PermanentError) as caught:
        read_text(content)
    assert told in str(caught.value)


def test_a_fault_in_an_array_loses_its_product_alone() -> None:
    good = [{"id": n, "title": f"Jug {n}", "variants": [{"id": 10 * n, "option1": "S"}]} for n in range(6)]
    for indent in (None, 1):
        text = json.dumps(good, indent=indent)
        for broken in (
            text.replace('"Jug 2"', '"Jug 2'),
            text.replace('"Jug 2",', '"Jug 2"'),
            text.replace('"id": 20', "id: 20"),
        ):
            read = read_text(broken)
            assert [name for name in read.ids if name != "2"] == ["0", "1", "3", "4", "5"], broken
            assert (len(read.told), "2" in read.ids) == (1, False)
            line = broken.splitlines().index(next(row for row in broken.splitlines() if "Jug 2" in row)) + 1
            assert int(read.told[0].split(" line ")[1].split(":")[0]) - line in (0, 1, 2, 3, 4)


def test_variants_without_end_or_id_are_told() -> None:
    options = [{"name": "Color", "values": [f"c{n}" for n in range(60)]}, {"name": "Material", "values": ["m"] * 60}]
    many = read_text(json.dumps({"id": 1, "title": "Jug", "options": options}))
    assert (len(many.ids), list(many.notes.told())) == (60, [])
    options[1]["values"] = [f"m{n}" for n in range(60)]
    many = read_text(json.dumps({"id": 1, "title": "Jug", "options": options}))
    assert len(many.ids) == 2048
    assert "more than 2048 variants of one product" in next(many.notes.told())
    with pytest.raises(ValidationError, match="product_id"):
        read_text(json.dumps({"title": "Jug", "options": [{"name": "Color", "values": ["Red", "Blue"]}]}))


def test_a_fault_at_the_end_of_an_array_is_told() -> None:
    read = read_text('[{"id": 1, "name": "x"}, {"id": 2, "na')
    assert (read.ids, read.notes.bad) == (["1"], 1)


def test_a_column_in_every_row_of_its_own_is_told_within_bounds() -> None:
    read = read_text("".join(json.dumps({"id": n, "name": "x", f"f{n}": 1}) + "\n" for n in range(3000)))
    (told,) = read.notes.told()
    assert len(told) < 1000
    assert "and 980 more" in told


class _Endless(io.RawIOBase):
    """A feed that is made while it is read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = next(self._parts, b"")
        buffer[: len(part)] = part
        return len(part)


_ROWS = b"".join(b'%d,"Jug ""%d""",white\n' % (n, n) for n in range(200))
_LINES = b"".join(b'{"id": %d, "name": "Jug", "color": "white"}\n' % n for n in range(100))


@pytest.mark.parametrize(
    ("start", "part", "count"),
    [
        (HEADS.encode(), _ROWS, 200),
        (b"", _LINES, 100),
        (b"[", _LINES.replace(b"\n", b",\n"), 100),
        (HEADS.encode() + b'1,"Jug', b"x" * 8000, 0),
        (HEADS.encode(), b'1,"Jug\n' * 5, 0),
        (b"[", b"{" * 4000, 0),
        (b'["', b"x" * 4000, 0),
    ],
)
def test_a_feed_of_any_size_takes_the_same_memory(start: bytes, part: bytes, count: int) -> None:
    def peak(parts: int) -> int:
        notes = Notes("feed", lambda _: None)
        feed = io.BufferedReader(_Endless(chain([start], repeat(part, parts))), 1 << 16)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_feed(feed, Columns(), notes)) >= count * parts
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(3000 if not count else 60) < 24 << 20
