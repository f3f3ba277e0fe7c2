"""Families: which template a category path asks for, and whom a thing is made for."""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from functions.derive_prompt.recognise.matcher import Matcher, plurals
from functions.derive_prompt.vocabulary import table

_FAMILIES = table("families")


class Audience(NamedTuple):
    """Whom a thing is made for, as far as that can be seen."""

    id: str
    zh: str
    en: str


_CATEGORY_WORDS: Matcher[str] = Matcher(
    (form, template) for template, words in _FAMILIES["categories"].items() for word in words for form in plurals(word)
)
_GENERAL = "general"


@lru_cache(maxsize=1024)
def _template_of_level(level: str) -> str | None:
    told = [found.value for found in _CATEGORY_WORDS.find_all(level)]
    return next((template for template in told if template != _GENERAL), _GENERAL if told else None)


def cannot_hold(category_template: str | None) -> Collection[str]:
    """The templates of which a category holds nothing, whatever a name says."""
    vetoed: Collection[str] = _FAMILIES["vetoes"].get(category_template or "", ())
    return vetoed


def find_template(category: Iterable[str]) -> str | None:
    """The template of a category path in normalised text, read from its deepest level up; `general` only at the end."""
    told = [template for level in reversed(list(category)) if (template := _template_of_level(level)) is not None]
    return next((template for template in told if template != _GENERAL), _GENERAL if told else None)


AUDIENCES = {name: Audience(name, row["zh"], row["en"]) for name, row in _FAMILIES["audiences"].items()}
MODELS = {name: (row["model_zh"], row["model_en"]) for name, row in _FAMILIES["audiences"].items() if "model_zh" in row}
ENGLISH_AUDIENCES = tuple(
    word for row in _FAMILIES["audiences"].values() for word in (row["en"], *row["also"]) if word.isascii()
)
_AUDIENCE_WORDS: Matcher[Audience | None] = Matcher(
    [
        *((word, None) for word in _FAMILIES["not_an_audience"]["words"]),
        *(
            (word, AUDIENCES[name])
            for name, row in _FAMILIES["audiences"].items()
            for word in (row["zh"], row["en"], *row["also"])
        ),
    ]
)
_AUDIENCE_ORDER = ("pet", "baby", "child", "women", "men")


def may_hold_pets(category: list[str]) -> bool:
    """Whether what a category path holds can be for pets: a puzzle named Pets in toys is for people."""
    said = {_template_of_level(level) for level in category} - {None, _GENERAL}
    return not said or "pets" in said or said <= {"household"}


def find_audience(text: str, *, pets: bool = True) -> Audience | None:
    """Whom normalised text says a thing is for: pets before children before grown-ups. Both sexes are no audience."""
    found = {match.value.id for match in _AUDIENCE_WORDS.find_all(text) if match.value is not None}
    if not pets:
        found.discard("pet")
    if {"women", "men"} <= found:
        found -= {"women", "men"}
    return next((AUDIENCES[name] for name in _AUDIENCE_ORDER if name in found), None)


def template_for(template: str, audience: Audience | None) -> str:
    """The template that films a kind made for this audience: no grown-up model in a child's dress."""
    if audience is None:
        return template
    return str(_FAMILIES["audience_templates"].get(audience.id, {}).get(template, template))
