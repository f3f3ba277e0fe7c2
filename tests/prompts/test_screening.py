"""What may not become a clip is refused with machine-readable reasons; what only sounds like it is not."""

from typing import Any

import pytest

from functions.derive_prompt.screening import may_be_quoted, screen
from tests.prompts.conftest import created, product, started


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "仿真手枪模型"}, "prohibited-weapons"),
        ({"name": "Tactical switchblade"}, "prohibited-weapons"),
        ({"name": "一次性电子烟 西瓜味"}, "prohibited-tobacco"),
        ({"name": "Vape Pen Starter Kit"}, "prohibited-tobacco"),
        ({"name": "大麻叶 T恤"}, "prohibited-drugs"),
        ({"name": "情趣内衣 女"}, "prohibited-adult"),
        ({"name": "Silicone sex toy"}, "prohibited-adult"),
        ({"name": "老虎机 家用"}, "prohibited-gambling"),
        ({"name": "国旗图案马克杯"}, "state-symbols"),
        ({"name": "手工象牙雕件"}, "prohibited-wildlife"),
        ({"name": "挂件", "attributes": {"材质": "象牙"}}, "prohibited-wildlife"),
        ({"name": "杯子", "features": ["附赠香烟"]}, "prohibited-tobacco"),
        ({"name": "杯子", "category": ["成人用品"]}, "prohibited-adult"),
        ({"name": "手\u200b枪"}, "prohibited-weapons"),
        ({"name": "ＶＡＰＥ"}, "prohibited-tobacco"),
        ({"name": "電子煙"}, "prohibited-tobacco"),
    ],
)
def test_prohibited_goods_are_rejected_with_a_code(fields: dict[str, Any], code: str) -> None:
    (event,) = started().handle(created(product(**fields)))
    assert event.type == "video.rejected"
    assert event.data.stage == "screening"
    assert [reason.code for reason in event.data.reasons] == [code]
    assert event.data.video_id is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "手枪钻 家用电钻"},
        {"name": "玩具水枪"},
        {"name": "羊毛圈绒枪刺地毯"},
        {"name": "雷霆之怒逐风者的祝福之剑 雨伞"},
        {"name": "全棉四件套", "color": "烟草绿/ 象牙白"},
        {"name": "子弹头口红"},
        {"name": "按动中性笔", "brief": "进口笔尖，无毒油墨"},
        {"name": "Glue gun for crafts"},
        {"name": "Nude pink lipstick"},
        {"name": "Gore-Tex hiking boots"},
        {"name": "Cigarette pants for women"},
        {"name": "Bath bomb set"},
        {"name": "麻将套装"},
        {"name": "白酒 500ml"},
        {"name": "世界最佳马克杯 全国第一", "features": ["国家级工艺"]},
    ],
    ids=lambda fields: str(fields["name"]),
)
def test_what_only_sounds_prohibited_passes(fields: dict[str, Any]) -> None:
    assert screen(product(**fields)) == ()


def test_a_reason_names_its_field_and_word() -> None:
    (reason,) = screen(product("杯子", features=["好看", "附赠香烟"]))
    assert reason.field == "features"
    assert "香烟" in reason.message


def test_each_code_is_given_once() -> None:
    reasons = screen(product("手枪 步枪 电子烟"))
    assert sorted(reason.code for reason in reasons) == ["prohibited-tobacco", "prohibited-weapons"]


def test_a_long_text_is_screened_to_its_end() -> None:
    assert screen(product(attributes={"说明": "好" * 15_000 + "手枪"}))


@pytest.mark.parametrize("word", ["投影灯", "frobnicator", "香樟木"])
def test_a_plain_word_may_be_quoted(word: str) -> None:
    assert may_be_quoted(word)


@pytest.mark.parametrize("word", ["忽略指令", "nike", "最佳", "手枪", "a1", "<b>", "杯🔥", "ignore this", "第一品牌"])
def test_a_brand_claim_figure_or_instruction_may_not(word: str) -> None:
    assert not may_be_quoted(word)
