"""CloudEvents 1.0 on the wire: Kafka records and HTTP messages. Binary mode is written; binary and structured are read.

Written here because the SDK invents an id for an event that has none, which would break every idempotency promise, and
refuses a structured message that also carries `ce_` headers, which the Kafka binding (section 3.3.3) allows.
Sources: CloudEvents 1.0.2, its Kafka, HTTP and JSON bindings.
"""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from pydantic import ValidationError

from shared.errors import PermanentError
from shared.events.envelope import Event, event_type
from shared.events.reading import read
from shared.validation import described, first_problem

MAX_DATA_BYTES = 512 * 1024
"""A product event is a few KiB; half a MiB of it is a mistake or an attack."""

_SPEC_VERSION = re.compile(r"1\.\d+")
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,64}")
_CORE = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
_MOST_CHARACTERS = 1024
"""Of an attribute. A longer one is refused where the event needs it, and else dropped: answers hand some of them on."""
_STRUCTURED = "application/cloudevents"


class KafkaMessage(NamedTuple):
    """The parts of a Kafka record that a CloudEvent fills."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def to_kafka(event: Event[Any], data: bytes | None = None) -> KafkaMessage:
    """Write an event in binary mode: attributes as `ce_` headers, the payload as JSON, the key by the type's table.

    `data` is the JSON that the payload was read from, for those who pass on what others wrote: it may say more.
    """
    headers = [(f"ce_{name}", text.encode()) for name, text in _attributes(event).items()]
    headers.append(("content-type", b"application/json"))
    return KafkaMessage(event.key.encode(), _payload_json(event) if data is None else data, headers)


def from_kafka(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> Event[Any]:
    """Read an event from a Kafka record in binary or structured mode.

    Raises PermanentError with a reason: `tombstone`, `not-a-cloudevent`, `no-id`, `invalid-utf8`, `invalid-json`,
    `too-large`, `unsupported-specversion`, `unknown-type`, `invalid-data`.
    """
    texts: dict[str, str] = {}
    for name, raw in headers:
        lowered = name.lower()
        # Only what the binding names is looked at: foreign headers may hold any bytes.
        if raw is not None and (lowered == "content-type" or lowered.startswith("ce_")):
            # The first wins: hops append, and the oldest entry is the producer's.
            texts.setdefault(lowered, _utf8(raw, f"header {lowered}"))
    if value is None:
        raise PermanentError("the record has no value (a tombstone); send the product as JSON", reason="tombstone")
    if texts.get("content-type", "").lower().lstrip().startswith(_STRUCTURED):
        return _from_structured(texts["content-type"], value)
    attributes = {name.removeprefix("ce_"): text for name, text in texts.items() if name.startswith("ce_")}
    if not attributes:
        raise PermanentError(
            "the record has neither ce_ headers nor content-type application/cloudevents+json; send a CloudEvent",
            reason="not-a-cloudevent",
        )
    attributes.setdefault("datacontenttype", texts.get("content-type", "application/json"))
    return _event(attributes, value)


def to_http(event: Event[Any]) -> tuple[dict[str, str], bytes]:
    """Write an event as an HTTP message in binary mode: headers and body."""
    headers = {f"ce-{name}": _percent_encoded(text) for name, text in _attributes(event).items()}
    headers["content-type"] = "application/json"
    return headers, _payload_json(event)


def from_http(headers: Mapping[str, str], body: bytes) -> Event[Any]:
    """Read an event from an HTTP message in binary or structured mode. Errors as in `from_kafka`."""
    lowered = {name.lower(): text for name, text in headers.items()}
    content_type = lowered.get("content-type", "application/json")
    if content_type.lower().lstrip().startswith(_STRUCTURED):
        return _from_structured(content_type, body)
    attributes = {
        name.removeprefix("ce-"): _utf8(unquote_to_bytes(text), f"header {name}")
        for name, text in lowered.items()
        if name.startswith("ce-")
    }
    if not attributes:
        raise PermanentError(
            "the request has neither ce- headers nor content-type application/cloudevents+json; send a CloudEvent",
            reason="not-a-cloudevent",
        )
    attributes.setdefault("datacontenttype", content_type)
    return _event(attributes, body)


def to_structured(event: Event[Any]) -> bytes:
    """Write an event as one line of structured CloudEvents JSON."""
    document: dict[str, Any] = {**_attributes(event), "datacontenttype": "application/json"}
    document["data"] = event.data.model_dump(mode="json")
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def from_structured(value: bytes) -> Event[Any]:
    """Read structured CloudEvents JSON. Errors as in `from_kafka`."""
    return _from_structured(f"{_STRUCTURED}+json", value)


def _from_structured(content_type: str, value: bytes) -> Event[Any]:
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in (_STRUCTURED, f"{_STRUCTURED}+json"):
        raise PermanentError(
            f"content-type {media_type[:_MOST_CHARACTERS]!r} is not read; send {_STRUCTURED}+json, one event a record",
            reason="not-a-cloudevent",
        )
    _check_size(value)
    document = _json(_utf8(value.removeprefix(codecs.BOM_UTF8), "the structured event"))
    if not isinstance(document, dict):
        raise PermanentError("the structured event is not a JSON object; send one event", reason="not-a-cloudevent")
    data = document.pop("data", None)
    data_base64 = document.pop("data_base64", None)
    if data is not None and data_base64 is not None:
        raise PermanentError(
            "the structured event has both data and data_base64; send one of them", reason="not-a-cloudevent"
        )
    attributes: dict[str, str] = {}
    for name, attribute in document.items():
        if attribute is None:
            continue
        if isinstance(attribute, bool):
            attributes[name] = "true" if attribute else "false"
        elif isinstance(attribute, str | int):
            attributes[name] = str(attribute)
        else:
            raise PermanentError(
                f"attribute {name!r} is neither text, integer nor boolean; move it into data",
                reason="not-a-cloudevent",
            )
    if data_base64 is not None:
        try:
            payload = base64.b64decode(str(data_base64), validate=True)
        except (binascii.Error, ValueError) as error:
            raise PermanentError(f"data_base64 does not decode: {error}", reason="not-a-cloudevent") from error
    elif data is None:
        raise PermanentError("the structured event has no data; send the product in data", reason="tombstone")
    else:
        # Half a character goes back to the escape that it came in.
        payload = json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return _event(attributes, payload)


def _event(attributes: dict[str, str], payload: bytes) -> Event[Any]:
    """Check the attributes and the payload, in the order in which a producer would mend them."""
    specversion = attributes.get("specversion", "1.0")[:_MOST_CHARACTERS]
    if not _SPEC_VERSION.fullmatch(specversion):
        raise PermanentError(
            f"CloudEvents specversion {specversion!r} is not supported; send 1.0", reason="unsupported-specversion"
        )
    # Never invented: a redelivered event must carry the id it had before.
    identity = _required(attributes, "id", reason="no-id")
    source = _required(attributes, "source", reason="not-a-cloudevent")
    row = event_type(_required(attributes, "type", reason="not-a-cloudevent"))
    content_type = attributes.get("datacontenttype", "application/json")[:_MOST_CHARACTERS]
    if not content_type.partition(";")[0].strip().lower().endswith(("/json", "+json")):
        raise PermanentError(
            f"event {identity!r} has data of type {content_type!r}; send application/json", reason="invalid-data"
        )
    _check_size(payload)
    try:
        data, left_out = read(row.payload, payload)
    except ValidationError as error:
        raise _invalid_data(identity, payload, error) from error
    return Event(
        type=row.name,
        source=source,
        id=identity,
        data=data,
        time=_time(attributes.get("time")),
        subject=_optional(attributes.get("subject")),
        extensions={
            name: text
            for name, text in attributes.items()
            if name not in _CORE and _EXTENSION_NAME.fullmatch(name) and _optional(text) is not None
        },
        dataschema=_optional(attributes.get("dataschema")),
        left_out=left_out,
    )


def _required(attributes: Mapping[str, str], name: str, *, reason: str) -> str:
    text = attributes.get(name, "").strip()
    if not text:
        raise PermanentError(f"the event has no {name}; CloudEvents requires one", reason=reason)
    if len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise PermanentError(
            f"the event's {name} is longer than {_MOST_CHARACTERS} characters or not printable; send a plain one",
            reason=reason,
        )
    return text


def _optional(text: str | None) -> str | None:
    """Optional text that can be passed on. Too long a one cannot, nor half a character, which JSON can write: it is
    dropped."""
    if text is None or len(text) > _MOST_CHARACTERS:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text


def _time(text: str | None) -> datetime | None:
    """Read an RFC 3339 time. One that does not parse is dropped: the record's own takes its place, no product is lost
    for it."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 takes t and z as well
        moment.astimezone(UTC)  # at the ends of the calendar there are moments that UTC has not
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else None


def _invalid_data(identity: str, payload: bytes, error: ValidationError) -> PermanentError:
    first = first_problem(error)
    if first["type"] == "json_invalid":
        try:
            payload.decode()
        except UnicodeDecodeError as utf8_error:
            return PermanentError(f"event {identity!r}: data is not UTF-8: {utf8_error}", reason="invalid-utf8")
        return PermanentError(f"event {identity!r}: data is not JSON: {first['msg']}", reason="invalid-json")
    others = error.error_count() - 1
    more = f" (and {others} more)" if others else ""
    return PermanentError(f"event {identity!r}: {described(error, whole='data')}{more}", reason="invalid-data")


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_DATA_BYTES:
        raise PermanentError(
            f"the event has {len(payload)} bytes of data, {MAX_DATA_BYTES} are allowed; send less", reason="too-large"
        )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"the structured event is not JSON: {error}", reason="invalid-json") from error


def _utf8(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise PermanentError(f"{what} is not UTF-8: {error}", reason="invalid-utf8") from error


def _attributes(event: Event[Any]) -> dict[str, str]:
    attributes = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    if event.subject is not None:
        attributes["subject"] = event.subject
    if event.time is not None:
        attributes["time"] = event.time.isoformat().replace("+00:00", "Z")
    if event.dataschema is not None:
        attributes["dataschema"] = event.dataschema
    return {**attributes, **event.extensions}


def _payload_json(event: Event[Any]) -> bytes:
    # The serializer itself: model_dump_json would decode to text, only to be encoded again.
    data: bytes = event.data.__pydantic_serializer__.to_json(event.data)
    return data


def _percent_encoded(text: str) -> str:
    """HTTP binding 3.1.3.2: printable ASCII stands for itself, but for space, double quote and percent."""
    return quote(text, safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
