"""The documents that other teams read: a JSON Schema for each event type and one AsyncAPI 3 document for all.

Made from the pydantic models; `skureel schemas` writes them to `documents/` beside this, and `make check` finds drift.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.events.envelope import EVENT_TYPES, EventType

_ATTRIBUTES = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "minLength": 1, "description": "Repeated by a redelivery; never invented."},
        "ce_source": {"type": "string", "minLength": 1},
        "ce_type": {"type": "string", "description": "The topic's name, without the prefix."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_traceparent": {"type": "string"},
        "ce_sequence": {
            "type": "string",
            "description": "On what is answered to a product: orders answers for one product, as text. It tells the "
            "product event's time, type, partition and offset. What a producer writes of it is not looked at.",
            "examples": ["2026-11-21T08:30:00.000000Z-1-0000000003-0000000000000000042"],
        },
        "content-type": {"type": "string", "const": "application/json"},
    },
}
_TEXT = {"type": "string"}
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_STORY = {
    "type": "object",
    "description": "What the runtime tells of a record that failed, beside the record's own headers, which stay. A "
    "record that came back to its topic for a retry has it too.",
    "required": ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset", "skureel.reason"],
    "properties": {
        "__connect.errors.topic": {**_TEXT, "description": "Where the record first came from, with the prefix."},
        "__connect.errors.partition": _NUMBER,
        "__connect.errors.offset": _NUMBER,
        "__connect.errors.connector.name": {**_TEXT, "description": "The consumer group that failed."},
        "__connect.errors.task.id": {**_TEXT, "description": "The worker in it."},
        "__connect.errors.stage": {**_TEXT, "enum": ["decode", "handle", "encode", "send"]},
        "__connect.errors.class.name": _TEXT,
        "__connect.errors.exception.class.name": _TEXT,
        "__connect.errors.exception.message": {**_TEXT, "description": "Subject, fact and next step."},
        "__connect.errors.exception.stacktrace": {**_TEXT, "description": "Of a defect alone."},
        "skureel.reason": {**_TEXT, "description": "A stable word for machines, e.g. invalid-json."},
        "skureel.attempts": {**_NUMBER, "description": "Times a handler was called with it, over all rounds."},
        "skureel.rounds": {**_NUMBER, "description": "Times it went through a retry topic."},
        "skureel.replays": {**_NUMBER, "description": "Times it was taken back from the dead letters."},
        "skureel.first-failed-at": {**_TEXT, "format": "date-time"},
        "skureel.written-at": {
            **_NUMBER,
            "description": "The record's own time where it first was, in milliseconds since the epoch.",
        },
        "skureel.left-out-headers": {
            **_TEXT,
            "description": "Names of the record's own headers that were too many to travel with it.",
        },
        "skureel.omitted-bytes": {
            **_NUMBER,
            "description": "Size of a record too large to be kept: only this is left.",
        },
    },
}
_DELAY = {
    "description": "How long a record waits there: seconds, as SKUREEL_KAFKA__RETRY_DELAYS_SECONDS has them.",
    "examples": ["30s", "300s", "0.5s"],
}
_NOT_IN_NAMES = str.maketrans("", "", "{}")


def render() -> dict[str, str]:
    """Every document by its file name, as text."""
    documents: dict[str, Any] = {f"{row.name}.schema.json": _schema(row) for row in EVENT_TYPES.values()}
    documents["asyncapi.json"] = _asyncapi()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


class _Schema(GenerateJsonSchema):
    """JSON Schema 2020-12, with the dialect named."""

    def generate(self, schema: Any, mode: Any = "validation") -> dict[str, Any]:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}


def _schema(row: EventType) -> dict[str, Any]:
    schema = row.payload.model_json_schema(schema_generator=_Schema)
    return {**schema, "title": row.name, "description": row.description}


def _asyncapi() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}

    def describe(address: str, actions: Sequence[str], message: dict[str, Any], **more: Any) -> None:
        name = address.replace(".", "_").translate(_NOT_IN_NAMES)
        messages[name] = {"name": address, **message}
        channels[name] = {
            "address": address,
            "description": message["summary"],
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            **more,
        }
        for action in actions:
            operations[name if len(actions) == 1 else f"{action}_{name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            }

    for row in EVENT_TYPES.values():
        event = {
            "contentType": "application/json",
            "payload": {"$ref": f"./{row.name}.schema.json"},
            "bindings": _keyed(f"{row.key_field} of the data"),
        }
        attributes, story = ({"$ref": f"#/components/schemas/{name}"} for name in ("attributes", "story"))
        describe(
            row.name,
            ["send" if row.written_by else "receive"],
            {"summary": row.description, "headers": attributes, **event},
        )
        if not row.read_by:
            continue
        describe(
            f"{row.name}.retry.{{delay}}",
            ["send", "receive"],
            {
                "summary": f"A {row.name} whose handling failed for now: as it came, and back in its topic after the "
                "delay.",
                "headers": {"allOf": [attributes, story]},
                **event,
            },
            parameters={"delay": _DELAY},
        )
        describe(
            f"{row.name}.dlq",
            ["send"],
            {
                "summary": f"A record of {row.name} that could not be handled: its exact bytes, and why.",
                "headers": story,
                "contentType": "application/octet-stream",
                "payload": {"description": "Whatever was sent; it need not be an event."},
                "bindings": _keyed("as it came"),
            },
        )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "skureel",
            "version": version("skureel"),
            "description": "Product events in, video events out. CloudEvents 1.0 on Kafka, binary mode. Fields that no "
            "schema names are ignored. What cannot be read of an optional field is left out, and costs no event.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": {"attributes": _ATTRIBUTES, "story": _STORY}, "messages": messages},
    }


def _keyed(description: str) -> dict[str, Any]:
    return {"kafka": {"bindingVersion": "0.5.0", "key": {"type": "string", "description": description}}}
