"""What is not understood is not named: it is filmed from its photo, or rejected with what to send."""

import re

import pytest

from functions.derive_prompt.recognise.languages import foreign_language
from shared.events import VideoRejected
from shared.settings import PromptSettings, Settings
from tests.prompts.conftest import created, product, started

UNKNOWN = "Acme Turbo Frobnicator 3000"


def rejection(name: str, **fields: object) -> VideoRejected:
    (answer,) = started().handle(created(product(name, **fields)))
    assert answer.type == "video.rejected"
    assert isinstance(answer.data, VideoRejected)
    return answer.data


def test_an_unknown_thing_is_rejected_and_told_what_to_send() -> None:
    refusal = rejection(UNKNOWN)
    (reason,) = refusal.reasons
    assert (refusal.stage, reason.code, reason.field) == ("understanding", "kind-unknown", "name")
    english, chinese = reason.message.split(" / ")
    assert "add a category" in english
    assert "补充具体类目" in chinese


def test_what_may_be_two_things_is_rejected_with_both_words() -> None:
    (reason,) = rejection("春日系列", attributes={"类型": ["手机", "沙发"]}).reasons
    assert reason.code == "kind-ambiguous"
    english, chinese = reason.message.split(" / ")
    assert "“手机” or “沙发”" in english
    assert "“手机”或“沙发”" in chinese


def test_an_unknown_thing_with_a_photo_is_filmed_from_it_without_a_noun() -> None:
    function = started(photo_digest=lambda _image: "a" * 64)
    for name, nouns in ((UNKNOWN, "product|item|thing|frobnicator"), ("神秘物品", "商品|物品|东西")):
        (answer,) = function.handle(created(product(name, image="uploads/1.jpg", color="红色")))
        spec = answer.data.spec
        assert (answer.type, spec.template.id, spec.image_sha256) == ("video.requested", "photo", "a" * 64)
        assert not re.search(nouns, spec.prompt.lower()), spec.prompt


def test_a_photo_that_is_not_used_helps_nobody() -> None:
    (answer,) = started().handle(created(product(UNKNOWN, image="uploads/1.jpg")))
    assert answer.type == "video.rejected"


def test_whoever_wants_it_films_what_is_not_known() -> None:
    function = started(Settings(prompt=PromptSettings(when_unsure="film")))
    (answer,) = function.handle(created(product(UNKNOWN, color="red")))
    assert answer.type == "video.requested"
    assert "red product" in answer.data.spec.prompt


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("แก้วกาแฟเซรามิก 350 มล.", None),
        ("コーヒーカップ 陶器 北欧風 おしゃれ", None),
        ("手作りの急須 常滑焼 日本製", "ja-JP"),
        ("도자기 머그컵 350ml", None),
        ("Кружка керамическая белая", None),
        ("كوب قهوة سيراميك", None),
        ("Kaffeebecher aus Keramik mit Deckel für das Büro", None),
        ("Tasse à café en céramique avec couvercle", None),
        ("Taza de cerámica para café con tapa", None),
        ("Grille-pain deux fentes", "fr-FR"),
    ],
)
def test_a_language_that_is_not_read_is_named_as_the_reason(name: str, locale: str | None) -> None:
    (reason,) = rejection(name, locale=locale).reasons
    assert reason.code == "language-unsupported"
    assert "Chinese" in reason.message
    assert "中文" in reason.message


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("花王 ビオレ 男士洗面奶 控油清爽 150ml", None),
        ("の 猫咪马克杯", None),
        ("Café Crème Mug with Lid", "en-GB"),
        ("Ceramic mug", "de"),
        ("Crème brûlée torch for the kitchen", None),
        ("Piñata for Kids' Party", "en-US"),
        ("陶瓷馬克杯", "yue-HK"),
        ("ΩMEGA 陶瓷马克杯", None),
    ],
)
def test_a_foreign_word_or_locale_alone_makes_no_foreign_text(name: str, locale: str | None) -> None:
    assert foreign_language([name.lower()], locale) is None
