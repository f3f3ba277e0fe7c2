"""The published schemas and the AsyncAPI document."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from functions.cli import schemas as published
from shared.events import EVENT_TYPES, Event, Product
from shared.events.cloudevents import to_kafka
from shared.kafka.operating.topics import needed_topics
from shared.kafka.runtime.handling import Handling
from shared.kafka.runtime.rejecting import Rejecting
from shared.kafka.runtime.tracker import PartitionTracker, Work
from shared.kafka.story import Story, written
from shared.settings import KafkaSettings
from tests.delivery.harness import Answering, product_event


def schema_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((published.DOCUMENTS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return document


def test_committed_documents_say_what_the_models_say() -> None:
    assert list(published.drift()) == []


def test_a_changed_missing_or_surplus_document_is_drift(tmp_path: Path) -> None:
    published.write(tmp_path)
    (tmp_path / "video.ready.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "video.review.schema.json").unlink()
    (tmp_path / "video.gone.schema.json").write_text("{}", encoding="utf-8")
    assert set(published.drift(tmp_path)) == {
        "video.ready.schema.json",
        "video.review.schema.json",
        "video.gone.schema.json",
    }


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_schema_is_valid_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(name))


@pytest.mark.parametrize(
    "product",
    [
        {"product_id": "SKU-1", "name": "耳机", "color": "黑色", "features": ["主动降噪", "续航30小时"]},
        {"id": 1108031, "name": "x", "colour": "red"},
        {"product_id": "1", "name": "x", "category": None, "attributes": {"重量": 3, "颜色": ["红", "蓝"]}, "new": 1},
    ],
)
def test_what_the_schema_takes_the_model_takes(product: dict[str, Any]) -> None:
    jsonschema.validate(product, schema_of("product.created"))
    Product.model_validate(product)


@pytest.mark.parametrize(
    "product", [{"product_id": "p"}, {"name": "x"}, {"id": "p", "name": ""}, {"id": {}, "name": "x"}]
)
def test_the_schema_refuses_a_product_without_an_id_or_a_name(product: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(product, schema_of("product.created"))


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((published.DOCUMENTS / "asyncapi.json").read_text(encoding="utf-8"))
    return document


def test_the_asyncapi_document_names_every_topic_that_is_made() -> None:
    addresses = [channel["address"] for channel in asyncapi()["channels"].values()]
    settings = KafkaSettings(retry_delays_seconds=(30.0,))
    assert sorted(address.format(delay="30s") for address in addresses) == sorted(needed_topics(settings))


def test_every_parameter_of_an_address_is_described() -> None:
    for channel in asyncapi()["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    references = [*found(document, "$ref")]
    assert len(references) > 4 * len(document["channels"])
    for reference in references:
        if reference.startswith("./"):
            assert (published.DOCUMENTS / reference).is_file()
            continue
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def found(part: Any, name: str) -> Iterator[Any]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == name)
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from found(item, name)


@pytest.mark.parametrize("value", [b"{", b'{"product_id": "p", "name": "x"}', b"x" * (9 << 20)])
def test_the_headers_of_a_failed_record_are_as_described(value: bytes) -> None:
    """Told by the runtime itself: a defect has them all, but for those of a replay."""
    message = to_kafka(product_event("p"))
    settings = KafkaSettings(retries_in_place=0)
    handling = Handling(
        Answering(_break),
        settings,
        rejecting=Rejecting(settings, group="g", client_id="c", clock=lambda: 1_800_000_000.0),
        clock=lambda: 1_800_000_000.0,
        holding=lambda: False,
        interrupted=lambda: False,
        pause=lambda seconds: None,
    )
    place = {"topic": "product.created", "partition": 2, "offset": 7, "timestamp": 0}
    record = SimpleNamespace(**place, **message._replace(value=value)._asdict())
    work = Work(record, PartitionTracker(None))  # type: ignore[arg-type]
    (output,) = handling.finish(work).outputs
    described = asyncapi()["components"]["schemas"]["story"]
    told = {name: raw.decode() for name, raw in output.headers if name.startswith(("__connect", "skureel"))}
    jsonschema.validate(told, {**described, "additionalProperties": False})


def _break(event: Event[Any]) -> None:
    raise ZeroDivisionError


def test_every_header_that_a_story_can_have_is_described() -> None:
    full = Story("t", 1, 2, 3, 4, 5, "2026-01-01T00:00:00.000Z", 6, "reason", "handle", "E", "message", "trace")
    written_names = {name for name, _ in written([("x", b"y" * 100_000)], full, group="g", client_id="c")}
    described = asyncapi()["components"]["schemas"]["story"]["properties"]
    assert written_names == set(described) - {"skureel.omitted-bytes"}
