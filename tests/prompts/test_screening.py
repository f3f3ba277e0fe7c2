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
        ({"name": "杯子", "features": ["重量<5kg", "附赠香烟", "长度>20cm"]}, "prohibited-tobacco"),
        ({"name": "杯子", "brief": "重量<5kg 附赠香烟 长度>20cm"}, "prohibited-tobacco"),
        ({"name": "杯子", "features": ["装<b", "附赠香烟", "c>箱"]}, "prohibited-tobacco"),
        ({"name": "手\u200b枪"}, "prohibited-weapons"),
        ({"name": "手&#8203;枪"}, "prohibited-weapons"),
        ({"name": "Toy &#80;ISTOL"}, "prohibited-weapons"),
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
        {"name": "高仿真绣球花束"},
        {"name": "天津特产十八街大麻花"},
        {"name": "婴儿防撞角儿童安全套装"},
        {"name": "吹气枪 气动除尘枪"},
        {"name": "汽车充气枪"},
        {"name": "抽油烟油杯"},
        {"name": "檀香烟雾倒流香炉"},
        {"name": "车载飞机杯架"},
        {"name": "儿童弹跳蛋玩具"},
        {"name": "象牙塔积木"},
        {"name": "Shotgun Microphone"},
        {"name": "Water pistol toy"},
        {"name": "Explosive power pre-workout"},
        {"name": "Air purifier for cigarette smoke"},
        {"name": "世界最佳马克杯 全国第一", "features": ["国家级工艺"]},
    ],
    ids=lambda fields: str(fields["name"]),
)
def test_what_only_sounds_prohibited_passes(fields: dict[str, Any]) -> None:
    assert screen(product(**fields)) == ()


KEPT_OFF = [
    {"name": "空气净化器", "features": ["去除香烟异味"]},
    {"name": "空气净化器", "brief": "有效分解甲醛与烟草"},
    {"name": "被子", "attributes": {"温馨提示": "请远离香烟、火源"}},
    {"name": "Air purifier", "features": ["Removes pet, cooking and tobacco smells"]},
    {"name": "Quilt", "attributes": {"Care": "Keep away from cigarettes and open fire"}},
]


@pytest.mark.parametrize("fields", KEPT_OFF, ids=str)
def test_what_a_thing_keeps_off_is_not_what_it_is(fields: dict[str, Any]) -> None:
    assert screen(product(**fields)) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "去除烦恼电子烟"},
        {"name": "Removes stress vape pen"},
        {"name": "被子", "category": ["远离香烟"]},
        {"name": "被子", "attributes": {"温馨提示": "请远离火源。附赠香烟"}},
        {"name": "Quilt", "features": ["Removes odours. Comes with cigarettes"]},
        {"name": "大麻花叶"},
    ],
    ids=str,
)
def test_keeping_one_thing_off_excuses_no_other(fields: dict[str, Any]) -> None:
    assert screen(product(**fields))


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
