"""Products that look different never share a video id; those that differ only in what no camera sees always do.

Sampled over the whole vocabulary, by a fixed seed: every kind by name, and some hundred of them with each thing that
can be seen of it or not.
"""

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.looks import LOOKS
from functions.derive_prompt.recognise.understanding import visible_fields
from functions.derive_prompt.spec import SpecMaker
from functions.derive_prompt.templates import template_of
from functions.derive_prompt.vocabulary import department_names, materials, table
from shared.settings import Settings
from tests.prompts.conftest import MANIFEST, product

LANGUAGES = ("zh", "en")
SAMPLED = 250


class Row(NamedTuple):
    """A kind's row, and which looks its scene can show."""

    kind: str
    row: dict[str, Any]

    def looks(self, section: str, locale: str) -> list[str]:
        """Words for the looks of one section that this kind can have."""
        template = template_of(self.row["in"])
        places = {template.reference.id, shelf_of(template.reference.id)}
        return [
            getattr(look, locale)
            for look in LOOKS[section].values()
            if not table("looks")[section][look.id].get("quiet")
            and template.takes_material
            and (not look.templates or places & set(look.templates))
        ]


@cache
def rows() -> tuple[Row, ...]:
    """Every kind that its name alone tells."""
    listed = (item for department in department_names() for item in table(f"kinds/{department}")["kinds"].items())
    return tuple(Row(kind, row) for kind, row in listed if not row.get("needs"))


@pytest.fixture(scope="module")
def filmed() -> Callable[..., str]:
    """The video id of what is filmed of a product."""
    specs = SpecMaker(Settings(), MANIFEST)

    def of(name: str, **fields: Any) -> str:
        spec = specs.derive(visible_fields(product(name, **fields))).spec
        assert spec is not None, (name, fields)
        return spec.video_id

    return of


def sampled(seed: int) -> Iterator[tuple[random.Random, Row, str]]:
    """Some kinds, each in both languages."""
    chance = random.Random(seed)
    for row in chance.sample(rows(), SAMPLED):
        yield from ((chance, row, locale) for locale in LANGUAGES)


@pytest.mark.parametrize("locale", LANGUAGES)
def test_no_two_kinds_share_a_video_id(filmed: Callable[..., str], locale: str) -> None:
    by_id: dict[str, str] = {}
    for row in rows():
        other = by_id.setdefault(filmed(row.row[locale], locale=locale), row.kind)
        assert other == row.kind


def test_no_two_colours_of_a_kind_share_a_video_id(filmed: Callable[..., str]) -> None:
    shades = [row for rows_of_base in table("colours")["shades"].values() for row in rows_of_base]
    for chance, row, locale in sampled(seed=1):
        one, other = (shade[locale][0] for shade in chance.sample(shades, 2))
        name = row.row[locale]
        ids = {filmed(name, locale=locale, color=one), filmed(name, locale=locale, color=other)}
        assert len(ids | {filmed(name, locale=locale)}) == 3, (name, one, other)


def test_no_two_materials_of_a_kind_share_a_video_id(filmed: Callable[..., str]) -> None:
    seen = [row for row in materials() if not row.get("hidden") and not row.get("filling")]
    for chance, row, locale in sampled(seed=2):
        if row.row.get("own_material") or not template_of(row.row["in"]).takes_material:
            continue
        one, other = (material[locale][0] for material in chance.sample(seen, 2))
        name = row.row[locale]
        assert filmed(name, locale=locale, material=one) != filmed(name, locale=locale, material=other), (one, other)


@pytest.mark.parametrize("section", ["finishes", "patterns", "shapes"])
def test_no_two_looks_of_a_kind_share_a_video_id(filmed: Callable[..., str], section: str) -> None:
    for chance, row, locale in sampled(seed=3):
        looks = row.looks(section, locale)
        if len(looks) < 2:
            continue
        one, other = chance.sample(looks, 2)
        name = row.row[locale]
        assert filmed(name, locale=locale, features=[one]) != filmed(name, locale=locale, features=[other]), (
            name,
            one,
            other,
        )


BRANDS = {"zh": ["泽维克", "穆洛凡", "欧肯多"], "en": ["Zorvik", "Mirovane", "Okendo Bros"]}
AMOUNTS = {
    "zh": ["500ml", "1.5升", "128GB", "20x30cm", "3件装", "XL", "42码", "2.4米", "大号"],
    "en": ["500ml", "1.5 litre", "128GB", "20x30cm", "3 Pack", "XL", "Size 42", "12 oz", "10 inch"],
}
SPELLINGS = {
    "zh": [("白色", "白"), ("藏青", "藏蓝色"), ("玛瑙红", "01#玛瑙红色"), ("灰色", "灰色 大号"), ("黑色", "黑")],
    "en": [
        ("grey", "Gray"),
        ("navy", "Navy Blue"),
        ("off white", "Off-White"),
        ("BLK", "Black"),
        ("lt blue", "Light-Blue"),
    ],
}


def test_brand_price_and_amount_never_change_a_video_id(filmed: Callable[..., str]) -> None:
    for chance, row, locale in sampled(seed=4):
        name, brand = row.row[locale], chance.choice(BRANDS[locale])
        plain = filmed(name, locale=locale)
        amount, price = chance.choice(AMOUNTS[locale]), f"{chance.randint(1, 999)}.00"
        assert filmed(name, locale=locale, brand=brand, price=price) == plain, (name, brand)
        assert filmed(f"{brand} {name}", locale=locale, product_id=amount) == plain, (name, brand)
        assert filmed(f"{name} {amount}", locale=locale) == plain, (name, amount)


def test_the_spelling_of_a_colour_never_changes_a_video_id(filmed: Callable[..., str]) -> None:
    for chance, row, locale in sampled(seed=5):
        one, other = chance.choice(SPELLINGS[locale])
        name = row.row[locale]
        assert filmed(name, locale=locale, color=one) == filmed(name, locale=locale, color=other), (name, one, other)
