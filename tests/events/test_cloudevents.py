"""How events look on the wire, in both modes, on Kafka and over HTTP."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage as SdkMessage
from cloudevents.core.bindings.kafka import from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.events import Event, Product
from shared.events.cloudevents import (
    MAX_DATA_BYTES,
    from_http,
    from_kafka,
    from_structured,
    to_http,
    to_kafka,
    to_structured,
)

MINIMAL = {"product_id": "SKU-1", "name": "无线蓝牙降噪耳机", "color": "黑色", "features": ["主动降噪", "触控操作"]}
BINARY = {"ce_specversion": b"1.0", "ce_id": b"e-1", "ce_source": b"/shop", "ce_type": b"product.created"}


def binary(**changes: bytes | None) -> list[tuple[str, bytes]]:
    headers: dict[str, bytes | None] = {**BINARY, "content-type": b"application/json", **changes}
    return [(name, raw) for name, raw in headers.items() if raw is not None]


def reason_of(headers: list[tuple[str, bytes]], value: bytes | None) -> str:
    with pytest.raises(PermanentError) as caught:
        from_kafka(headers, value)
    return caught.value.reason


@pytest.fixture
def event() -> Event[Product]:
    return Event(
        type="product.created",
        source="/shop/cn",
        id="e-1",
        data=Product.model_validate(MINIMAL),
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        subject="SKU-1",
        extensions={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    )


def test_an_event_survives_binary_structured_and_http(event: Event[Product]) -> None:
    message = to_kafka(event)
    assert from_kafka(message.headers, message.value) == event
    assert from_structured(to_structured(event)) == event
    assert from_http(*to_http(event)) == event
    assert message.key == b"SKU-1"


def test_attributes_that_are_not_ascii_survive_http(event: Event[Product]) -> None:
    chinese = Event(type=event.type, source="/商店", id='100% "e" 1', data=event.data)
    headers, body = to_http(chinese)
    assert all(text.isascii() for text in headers.values())
    assert from_http(headers, body) == chinese


def test_the_sdk_reads_what_we_write(event: Event[Product]) -> None:
    message = to_kafka(event)
    read = from_kafka_event(SdkMessage(headers=dict(message.headers), key=message.key, value=message.value))
    assert (read.get_id(), read.get_source(), read.get_type()) == (event.id, event.source, event.type)
    assert read.get_time() == event.time
    data: Any = read.get_data()
    assert data["name"] == MINIMAL["name"]


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
def test_we_read_what_the_sdk_writes(write: Any) -> None:
    attributes = {"id": "e-9", "source": "/shop", "type": "product.created", "specversion": "1.0"}
    attributes["datacontenttype"] = "application/json"
    message = write(SdkEvent(attributes=attributes, data=MINIMAL))
    read = from_kafka(list(message.headers.items()), message.value)
    assert (read.id, read.data.color) == ("e-9", ("黑色",))


def test_only_id_source_and_type_are_asked_for() -> None:
    headers = binary(ce_specversion=None, **{"content-type": None})
    read = from_kafka(headers, json.dumps(MINIMAL).encode())
    assert read.data.product_id == "SKU-1"
    assert read.time is None


def test_a_missing_id_is_never_invented() -> None:
    value = json.dumps(MINIMAL).encode()
    assert reason_of(binary(ce_id=None), value) == "no-id"
    assert reason_of(binary(ce_id=b"  "), value) == "no-id"
    structured = {"specversion": "1.0", "source": "/s", "type": "product.created", "data": MINIMAL}
    assert reason_of([("content-type", b"application/cloudevents+json")], json.dumps(structured).encode()) == "no-id"


def test_a_structured_message_with_ce_headers_is_structured(event: Event[Product]) -> None:
    headers = [*binary(ce_id=b"other"), ("Content-Type", b"ignored, the first wins")]
    headers = [("content-type", b"Application/CloudEvents+JSON; charset=utf-8"), *headers]
    assert from_kafka(headers, to_structured(event)) == event


def test_foreign_headers_may_hold_any_bytes(event: Event[Product]) -> None:
    message = to_kafka(event)
    assert from_kafka([*message.headers, ("traceparent", b"\xff"), ("x", None)], message.value) == event


@pytest.mark.parametrize(
    ("headers", "value", "reason"),
    [
        (binary(), None, "tombstone"),
        ([], b"{}", "not-a-cloudevent"),
        ([("content-type", b"application/json")], b"{}", "not-a-cloudevent"),
        (binary(ce_source=None), b"{}", "not-a-cloudevent"),
        (binary(ce_id=b"\xff\xfe"), b"{}", "invalid-utf8"),
        (binary(ce_id=b"line\nbreak"), b"{}", "no-id"),
        (binary(ce_id=b"x" * 2000), b"{}", "no-id"),
        (binary(ce_specversion=b"0.3"), b"{}", "unsupported-specversion"),
        (binary(ce_type=b"order.paid"), b"{}", "unknown-type"),
        (binary(), b"{", "invalid-json"),
        (binary(), b"", "invalid-json"),
        (binary(), b'{"product_id": "\xff", "name": "x"}', "invalid-utf8"),
        (binary(), b"[]", "invalid-data"),
        (binary(), b'{"name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": "p"}', "invalid-data"),
        (binary(), b'{"product_id": "", "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": " \\u3000", "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": "\\u202e\\u200b", "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": "p", "name": "   "}', "invalid-data"),
        (binary(), b'{"product_id": "p", "name": "\\u3164\\u2800\\ufe0f"}', "invalid-data"),
        (binary(), b'{"product_id": 1e999, "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": NaN, "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": true, "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": {"id": "p"}, "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": "p", "name": "\\ud83d"}', "invalid-data"),
        (binary(), b'{"product_id": "\xed\xa0\xbd", "name": "x"}', "invalid-utf8"),
        (binary(), '{"product_id": "p", "name": "x"}'.encode("utf-16"), "invalid-utf8"),
        (binary(), b'{"product_id": "a\\u0000b", "name": "x"}', "invalid-data"),
        (binary(), b'{"product_id": "a\\nb", "name": "x"}', "invalid-data"),
        (binary(), json.dumps({"product_id": "p", "name": "字" * 1025}).encode(), "invalid-data"),
        (binary(), json.dumps({"product_id": "p", "name": "x" * (2 << 20)}).encode(), "too-large"),
        (binary(**{"content-type": b"application/xml"}), b"<p/>", "invalid-data"),
        ([("content-type", b"application/cloudevents-batch+json")], b"[]", "not-a-cloudevent"),
        ([("content-type", b"application/cloudevents+json")], b"[]", "not-a-cloudevent"),
        ([("content-type", b"application/cloudevents+json")], b"[" * 100_000, "invalid-json"),
    ],
)
def test_bad_records_have_a_reason(headers: list[tuple[str, bytes]], value: bytes | None, reason: str) -> None:
    assert reason_of(headers, value) == reason


@pytest.mark.parametrize("product_id", ["../../etc/passwd", "%2f..%2f", "<script>", "a/b\\c", "😀", "\u202eevil"])
def test_odd_product_ids_are_taken_as_they_are(product_id: str) -> None:
    value = json.dumps({"product_id": product_id, "name": "x"}).encode()
    assert from_kafka(binary(), value).data.product_id == product_id


def test_a_structured_event_may_carry_its_data_in_base64() -> None:
    line = (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"product.created","flag":true,"n":3,'
        b'"data_base64":"eyJwcm9kdWN0X2lkIjogInAiLCAibmFtZSI6ICJ4In0="}'
    )
    read = from_structured(line)
    assert read.data.name == "x"
    assert read.extensions == {"flag": "true", "n": "3"}


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05z", "2026-01-02t03:04:05Z", "2026-01-02T11:04:05.000+08:00"])
def test_every_writing_of_a_moment_is_read(text: str) -> None:
    read = from_kafka(binary(ce_time=text.encode()), json.dumps(MINIMAL).encode())
    assert read.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert dict(to_kafka(read).headers)["ce_time"] in (b"2026-01-02T03:04:05Z", b"2026-01-02T11:04:05+08:00")


def test_a_time_that_does_not_parse_costs_no_product() -> None:
    assert from_kafka(binary(ce_time=b"yesterday"), json.dumps(MINIMAL).encode()).time is None


def test_half_a_character_in_an_optional_attribute_costs_no_product() -> None:
    document = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "product.created", "data": MINIMAL}
    read = from_structured(
        json.dumps({**document, "subject": "\ud800", "traceparent": "\udfff", "kept": "杯"}).encode()
    )
    assert (read.subject, read.extensions) == (None, {"kept": "杯"})
    assert from_structured(to_structured(read)) == read


@pytest.mark.parametrize("blank", [b" ", b"\t", "\u3000".encode(), b"/json "], ids=ascii)
def test_a_content_type_costs_no_more_than_its_bytes(blank: bytes) -> None:
    """With a pattern that tries each blank as a beginning this takes an hour, and no other thread has a turn."""
    value = json.dumps(MINIMAL).encode()
    long = blank * 1_000_000
    assert reason_of(binary(**{"content-type": long}), value) == "invalid-data"
    assert reason_of(binary(ce_datacontenttype=long), value) == "invalid-data"
    structured = [("content-type", long + b"application/cloudevents+json" + long)]
    assert reason_of(structured, to_structured(from_kafka(binary(), value)) + b"}") in (
        "invalid-json",
        "not-a-cloudevent",
    )


@pytest.mark.parametrize("name", ["subject", "dataschema", "traceparent", "tracestate", "sequence"])
def test_an_optional_attribute_that_is_too_long_to_be_handed_on_is_dropped(name: str) -> None:
    value = json.dumps(MINIMAL).encode()
    read = from_kafka(binary(**{f"ce_{name}": b"x" * 1025}), value)
    assert dict(to_kafka(read).headers).keys().isdisjoint({f"ce_{name}"})
    kept = from_kafka(binary(**{f"ce_{name}": b"x" * 1024}), value)
    assert dict(to_kafka(kept).headers)[f"ce_{name}"] == b"x" * 1024


def test_data_of_exactly_the_limit_is_read() -> None:
    empty = len(json.dumps({"product_id": "p", "name": "x", "pad": ""}))
    value = json.dumps({"product_id": "p", "name": "x", "pad": "y" * (MAX_DATA_BYTES - empty)}).encode()
    assert len(value) == MAX_DATA_BYTES
    assert from_kafka(binary(), value).data.name == "x"
    assert reason_of(binary(), value + b" ") == "too-large"


def read_or_reason(headers: list[tuple[str, bytes]], value: bytes | None) -> Event[Any] | str:
    try:
        return from_kafka(headers, value)
    except PermanentError as error:
        return error.reason


@given(
    headers=st.lists(st.tuples(st.sampled_from([*BINARY, "content-type", "x"]), st.binary(max_size=40)), max_size=8),
    value=st.one_of(st.none(), st.binary(max_size=200), st.text(max_size=80).map(str.encode)),
)
def test_any_bytes_are_an_event_or_a_permanent_error(headers: list[tuple[str, bytes]], value: bytes | None) -> None:
    assert read_or_reason(headers, value)


@given(name=st.text(min_size=1, max_size=200), color=st.lists(st.text(max_size=20), max_size=4))
def test_any_text_that_is_read_is_written_and_read_again(name: str, color: list[str]) -> None:
    event = read_or_reason(binary(), json.dumps({"product_id": "p", "name": name, "color": color}).encode())
    if isinstance(event, str):
        assert event == "invalid-data"
        return
    message = to_kafka(event)
    assert from_kafka(message.headers, message.value) == event
    assert from_structured(to_structured(event)) == event


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_a_byte_order_mark_before_the_json_costs_no_product(event: Event[Product], mode: str) -> None:
    if mode == "binary":
        message = to_kafka(event)
        headers, value = message.headers, message.value
    else:
        headers, value = [("content-type", b"application/cloudevents+json")], to_structured(event)
    assert from_kafka(headers, b"\xef\xbb\xbf" + value) == event
