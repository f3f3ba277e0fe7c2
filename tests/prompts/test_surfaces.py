"""Colours and materials as shops write them: shades, spellings, two-tone things, parts, negations, placeholders."""

import re
from typing import Any

import pytest

from functions.derive_prompt.recognise import colours, materials
from functions.derive_prompt.recognise.understanding import Slots
from functions.derive_prompt.vocabulary import materials as material_rows
from functions.derive_prompt.vocabulary import table
from tests.prompts.conftest import captioned

SHADES = [row for rows in table("colours")["shades"].values() for row in rows]


def slots(name: str = "Mug", **fields: Any) -> Slots:
    return captioned(name, **fields).slots


def test_a_shade_is_itself_in_every_spelling() -> None:
    for row in SHADES:
        spelt = {*row["zh"], *(f"{word}色" for word in row["zh"]), *row["en"], *map(str.title, row["en"])}
        spelt |= {word.replace(" ", "-") for word in row["en"]}
        read = {word: colours.read_field(word) for word in spelt}
        ids = {word: found and found.colour and found.colour.id for word, found in read.items()}
        assert ids == dict.fromkeys(spelt, f"shade:{row['en'][0]}")


def test_no_word_names_two_shades_or_materials() -> None:
    for rows in (SHADES, list(material_rows())):
        words = [word for row in rows for word in (*row["zh"], *row["en"])]
        assert sorted(words) == sorted(set(words))


def test_a_material_is_itself_in_a_field() -> None:
    for rows in table("materials")["materials"].values():
        for name, row in rows.items():
            read = {word: materials.read_field(word) for word in row["en"] if not row.get("hidden", False)}
            assert {word: found and found.id for word, found in read.items()} == dict.fromkeys(read, name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dark grey", "Dk. Gray"),
        ("light blue", "LT BLUE"),
        ("Black/White", "BLK-WHT"),
        ("灰色", "大号 灰色"),
        ("灰色", "灰色 大号"),
        ("mocha", "C12 Mocha"),
        ("anthracite", "RAL 7016 Anthracite"),
        ("黑色", "黑色短袖"),
        ("白橡色", "白橡木色"),
        ("dark blue", "DarkBlue"),
        ("Light-Grey", "light gray"),
        ("offwhite", "Off-White"),
        ("navy", "Navy Blue"),
        ("藏青", "藏蓝色"),
        ("multi-color", "Multicolour"),
        ("gun metal", "Gunmetal"),
        ("rose-gold", "RoseGold"),
        ("米白", "米白色"),
        ("heather gray", "Heather Grey"),
    ],
)
def test_spellings_of_one_colour_are_one(one: str, other: str) -> None:
    assert slots(color=one).colour == slots(color=other).colour is not None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Default Title",
            "undefined",
            "nan",
            "True",
            "Not specified",
            "Free shipping",
            "See photos",
            "Choose an option",
        ),
        *(
            "TBD",
            "Regular fit",
            "EU plug",
            "new arrival",
            "Contact seller",
            "Same as picture",
            "请备注颜色",
            "包邮",
            "未知",
        ),
        *("拍下随机发", "联系客服", "各色", "Variant 1", "Mixed", "mix", "Two-tone"),
    ],
)
def test_a_placeholder_is_no_colour(text: str) -> None:
    assert slots(color=text).colour is None


@pytest.mark.parametrize(
    ("fields", "en"),
    [
        ({"color": "Black/White"}, "black and white"),
        ({"color": "Black / Red"}, "black and red"),
        ({"color": "Red, White and Blue"}, "red, white and blue"),
        ({"color": "Navy/Off White/Rust"}, "navy, off-white and rust red"),
        ({"name": "Golf Umbrella, Red/White"}, "red and white"),
        ({"name": "Cotton Rug - Indigo & Off White"}, "indigo and off-white"),
        ({"name": "Kids Bike 16 inch Pink/White"}, "pink and white"),
        ({"name": "双肩包 黑金", "locale": "en"}, "black and gold"),
        ({"name": "双肩包 白粉拼色", "color": ["白", "粉"], "locale": "en"}, "white and pink"),
        ({"name": "袜子 黑3白3灰4", "locale": "en"}, "black, white and grey"),
        ({"color": "Red-Black"}, "red and black"),
        ({"color": "two tone black white"}, "black and white"),
        ({"color": "上黑下白", "locale": "en"}, "black and white"),
        ({"color": "白底红边", "locale": "en"}, "white and red"),
        ({"color": "黑拼白", "locale": "en"}, "black and white"),
        ({"color": "黑色短袖+白色短裤", "locale": "en"}, "black and white"),
    ],
)
def test_a_two_tone_thing_is_two_tone(fields: dict[str, Any], en: str) -> None:
    colour = slots(**fields).colour
    assert colour is not None
    assert colour.en == en


@pytest.mark.parametrize(
    ("fields", "en"),
    [
        ({"color": "Black, White, Red"}, "black"),
        ({"color": "Black or White"}, "black"),
        ({"color": "Red / XL"}, "red"),
        ({"color": "黑色/白色", "locale": "en"}, "black"),
        ({"color": ["White", "Black"]}, "white"),
        ({"name": "钱包 黑棕两色可选", "locale": "en"}, "black"),
    ],
)
def test_of_colours_to_choose_from_the_first_is_filmed(fields: dict[str, Any], en: str) -> None:
    colour = slots(**fields).colour
    assert colour is not None
    assert colour.en == en


@pytest.mark.parametrize(
    ("name", "zh"),
    [
        ("复古绿收音机", "复古绿色"),
        ("书包 717浅紫", "浅紫色"),
        ("毛线 雾霾蓝50g", "雾霾蓝色"),
        ("电饭煲 3L 白", "白色"),
        ("手机壳黑", "黑色"),
        ("砂锅 棕釉", "棕色"),
        ("卫衣 燕麦色", "燕麦色"),
        ("毛衣 驼色", "驼色"),
        ("水彩笔 24色", "多色"),
        ("Plum Hoodie", "梅子紫色"),
        ("Office Chair, Charcoal Mesh", "炭灰色"),
        ("Women's Cognac Leather Ankle Boots", "干邑棕色"),
        ("Stockings Open Toe, Skin Tone, Size L", "裸色"),
        ("Sneakers, All White, Wide", "白色"),
        ("Coffee Table Espresso Finish", "浓缩咖啡色"),
    ],
)
def test_a_title_tells_its_shade(name: str, zh: str) -> None:
    colour = slots(name).colour
    assert colour is not None
    assert colour.zh == zh


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Black+Decker Steam Iron",
            "Blue Buffalo Dog Food",
            "Silver Cross Stroller",
            "Espresso Machine",
            "Charcoal Grill",
        ),
        *(
            "Champagne Flute",
            "LED Strip 16 Million Colors",
            "T恤 8色可选",
            "机械键盘 青轴",
            "吊灯 黄铜",
            "红木沙发",
            "桌子 5 米",
        ),
    ],
)
def test_makers_things_and_substances_are_no_colour(name: str) -> None:
    assert slots(name).colour is None


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("Kitchen Knife with Walnut Handle", "a walnut handle"),
        ("Pruning Shears Red Handle", "a red handle"),
        ("Nesting Coffee Tables Round Faux Marble Top, Gold Metal Legs", "a faux marble top and gold metal legs"),
        ("Satin Lined Shower Cap", "a satin lining"),
        ("Watch, White Dial", "a white dial"),
        ("炒锅 黄杨木柄", "黄杨木手柄"),
        ("修枝剪 红色手柄", "红色手柄"),
        ("台灯 米色罩", "米色灯罩"),
        ("升降桌 白色桌腿", "白色桌腿"),
    ],
)
def test_a_part_s_colour_and_material_are_filmed_as_the_part_s(name: str, detail: str) -> None:
    found = captioned(name)
    assert detail in found.prompt
    assert (found.slots.colour, found.slots.material) == (None, None)


@pytest.mark.parametrize("name", ["Black Cap", "Leather Watch Strap", "Silk Top"])
def test_a_part_that_is_the_thing_itself_is_no_part(name: str) -> None:
    found = slots(name)
    assert (found.colour or found.material) is not None
    assert found.looks.details == ()


@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("沙发 非真皮", "faux_leather"),
        ("Non-Leather Wallet", "faux_leather"),
        ("PU Leather Handbag", "faux_leather"),
        ("仿藤椅", "faux_rattan"),
        ("Latex Free Gloves", None),
        ("Concrete Look Planter", None),
        ("Wood Effect Shelf", None),
        ("Leather-Look Sofa", "faux_leather"),
    ],
)
def test_what_a_thing_is_said_not_to_be_made_of_is_not_filmed(name: str, material: str | None) -> None:
    found = slots(name).material
    assert (found and found.id) == material


@pytest.mark.parametrize(
    ("fields", "material"),
    [
        ({"name": "手摇磨豆机 铸铁胡桃木"}, "cast_iron+walnut"),
        ({"name": "手摇磨豆机 铸铁胡桃木", "material": ["铸铁", "胡桃木"]}, "cast_iron+walnut"),
        ({"name": "Wood and Metal Bookshelf"}, "wood+metal"),
        ({"name": "Cotton Gauze Scarf"}, "gauze"),
        ({"name": "修枝剪 SK5钢"}, "steel"),
        ({"name": "Tungsten Ring"}, "tungsten"),
        ({"name": "砂锅 陶土"}, "stoneware"),
    ],
)
def test_a_title_tells_what_is_seen_of_the_materials(fields: dict[str, Any], material: str) -> None:
    found = slots(**fields).material
    assert found is not None
    assert found.id == material


@pytest.mark.parametrize(
    ("name", "en"), [("Brinjal - Purple Long 500 g", "purple"), ("Red Onion 1 kg", "red"), ("Oranges 1 kg", None)]
)
def test_fresh_food_has_the_colour_that_its_title_says(name: str, en: str | None) -> None:
    found = slots(name).colour
    assert (found and found.en) == en


@pytest.mark.parametrize("said", ["mustard", "olive", "charcoal", "blush", "emerald", "cobalt"])
def test_a_shade_named_for_something_else_says_its_colour(said: str) -> None:
    """A mustard mug may be filmed with mustard in it."""
    prompt = captioned("Ceramic mug", color=said).prompt
    assert re.search(rf"\b{said} (yellow|green|grey|pink|blue)\b", prompt), prompt
