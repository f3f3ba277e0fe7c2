"""What a marketplace says of a product. Everything but an id and a name is optional.

The plain forms that catalogues write are understood here. What has none of them, `shared.events.reading` leaves out.
"""

import math
import re
from collections.abc import Mapping, Sized
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticKnownError

from shared.events.payload import Identifier, LongText, Payload, ShortText, Visible

_MOST_TEXTS = 64
_MOST_ATTRIBUTES = 256
SizedT = TypeVar("SizedT", bound=Sized)


def _written(value: Any) -> Any:
    """A number where a text is meant: shops number their products."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(value) if -math.inf < value < math.inf else value


def _text(value: Any) -> Any:
    """One value. A swatch or a category may be an object: its name and its value are what it says."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Mapping):
        said = [value[part] for part in ("name", "value") if value.get(part) is not None]
        if said and all(isinstance(part, str | bool | int | float) for part in said):
            return " ".join(map(str, said))
    return value


def _texts(value: Any) -> Any:
    """Catalogues write one value, a list of values, or nothing."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(map(_text, _few([item for item in value if item is not None], _MOST_TEXTS)))
    text = _text(value)
    return (text,) if isinstance(text, str) else value


def _attributes(value: Any) -> Any:
    """Values by name, or a list of names with values. What is named twice has the values of both.

    Shops write the values under names of their own: `value`, `values`, `option`, `options`, `terms`.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {name: texts for name, item in _few(value, _MOST_ATTRIBUTES).items() if (texts := _texts(item))}
    if not isinstance(value, list | tuple):
        return value
    gathered: dict[str, tuple[Any, ...]] = {}
    for pair in _few(value, _MOST_ATTRIBUTES * _MOST_TEXTS):
        name, texts = (pair.get("name"), _texts(_values(pair))) if isinstance(pair, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(texts, tuple):
            raise ValueError("not an object, nor a list of objects with name and value")
        if texts:
            gathered[name] = _few(gathered.get(name, ()) + texts, _MOST_TEXTS)
    return _few(gathered, _MOST_ATTRIBUTES)


def _few(given: SizedT, most: int) -> SizedT:
    """As pydantic's own check of a length, and before it looks at what is in there: of a list of a hundred thousand
    wrong things it would tell each."""
    if len(given) > most:
        told = {"field_type": "Field", "max_length": most, "actual_length": len(given)}
        raise PydanticKnownError("too_long", told)
    return given


def _values(pair: Mapping[Any, Any]) -> Any:
    return next((pair[key] for key in _VALUES if pair.get(key) is not None), None)


_VALUES = ("value", "values", "option", "options", "terms")


def _only(value: Any) -> Any:
    """A text alone in a list is that text."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _image(value: Any) -> Any:
    """Of a gallery, the first picture: the one that shows the product."""
    return next(iter(value), None) if isinstance(value, list | tuple) else value


def _locale(value: Any) -> Any:
    """Without what POSIX adds to a language, as in zh_CN.UTF-8. Blank is none."""
    value = _only(value)
    return re.split("[.@]", value, maxsplit=1)[0].strip() or None if isinstance(value, str) else value


def _experiment(value: Any) -> Any:
    """Arms may be numbered. An empty object is none."""
    return {name: _written(item) for name, item in value.items()} or None if isinstance(value, Mapping) else value


# The published schema asks for the plain forms alone: whoever reads it should not have to choose among many.


def _texts_schema(max_length: int) -> JsonDict:
    text: JsonDict = {"type": ["string", "number", "boolean"], "maxLength": max_length}
    return {"anyOf": [text, {"type": "array", "items": text, "maxItems": _MOST_TEXTS}, {"type": "null"}]}


_ATTRIBUTES_SCHEMA: JsonDict = {
    "type": ["object", "null"],
    "propertyNames": {"type": "string", "maxLength": 1024},
    "additionalProperties": _texts_schema(20_000),
    "maxProperties": _MOST_ATTRIBUTES,
}

ProductId = Annotated[Identifier, Visible, BeforeValidator(_written, json_schema_input_type=Identifier | float)]
Filled = Annotated[ShortText, Field(min_length=1), Visible]
ProductName = Annotated[Filled, BeforeValidator(_written, json_schema_input_type=Filled)]
Texts = Annotated[
    tuple[ShortText, ...], BeforeValidator(_texts), Field(max_length=_MOST_TEXTS), WithJsonSchema(_texts_schema(1024))
]
LongTexts = Annotated[tuple[LongText, ...], BeforeValidator(_texts), Field(max_length=_MOST_TEXTS)]
Attributes = Annotated[
    dict[ShortText, LongTexts],
    BeforeValidator(_attributes),
    Field(max_length=_MOST_ATTRIBUTES),
    WithJsonSchema(_ATTRIBUTES_SCHEMA),
]
Brief = Annotated[LongText | None, BeforeValidator(_only, json_schema_input_type=LongText | None)]
Locale = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$")] | None, BeforeValidator(_locale)
]
GroupId = Annotated[Identifier | None, BeforeValidator(_written, json_schema_input_type=Identifier | float | None)]
Image = Annotated[ShortText | None, BeforeValidator(_image, json_schema_input_type=ShortText | None)]


class Experiment(Payload):
    """An A/B test this product takes part in. Travels unchanged to `video.ready`."""

    key: Identifier
    variant: Identifier


def _with_other_names(schema: dict[str, Any]) -> None:
    """Add the other names of fields to the published schema: pydantic tells of the first ones alone."""
    properties = schema["properties"]
    properties.update({"id": properties["product_id"], "colour": properties["color"]})
    schema["required"].remove("product_id")
    schema["anyOf"] = [{"required": ["product_id"]}, {"required": ["id"]}]


class Product(Payload):
    """The data of `product.created` and `product.updated`.

    Bare catalogue lines are accepted as they are: `id` for `product_id`, `colour` for `color`, one text where a list
    is meant. Fields that cannot be filmed (price, brand, stock) may be present and are ignored.
    """

    model_config = ConfigDict(json_schema_extra=_with_other_names)

    product_id: ProductId = Field(
        validation_alias=AliasChoices("product_id", "id"),
        description="One line without control characters, with a visible character in it.",
    )
    name: ProductName = Field(description="Text without control characters, with a visible character in it.")
    category: Texts = ()
    color: Texts = Field(default=(), validation_alias=AliasChoices("color", "colour"))
    material: Texts = ()
    gender: Texts = Field(default=(), description="Whose it is to wear: female, male, unisex; 女, 男.")
    age_group: Texts = Field(default=(), description="Who wears it: newborn, infant, toddler, kids, adult; 儿童.")
    features: Texts = ()
    brief: Brief = None
    keywords: Texts = ()
    attributes: Attributes = Field(default_factory=dict)
    specifications: Attributes = Field(default_factory=dict)
    locale: Locale = None
    image: Image = None
    item_group_id: GroupId = Field(default=None, description="What this is a variant of. Kept, and not filmed.")
    channels: Texts = ()
    experiment: Annotated[Experiment | None, BeforeValidator(_experiment)] = None
