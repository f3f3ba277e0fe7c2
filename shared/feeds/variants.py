"""The variants of one product that look different: one for each colour, material, pattern or other visible option.

Sizes do not multiply them. Shopify tells variants apart by up to three options, WooCommerce by attributes that are
`variation`s.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any, NamedTuple

from shared.feeds.columns import Column, Columns
from shared.feeds.plain_text import items, texts

_Choice = tuple[str, str]
"""The name of an option, and its value."""

MOST = 2048
"""Variants that a product may have: as many as Shopify allows."""


class Option(NamedTuple):
    """What variants differ in to the eye, its value, and what such a value is for."""

    name: str
    value: str
    column: Column


class Variant(NamedTuple):
    """A variant as one sees it: `unseen` are the sizes and the like that it comes in, `listed` the shop's variants that
    look like it."""

    seen: tuple[Option, ...]
    unseen: dict[str, list[str]]
    image: str | None
    listed: list[Any]


def variants_of(document: Mapping[str, Any], columns: Columns) -> list[Variant]:
    """The variants that a document lists, each once, in its order; none where it lists none."""
    images = dict(_images(document))
    found: dict[tuple[str, ...], Variant] = {}
    for options, listed in islice(_listed(document, columns), MOST):
        seen = tuple(Option(*told, column) for told in options if (column := columns.option(told[0])) is not None)
        key = tuple(option.value.casefold() for option in seen)
        image = _image_of(listed, images)
        variant = found.setdefault(key, Variant(seen, {}, image, []))
        if variant.image is None and image is not None:
            variant = found[key] = variant._replace(image=image)
        _note_unseen(variant, [told for told in options if columns.option(told[0]) is None])
        if listed:
            variant.listed.append(listed)
    return list(found.values())


def _note_unseen(variant: Variant, options: list[_Choice]) -> None:
    for name, value in options:
        values = variant.unseen.setdefault(name, [])
        if value not in values:
            values.append(value)


def _listed(document: Mapping[str, Any], columns: Columns) -> Iterator[tuple[list[_Choice], Any]]:
    """The options of each variant, and what the shop says of the variant."""
    names = list(_option_names(document))
    listed = items(document.get("variants"))
    if listed is not None:
        for variant in listed:
            if isinstance(variant, Mapping):
                yield [told for told in _values(variant, names) if told[1].casefold() != _ONLY_ONE], variant
        return
    choices = list(_choices(document, columns))
    for values in product(*choices) if choices else ():
        yield list(values), None


_ONLY_ONE = "default title"
"""What Shopify calls the variant of a product that has one."""


def _option_names(document: Mapping[str, Any]) -> Iterator[str]:
    for option in items(document.get("options")) or ():
        yield next(texts(option), "")


def _values(variant: Mapping[str, Any], names: list[str]) -> Iterator[_Choice]:
    """The names and values of a variant's options: by their place, or named beside it."""
    named = items(variant.get("selectedOptions") or variant.get("selected_options") or variant.get("attributes"))
    for option in named or ():
        if isinstance(option, Mapping) and isinstance(option.get("name"), str):
            value = next(texts(option.get("value", option.get("option"))), None)
            if value is not None:
                yield option["name"], value
    if named is None:
        for place, name in enumerate(names, start=1):
            value = next(texts(variant.get(f"option{place}")), None)
            if value is not None:
                yield name, value


def _choices(document: Mapping[str, Any], columns: Columns) -> Iterator[list[_Choice]]:
    """For each visible option to choose by, its values, where the variants themselves are not listed."""
    for option in (*(items(document.get("options")) or ()), *_variations(document)):
        if isinstance(option, Mapping) and isinstance(option.get("name"), str) and columns.option(option["name"]):
            said = option.get("values") or option.get("optionValues") or option.get("options")
            values = list(dict.fromkeys(islice(texts(said), MOST)))
            if values:
                yield [(option["name"], value) for value in values]


def _variations(document: Mapping[str, Any]) -> list[Any]:
    attributes = document.get("attributes")
    listed = attributes if isinstance(attributes, list) else []
    return [option for option in listed if isinstance(option, Mapping) and option.get("variation") is True]


def _images(document: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """The addresses of pictures, by their own ids and by those of the variants that they show."""
    for image in items(document.get("images")) or ():
        if isinstance(image, Mapping) and (address := next(texts(image), None)) is not None:
            shown = image.get("variant_ids")
            for key in (image.get("id"), *(shown if isinstance(shown, list) else ())):
                if isinstance(key, int | str):
                    yield key, address


def _image_of(variant: Any, images: Mapping[Any, str]) -> str | None:
    if not isinstance(variant, Mapping):
        return None
    own = next(texts(variant.get("image") or variant.get("featured_image") or variant.get("featuredImage")), None)
    if own is not None:
        return own
    keys = (variant.get("image_id"), variant.get("id"))
    return next((images[key] for key in keys if isinstance(key, int | str) and key in images), None)
