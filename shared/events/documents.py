"""The documents that other teams read: a JSON Schema for each event type and one AsyncAPI 3 document for all.

Made from the pydantic models by `skureel schemas`, committed, and checked for drift by `make check`.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.events.envelope import EVENT_TYPES, EventType

DOCUMENTS = Path(__file__).parent / "documents"

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
        "content-type": {"type": "string", "const": "application/json"},
    },
}
_WRITTEN_BY = {
    "product.created": "receive",
    "product.updated": "receive",
    "video.requested": "send",
    "video.requested.bulk": "send",
    "video.ready": "send",
    "video.review": "send",
    "video.rejected": "send",
}


def render() -> dict[str, str]:
    """Every document by its file name, as text."""
    documents: dict[str, Any] = {f"{row.name}.schema.json": _schema(row) for row in EVENT_TYPES.values()}
    documents["asyncapi.json"] = _asyncapi()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def write(folder: Path = DOCUMENTS) -> list[Path]:
    """Write the documents; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in render().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        files.append(path)
    return files


def drift(folder: Path = DOCUMENTS) -> Iterator[str]:
    """Names of documents that differ from the models, are missing, or belong to no model."""
    rendered = render()
    for name, text in rendered.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield name
    yield from (path.name for path in folder.glob("*.json") if path.name not in rendered)


class _Schema(GenerateJsonSchema):
    """JSON Schema 2020-12, with the dialect named."""

    def generate(self, schema: Any, mode: Any = "validation") -> dict[str, Any]:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}


def _schema(row: EventType) -> dict[str, Any]:
    schema = row.payload.model_json_schema(schema_generator=_Schema)
    return {**schema, "title": row.name, "description": row.description}


def _asyncapi() -> dict[str, Any]:
    channels, operations, messages = {}, {}, {}
    for row in EVENT_TYPES.values():
        name = row.name.replace(".", "_")
        channels[name] = {
            "address": row.name,
            "description": row.description,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[name] = {
            "action": _WRITTEN_BY[row.name],
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        }
        messages[name] = {
            "name": row.name,
            "summary": row.description,
            "contentType": "application/json",
            "headers": _ATTRIBUTES,
            "payload": {"$ref": f"./{row.name}.schema.json"},
            "bindings": {
                "kafka": {
                    "bindingVersion": "0.5.0",
                    "key": {"type": "string", "description": f"{row.key_field} of the data"},
                }
            },
        }
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
        "components": {"messages": messages},
    }
