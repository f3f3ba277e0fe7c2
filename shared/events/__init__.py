"""Every event skureel reads or writes: pydantic payloads, the CloudEvents envelope, and the documents made from them.

No I/O is done here. The table of event types is `EVENT_TYPES`; the event type is the topic's name.
"""

from shared.events.envelope import (
    ENTRY_TYPES,
    EVENT_TYPES,
    READ_TYPES,
    Event,
    EventType,
    answer,
    event_type,
    follow_up_id,
    read_by,
    type_of_answer,
    written_by,
)
from shared.events.product import Experiment, Product
from shared.events.spec import ModelReference, RenderSpec, TemplateReference
from shared.events.video import (
    BulkVideoRequested,
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
    "ENTRY_TYPES",
    "EVENT_TYPES",
    "READ_TYPES",
    "BulkVideoRequested",
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
    "answer",
    "event_type",
    "follow_up_id",
    "read_by",
    "type_of_answer",
    "written_by",
]
