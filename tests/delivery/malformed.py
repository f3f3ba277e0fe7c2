"""Records by number: mostly malformed product events, made from well-formed ones, with some good ones among them.

Each number gives the same record in every process and run, so that a hundred thousand need not be kept to be compared.
What makes a record malformed is said here and not asked of the codec: every way breaks a rule that the binding or the
payload's schema states.
"""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from shared.events.cloudevents import MAX_DATA_BYTES

SEED = 20261121
GOOD_EVERY = 50
"""One record of so many is good; an odd one, but good."""
TOO_LARGE_EVERY = 4_000
"""Seldom, or these alone would be most of the bytes."""
NUMBER = "number"
"""The header that tells which record this is. No binding knows it, and it stays with a dead letter."""

Headers = list[tuple[str, bytes]]

_NAMES = ("无线蓝牙降噪耳机", "Ceramic Coffee Mug", "مصباح مكتب", "Canvas Backpack 🎒", "陶瓷饭碗\u200d", "a")
_DEEP = (10, 200, 5_000)
_HUGE = (b"1e999", b"9" * 400, b"-" + b"7" * 5_000)


class Sent(NamedTuple):
    """What is sent: exact bytes. `kind` says how it was made; `product_id` is what a good one is answered by."""

    kind: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    product_id: str | None = None


def record(number: int) -> Sent:
    """The record of that number."""
    chance = random.Random(SEED * 1_000_003 + number)
    good = number % GOOD_EVERY == 0
    kind, make = TOO_LARGE if number % TOO_LARGE_EVERY == 1 else chance.choice(GOOD if good else MALFORMED)
    product_id = f"good-{number}" if good else f"bad-{number}"
    key, value, headers = make(chance, _event(chance, product_id))
    headers = [*headers, (NUMBER, str(number).encode())]
    return Sent(kind, key, value, headers, product_id if good else None)


class _Event(NamedTuple):
    """A well-formed product event in binary mode, still in parts."""

    attributes: dict[str, bytes]
    data: dict[str, Any]

    @property
    def key(self) -> bytes:
        return str(self.data["product_id"]).encode()

    @property
    def headers(self) -> Headers:
        return [(f"ce_{name}", raw) for name, raw in self.attributes.items()]

    @property
    def value(self) -> bytes:
        return json.dumps(self.data, ensure_ascii=False).encode()

    def structured(self) -> dict[str, Any]:
        return {**{name: raw.decode() for name, raw in self.attributes.items()}, "data": self.data}


Parts = tuple[bytes | None, bytes | None, Headers]
Make = Callable[[random.Random, _Event], Parts]

_STRUCTURED = ("content-type", b"application/cloudevents+json")


def _event(chance: random.Random, product_id: str) -> _Event:
    attributes = {
        "specversion": b"1.0",
        "id": f"e-{product_id}".encode(),
        "source": b"/tests",
        "type": b"product.created",
        "time": b"2026-11-21T08:30:00Z",
    }
    data: dict[str, Any] = {
        "product_id": product_id,
        "name": chance.choice(_NAMES),
        "color": chance.choice(["黑色", "red", ["红", "蓝"], None]),
        "features": ["主动降噪", f"续航{chance.randrange(100)}小时"],
        "price": chance.randrange(10_000) / 100,
    }
    return _Event(attributes, data)


# Good ones.


def _plain(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value, event.headers


def _structured_mode(chance: random.Random, event: _Event) -> Parts:
    return event.key, json.dumps(event.structured()).encode(), [_STRUCTURED]


def _structured_with_headers(chance: random.Random, event: _Event) -> Parts:
    return None, json.dumps(event.structured()).encode(), [_STRUCTURED, ("ce_id", b"another")]


def _with_foreign_bytes(chance: random.Random, event: _Event) -> Parts:
    return chance.randbytes(8), event.value, [*event.headers, ("foreign", chance.randbytes(40)), ("", b"\xff")]


def _with_unknown_fields(chance: random.Random, event: _Event) -> Parts:
    data = {**event.data, "stock": 10**30, "nested": [[[{}]]], "": None}
    return b"", json.dumps(data).encode(), event.headers


def _with_the_least(chance: random.Random, event: _Event) -> Parts:
    headers = [(f"ce_{name}", event.attributes[name]) for name in ("id", "source", "type")]
    data = {name: event.data[name] for name in ("product_id", "name")}
    return event.key, json.dumps(data).encode(), headers


def _with_a_broken_time(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value, _changed(event, "time", chance.choice([b"", b"yesterday", b"99999-99-99T99:99Z"]))


# Malformed ones.


def _truncated(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value[: chance.randrange(len(event.value))], event.headers


def _trailing(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value + chance.choice([b"}", b"{}", b",", b"\x00", b"]"]), event.headers


def _wrong_utf8(chance: random.Random, event: _Event) -> Parts:
    # Bytes that occur nowhere in UTF-8: cut off, overlong, surrogates, beyond the last plane.
    wrong = chance.choice([b"\xff", b"\xc0\xaf", b"\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe6\x97 "])
    data = json.dumps({**event.data, "name": "before@after"}).encode()
    return event.key, data.replace(b"@", wrong), event.headers


def _wrong_utf8_in_a_header(chance: random.Random, event: _Event) -> Parts:
    name = chance.choice(["id", "source", "type", "specversion"])
    return event.key, event.value, _changed(event, name, event.attributes[name] + b"\xff")


def _without_an_attribute(chance: random.Random, event: _Event) -> Parts:
    missing = chance.choice(["id", "source", "type"])
    return event.key, event.value, [header for header in event.headers if header[0] != f"ce_{missing}"]


def _with_an_empty_attribute(chance: random.Random, event: _Event) -> Parts:
    name = chance.choice(["id", "source", "type"])
    return event.key, event.value, _changed(event, name, chance.choice([b"", b"  ", b"a\nb", b"\x1b[2J", b"x" * 3_000]))


def _without_headers(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value, []


def _wrong_version(chance: random.Random, event: _Event) -> Parts:
    return event.key, event.value, _changed(event, "specversion", chance.choice([b"0.3", b"2.0", b"", b"1", b"one"]))


def _wrong_event_type(chance: random.Random, event: _Event) -> Parts:
    # The last ones are known types, in a topic that is not theirs.
    types = [b"order.paid", b"../../etc/passwd", b"product.created\x00", b"product.updated", b"video.ready"]
    return event.key, event.value, _changed(event, "type", chance.choice(types))


def _wrong_content_type(chance: random.Random, event: _Event) -> Parts:
    kind = chance.choice([b"application/xml", b"text/plain", b"application/cloudevents-batch+json", b"avro/binary"])
    return event.key, event.value, [("content-type", kind), *event.headers]


def _without_a_field(chance: random.Random, event: _Event) -> Parts:
    missing = chance.choice(["product_id", "name"])
    data = {name: field for name, field in event.data.items() if name != missing}
    return event.key, json.dumps(data).encode(), event.headers


def _wrong_type_of_a_field(chance: random.Random, event: _Event) -> Parts:
    wrong: list[Any] = [None, True, [], {}, ["p"], {"": ""}, "", "a\u0000b", "\ud800", "x" * 2_000]
    data = {**event.data, chance.choice(["product_id", "name"]): chance.choice(wrong)}
    return event.key, json.dumps(data).encode(), event.headers


def _huge_number(chance: random.Random, event: _Event) -> Parts:
    data = json.dumps({**event.data, "product_id": "@"}).encode()
    return event.key, data.replace(b'"@"', chance.choice(_HUGE)), event.headers


def _nested(chance: random.Random, event: _Event) -> Parts:
    depth = chance.choice(_DEEP)
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    data = json.dumps({**event.data, "name": "@"}).encode()
    return event.key, data.replace(b'"@"', opening * depth + b"1" + closing * depth), event.headers


def _not_an_object(chance: random.Random, event: _Event) -> Parts:
    value = chance.choice([b"[]", b"null", b"true", b'"text"', b"3", b"[" + event.value + b"]", b"{}"])
    return event.key, value, event.headers


def _tombstone(chance: random.Random, event: _Event) -> Parts:
    return chance.choice([event.key, b"", None]), None, chance.choice([event.headers, []])


def _empty(chance: random.Random, event: _Event) -> Parts:
    return chance.choice([b"", None]), b"", chance.choice([event.headers, []])


def _random_bytes(chance: random.Random, event: _Event) -> Parts:
    # No JSON object begins with this byte, whatever follows.
    value = b"\x93" + chance.randbytes(chance.choice([1, 30, 4_000]))
    return chance.randbytes(chance.randrange(1, 20)), value, chance.choice([event.headers, [], [("x", b"\x00\xff")]])


def _wrong_structure(chance: random.Random, event: _Event) -> Parts:
    document = event.structured()
    match chance.randrange(6):
        case 0:
            del document["id"]
        case 1:
            del document["data"]
        case 2:
            document["data_base64"] = "e30="
        case 3:
            document["source"] = ["/tests"]
        case 4:
            document["data"] = json.dumps(document["data"])
        case _:
            return event.key, json.dumps([document]).encode(), [_STRUCTURED]
    return event.key, json.dumps(document).encode(), [_STRUCTURED]


def _too_large(chance: random.Random, event: _Event) -> Parts:
    return event.key, json.dumps({**event.data, "pad": "x" * MAX_DATA_BYTES}).encode(), event.headers


def _changed(event: _Event, name: str, raw: bytes) -> Headers:
    return [(header, raw if header == f"ce_{name}" else old) for header, old in event.headers]


def _table(*makers: Make) -> tuple[tuple[str, Make], ...]:
    return tuple((maker.__name__.lstrip("_").replace("_", " "), maker) for maker in makers)


GOOD = _table(
    _plain,
    _structured_mode,
    _structured_with_headers,
    _with_foreign_bytes,
    _with_unknown_fields,
    _with_the_least,
    _with_a_broken_time,
)
MALFORMED = _table(
    _truncated,
    _trailing,
    _wrong_utf8,
    _wrong_utf8_in_a_header,
    _without_an_attribute,
    _with_an_empty_attribute,
    _without_headers,
    _wrong_version,
    _wrong_event_type,
    _wrong_content_type,
    _without_a_field,
    _wrong_type_of_a_field,
    _huge_number,
    _nested,
    _not_an_object,
    _tombstone,
    _empty,
    _random_bytes,
    _wrong_structure,
)
(TOO_LARGE,) = _table(_too_large)
