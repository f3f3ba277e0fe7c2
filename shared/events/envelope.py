"""The CloudEvents envelope around a payload, and the table of event types.

An `Event` is what functions take and return. How it looks on the wire is in `shared.events.cloudevents`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from shared.errors import PermanentError
from shared.events.payload import Payload
from shared.events.product import Product
from shared.events.sequence import EXTENSION as SEQUENCE
from shared.events.video import BulkVideoRequested, VideoReady, VideoRejected, VideoRequested, VideoReview

P = TypeVar("P", bound=Payload)
P_co = TypeVar("P_co", bound=Payload, covariant=True)


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the table: the type, which is also the topic, its payload, its record key, what it means, and which
    functions here write and read it. What none writes comes from outside; what none reads is for others alone."""

    name: str
    description: str
    payload: type[Payload]
    key_field: str
    written_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()


# Where a function reads several types, the more urgent come first: a later one yields to them.
EVENT_TYPES: Mapping[str, EventType] = {
    row.name: row
    for row in (
        EventType(
            name="product.created",
            description="A marketplace listed a product.",
            payload=Product,
            key_field="product_id",
            read_by=("derive_prompt",),
        ),
        EventType(
            name="product.updated",
            description="A marketplace changed a product.",
            payload=Product,
            key_field="product_id",
            read_by=("derive_prompt",),
        ),
        EventType(
            name="video.requested",
            description="A clip is wanted and not yet in the store.",
            payload=VideoRequested,
            key_field="video_id",
            written_by=("derive_prompt",),
            read_by=("render_video",),
        ),
        EventType(
            name="video.requested.bulk",
            description="The same, from regeneration; yields to live.",
            payload=BulkVideoRequested,
            key_field="video_id",
            written_by=("replay_events",),
            read_by=("render_video",),
        ),
        EventType(
            name="video.ready",
            description="A product's clip lies in the store, checked and labelled.",
            payload=VideoReady,
            key_field="product_id",
            written_by=("derive_prompt", "render_video", "replay_events"),
        ),
        EventType(
            name="video.review",
            description="A clip did not pass inspection; a person decides.",
            payload=VideoReview,
            key_field="product_id",
            written_by=("render_video",),
        ),
        EventType(
            name="video.rejected",
            description="A product gets no clip; the reasons say why.",
            payload=VideoRejected,
            key_field="product_id",
            written_by=("derive_prompt", "render_video"),
        ),
    )
}

ENTRY_TYPES = tuple(row.name for row in EVENT_TYPES.values() if not row.written_by)
"""Types that come from outside."""

READ_TYPES = tuple(row.name for row in EVENT_TYPES.values() if row.read_by)
"""Types that functions here read, so that they need retries and dead letters."""

_ANSWERS = {row.payload: row.name for row in EVENT_TYPES.values() if row.written_by}
_HANDED_ON = ("traceparent", "tracestate", SEQUENCE)


def read_by(function: str) -> tuple[str, ...]:
    """The types that a function reads, most urgent first."""
    return tuple(row.name for row in EVENT_TYPES.values() if function in row.read_by)


def written_by(function: str) -> tuple[str, ...]:
    """The types that a function writes."""
    return tuple(row.name for row in EVENT_TYPES.values() if function in row.written_by)


def event_type(name: str) -> EventType:
    """Look up an event type; an unknown one is a PermanentError `unknown-type`."""
    try:
        return EVENT_TYPES[name]
    except KeyError:
        known = ", ".join(EVENT_TYPES)
        raise PermanentError(f"event type {name!r} is unknown; send one of {known}", reason="unknown-type") from None


@dataclass(frozen=True, slots=True)
class Event(Generic[P_co]):
    """One event: CloudEvents 1.0 attributes and a typed payload.

    `source` and `id` together are unique for ever; redelivery repeats them. `extensions` holds CloudEvents extension
    attributes (lowercase letters and digits), e.g. `traceparent`. `left_out` names the fields of the data that could
    not be read, or not wholly; whoever handles the event says so to those who operate it. `last_round` is the
    trigger's word that nobody brings this event again after a TemporaryError: what would wait is to be answered now.
    """

    type: str
    source: str
    id: str
    data: P_co
    time: datetime | None = None
    subject: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    dataschema: str | None = None
    left_out: tuple[str, ...] = field(default=(), compare=False)
    last_round: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """The Kafka record key: product id or video id, by the table."""
        return str(getattr(self.data, event_type(self.type).key_field))

    @property
    def sequence(self) -> str:
        """What orders the answers for one product (`shared.events.sequence`); empty where nothing does."""
        return self.extensions.get(SEQUENCE, "")


def answer(cause: Event[Any], data: P, *, source: str, time: datetime) -> Event[P]:
    """The event that another leads to; the payload's class says which type.

    Its id is a function of the cause and the type, so that a redelivery repeats it. Trace and sequence are handed on.
    """
    type_name = type_of_answer(data)
    return Event(
        type=type_name,
        source=source,
        id=follow_up_id(type_name, cause),
        data=data,
        time=time,
        subject=cause.subject,
        extensions={name: text for name, text in cause.extensions.items() if name in _HANDED_ON},
    )


def type_of_answer(data: Payload) -> str:
    """The type of the events that carry such a payload."""
    return _ANSWERS[type(data)]


def follow_up_id(type_name: str, cause: Event[Any]) -> str:
    """The id of the event of `type_name` that `cause` leads to: 32 hexadecimal digits, a function of both alone."""
    text = "\0".join((type_name, cause.source, cause.id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
