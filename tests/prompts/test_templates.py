"""Every template fills, in both languages, to a prompt that obeys the model's rules."""

import re
from collections import Counter

import pytest

from functions.derive_prompt.prompts import caption_of
from functions.derive_prompt.recognise.families import AUDIENCES, find_family, shelf_of
from functions.derive_prompt.recognise.kinds import Kind, vocabulary
from functions.derive_prompt.recognise.looks import LOOKS, Look, Looks
from functions.derive_prompt.recognise.materials import Material
from functions.derive_prompt.recognise.shades import Colour
from functions.derive_prompt.recognise.understanding import Slots
from functions.derive_prompt.templates import (
    PHOTO,
    PHOTOGRAPHED,
    Locale,
    negative_prompts,
    read_template,
    template_of,
    templates,
)
from functions.derive_prompt.vocabulary import table
from functions.derive_prompt.wording import fill
from shared.errors import ConfigurationError
from tests.prompts.conftest import captioned, understanding

FAMILIES = (
    "drinkware cookware electronics clothing bags bedding furniture appliances beauty food toys baby general pets "
    "decor stationery jewellery shoes fruit vegetables meat_seafood pantry car_parts motorcycle vehicles cycling tools "
    "electrical industrial plumbing bathroom garden plants medical mobility optics cameras craft sewing books "
    "music_instruments musical_parts party gifts religious office_machines packaging fishing camping swimming "
    "winter_sports fitness ball_games games models nursery feeding grooming cleaning storage laundry kitchen_tools "
    "bakeware watches eyewear hats computers phones audio video_games smart_home large_appliances climate"
).split()

ISSUE_KINDS = (
    "mug cup bottle bowl pot headphones phone watch desk_lamp chair sofa bag backpack shoes pillow quilt "
    "bedding_set towel shirt dress "
    "storage_box lipstick cream plush_toy cake pen notebook speaker keyboard vase curtain rug pet_bed"
).split()

# Each move of a camera that a template may ask for; "固定镜头" is none.
MOVES = {
    "zh": "推近|环绕|平移|上移|下移|拉远|跟随",
    "en": "pushes in|circles|moves slowly from|moves smoothly from|moves up|tilts down|pulls",
}


def looks_of(section: str, count: int) -> tuple[Look, ...]:
    return tuple(LOOKS[section].values())[:count]


def slots_of(template: str, locale: Locale, *, full: bool) -> Slots:
    return Slots(
        locale=locale,
        template=template,
        kind=kind_of(template),
        colour=Colour("red", "红色", "red") if full else None,
        material=Material("cotton", "棉质", "cotton") if full else None,
        audience=AUDIENCES["women"] if full else None,
        looks=Looks(looks_of("finishes", 1), looks_of("patterns", 2), looks_of("shapes", 2), looks_of("details", 3), ())
        if full
        else Looks((), (), (), (), ()),
    )


def kind_of(template: str) -> Kind:
    kinds = vocabulary().kinds
    return next((kind for kind in kinds.values() if kind.template == template), kinds["mug"])


@pytest.mark.parametrize("from_photo", [False, True], ids=["text", "photo"])
@pytest.mark.parametrize("full", [True, False], ids=["every slot", "no slot"])
@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("template", sorted(templates()))
def test_every_template_fills_in_both_languages(template: str, locale: Locale, full: bool, from_photo: bool) -> None:
    filled = templates()[template]
    slots = slots_of(template, locale, full=full)
    for motion in filled.from_photo if from_photo else filled.motions:
        text = fill(filled, slots, kind_of(template)._replace(motion=motion), from_photo=from_photo)
        assert not re.search(r"[{}]|None|  |，，|。。|，。|\.\.|, ,| ,|\d", text), text
        if locale == "zh":
            assert 60 <= len(text) <= 200, (len(text), text)
        else:
            assert 60 <= len(text.split()) <= 200, (len(text.split()), text)
            assert re.match(r"[A-Z].*\.$", text)
            assert not re.search(r"\b(\w+) \1\b", text.lower()), text


ENDINGS = {"head", *table("endings")["endings"]}
"""What compounds are by their last word: ids that no kind of the vocabulary has."""


@pytest.mark.parametrize("template", [name for name, template in templates().items() if template.elsewhere])
def test_what_is_filmed_elsewhere_is_a_kind_that_the_template_films(template: str) -> None:
    kinds = vocabulary().kinds
    for kind in templates()[template].elsewhere.keys() - ENDINGS:
        assert kind in kinds, kind
        assert template_of(kinds[kind].template).reference.id == template, kind


@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("template", [name for name, template in templates().items() if template.elsewhere])
def test_every_scene_elsewhere_fills_in_both_languages(template: str, locale: Locale) -> None:
    kinds = vocabulary().kinds
    for kind in templates()[template].elsewhere:
        for full in (True, False):
            named = kinds.get(kind) or kind_of(template)._replace(id=kind)
            slots = slots_of(template, locale, full=full)._replace(kind=named)
            text = fill(templates()[template], slots, named)
            assert 60 <= len(text if locale == "zh" else text.split()) <= 200, text
            assert not re.search(r"[{}]|None|  |，，|。。|，。|\.\.|, ,| ,", text), text


def test_a_ladder_lies_on_no_bench_and_a_painting_on_no_cabinet() -> None:
    assert "workbench" not in captioned("Ladder").prompt.lower()
    assert "墙面" in captioned("向日葵 油画").prompt
    assert "摆在厚实的木工台上" in captioned("羊角锤").prompt


@pytest.mark.parametrize(
    ("name", "category", "never"),
    [
        ("冰箱密封条", "家电配件", "指示灯"),
        ("Refrigerator Door Seal Gasket", "Appliance Parts", "indicator"),
        ("行李箱绑带", "箱包配件", "提手"),
        ("Luggage Strap", "Travel Accessories", "handle swings"),
        ("餐桌布", "餐厨", "转盘"),
        ("Disposable Paper Plates", "Tableware", "turntable"),
        ("摩托车罩", "摩托车配件", "台"),
        ("Hockey Puck", "Ice Hockey", "snow"),
        ("茶饼 普洱茶", "茶叶", "穿过"),
        ("挂耳咖啡 盒装", "饮品", "穿过"),
        ("Doll Clothes", "Toys", "rocks"),
        ("充气船", "水上运动", "路面"),
        ("豆袋 懒人沙发 可躺", "家具", "靠背"),
        ("向日葵 鲜花 花卉", "鲜花", "碎花"),
        ("硅胶铲 不粘涂层 不粘锅专用", "厨具", "不粘"),
        ("布艺五金配件 包包", "辅料", "布艺五金"),
        ("Women's and Girls' Winter Scarf", "Accessories", "children"),
        ("Girls' Dress for Kids", "Girls Clothing", "children's girls"),
        ("Silk-like Silk Saree", "Sarees", "silk-like"),
    ],
)
def test_a_thing_does_only_what_it_can(name: str, category: str, never: str) -> None:
    assert never not in captioned(name, category=[category]).prompt


def test_from_its_photo_nothing_is_elsewhere() -> None:
    kind = vocabulary().kinds["ladder"]
    slots = slots_of("tools", "en", full=False)
    text = fill(templates()["tools"], slots, kind, from_photo=True)
    assert text.startswith(templates()[PHOTOGRAPHED].text["en"].partition("{")[0])


# What one photo does not show: a back, an inside, whoever would have to come in to move the thing.
UNSEEN = {
    "zh": "手|指|人|背面|侧面|半圈|一圈|打开|展开|倒|弹|滚|走",
    "en": "hand|finger|person|model|behind|half|full|open|fold|pour|roll",
}


@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("template", sorted(templates()))
def test_from_a_photo_nothing_is_shown_that_the_photo_does_not_show(template: str, locale: Locale) -> None:
    for motion in templates()[template].from_photo.values():
        assert not re.search(UNSEEN[locale], motion[locale]), motion


def test_from_a_photo_the_scene_is_the_photo_s() -> None:
    for locale in ("zh", "en"):
        for template in (templates()[name] for name in ("clothing", "electronics", "fruit")):
            slots = slots_of(template.reference.id, locale, full=False)
            text = fill(template, slots, kind_of(template.reference.id), from_photo=True)
            assert text.startswith(templates()[PHOTOGRAPHED].text[locale].partition("{")[0])


def test_what_a_thing_can_do_is_not_filmed_from_its_photo() -> None:
    folding = slots_of("furniture", "zh", full=False)._replace(looks=Looks((), (), (), (), (LOOKS["actions"]["fold"],)))
    template, kind = templates()["furniture"], kind_of("furniture")
    assert "展开成形" in fill(template, folding, kind)
    assert "展开" not in fill(template, folding, kind, from_photo=True)


def test_a_dress_is_worn_by_a_model_in_text_and_by_nobody_in_its_photo() -> None:
    understood = understanding("连衣裙", color=["红色"])
    assert "模特" in caption_of(understood).prompt
    photographed = caption_of(understood, from_photo=True)
    assert "红色" in photographed.prompt
    assert not re.search("模特|转身|侧面", photographed.prompt)


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_a_photo_of_what_is_not_known_is_filmed_without_a_noun(locale: Locale) -> None:
    assert not {"{thing}", "{looks}", "{model}"} & set(re.findall(r"\{\w+\}", templates()[PHOTO].text[locale]))


# "No person unless the category needs one": who wears clothes is a model, and nothing else is touched by anybody.
@pytest.mark.parametrize("template", sorted(templates()))
def test_nobody_is_in_a_scene_but_who_wears_clothes(template: str) -> None:
    filmed = templates()[template]
    assert filmed.has_model == (template == "clothing")
    for locale, people in (("zh", "手|手指|人"), ("en", r"\bhands?\b|\bfinger|person|somebody|a child")):
        moved = [motion[locale] for key, motion in filmed.motions.items() if key not in ("touch",)]  # type: ignore[index]
        for text in (filmed.text[locale], *moved):  # type: ignore[index]
            assert not re.search(people, re.sub("手工|扶手|提手|诱人", "", text)), text


def test_the_standard_forms_are_kept_where_their_ground_is_given() -> None:
    """家电: 产品 正在 使用场景 中展示 核心功能. 服饰: 颜色 款式 由模特穿着, 缓慢转身展示正面与侧面."""
    for name in ("空气炸锅", "空调", "冰箱"):
        caption = captioned(name)
        assert re.search(f"{caption.kind.zh}正在明亮.*?的?.+中展示", caption.prompt), caption.prompt
    assert re.search("红色.*连衣裙由.*模特穿着，缓慢转身展示正面与侧面", captioned("连衣裙", color=["红色"]).prompt)


@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("template", sorted(templates()))
def test_a_template_moves_the_camera_at_most_once(template: str, locale: Locale) -> None:
    camera = re.split("，|。", templates()[template].text["zh"])[-2] if locale == "zh" else ""
    text = templates()[template].text[locale]
    moves = re.findall(MOVES[locale], camera if locale == "zh" else text)
    fixed = re.findall("固定镜头" if locale == "zh" else "camera is fixed", text)
    assert len(moves) + len(fixed) == 1, (moves, fixed)


@pytest.mark.parametrize("template", sorted(templates()))
def test_light_comes_first_and_the_thing_in_the_next_sentence(template: str) -> None:
    told = "{motion}" if template == PHOTO else "{thing}"
    for locale, mark in (("zh", "。"), ("en", ". ")):
        first, second = templates()[template].text[locale].split(mark)[:2]  # type: ignore[index]
        assert "{" not in first
        assert told in second or template == PHOTO


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_template(family: str) -> None:
    assert family in templates()


@pytest.mark.parametrize("kind", ISSUE_KINDS)
def test_every_promised_kind_is_known_by_both_its_words(kind: str) -> None:
    for word in (vocabulary().kinds[kind].zh, vocabulary().kinds[kind].en):
        assert captioned(word).kind.id == kind


def test_every_family_is_filmed_by_a_template_of_its_own_or_by_one_named_for_it() -> None:
    filmed_as = table("families")["filmed_as"]
    assert not filmed_as.keys() & templates().keys(), "has a template, and needs no other"
    assert set(filmed_as.values()) <= templates().keys()
    families = {kind.template for kind in vocabulary().kinds.values()}
    assert families <= filmed_as.keys() | templates().keys()


def test_a_motion_that_several_kinds_of_a_family_ask_for_is_written() -> None:
    asked = Counter((template_of(kind.template).reference.id, kind.motion) for kind in vocabulary().kinds.values())
    often = {pair for pair, kinds in asked.items() if kinds >= 3}
    assert {(name, motion) for name, motion in often if motion not in templates()[name].motions} == set()


@pytest.mark.parametrize(
    ("name", "template", "motion"),
    [
        ("汤锅", "cookware", "热汤"),
        ("胡椒研磨器", "kitchen_tools", "缓缓转动"),
        ("Makeup Brush", "beauty", "turns slowly"),
        ("西瓜", "fruit", "水珠"),
        ("电钻", "tools", "旋转"),
        ("轮椅", "mobility", "轮子转动"),
        ("水龙头", "plumbing", "清水缓缓流出"),
        ("加湿器", "climate", "白雾"),
        ("Electric Fan", "climate", "breeze"),
        ("Bicycle", "cycling", "wheels turn"),
    ],
)
def test_the_motion_suits_the_thing(name: str, template: str, motion: str) -> None:
    caption = captioned(name)
    assert caption.template.id == template
    assert motion in caption.prompt


def test_every_generic_thing_has_a_motion() -> None:
    for template in templates().values():
        assert template.generic.motion in template.motions, template.reference.id


def test_every_look_names_templates_that_exist() -> None:
    for section in LOOKS.values():
        for look in section.values():
            assert set(look.templates) <= templates().keys(), look.id


def test_every_action_names_templates_that_exist() -> None:
    for look in LOOKS["actions"].values():
        assert look.templates
        assert set(look.templates) <= templates().keys(), look.id


def test_every_category_word_names_one_family() -> None:
    categories = table("families")["categories"]
    assert categories.keys() <= templates().keys() | table("families")["filmed_as"].keys()
    words = Counter(word for words in categories.values() for word in words)
    assert [word for word, times in words.items() if times > 1] == []


@pytest.mark.parametrize(
    ("category", "family"),
    [
        ("Tools & Home Improvement", "tools"),
        ("Patio, Lawn & Garden", "garden"),
        ("Arts, Crafts & Sewing", "craft"),
        ("Musical Instruments", "music_instruments"),
        ("Cell Phones & Accessories", "phone_accessories"),
        ("Sports & Outdoors", "sports"),
        ("Grocery & Gourmet Food", "food"),
        ("Pooja Needs", "religious"),
        ("Patio Furniture", "furniture"),
        ("水产", "seafood"),
        ("粮油调味", "staples"),
        ("医疗器械", "medical"),
        ("厨卫大电", "large_appliances"),
        ("电脑椅", "furniture"),
        ("婚庆用品", "festive"),
    ],
)
def test_a_shop_s_shelf_is_known(category: str, family: str) -> None:
    assert find_family([category.lower()]) == family


def test_families_of_one_shelf_are_filmed_apart() -> None:
    assert shelf_of("fruit") == shelf_of("snacks") == shelf_of("pantry") == "food"
    assert template_of("fruit") is not template_of("snacks")
    assert template_of("snacks") is template_of("dairy") is templates()["pantry"]


def test_the_default_negative_prompt_is_the_models_own_to_the_letter() -> None:
    default, versions = negative_prompts()
    assert default == "wan2.2-default-1"
    assert versions[default] == (
        ""
        "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，"
        ""
        "画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
    )


def test_a_template_may_ask_for_another_negative_prompt() -> None:
    document = {
        "id": "x",
        "version": 3,
        "negative_prompt": "vivid-1",
        "zh": "{thing}{looks}{motion}",
        "en": "{thing}{looks}{motion}",
        "generic": {"zh": "物", "en": "thing", "measure": "件", "en_count": "a"},
        "motions": {"default": {"zh": "转", "en": "turns"}},
    }
    assert read_template(document, "x.toml").negative_prompt == "vivid-1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zh": "{thing}"}, "places"),
        ({"zh": "{thing}{looks}{motion}{price}"}, "places"),
        ({"en": None}, "wrong|missing"),
        ({"motions": {}}, "motion"),
        ({"from_photo": {}}, "motion"),
    ],
)
def test_a_broken_template_is_refused_with_its_name(change: dict[str, object], says: str) -> None:
    document = {
        "id": "x",
        "version": 1,
        "zh": "{thing}{looks}{motion}",
        "en": "{thing}{looks}{motion}",
        "generic": {"zh": "物", "en": "thing", "measure": "件", "en_count": "a"},
        "motions": {"default": {"zh": "转", "en": "turns"}},
        **change,
    }
    with pytest.raises(ConfigurationError, match=f"broken.toml.*({says})"):
        read_template({key: value for key, value in document.items() if value is not None}, "broken.toml")
