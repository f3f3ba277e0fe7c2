"""Products that a camera cannot tell apart share a video id; products that it can never do."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import Product
from tests.prompts.conftest import product

VideoId = Callable[[Product], str]

SHIRT: dict[str, Any] = {"name": "男士纯棉衬衫", "category": ["服装", "衬衫"], "color": "白色", "material": "棉"}


@pytest.mark.parametrize(
    "unseen",
    [
        {"product_id": "SKU-2"},
        {"price": "199.00", "brand": "Acme"},
        {"attributes": {"执行标准": "GB18401-2010 B类", "产地": "中国", "重量": "300g", "尺寸": "XL"}},
        {"features": ["续航30小时", "主动降噪", "买一送一", "三年质保"]},
        {"name": "【新款】男士纯棉衬衫 2026春季爆款 包邮 3件装"},
        {"brief": "热销50万件"},
        {"keywords": ["爆款", "包邮"]},
        {"channels": ["tiktok"]},
        {"color": "白"},
        {"material": "100%棉"},
        {"color": ["白色", "黑色"]},
    ],
    ids=str,
)
def test_what_cannot_be_seen_does_not_change_the_video_id(video_id: VideoId, unseen: dict[str, Any]) -> None:
    assert video_id(product(**SHIRT)) == video_id(product(**{**SHIRT, **unseen}))


@pytest.mark.parametrize(
    "seen",
    [
        {"color": "黑色"},
        {"color": "米白色"},
        {"material": "亚麻"},
        {"name": "女士纯棉衬衫"},
        {"name": "男士纯棉卫衣"},
        {"name": "男士长袖纯棉衬衫"},
        {"name": "男士条纹纯棉衬衫"},
        {"features": ["刺绣"]},
        {"color": "白色格子"},
        {"locale": "en"},
    ],
    ids=str,
)
def test_what_can_be_seen_changes_the_video_id(video_id: VideoId, seen: dict[str, Any]) -> None:
    assert video_id(product(**SHIRT)) != video_id(product(**{**SHIRT, **seen}))


CHINESE_COLOURS = (
    "白色 黑色 灰色 浅灰色 深灰 红色 玛瑙红 酒红 砖釉红 真朱红 粉色 浅杏粉 樱花粉 菡萏粉 橙色 蜜橙 黄色 姜黄 绿色 "
    "墨绿 豆绿 "
    "千岁绿 若绿 蓝色 藏青 天蓝色 静谧蓝 薄缥蓝 缥蓝色 妖姬蓝 紫色 灰紫 紫灰 棕色 咖色 浅咖色 深褐 驼色 金色 银色 "
    "银灰 米色 米白 卡其色 "
    "蓝白 白蓝 青粉拼接 蓝粉拼接 灰黄条纹 透明 多色 原木色 迷彩 极光 莫奈花园晨雾 "
    "烟白灰 枯野灰 青丝灰 素雅灰 星空蓝 蒂芙尼蓝 "
    "克莱因蓝 松石绿"
).split()
ENGLISH_COLOURS = [
    *(
        "white",
        "off-white",
        "ivory",
        "black",
        "matte black",
        "grey",
        "light grey",
        "charcoal",
        "red",
        "burgundy",
        "pink",
    ),
    *(
        "dusty rose",
        "rose gold",
        "orange",
        "coral",
        "yellow",
        "mustard",
        "green",
        "sage",
        "olive green",
        "blue",
        "navy",
    ),
    *("light blue", "sky blue", "purple", "lavender", "brown", "tan", "gold", "silver", "beige", "cream", "obsidian"),
    *("black titanium", "blue titanium", "peach fuzz", "black and white", "teal", "cyan", "violet", "copper", "bronze"),
]


@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("colours", [CHINESE_COLOURS, ENGLISH_COLOURS], ids=["chinese words", "english words"])
def test_different_colours_never_share_a_video_id(video_id: VideoId, colours: list[str], locale: str) -> None:
    by_id: dict[str, str] = {}
    for colour in colours:
        other = by_id.setdefault(video_id(product(color=colour, locale=locale)), colour)
        assert other == colour, f"{colour} and {other} share a clip"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("白色", "白"),
        ("玛瑙红", "玛瑙红色"),
        ("grey", "Gray"),
        ("Navy Blue", "navy blue"),
        ("米色", "米色（现货）"),
        ("01#酒红", "酒红色"),
    ],
)
def test_one_colour_written_twice_shares_a_video_id(video_id: VideoId, one: str, other: str) -> None:
    assert video_id(product(color=one, locale="zh")) == video_id(product(color=other, locale="zh"))


MATERIALS = (
    "棉 亚麻 真丝 羊毛 羊绒 聚酯纤维 锦纶 真皮 仿皮 不锈钢 铸铁 黄铜 铝合金 玻璃 陶瓷 骨瓷 大理石 木质 橡木 胡桃木 "
    "榉木 松木 榆木 竹制 藤编 塑料 "
    "亚克力 硅胶 树脂 纸质 帆布 雪纺 蕾丝 珐琅 水泥 香樟木 椰壳板"
).split()


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_different_materials_never_share_a_video_id(video_id: VideoId, locale: str) -> None:
    ids = {material: video_id(product("花瓶", material=material, locale=locale)) for material in MATERIALS}
    assert len(set(ids.values())) == len(MATERIALS)


THINGS = (
    "马克杯 保温杯 高脚杯 碗 盘子 炒锅 煎锅 汤勺 锅铲 头戴式耳机 入耳式耳机 手机 手表 键盘 音箱 台灯 落地灯 吊灯 "
    "椅子 沙发 餐桌 书桌 双肩包 手提包 "
    "行李箱 运动鞋 靴子 高跟鞋 枕头 被子 夏凉被 四件套 毛巾 浴巾 衬衫 连衣裙 旗袍 半身裙 收纳盒 口红 面霜 香水 "
    "毛绒玩具 积木 蛋糕 曲奇 苹果 草莓 钢笔 "
    "笔记本 花瓶 窗帘 纱帘 地毯 宠物窝 猫抓板 篮球 足球 排球 雨伞 吉他 尤克里里 吸尘器 冰箱 投影灯 香薰炉 火锅桌"
).split()


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_different_things_never_share_a_video_id(video_id: VideoId, locale: str) -> None:
    ids = {thing: video_id(product(thing, color="白色", locale=locale)) for thing in THINGS}
    assert len(set(ids.values())) == len(THINGS)


ENGLISH_THINGS = "mug bowl dress skirt basketball volleyball sneakers boots gloves".split()


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(ENGLISH_THINGS, 2)))
def test_different_english_things_never_share_a_video_id(video_id: VideoId, one: str, other: str) -> None:
    assert video_id(product(f"White {one}")) != video_id(product(f"White {other}"))


FRUIT = "apples oranges strawberries blueberries".split()


def test_different_fruit_never_shares_a_video_id(video_id: VideoId) -> None:
    assert len({video_id(product(f"Fresh {fruit}")) for fruit in FRUIT}) == len(FRUIT)


@pytest.mark.parametrize(
    ("one", "other"),
    [("护手霜 女", "护手霜"), ("Perfume for Women", "Perfume")],
)
def test_a_cream_is_the_same_for_everybody(video_id: VideoId, one: str, other: str) -> None:
    assert video_id(product(one)) == video_id(product(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("羊毛被", "羽绒被"),
        ("羽绒被", "蚕丝被"),
        ("五斗柜", "多抽柜"),
        ("泡泡纱夏凉被", "纱布夏凉被"),
        ("枕头", "枕头眼罩套装"),
    ],
)
def test_what_looks_different_has_another_video_id(video_id: VideoId, one: str, other: str) -> None:
    assert video_id(product(one, material="棉")) != video_id(product(other, material="棉"))


@given(
    price=st.text(max_size=20),
    note=st.sampled_from(["包邮", "正品保证", "限时特价", "2026新款", "送礼佳品"]),
    hours=st.integers(1, 99),
    product_id=st.text(alphabet="ABCDEF0123456789-", min_size=1, max_size=20),
)
def test_any_price_note_and_hours_share_a_video_id(
    video_id: VideoId, price: str, note: str, hours: int, product_id: str
) -> None:
    plain = product("无线蓝牙耳机", color="黑色")
    sold = product(
        f"无线蓝牙耳机 {note}", product_id=product_id, color="黑色", features=[f"续航{hours}小时", note], price=price
    )
    assert video_id(plain) == video_id(sold)
