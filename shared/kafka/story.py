"""The story a record carries through retry and dead letter topics and back, in its headers.

Kafka Connect's names say where the record came from and what went wrong last; `skureel.*` say how often and since when.
A hop strips what earlier hops wrote and writes it anew, so headers never grow; key and value are never touched.

Retry and dead letter topics are written by the runtime alone, and what stands there is believed. On a topic of events,
to which a record comes back from its retries, anybody may write such headers. They are not signed: a key would have to
be kept, shared and rotated for what is worth little to a forger. There a story is believed as far as it can be true
(`believed`), and it is told of its own record alone: it may cost that record its retries, and nobody else anything.
Whatever text is read is bounded, and nothing in it moves a terminal.
"""

import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.kafka.client import DEAD_LETTER_SUFFIX, retry_delay
from shared.printable import one_line, words_of
from shared.settings import KafkaSettings

Headers = list[tuple[str, bytes]]

CONNECT = "__connect.errors."
SKUREEL = "skureel."
REASON = SKUREEL + "reason"
ATTEMPTS = SKUREEL + "attempts"
ROUNDS = SKUREEL + "rounds"
FIRST_FAILED_AT = SKUREEL + "first-failed-at"
WRITTEN_AT = SKUREEL + "written-at"
REPLAYS = SKUREEL + "replays"
OMITTED = SKUREEL + "omitted-bytes"
"""Only on the story of a dead letter that was too large to be kept: how large it was."""
LEFT_OUT = SKUREEL + "left-out-headers"
"""Only where a record has more headers than travel with it: the names of those that do not."""

MOST_HEADER_BYTES = 64 * 1024
"""How much of a record's own headers travels with it."""
MOST_REPLAYS = 3
"""A dead letter that fails as often after having been sent again stays one: it is parked."""

_HOP_CONTEXT = ("traceparent", "tracestate")
_MESSAGE_CHARACTERS = 2_000
_TRACE_CHARACTERS = 8_000
_NAME_CHARACTERS = 300
"""Above what names a topic (249)."""
_LEFT_OUT_CHARACTERS = 1_000
_PER_HEADER_BYTES = 10
"""What the record's format adds to each header, at most."""


class Story(NamedTuple):
    """What a record's headers tell of its failures so far."""

    topic: str = ""
    """Where the record first came from; empty: from where it lies now."""
    partition: int = 0
    offset: int = 0
    attempts: int = 0
    """Times a handler was called with it, over all rounds."""
    rounds: int = 0
    """Times it went through a retry topic since it was sent or replayed."""
    replays: int = 0
    """Times it was taken back from the dead letters."""
    first_failed_at: str = ""
    """ISO 8601 time of the first failure."""
    written_at_ms: int = 0
    """The time of the record itself where it first was, since the epoch."""
    reason: str = ""
    stage: str = ""
    exception: str = ""
    message: str = ""
    trace: str = ""

    @property
    def written_at(self) -> str:
        """The same in ISO 8601; empty where it is not known."""
        return _iso(self.written_at_ms / 1000) if self.written_at_ms else ""


def read(headers: Iterable[tuple[str, bytes | None]]) -> Story:
    """Read the story in a record's headers. What is missing or broken reads as the default: it never makes poison."""
    texts = {name: raw for name, raw in headers if raw is not None and name.startswith((CONNECT, SKUREEL))}
    if not texts:
        return _NO_STORY
    return Story(
        topic=_text(texts.get(CONNECT + "topic")),
        partition=_count(texts.get(CONNECT + "partition")),
        offset=_count(texts.get(CONNECT + "offset")),
        attempts=_count(texts.get(ATTEMPTS)),
        rounds=_count(texts.get(ROUNDS)),
        replays=_count(texts.get(REPLAYS)),
        first_failed_at=_moment(texts.get(FIRST_FAILED_AT)),
        written_at_ms=_count(texts.get(WRITTEN_AT)),
        reason=_text(texts.get(REASON)),
        stage=_text(texts.get(CONNECT + "stage")),
        exception=_text(texts.get(CONNECT + "exception.class.name")),
        message=_text(texts.get(CONNECT + "exception.message"), _MESSAGE_CHARACTERS),
        trace=_text(texts.get(CONNECT + "exception.stacktrace"), _TRACE_CHARACTERS),
    )


def of(record: Any, settings: KafkaSettings, *, now: float) -> Story:
    """The story of a record where it lies now; of one without a story, that it begins here."""
    told = read(record.headers)
    if told is not _NO_STORY and retry_delay(record.topic) is None and not record.topic.endswith(DEAD_LETTER_SUFFIX):
        told = believed(told, record, settings, now=now)
    return told if told.topic else _beginning(told, record)


def believed(story: Story, record: Any, settings: KafkaSettings, *, now: float) -> Story:
    """What of a story that anybody may have written can be true of this record, which came back to its topic.

    It came from this topic and an earlier place, was tried as often as the settings allow at most, and all that was
    in the past.
    """
    failed_before = story.first_failed_at <= _iso(now)
    story = story._replace(
        replays=min(story.replays, MOST_REPLAYS),
        first_failed_at=story.first_failed_at if failed_before else "",
    )
    elsewhere = story.topic != record.topic
    if elsewhere or (story.partition == record.partition and story.offset >= record.offset):
        return _beginning(story, record)
    rounds = min(story.rounds, len(settings.retry_delays_seconds))
    return story._replace(
        rounds=rounds,
        attempts=min(story.attempts, rounds * (1 + settings.retries_in_place)),
        written_at_ms=max(0, min(story.written_at_ms, record.timestamp)),
    )


def _beginning(story: Story, record: Any) -> Story:
    """Where a record begins that was sent, or sent again: of what was before, only that it was counts."""
    return Story(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        replays=story.replays,
        first_failed_at=story.first_failed_at,
        written_at_ms=max(0, record.timestamp),
    )


def failed(
    story: Story, error: BaseException, *, reason: str, stage: str, attempts: int, now: float, defect: bool
) -> Story:
    """The story after one more failure: only the last error is told, the first failure's time stays."""
    return story._replace(
        attempts=story.attempts + attempts,
        first_failed_at=story.first_failed_at or _iso(now),
        reason=reason,
        stage=stage,
        exception=f"{type(error).__module__}.{type(error).__qualname__}",
        message=_cut(words_of(error, _MESSAGE_CHARACTERS + 1), _MESSAGE_CHARACTERS),
        # A defect needs its place in the code; a failure that was raised on purpose says all in its message.
        trace=_trace(error) if defect else "",
    )


def written(headers: Iterable[tuple[str, bytes | None]], story: Story, *, group: str, client_id: str) -> Headers:
    """A record's own headers, as many as may travel, without what earlier hops wrote, and then the story."""
    told, left_out = _travelling(original(headers))
    texts = {
        CONNECT + "topic": story.topic,
        CONNECT + "partition": str(story.partition),
        CONNECT + "offset": str(story.offset),
        CONNECT + "connector.name": group,
        CONNECT + "task.id": client_id,
        CONNECT + "stage": story.stage,
        CONNECT + "class.name": "shared.kafka.runtime.worker.Worker",
        CONNECT + "exception.class.name": story.exception,
        CONNECT + "exception.message": story.message,
        CONNECT + "exception.stacktrace": story.trace,
        REASON: story.reason,
        ATTEMPTS: str(story.attempts),
        FIRST_FAILED_AT: story.first_failed_at,
        ROUNDS: str(story.rounds),
        REPLAYS: str(story.replays),
        WRITTEN_AT: str(story.written_at_ms),
        LEFT_OUT: left_out,
    }
    told.extend((name, text.encode("utf-8", "replace")) for name, text in texts.items() if text)
    return told


def replayed(headers: Iterable[tuple[str, bytes | None]], story: Story) -> Headers:
    """Headers of a dead letter that is sent again: its own, how often that was done, where it first was, and when it
    first failed."""
    return [
        *original(headers),
        (CONNECT + "topic", story.topic.encode()),
        (CONNECT + "partition", str(story.partition).encode()),
        (CONNECT + "offset", str(story.offset).encode()),
        (WRITTEN_AT, str(story.written_at_ms).encode()),
        (REPLAYS, str(story.replays + 1).encode()),
        (FIRST_FAILED_AT, story.first_failed_at.encode()),
    ]


def original(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """A record's own headers: without the story, and with at most one trace context.

    Instrumentation appends its context at every send and reads the first one, which is then stale: the last is kept.
    A null header value can be read but not sent by this client; it becomes an empty one.
    """
    own: Headers = []
    context: dict[str, bytes] = {}
    for name, raw in headers:
        if name.startswith((CONNECT, SKUREEL)):
            continue
        if name.lower() in _HOP_CONTEXT:
            context[name.lower()] = raw or b""
        else:
            own.append((name, raw if raw is not None else b""))
    own.extend(context.items())
    return own


def _travelling(own: Headers) -> tuple[Headers, str]:
    """Those of a record's own headers that go on with it, and the names of the others: attributes of the event first.

    A thousand bytes of names are named.
    """
    left = MOST_HEADER_BYTES
    kept = set()
    for place, (name, raw) in sorted(enumerate(own), key=lambda header: not _is_of_event(header[1][0])):
        size = len(name.encode()) + len(raw) + _PER_HEADER_BYTES
        if size <= left:
            kept.add(place)
            left -= size
    names = ", ".join(one_line(name[:_NAME_CHARACTERS]) for place, (name, _) in enumerate(own) if place not in kept)
    return [header for place, header in enumerate(own) if place in kept], _cut(names, _LEFT_OUT_CHARACTERS)


def _is_of_event(name: str) -> bool:
    return name.lower().startswith(("ce_", "content-type", *_HOP_CONTEXT))


_NO_STORY = Story()
_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""Epoch seconds of the last day that can be written."""


def _count(raw: bytes | None) -> int:
    # More digits than a Kafka offset has are no number of ours.
    return int(raw) if raw is not None and len(raw) <= 18 and raw.isdigit() else 0


def _text(raw: bytes | None, characters: int = _NAME_CHARACTERS) -> str:
    """Text of a header: bounded, in one line, without anything that a terminal would obey."""
    return one_line((raw or b"")[: 4 * characters].decode("utf-8", "replace")[:characters])


def _moment(raw: bytes | None) -> str:
    """A time in ISO 8601, as it is written here; empty where there is none."""
    try:
        moment = datetime.fromisoformat(_text(raw))
        return _iso(moment.timestamp()) if moment.tzinfo else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _iso(now: float) -> str:
    # Whatever this machine's clock says, a failure can be told.
    return (
        datetime.fromtimestamp(min(max(now, 0.0), _LATEST), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _trace(error: BaseException) -> str:
    """The trace's end, where the error arose."""
    lines = "".join(traceback.format_exception(error, limit=-12))
    return lines if len(lines) <= _TRACE_CHARACTERS else "…" + lines[-_TRACE_CHARACTERS + 1 :]
