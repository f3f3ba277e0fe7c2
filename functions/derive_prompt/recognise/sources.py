"""Sources: the texts of a product's fields, and the mentions in them with what they weigh."""

from typing import NamedTuple

from functions.derive_prompt.recognise.mentions import Mention


class Source(NamedTuple):
    """A field's text, normalised, and what a mention in it weighs."""

    field: str
    text: str
    weight: float


NAME = "name"
Weighed = tuple[Mention, Source, float]
