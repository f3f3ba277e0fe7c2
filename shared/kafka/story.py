"""The story a record carries through retry and dead letter topics, in its headers.

Kafka Connect's names say where the record came from and what went wrong last; `skureel.*` say how often and since when.
A hop strips what earlier hops wrote and writes it anew, so headers never grow; key and value are never touched.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

Headers = list[tuple[str, bytes]]

CONNECT = "__connect.errors."
SKUREEL = "skureel."
REASON = SKUREEL + "reason"
ATTEMPTS = SKUREEL + "attempts"
ROUNDS = SKUREEL + "rounds"
FIRST_FAILED_AT = SKUREEL + "first-failed-at"
DUE_AT = SKUREEL + "due-at"
REPLAYS = SKUREEL + "replays"
OMITTED = SKUREEL + "omitted-bytes"
"""Only on the story of a dead letter that was too large to be kept: how large it was."""

_HOP_CONTEXT = ("traceparent", "tracestate")
_MESSAGE_CHARACTERS = 2_000
_TRACE_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Story:
    """What a record's headers tell of its failures so far."""

    topic: str = ""
    """Where the record first came from; empty: from where it lies now."""
    partition: int = 0
    offset: int = 0
    attempts: int = 0
    """Times a handler was called with it, over all rounds."""
    rounds: int = 0
    """Times it went through the retry topic since it was sent or replayed."""
    replays: int = 0
    """Times it was taken back from the dead letters."""
    first_failed_at: str = ""
    """ISO 8601 time of the first failure."""
    due_at: float = 0.0
    """Epoch seconds before which it must not be tried again."""
    reason: str = ""
    stage: str = ""
    exception: str = ""
    message: str = ""
    trace: str = ""


def read(headers: Iterable[tuple[str, bytes | None]]) -> Story:
    """Read the story in a record's headers. What is missing or broken reads as the default: it never makes poison."""
    texts = {
        name: raw.decode("utf-8", "replace")
        for name, raw in headers
        if raw is not None and name.startswith((CONNECT, SKUREEL))
    }
    if not texts:
        return _NO_STORY
    return Story(
        topic=texts.get(CONNECT + "topic", ""),
        partition=_count(texts.get(CONNECT + "partition")),
        offset=_count(texts.get(CONNECT + "offset")),
        attempts=_count(texts.get(ATTEMPTS)),
        rounds=_count(texts.get(ROUNDS)),
        replays=_count(texts.get(REPLAYS)),
        first_failed_at=texts.get(FIRST_FAILED_AT, ""),
        due_at=_count(texts.get(DUE_AT)) / 1000,
        reason=texts.get(REASON, ""),
        stage=texts.get(CONNECT + "stage", ""),
        exception=texts.get(CONNECT + "exception.class.name", ""),
        message=texts.get(CONNECT + "exception.message", ""),
        trace=texts.get(CONNECT + "exception.stacktrace", ""),
    )


def failed(
    story: Story, error: BaseException, *, reason: str, stage: str, attempts: int, now: float, defect: bool
) -> Story:
    """The story after one more failure: only the last error is told, the first failure's time stays."""
    return replace(
        story,
        attempts=story.attempts + attempts,
        first_failed_at=story.first_failed_at or _iso(now),
        due_at=0.0,
        reason=reason,
        stage=stage,
        exception=f"{type(error).__module__}.{type(error).__qualname__}",
        message=_cut(str(error), _MESSAGE_CHARACTERS),
        # A defect needs its place in the code; a failure that was raised on purpose says all in its message.
        trace=_trace(error) if defect else "",
    )


def written(headers: Iterable[tuple[str, bytes | None]], story: Story, *, group: str, client_id: str) -> Headers:
    """A record's own headers, without what earlier hops wrote, and then the story."""
    told: Headers = original(headers)
    texts = {
        CONNECT + "topic": story.topic,
        CONNECT + "partition": str(story.partition),
        CONNECT + "offset": str(story.offset),
        CONNECT + "connector.name": group,
        CONNECT + "task.id": client_id,
        CONNECT + "stage": story.stage,
        CONNECT + "class.name": "shared.kafka.Worker",
        CONNECT + "exception.class.name": story.exception,
        CONNECT + "exception.message": story.message,
        CONNECT + "exception.stacktrace": story.trace,
        REASON: story.reason,
        ATTEMPTS: str(story.attempts),
        FIRST_FAILED_AT: story.first_failed_at,
        ROUNDS: str(story.rounds),
        REPLAYS: str(story.replays),
        DUE_AT: str(int(story.due_at * 1000)) if story.due_at else "",
    }
    told.extend((name, text.encode("utf-8", "replace")) for name, text in texts.items() if text)
    return told


def replayed(headers: Iterable[tuple[str, bytes | None]], story: Story) -> Headers:
    """Headers of a dead letter that is sent again: its own, how often that was done, and when it first failed."""
    return [
        *original(headers),
        (REPLAYS, str(story.replays + 1).encode()),
        (FIRST_FAILED_AT, story.first_failed_at.encode("utf-8", "replace")),
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


_NO_STORY = Story()


def _count(text: str | None) -> int:
    # isdecimal alone accepts digits of every script and any length.
    return int(text) if text is not None and len(text) <= 15 and text.isascii() and text.isdecimal() else 0


def _iso(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _trace(error: BaseException) -> str:
    """The trace's end, where the error arose."""
    lines = "".join(traceback.format_exception(error, limit=-12))
    return lines if len(lines) <= _TRACE_CHARACTERS else "…" + lines[-_TRACE_CHARACTERS + 1 :]
