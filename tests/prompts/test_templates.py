"""Every template fills, in both languages, to a prompt that obeys the model's rules."""

import re

import pytest

from functions.derive_prompt.recognise.families import AUDIENCES
from functions.derive_prompt.recognise.kinds import forms, vocabulary
from functions.derive_prompt.recognise.looks import LOOKS, Look, Looks
from functions.derive_prompt.recognise.materials import Material
from functions.derive_prompt.recognise.shades import Colour
from functions.derive_prompt.recognise.understanding import Slots
from functions.derive_prompt.templates import PHOTO, Locale, negative_prompts, read_template, template_of, templates
from functions.derive_prompt.vocabulary import department_names, table
from functions.derive_prompt.wording import fill
from shared.errors import ConfigurationError
from tests.prompts.conftest import captioned, filmed_whatever_it_is

FAMILIES = (
    "drinkware cookware electronics clothing bags bedding furniture appliances beauty food toys baby general pets "
    "decor stationery jewellery shoes"
).split()

ISSUE_KINDS = (
    "mug cup bottle bowl pot headphones phone watch desk_lamp chair sofa bag backpack shoes pillow quilt "
    "bedding_set towel shirt dress "
    "storage_box lipstick cream plush_toy cake pastry pen notebook speaker keyboard vase curtain rug pet_bed"
).split()

# Each move of a camera that a template may ask for; "固定镜头" is none.
MOVES = {
    "zh": "推近|环绕|平移|上移|下移|拉远|跟随",
    "en": "pushes in|circles|moves slowly from|moves smoothly from|moves up|tilts down|pulls",
}


def looks_of(section: str, count: int) -> tuple[Look, ...]:
    return tuple(LOOKS[section].values())[:count]


def slots_of(template: str, locale: Locale, *, full: bool) -> Slots:
    kinds = vocabulary().kinds
    kind = next((kind for kind in kinds.values() if kind.template == template), kinds["mug"])
    return Slots(
        locale=locale,
        template=template,
        kind=kind,
        colour=Colour("red", "红色", "red") if full else None,
        material=Material("cotton", "棉质", "cotton") if full else None,
        audience=AUDIENCES["women"] if full else None,
        looks=Looks(looks_of("finishes", 1), looks_of("patterns", 2), looks_of("shapes", 2), looks_of("details", 3), ())
        if full
        else Looks((), (), (), (), ()),
    )


@pytest.mark.parametrize("full", [True, False], ids=["every slot", "no slot"])
@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("template", sorted(templates()))
def test_every_template_fills_in_both_languages(template: str, locale: Locale, full: bool) -> None:
    slots = slots_of(template, locale, full=full)
    assert slots.kind is not None
    text = fill(templates()[template], slots, slots.kind)
    assert not re.search(r"[{}]|None|  |，，|。。|，。|\.\.|, ,| ,|\d", text), text
    if locale == "zh":
        assert 60 <= len(text) <= 200, (len(text), text)
    else:
        assert 60 <= len(text.split()) <= 200, (len(text.split()), text)
        assert re.match(r"[A-Z].*\.$", text)
        assert not re.search(r"\b(\w+) \1\b", text.lower()), text


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
    for locale, mark in (("zh", "。"), ("en", ". ")):
        first, second = templates()[template].text[locale].split(mark)[:2]  # type: ignore[index]
        assert "{" not in first
        assert "{thing}" in second or template == PHOTO


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_template(family: str) -> None:
    assert family in templates()


@pytest.mark.parametrize("kind", ISSUE_KINDS)
def test_every_promised_kind_is_known_by_both_its_words(kind: str) -> None:
    known = vocabulary().kinds[kind]
    for word in (known.zh, known.en):
        found = captioned(word).kind
        assert found.id.partition(":")[0] == kind


def test_every_kind_names_a_template_and_one_of_its_motions() -> None:
    for kind in vocabulary().kinds.values():
        assert kind.motion in template_of(kind.template).motions, kind.id


@pytest.mark.parametrize(
    ("fields", "motion"),
    [
        ({"name": "汤锅"}, "热汤"),
        ({"name": "胡椒研磨器"}, "缓缓转动"),
        ({"name": "Frobnicator", "category": ["Kitchen"]}, "turns slowly"),
        ({"name": "清晨系列", "category": ["餐厨"]}, "缓缓转动"),
        ({"name": "清晨系列", "category": ["水具"]}, "轻轻转动"),
        ({"name": "端午粽礼盒"}, "光线由左至右"),
        ({"name": "特产", "category": ["食品"]}, "光线由左至右"),
        ({"name": "Makeup Brush"}, "turns slowly"),
        ({"name": "曲奇"}, "掰开"),
    ],
    ids=str,
)
def test_the_motion_suits_the_thing(fields: dict[str, object], motion: str) -> None:
    assert motion in filmed_whatever_it_is(**fields)  # type: ignore[arg-type]


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


def test_every_category_word_names_a_template() -> None:
    assert table("families")["categories"].keys() <= templates().keys()


def test_no_kind_s_word_means_two_kinds() -> None:
    meaning: dict[str, str] = {}
    for department in department_names():
        for name, row in table(f"kinds/{department}")["kinds"].items():
            for word in {forms(word)[0] for word in (row["zh"], row["en"], *row.get("same", ()), *row.get("also", ()))}:
                assert meaning.setdefault(word, name) == name, f"{word}: {meaning[word]} and {name}"


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
