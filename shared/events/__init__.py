"""Every event skureel reads or writes: pydantic payloads, the CloudEvents envelope, and the documents made from them.

No I/O is done here. The table of event types is `EVENT_TYPES`; the event type is the topic's name.
"""

from shared.events.envelope import EVENT_TYPES, FINAL_TYPES, Event, EventType, event_type, follow_up_id
from shared.events.product import Experiment, Product
from shared.events.spec import ModelReference, RenderSpec, TemplateReference
from shared.events.video import (
    Clip,
    Inspection,
    Label,
    Poster,
    Reason,
    Rendition,
    VideoReady,
    VideoRejected,
    VideoRequested,
    VideoReview,
)

__all__ = [
    "EVENT_TYPES",
    "FINAL_TYPES",
    "Clip",
    "Event",
    "EventType",
    "Experiment",
    "Inspection",
    "Label",
    "ModelReference",
    "Poster",
    "Product",
    "Reason",
    "RenderSpec",
    "Rendition",
    "TemplateReference",
    "VideoReady",
    "VideoRejected",
    "VideoRequested",
    "VideoReview",
    "event_type",
    "follow_up_id",
]
