"""What a compound is, its end says, and what stands beside a thing takes no place: one test for each kind of trap."""

import subprocess
import sys

import pytest

from shared.settings import child_environment
from tests.prompts.conftest import captioned, understanding


def said(name: str, **fields: object) -> str:
    """The thing that a product is filmed as, in the language of its name."""
    slots = captioned(name, **fields).slots
    assert slots.kind is not None
    return slots.kind.zh if slots.locale == "zh" else slots.kind.en


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Duck Egg Cups Hand Painted", "egg cup"),
        ("Fruit Salad Bowl Large", "salad bowl"),
        ("宝宝玩具车 惯性滑行", "玩具车"),
    ],
)
def test_a_word_in_the_middle_belongs_to_the_one_behind_it(name: str, thing: str) -> None:
    assert thing in said(name)


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Bathtub Bumper Soft Corner", "bathtub bumper"),
        ("Cookie Jar Labels Waterproof", "cookie jar labels"),
        ("Camp Stove Windshield Foldable", "stove windshield"),
        ("Aquarium Water Filter Quiet", "aquarium water filter"),
        ("洗碗机滤网 可拆洗", "洗碗机滤网"),
        ("运动耳机充电仓 单只", "耳机充电仓"),
        ("皮鞋蜡 50ml", "皮鞋蜡"),
        ("保鲜膜切割器 家用", "保鲜膜切割器"),
    ],
)
def test_an_unlisted_compound_is_named_whole_and_never_as_what_it_is_for(name: str, thing: str) -> None:
    assert thing in said(name)


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Water Heater Outlet Pipe 18 inch", "water heater outlet pipe"),
        ("Cat Tree Replacement Post Sisal", "cat tree replacement post"),
        ("Blender Replacement Cup 24oz", "cup"),
        ("Wheelie Bin Stickers", "wheelie bin stickers"),
    ],
)
def test_a_plain_word_may_stand_between_a_thing_and_the_end_of_its_compound(name: str, thing: str) -> None:
    assert said(name) == thing or said(name).endswith(f" {thing}")


@pytest.mark.parametrize("name", ["Tea Cosy Knitted Red", "Strawberry Shortcake Doll", "Beer Koozie Neoprene"])
def test_a_food_before_an_unlisted_word_is_not_filmed(name: str) -> None:
    understood = understanding(name)
    kind = understood.slots.kind
    assert understood.problem is not None or (kind is not None and kind.template not in ("food", "fruit", "beverages"))


def test_a_food_before_an_unlisted_word_is_filmed_where_the_category_agrees() -> None:
    assert understanding("Pomelo Honeyed 1 pc").problem is not None
    assert said("Pomelo Honeyed 1 pc", category=["Grocery", "Fruits"]) == "pomelo"


def test_a_thing_that_only_the_shelf_would_hold_is_not_filmed_before_what_the_name_says() -> None:
    understood = understanding("Bracelet Beaded, Strong Magnets", category=["Tools"])
    assert understood.slots.kind is None or understood.slots.kind.id == "bracelet"


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Coffee Grinder Handheld Battery Black", "coffee grinder"),
        ("Lip Scrub Sugar Mint", "lip scrub"),
        ("AirPods Pro 保护套 蓝", "保护套"),
        ("Sushi Making Kit Bamboo Mat", "sushi making kit"),
        ("新生儿宽口奶瓶带吸管", "奶瓶"),
        ("葡萄籽精华面膜补水", "面膜"),
    ],
)
def test_what_goes_on_behind_a_thing_does_not_take_its_place(name: str, thing: str) -> None:
    assert said(name).endswith(thing)


def test_a_part_late_in_a_title_of_an_unlisted_thing_is_not_filmed() -> None:
    assert understanding("Zorbulator Deluxe Silicone Bulb").slots.kind is None


@pytest.mark.parametrize("name", ["Compound Microscope Kit", "Scented Candle Gift", "Yoga Mat Set Home"])
def test_how_a_thing_is_sold_makes_no_compound(name: str) -> None:
    assert said(name) in name.lower()
    assert not said(name).endswith(("kit", "gift", "set"))


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("榴莲抱枕 毛绒", "榴莲抱枕"),
        ("Pie Funnel Ceramic", "pie funnel"),
        ("Waterproof Pannier Bag 25L", "pannier bag"),
    ],
)
def test_a_short_name_is_said_with_the_thing_before_it(name: str, thing: str) -> None:
    assert said(name) == thing


@pytest.mark.parametrize(("name", "thing"), [("抹茶蛋糕 6寸", "蛋糕"), ("蜂蜜手工皂 100g", "皂")])
def test_a_taste_or_smell_is_not_said_with_the_thing(name: str, thing: str) -> None:
    assert said(name).endswith(thing)
    assert "抹茶" not in said(name)
    assert "蜂蜜" not in said(name)


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Push In Drawing Pins Brass", "drawing pins"),
        ("Clip On Book Light Warm", "book light"),
        ("Iron On Patches Floral", "patch"),
    ],
)
def test_a_small_word_that_belongs_to_a_verb_begins_nothing(name: str, thing: str) -> None:
    assert thing in said(name)


@pytest.mark.parametrize(
    ("name", "thing"),
    [("加厚软管 10米", "软管"), ("软管 加厚", "软管"), ("Netball Ball Size 5", "ball"), ("Nappies Size 3", "nappies")],
)
def test_a_bare_end_of_compounds_and_a_size_say_the_thing(name: str, thing: str) -> None:
    assert thing in said(name)


def test_a_bare_end_later_in_a_title_is_a_feature() -> None:
    assert understanding("未央 加厚软管").slots.kind is None


def test_a_material_behind_a_thing_is_what_it_is_of() -> None:
    assert said("Draught Excluder Fabric Grey") == "draught excluder"


def test_what_a_case_is_for_comes_behind_the_word_for_it_and_before_it_only_at_the_end() -> None:
    assert said("手机壳适用三星S24透明") == "手机壳"
    assert understanding("平板电脑适用 XK-200").problem == "kind-unknown"


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("Bandhani Dupatta for Suit/Lehenga", "dupatta"),
        ("Blanket for Sofa/Bed/Chair", "blanket"),
        ("口琴 附琴袋調音器", "口琴"),
    ],
)
def test_what_a_sign_joins_plays_the_same_part(name: str, thing: str) -> None:
    assert said(name) == thing


@pytest.mark.parametrize(
    ("name", "thing"),
    [("Faucet for Toilet - Health Faucet", "health faucet"), ("Cap - Shower Cap Satin", "shower cap")],
)
def test_the_narrower_of_two_words_for_one_thing_is_taken(name: str, thing: str) -> None:
    assert said(name) == thing


@pytest.mark.parametrize("name", ["护脊书包 三年级", "防蓝光台灯", "iPhone 15 case clear", "iPad 支架"])
def test_claims_and_devices_are_in_no_prompt(name: str) -> None:
    prompt = captioned(name).prompt.lower()
    assert not any(word in prompt for word in ("护脊", "防蓝光", "iphone", "ipad"))


def test_a_character_that_only_packs_is_no_thing() -> None:
    assert said("手账贴纸包 100张") == "手账贴纸"
    assert said("手机壳 全包镜头") == "手机壳"


@pytest.mark.parametrize(
    ("name", "colour"), [("Sweater Mustard Women's Knit", "mustard"), ("Hoodie Sage Oversized", "sage")]
)
def test_a_colour_may_stand_behind_its_thing(name: str, colour: str) -> None:
    slots = captioned(name).slots
    assert slots.colour is not None
    assert colour in slots.colour.en


def test_a_material_behind_a_part_and_before_a_colour_is_the_things() -> None:
    material = captioned("Butter Dish with Lid Ceramic White").slots.material
    assert material is not None
    assert material.en == "ceramic"
    assert captioned("羽毛球拍 双拍 碳素").slots.material != captioned("羽毛扇 舞蹈").slots.material


_CUT = """
from functions.derive_prompt.recognise.text import clauses
from functions.derive_prompt.recognise.units import units_of
for name in ("宝宝玩具车惯性滑行", "手账贴纸包", "龙井茶叶礼盒", "洗碗机滤网替换装", "保温杯杯盖"):
    print([unit.text for clause in clauses(name) for unit in units_of(name, clause)])
"""


def test_words_are_cut_alike_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", _CUT],
            env=child_environment({"PYTHONHASHSEED": seed}),
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told != {b""}
