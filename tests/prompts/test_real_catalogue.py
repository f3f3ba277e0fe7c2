"""The promises, measured over a real marketplace's catalogue where it lies beside the repository."""

import re
from collections import Counter

from functions.derive_prompt.prompts import Caption, caption_of
from functions.derive_prompt.recognise import colours
from functions.derive_prompt.recognise.understanding import understand, visible_fields
from functions.derive_prompt.screening import screen
from shared.events import Product

NO_COLOUR = {"GB/T 28495-2012", "迷彩"}


def caption(item: Product) -> Caption:
    return caption_of(understand(visible_fields(item)))


def test_nine_of_ten_products_get_their_own_family(real_products: list[Product]) -> None:
    families = Counter(caption(item).template.id for item in real_products)
    assert families["general"] <= len(real_products) * 0.1, families


def test_nine_of_ten_products_are_understood(real_products: list[Product]) -> None:
    unknown = [item.name for item in real_products if understand(visible_fields(item)).problem is not None]
    assert len(unknown) <= len(real_products) * 0.1, unknown


def test_every_real_colour_attribute_is_recognised(real_products: list[Product]) -> None:
    stated = [
        (item, item.attributes["颜色"][0])
        for item in real_products
        if "颜色" in item.attributes and item.attributes["颜色"][0] not in NO_COLOUR
    ]
    assert len(stated) > 70
    missed = [text for item, text in stated if caption(item).slots.colour is None]
    assert missed == []


def test_what_stands_in_the_colour_attribute_and_is_none_is_none() -> None:
    assert colours.read_field("GB/T 28495-2012") is None
    camouflage = colours.read_field("迷彩")
    assert camouflage is not None
    assert camouflage.colour is None


def test_the_prompts_say_nothing_that_cannot_be_filmed(real_products: list[Product]) -> None:
    for item in real_products:
        text = caption(item).prompt
        assert not re.search(r"[\dA-Za-z{}<>*#%&]|制造商|网易|魔兽|GB|热销|经典|升级|抗菌|保暖|护颈|第一|最", text), (
            text
        )
        assert 60 <= len(text) <= 200, text


def test_no_real_product_is_rejected(real_products: list[Product]) -> None:
    assert [(item.name, screen(item)) for item in real_products if screen(item)] == []


def test_real_products_share_a_prompt_only_with_equal_slots(real_products: list[Product]) -> None:
    by_prompt: dict[str, object] = {}
    for item in real_products:
        found = caption(item)
        visible = (
            found.template,
            found.kind.zh,
            found.slots.colour and found.slots.colour.zh,
            found.slots.audience,
        )
        assert by_prompt.setdefault(found.prompt, visible) == visible, item.name


def test_real_products_of_different_colour_never_share_a_prompt(real_products: list[Product]) -> None:
    first: dict[str, colours.Colour] = {}
    for item in real_products:
        slots = caption(item).slots
        if slots.colour is not None:
            assert first.setdefault(caption(item).prompt, slots.colour) == slots.colour
            assert slots.colour.zh in caption(item).prompt
