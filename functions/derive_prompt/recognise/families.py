"""Families: which one a category path asks for, which share a shelf, and whom a thing is made for."""

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


def shelf_of(family: str) -> str:
    """The shelf of a family or template: fruit and snacks are both food."""
    return str(_FAMILIES["shelves"].get(family, family))


_CATEGORY_WORDS: Matcher[str] = Matcher(
    (form, family) for family, words in _FAMILIES["categories"].items() for word in words for form in plurals(word)
)
_GENERAL = "general"


@lru_cache(maxsize=1024)
def _family_of_level(level: str) -> str | None:
    told = [found.value for found in _CATEGORY_WORDS.find_all(level)]
    return next((family for family in told if family != _GENERAL), _GENERAL if told else None)


def cannot_hold(category_family: str | None) -> Collection[str]:
    """The families of which a category holds nothing, whatever a name says: all of the vetoed shelves."""
    return _families_on(frozenset(_FAMILIES["vetoes"].get(shelf_of(category_family or ""), ())))


@lru_cache
def _families_on(shelves: frozenset[str]) -> frozenset[str]:
    return shelves | {family for family, shelf in _FAMILIES["shelves"].items() if shelf in shelves}


def find_family(category: Iterable[str]) -> str | None:
    """The family of a category path in normalised text, read from its deepest level up; `general` only at the end."""
    told = [family for level in reversed(list(category)) if (family := _family_of_level(level)) is not None]
    return next((family for family in told if family != _GENERAL), _GENERAL if told else None)


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
_YOUNG = frozenset({"girl", "girls", "boy", "boys", "girls'", "boys'", "girl's", "boy's"})
_AUDIENCE_ORDER = ("pet", "baby", "child", "women", "men")


def may_hold_pets(category: list[str]) -> bool:
    """Whether what a category path holds can be for pets: a puzzle named Pets in toys is for people."""
    said = {shelf_of(family) for level in category if (family := _family_of_level(level)) is not None} - {_GENERAL}
    return not said or "pets" in said or said <= {"household"}


def find_audience(text: str, *, pets: bool = True) -> Audience | None:
    """Whom normalised text says a thing is for: pets before children before grown-ups. Both sexes are no audience."""
    named = [(match.value.id, match.word) for match in _AUDIENCE_WORDS.find_all(text) if match.value is not None]
    found = {audience for audience, _ in named}
    # Women's and girls': a grown-up wears it.
    if found & {"women", "men"} and all(word in _YOUNG for audience, word in named if audience == "child"):
        found.discard("child")
    if not pets:
        found.discard("pet")
    if {"women", "men"} <= found:
        found -= {"women", "men"}
    return next((AUDIENCES[name] for name in _AUDIENCE_ORDER if name in found), None)


def template_for(family: str, audience: Audience | None) -> str:
    """The family as which a kind made for this audience is filmed: no grown-up model in a child's dress."""
    if audience is None:
        return family
    told: dict[str, str] = _FAMILIES["audience_templates"].get(audience.id, {})
    return told.get(family) or told.get(shelf_of(family), family)
