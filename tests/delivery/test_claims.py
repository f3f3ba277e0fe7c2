"""Anybody may write headers on a topic of events: what they say of failures is believed as far as it can be true."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kafka import story as stories
from shared.kafka.story import MOST_HEADER_BYTES, MOST_REPLAYS, Story
from shared.settings import KafkaSettings

NOW = 1_800_000_000.0
SETTINGS = KafkaSettings(retry_delays_seconds=(30.0, 300.0), retries_in_place=2)
TRUE = {
    "__connect.errors.topic": "product.created",
    "__connect.errors.partition": "2",
    "__connect.errors.offset": "7",
    "skureel.rounds": "1",
    "skureel.attempts": "3",
    "skureel.first-failed-at": "2027-01-15T07:59:00.000Z",
    "skureel.written-at": "1799999930000",
}


def told(topic: str = "product.created", **headers: Any) -> Story:
    """The story of a record at offset 90 with these headers instead of true ones."""
    texts = {**TRUE, **{name.replace("__", ".").replace("_", "-"): text for name, text in headers.items()}}
    raw = [(name, text if isinstance(text, bytes) else text.encode()) for name, text in texts.items()]
    record = SimpleNamespace(topic=topic, partition=2, offset=90, timestamp=int(NOW * 1000), headers=raw)
    return stories.of(record, SETTINGS, now=NOW)


def test_a_true_story_is_believed() -> None:
    story = told()
    assert (story.topic, story.partition, story.offset) == ("product.created", 2, 7)
    assert (story.rounds, story.attempts, story.written_at_ms) == (1, 3, 1_799_999_930_000)
    assert story.first_failed_at == "2027-01-15T07:59:00.000Z"


def test_counters_are_bounded_by_what_the_settings_allow() -> None:
    story = told(skureel__rounds="99", skureel__attempts="999999", skureel__replays="88")
    assert (story.rounds, story.attempts, story.replays) == (2, 6, MOST_REPLAYS)


@pytest.mark.parametrize(
    "text", ["2027-01-15T08:00:01.000Z", "9999-12-31T23:59:59.999Z", "yesterday", "2027-01-15", ""]
)
def test_a_first_failure_that_was_not_is_none(text: str) -> None:
    assert told(skureel__first_failed_at=text).first_failed_at == ""


def headers(**changed: str) -> dict[str, str]:
    return {name.replace("connect_", "__connect.errors."): text for name, text in changed.items()}


@pytest.mark.parametrize(
    "changed",
    [
        headers(connect_topic="video.requested"),
        headers(connect_topic=""),
        headers(connect_offset="90"),
        headers(connect_offset="1234567"),
    ],
)
def test_a_place_that_the_record_does_not_come_from_begins_a_new_story(changed: dict[str, str]) -> None:
    raw = [(name, text.encode()) for name, text in {**TRUE, **changed, "skureel.rounds": "2"}.items()]
    record = SimpleNamespace(topic="product.created", partition=2, offset=90, timestamp=5, headers=raw)
    story = stories.of(record, SETTINGS, now=NOW)
    assert (story.topic, story.offset, story.rounds, story.attempts) == ("product.created", 90, 0, 0)
    assert story.written_at_ms == 5


def test_the_runtimes_own_topics_are_believed() -> None:
    assert told("product.created.retry.30s", skureel__rounds="5").rounds == 5
    assert told("product.created.dlq", skureel__attempts="50").attempts == 50


@given(st.dictionaries(st.sampled_from(sorted(TRUE)), st.binary(max_size=40) | st.text(max_size=5_000).map(str.encode)))
def test_no_story_can_harm_anything(forged: dict[str, bytes]) -> None:
    raw = list({**{name: text.encode() for name, text in TRUE.items()}, **forged}.items())
    record = SimpleNamespace(topic="product.created", partition=2, offset=90, timestamp=5_000, headers=raw)
    story = stories.of(record, SETTINGS, now=NOW)
    assert story.topic == "product.created"
    assert 0 <= story.rounds <= 2
    assert 0 <= story.attempts <= 6
    assert story.first_failed_at <= "2027-01-15T08:00:00.000Z"
    assert 0 <= story.written_at_ms <= 5_000


@pytest.mark.parametrize("name", ["__connect.errors.exception.message", "skureel.reason", "skureel.first-failed-at"])
@pytest.mark.parametrize("topic", ["product.created", "product.created.dlq"])
def test_no_text_of_a_header_reaches_a_terminal_as_it_came(name: str, topic: str) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\n\u202egnp\udcff" + "x" * 100_000
    raw = [(name, evil.encode("utf-8", "surrogatepass"))]
    record = SimpleNamespace(topic=topic, partition=0, offset=0, timestamp=0, headers=raw)
    story = stories.of(record, SETTINGS, now=NOW)
    for text in (story.message, story.reason, story.first_failed_at):
        assert text.isprintable()
        assert len(text) < 4_000


def travelling(own: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return stories.written(own, Story(topic="t", reason="r"), group="g", client_id="c")


def test_of_a_bomb_of_headers_little_travels_and_the_rest_is_named() -> None:
    event = [("ce_id", b"1"), ("content-type", b"application/json")]
    bomb = [(f"h{number}", b"x" * 4_000_000) for number in range(25)]
    sent = travelling([*bomb, ("small", b"y"), *event])
    assert [header for header in sent if not header[0].startswith(("__connect", "skureel"))] == [
        ("small", b"y"),
        *event,
    ]
    assert dict(sent)["skureel.left-out-headers"].startswith(b"h0, h1, ")
    assert len(dict(sent)["skureel.left-out-headers"]) <= 1_010


def test_the_events_own_attributes_go_before_all_others() -> None:
    many = [(f"h{number}", b"x" * 100) for number in range(2_000)]
    sent = dict(travelling([*many, ("ce_id", b"1"), ("ce_source", b"/s" * 400)]))
    assert (sent["ce_id"], sent["ce_source"]) == (b"1", b"/s" * 400)
    own = {name: raw for name, raw in sent.items() if not name.startswith(("__connect", "skureel"))}
    assert MOST_HEADER_BYTES // 2 < sum(len(name) + len(raw) for name, raw in own.items()) <= MOST_HEADER_BYTES


def test_names_of_headers_count_and_are_cut() -> None:
    sent = travelling([("\x1b[2J" + "n" * 1_000_000, b""), ("kept", b"z")])
    assert ("kept", b"z") in sent
    named = dict(sent)["skureel.left-out-headers"].decode()
    assert named.isprintable()
    assert len(named) <= 1_000
