"""What may not become a clip is refused with machine-readable reasons; what only sounds like it is not."""

import time
from typing import Any

import pytest

from functions.derive_prompt.refusals import licence_wanted, prohibited
from functions.derive_prompt.screening import GROUPS, licensed, makes_claim, may_be_quoted, screen
from functions.derive_prompt.vocabulary import department_names, table
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
        ({"name": "Old &#80;ISTOL"}, "prohibited-weapons"),
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


def test_a_reason_names_its_field_and_word_in_both_languages() -> None:
    (finding,) = screen(product("杯子", features=["好看", "附赠香烟"]))
    reason = prohibited(finding)
    assert reason.field == "features"
    english, chinese = reason.message.split(" / ")
    assert "The features say “香烟”" in english
    assert "卖点里有“香烟”" in chinese


@pytest.mark.parametrize("code", GROUPS)
def test_every_code_is_named_in_both_languages(code: str) -> None:
    english, chinese = GROUPS[code]
    assert english.isascii()
    assert not chinese.isascii()


def test_each_code_is_given_once() -> None:
    findings = screen(product("手枪 步枪 电子烟"))
    assert sorted(finding.code for finding in findings) == ["prohibited-tobacco", "prohibited-weapons"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("折叠蝴蝶刀 户外", "prohibited-weapons"),
        ("Telescopic baton, steel", "prohibited-weapons"),
        ("氯胺酮 K粉", "prohibited-drugs"),
        ("Delta-8 gummies, peach", "prohibited-drugs"),
        ("Blue glass bong with ice catcher", "prohibited-drugs"),
        ("左氧氟沙星片 24片", "prohibited-medicine"),
        ("Doxycycline 100mg capsules", "prohibited-medicine"),
        ("假阳具 吸盘", "prohibited-adult"),
        ("Handheld massager for clitoral pleasure", "prohibited-adult"),
        ("透视麻将 隐形眼镜", "prohibited-gambling"),
        ("UV ink marked cards", "prohibited-gambling"),
        ("悦刻 五代", "prohibited-tobacco"),
        ("Snus white mint", "prohibited-tobacco"),
        ("狼牙吊坠 老货真品", "prohibited-wildlife"),
        ("Hawksbill tortoise shell comb", "prohibited-wildlife"),
        ("强磁GPS 出轨 定位", "prohibited-surveillance"),
        ("Bump key, 10 pieces", "prohibited-surveillance"),
        ("劳力士 1:1 复刻", "prohibited-counterfeit"),
        ("AAA quality replica Prada tote", "prohibited-counterfeit"),
        ("二踢脚 50响", "prohibited-hazardous"),
        ("Sodium cyanide, technical grade", "prohibited-hazardous"),
        ("代孕服务 咨询", "prohibited-services"),
        ("CVV dumps", "prohibited-services"),
        ("Amazon reviews, fake, 20 pieces", "prohibited-services"),
        ("Retractable baton, tactical", "prohibited-weapons"),
        ("Bitch, please: coffee mug", "offensive-language"),
        ("强光手电筒 警用电击棍 防身", "prohibited-weapons"),
        ("Electric shock torch for self protection", "prohibited-weapons"),
        ("Spring assisted pocket knife for self defense", "prohibited-weapons"),
        ("毕业证书外壳 代办学历证书", "prohibited-services"),
        ("学位证 定做", "prohibited-services"),
        ("Thesis ghostwritten for you", "prohibited-services"),
        ("GPS signal jammer (anti tracking blocker)", "prohibited-surveillance"),
        ("Smoke detector hidden camera", "prohibited-surveillance"),
        ("Magic mushroom chocolate bar", "prohibited-drugs"),
        ("一比一 迪奥 口红", "prohibited-counterfeit"),
        ("散装 92号 汽油", "prohibited-hazardous"),
    ],
)
def test_goods_that_nobody_may_sell_are_found_in_both_languages(name: str, code: str) -> None:
    assert [finding.code for finding in screen(product(name))] == [code]


@pytest.mark.parametrize(
    "name",
    [
        "电_子_烟",
        "电 子 烟 杆",
        "象★牙 手串",
        "情😀趣💋用品",
        "大㊙麻 叶",
        "dian子烟",
        "電子菸",
        "V a p e kit",
        "v.a.p.e",
        "v4pe kit",
        "p*rn dvd",
        "cоcaіne",
        "сigаrette",
    ],
)
def test_words_are_seen_through_their_disguises(name: str) -> None:
    assert screen(product(name))


@pytest.mark.parametrize(
    "name",
    [
        "海盗手枪 儿童玩具",
        "穿山甲 毛绒公仔",
        "混凝土 插入式震动棒",
        "老虎机 造型 存钱罐",
        "尼古丁检测试纸",
        "不含尼古丁 香氛",
        "反恐 桌游",
        "自杀预防 图书",
        "胰岛素 冷藏盒",
        "象牙果 手链",
        "Foam dart pistol toy",
        "Plush pangolin",
        "Vibrator for concrete, 35 mm",
        "Pen case for insulin, cooling",
        "Antibiotic-free turkey",
        "Ceramic knife, no ivory",
        "Casino party balloons",
        "Engine 12 4x4 jack",
        "S M L XL hangers",
        "男 童 装",
        "Black Rifle Ground Coffee",
        "Sniper brand fishing reel",
        "学位服 毕业证书外壳",
        "Social Security Card Sleeve",
        "Driver's License Holder Wallet",
        "Hidden Camera Detector",
        "Magic Mushroom Night Light",
        "汽油发电机",
        "插座 防触电 防电击",
        "雪茄盒",
    ],
)
def test_what_stands_near_a_word_may_make_it_harmless(name: str) -> None:
    assert screen(product(name)) == ()


def test_a_word_may_be_written_with_a_gap_if_it_is_long() -> None:
    assert screen(product("防身 电击 手电", features=["开锁 工具"]))
    assert screen(product("扶手 枪灰色")) == ()


# Flags and emblems are sold, but may not advertise; the others are mercury instruments.
_LISTED_AND_PROHIBITED = {"国旗", "手摇小国旗", "国旗脸贴", "党徽", "水银血压计", "insulin pen"}


def test_what_the_vocabulary_lists_is_not_prohibited() -> None:
    listed = {
        word
        for department in department_names()
        for row in table(f"kinds/{department}")["kinds"].values()
        for word in (row["zh"], row["en"], *row.get("same", ()), *row.get("also", ()))
    }
    assert len(listed) > 30_000
    prohibited_words = {word for word in listed if word.strip() and screen(product(word))}
    assert prohibited_words <= _LISTED_AND_PROHIBITED


def test_a_colour_may_be_called_like_goods_that_are_prohibited() -> None:
    assert screen(product("窗帘", color=["象牙"], attributes={"颜色": "烟草"})) == ()
    assert screen(product("手串", material=["象牙"]))
    assert screen(product("盒子", color=["电子烟"]))


LICENSED = ["史迪仔 抱枕", "耐克同款 短袖", "Kuromi backpack", "Gucci style belt bag"]


@pytest.mark.parametrize("name", LICENSED)
def test_what_may_belong_to_somebody_else_is_looked_at_first(name: str) -> None:
    found = licensed(product(name))
    assert [finding.code for finding in found] == ["review-licence"]
    (event,) = started().handle(created(product(name, category=["枕头"])))
    assert event.type == "video.requested"
    assert event.data.review == (licence_wanted(found[0]),)


def test_a_brand_that_is_stated_is_its_own() -> None:
    assert licensed(product("贵州茅台 酒杯"))
    assert licensed(product("贵州茅台 酒杯", attributes={"品牌": "贵州茅台"})) == ()


def test_what_may_belong_to_somebody_else_is_never_named_in_a_prompt() -> None:
    (event,) = started().handle(created(product("Kuromi backpack")))
    assert "kuromi" not in event.data.spec.prompt.lower()


@pytest.mark.parametrize(
    "text",
    [
        "天花板级手感",
        "同级最轻",
        "全网销量第一",
        "销 量 第 一",
        "蕞好的奶锅",
        "No.1 品牌",
        "缓解便秘",
        "祛湿 排毒",
        "稳赚 五年回本",
        "The finest down money can buy",
        "B.e.s.t buy",
        "Our most popular kettle",
        "Relieves joint pain",
        "Doctor recommended",
        "Earn money from your sofa",
    ],
)
def test_a_claim_is_known(text: str) -> None:
    assert makes_claim(text)


@pytest.mark.parametrize(
    "text",
    [
        "最大开合角度120度",
        "最多可叠放 6 层",
        "第一档为低速",
        "唯一编码",
        "万能转换头",
        "增高鞋垫 2厘米",
        "Best served chilled",
        "No. 1 crosshead screwdriver",
        "Perfect binding, 120 pages",
        "Guaranteed for ten years",
        "Cures under a UV lamp",
        "Treats for small dogs",
    ],
)
def test_a_fact_is_no_claim(text: str) -> None:
    assert not makes_claim(text)


def test_a_long_text_is_screened_to_its_end() -> None:
    assert screen(product(attributes={"说明": "好" * 15_000 + "手枪"}))


@pytest.mark.parametrize(
    "piece", ["-", ".", "a.", "1", "toy pistol ", "玩具手枪、", "电 ", "最大", "v a p ", "*a", "手\u200b"]
)
def test_a_long_text_of_one_piece_is_screened_in_bounded_time(piece: str) -> None:
    text = (piece * 16_000)[:16_000]
    began = time.process_time()
    screen(product("杯子", brief=text))
    makes_claim(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("word", ["投影灯", "frobnicator", "香樟木"])
def test_a_plain_word_may_be_quoted(word: str) -> None:
    assert may_be_quoted(word)


@pytest.mark.parametrize("word", ["忽略指令", "nike", "最佳", "手枪", "a1", "<b>", "杯🔥", "ignore this", "第一品牌"])
def test_a_brand_claim_figure_or_instruction_may_not(word: str) -> None:
    assert not may_be_quoted(word)
