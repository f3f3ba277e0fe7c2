"""One odd optional field loses no product: what is plain is understood, what cannot be read is left out and named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import PermanentError
from shared.events import Event, Product
from shared.events.cloudevents import from_kafka, from_structured, to_kafka, to_structured
from shared.events.reading import read

HEADERS = [("ce_specversion", b"1.0"), ("ce_id", b"e-1"), ("ce_source", b"/shop"), ("ce_type", b"product.created")]
MINIMAL = {"product_id": "SKU-1", "name": "杯"}
OPTIONAL = sorted(name for name, field in Product.model_fields.items() if not field.is_required())

UNDERSTOOD: list[tuple[str, Any, Any]] = [
    ("product_id", 1108031, "1108031"),
    ("name", 1984, "1984"),
    ("color", "红", ("红",)),
    ("color", {"name": "红"}, ("红",)),
    ("color", [{"name": "红", "value": "#f00"}, {"value": "蓝"}, None, 7], ("红 #f00", "蓝", "7")),
    ("category", {"id": 12, "name": "杯子"}, ("杯子",)),
    ("attributes", [{"name": "材质", "value": "陶瓷"}], {"材质": ("陶瓷",)}),
    (
        "attributes",
        [{"name": "a", "value": ["x", 1]}, {"name": "b"}, {"name": "a", "value": True}],
        {"a": ("x", "1", "True")},
    ),
    (
        "attributes",
        [
            {"id": 1, "name": "Color", "options": ["Teal", "Sand"]},
            {"name": "Color", "option": "Coral"},
            {"name": "Fabric", "values": [{"name": "Linen"}]},
            {"name": "Fit", "terms": [{"id": 3, "name": "Loose"}], "value": None},
        ],
        {"Color": ("Teal", "Sand", "Coral"), "Fabric": ("Linen",), "Fit": ("Loose",)},
    ),
    ("gender", "female", ("female",)),
    ("age_group", ["kids", None], ("kids",)),
    ("item_group_id", 44, "44"),
    ("item_group_id", None, None),
    ("specifications", {"重量": {"name": 3, "value": "kg"}}, {"重量": ("3 kg",)}),
    ("image", ["a.jpg", "b.jpg"], "a.jpg"),
    ("brief", ["x"], "x"),
    ("locale", "zh-Hans-CN-u-co-pinyin", "zh-Hans-CN-u-co-pinyin"),
    ("locale", "", None),
    ("locale", " ", None),
    ("locale", "zh_CN.UTF-8", "zh_CN"),
    ("locale", ["de_DE@euro"], "de_DE"),
    ("image", [], None),
    ("experiment", {}, None),
]
LEFT_OUT: list[tuple[str, Any, Any]] = [
    ("locale", 5, None),
    ("locale", "Chinese, simplified", None),
    ("locale", "\ud83d", None),
    ("image", {"x": 1}, None),
    ("brief", 5, None),
    ("brief", "x" * 20_001, "x" * 20_000),
    ("brief", "x" * 20_001 + "\0", "x" * 20_000),
    ("brief", "\0" + "x" * 20_001, None),
    ("color", {"hex": "#f00"}, ()),
    ("color", ["红", {"hex": "#f00"}, ["蓝"]], ("红",)),
    ("features", [f"f{number}" for number in range(65)], tuple(f"f{number}" for number in range(64))),
    ("features", ["a\0", "b", "c" * 1025], ("b", "c" * 1024)),
    ("attributes", "材质", {}),
    ("attributes", ["材质", {"name": "色", "value": "红"}], {"色": ("红",)}),
    ("attributes", {"a\0": 1, "b": 2, "c": {"d": [1]}, "e": [1, {}]}, {"b": ("2",), "e": ("1",)}),
    ("attributes", {str(n): n for n in range(300)}, {str(n): (str(n),) for n in range(256)}),
    ("attributes", {"a": ["x"] * 65, **{str(n): 1 for n in range(80)}}, None),
    ("experiment", {"key": "k"}, None),
    ("experiment", [["k", "v"]], None),
]


def read_field(name: str, value: Any) -> tuple[Any, tuple[str, ...]]:
    product, left_out = read(Product, json.dumps({**MINIMAL, name: value}).encode())
    return getattr(product, name), left_out


@pytest.mark.parametrize(("name", "value", "understood"), UNDERSTOOD)
def test_what_is_plain_is_understood(name: str, value: Any, understood: Any) -> None:
    assert read_field(name, value) == (understood, ())


@pytest.mark.parametrize(("name", "value", "rest"), LEFT_OUT)
def test_what_cannot_be_read_is_left_out_and_named(name: str, value: Any, rest: Any) -> None:
    found, left_out = read_field(name, value)
    assert left_out == (name,)
    if name == "attributes" and rest is None:
        assert (len(found), len(found["a"])) == (81, 64)
    else:
        assert found == rest


def test_numbers_name_the_arms_of_an_experiment() -> None:
    experiment, left_out = read_field("experiment", {"key": 7, "variant": 1.5})
    assert (experiment.key, experiment.variant, left_out) == ("7", "1.5", ())


def test_the_other_name_of_a_field_is_odd_as_well() -> None:
    product, left_out = read(Product, b'{"id": 7, "name": "x", "colour": [{}, "red"], "locale": "en"}')
    assert (product.product_id, product.color, product.locale, left_out) == ("7", ("red",), "en", ("color",))


def test_nothing_odd_hides_a_missing_name() -> None:
    with pytest.raises(PermanentError, match=r"name: Field required$") as caught:
        from_kafka(HEADERS, b'{"product_id": "p", "locale": 5}')
    assert caught.value.reason == "invalid-data"


def test_an_unknown_field_may_be_as_deep_as_it_likes() -> None:
    deep = "[" * 500 + "]" * 500
    product, left_out = read(Product, f'{{"product_id": "p", "name": "x", "new": {deep}}}'.encode())
    assert (product.name, left_out) == ("x", ())


def test_an_event_names_what_was_left_out() -> None:
    value = json.dumps({**MINIMAL, "locale": 5, "color": ["红", {}], "features": ["a"]}).encode()
    event = from_kafka(HEADERS, value)
    assert (event.data.color, event.data.features, event.left_out) == (("红",), ("a",), ("color", "locale"))


def test_what_is_understood_or_unknown_is_not_named() -> None:
    event = from_kafka(HEADERS, json.dumps({**MINIMAL, "locale": "", "price": {"a": 1}, "image": ["a"]}).encode())
    assert event.left_out == ()


def test_a_structured_event_may_be_as_odd() -> None:
    line = {"specversion": "1.0", "id": "1", "source": "/s", "type": "product.created"}
    event = from_structured(json.dumps({**line, "data": {**MINIMAL, "brief": "cut \ud83d", "color": "红"}}).encode())
    assert (event.data.brief, event.data.color) == (None, ("红",))


def test_a_field_of_very_many_odd_parts_is_left_out_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    validate = Product.model_validate

    def counted(data: Any) -> Product:
        nonlocal looks
        looks += 1
        return validate(data)

    monkeypatch.setattr(Product, "model_validate", counted)
    odd = {"attributes": {str(number): {"x": [{}]} for number in range(5000)}, "features": [[0] * 10] * 5000}
    product, left_out = read(Product, json.dumps({**MINIMAL, **odd}).encode())
    assert (product.attributes, product.features, left_out) == ({}, (), ("attributes", "features"))
    assert looks < 4100


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=8),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.sampled_from(["name", "value", "x"]), part),
    max_leaves=12,
)


@given(odd=st.dictionaries(st.sampled_from(OPTIONAL), JSON, max_size=4))
def test_no_value_of_an_optional_field_loses_a_product(odd: dict[str, Any]) -> None:
    product, left_out = read(Product, json.dumps({**MINIMAL, **odd}).encode())
    assert (product.product_id, product.name) == ("SKU-1", "杯")
    assert set(left_out) <= set(odd)
    event = Event("product.created", "/shop", "e-1", product)
    assert from_structured(to_structured(event)) == event
    message = to_kafka(event)
    assert from_kafka(message.headers, message.value) == event


@pytest.mark.parametrize("wrong", [[], {}, [[]]], ids=str)
@pytest.mark.parametrize("field", ["features", "color", "attributes", "specifications"])
def test_a_hundred_thousand_wrong_things_are_one_mistake(field: str, wrong: Any) -> None:
    """Each that pydantic told would cost some microseconds and a hundred bytes, several times over."""
    many = {"a": [wrong] * 100_000} if field in ("attributes", "specifications") else [wrong] * 100_000
    with pytest.raises(ValidationError) as caught:
        Product.model_validate({**MINIMAL, field: many})
    assert caught.value.error_count() == 1
    assert read(Product, json.dumps({**MINIMAL, field: many}).encode())[1] == (field,)
