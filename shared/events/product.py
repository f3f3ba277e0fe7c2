"""What a marketplace says of a product. Everything but an id and a name is optional."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema

from shared.events.payload import Identifier, LongText, Payload, ShortText


def _texts(value: Any) -> Any:
    """Catalogues write one value, a list of values, or nothing."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool | int | float):
        return (str(value),)
    if isinstance(value, Sequence):
        return tuple(str(item) if isinstance(item, bool | int | float) else item for item in value if item is not None)
    return value


def _attributes(value: Any) -> Any:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {name: texts for name, item in value.items() if (texts := _texts(item))}
    return value


def _texts_schema(max_length: int) -> WithJsonSchema:
    """What `_texts` takes, for the published schema: pydantic knows only what comes out of it."""
    text = {"type": ["string", "number", "boolean"], "maxLength": max_length}
    items = {"type": ["string", "number", "boolean", "null"], "maxLength": max_length}
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": items, "maxItems": 64}, {"type": "null"}]})


Texts = Annotated[tuple[ShortText, ...], BeforeValidator(_texts), Field(max_length=64), _texts_schema(1024)]
LongTexts = Annotated[tuple[LongText, ...], BeforeValidator(_texts), Field(max_length=64), _texts_schema(20_000)]
Attributes = Annotated[dict[ShortText, LongTexts], BeforeValidator(_attributes), Field(max_length=256)]


class Experiment(Payload):
    """An A/B test this product takes part in. Travels unchanged to `video.ready`."""

    key: Identifier
    variant: Identifier


class Product(Payload):
    """The data of `product.created` and `product.updated`.

    Bare catalogue lines are accepted as they are: `id` for `product_id`, `colour` for `color`, one text where a list
    is meant. Fields that cannot be filmed (price, brand, stock) may be present and are ignored.
    """

    product_id: Identifier = Field(validation_alias=AliasChoices("product_id", "id"))
    name: Annotated[ShortText, Field(min_length=1)]
    category: Texts = ()
    color: Texts = Field(default=(), validation_alias=AliasChoices("color", "colour"))
    material: Texts = ()
    features: Texts = ()
    brief: LongText | None = None
    keywords: Texts = ()
    attributes: Attributes = Field(default_factory=dict)
    specifications: Attributes = Field(default_factory=dict)
    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    image: ShortText | None = None
    channels: Texts = ()
    experiment: Experiment | None = None
