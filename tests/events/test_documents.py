"""The published schemas and the AsyncAPI document."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.events import EVENT_TYPES, Product
from shared.events import documents as published


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
        {"product_id": "1", "name": "x", "category": None, "attributes": {"重量": 3, "颜色": ["红", "蓝"]}, "new": 1},
    ],
)
def test_what_the_schema_takes_the_model_takes(product: dict[str, Any]) -> None:
    jsonschema.validate(product, schema_of("product.created"))
    Product.model_validate(product)


def test_the_schema_refuses_a_product_without_a_name() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"product_id": "p"}, schema_of("product.created"))


def test_the_asyncapi_document_names_every_type_and_its_schema() -> None:
    document = json.loads((published.DOCUMENTS / "asyncapi.json").read_text(encoding="utf-8"))
    assert {channel["address"] for channel in document["channels"].values()} == set(EVENT_TYPES)
    for message in document["components"]["messages"].values():
        assert (published.DOCUMENTS / message["payload"]["$ref"]).is_file()
