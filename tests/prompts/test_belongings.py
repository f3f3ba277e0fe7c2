"""What belongs to another thing is filmed as itself, and of stuffed titles the first thing."""

import pytest

from tests.prompts.conftest import captioned, understanding


def said(name: str, **fields: object) -> str:
    """The thing that a product is filmed as, in both languages."""
    kind = captioned(name, **fields).slots.kind
    assert kind is not None
    return f"{kind.zh} | {kind.en}"


@pytest.mark.parametrize(
    ("name", "category", "thing"),
    [
        ("HEPA Filter Replacement for Dyson V10 Cordless Vacuum Cleaner", "Home & Kitchen > Vacuum Parts", "filter"),
        ("Ink Cartridge Compatible with Epson WF-2860 Printer, Black", "Office Products", "ink cartridge"),
        ("Pool Pump Motor Cover Waterproof Heavy Duty", "Pool Supplies", "motor cover"),
        ("Golf Cart Seat Covers Breathable Mesh Black", "Golf Accessories", "seat covers"),
        ("Skillet Handle Sleeve Silicone Red", "Kitchen", "handle sleeve"),
        ("相机背带单反微单通用编织肩带复古", "相机配件", "相机背带"),
        ("吉他背带民谣木吉他肩带加宽纯棉", "乐器配件", "吉他背带"),
        ("钢琴凳套罩丝绒防尘罩单人双人凳 酒红色", "乐器配件", "凳套"),
    ],
)
def test_a_part_is_filmed_and_never_its_host(name: str, category: str, thing: str) -> None:
    assert thing in said(name, category=category.split(" > "))


def test_a_shelf_of_hosts_says_nothing_of_what_is_for_them() -> None:
    found = understanding("Widgetron for Garden Hose Reel", category=["Garden Hose Reel"])
    assert found.slots.kind is None


@pytest.mark.parametrize(
    ("name", "category", "thing"),
    [
        ("洗发水控油蓬松去屑止痒持久留香洗头膏护发素", "洗护", "洗"),
        ("懒人沙发豆袋单人榻榻米卧室小户型休闲躺椅", "家具", "豆袋"),
        ("折叠桌便携可升降简约小户型吃饭摆摊烧烤炉", "家具", "折叠桌"),
        ("加湿器大雾量家用静音卧室办公室桌面空气香薰机", "生活电器", "加湿器"),
    ],
)
def test_of_phrases_strung_together_the_first_says_the_thing(name: str, category: str, thing: str) -> None:
    assert thing in said(name, category=[category])


def test_a_part_that_ends_a_stuffed_title_leaves_its_host_in_doubt() -> None:
    assert understanding("笔记本电脑超薄便携商务办公游戏散热底座").slots.kind is None


def test_a_shelf_called_just_so_decides() -> None:
    assert "收纳箱" in said("收纳箱塑料整理衣物玩具大号储物床底书柜", category=["收纳箱"])


@pytest.mark.parametrize("name", ["湿巾婴儿手口专用30包", "岩板餐桌现代简约一桌六椅"])
def test_a_character_behind_a_number_counts_and_is_no_thing(name: str) -> None:
    thing = said(name)
    assert "湿巾" in thing or "餐桌" in thing


def test_a_word_between_two_numbers_and_a_stroke_is_not_cut() -> None:
    assert "表带" in said("适用手环8/9表带腕带金属磁吸", category=["智能手环配件"])


def test_plus_size_includes_nothing() -> None:
    assert "swimsuit" in said("Plus Size Swimsuit One Piece Coral")


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("洗衣机罩 通用", "罩"),
        ("吸尘器滤芯 通用款", "滤芯"),
        ("吉他琴弦全套六根 磷铜", "琴弦"),
        ("儿童故事绘本全套20册", "绘本"),
        ("Latex Gloves Powder Free Box of 50", "gloves"),
        ("Massage Ball Deep Tissue", "massage ball"),
        ("挠背器不锈钢伸缩", "挠背器"),
    ],
)
def test_words_that_count_fit_or_praise_make_no_other_thing(name: str, thing: str) -> None:
    assert thing in said(name)


@pytest.mark.parametrize(
    ("category", "contents"), [(["婴童", "服饰"], "服饰礼盒"), (["杂货", "文具"], "文具礼盒"), (["茶叶"], "礼盒")]
)
def test_a_gift_box_is_of_what_its_shelf_holds(category: list[str], contents: str) -> None:
    assert contents in said("中秋臻选礼盒", category=category)


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("Men's Ankle Socks 6 Pack Black White Gray Cushioned", "black, white and gray"),
        ("Black Girls Swimsuit One Piece, Coral", "coral"),
        ("Cabinet Knobs 10 Pack Brushed Nickel Round", "brushed nickel"),
        ("Stoneware Bowl, Speckled Sage Glaze, 20 oz", "sage green"),
    ],
)
def test_colours_in_a_row_are_all_seen_and_an_audience_is_none(name: str, colour: str) -> None:
    told = captioned(name).slots.colour
    assert told is not None
    assert told.en.replace("grey", "gray") == colour


@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("Memory Foam Bath Mat, Grey", "memory foam"),
        ("Slip-on Loafers Faux Suede, Tan", "suede"),
        ("Keycaps PBT Dye Sublimated 104 Keys", "plastic"),
    ],
)
def test_a_material_in_a_long_title_is_kept(name: str, material: str) -> None:
    told = captioned(name).slots.material
    assert told is not None
    assert told.en == material


@pytest.mark.parametrize(
    ("name", "thing"),
    [("太阳镜男墨镜偏光驾驶镜", "镜"), ("手提包女托特包大容量通勤包单肩包", "包"), ("老花镜女看书镜超轻花镜", "镜")],
)
def test_one_thing_in_other_words_is_no_doubt(name: str, thing: str) -> None:
    assert thing in said(name)


def test_the_first_part_of_a_title_that_sells_parts_is_the_thing() -> None:
    assert "背带" in said("相机背带单反微单通用编织肩带复古", category=["相机配件"])
    assert "内存卡" in said("行车记录仪内存卡128G监控摄像头高速TF卡", category=["数码存储"])


def test_what_stands_before_a_figure_is_its_shape() -> None:
    assert "摆件" in said("飞机创意摆件 金色", category=["家饰"])
    assert "花瓶" in said("陶瓷花瓶摆件 白色", category=["家饰"])


def test_a_gift_box_before_another_thing_only_packs_it() -> None:
    assert "蚕丝被" in said("新年礼盒 手工蚕丝被", category=["居家", "被枕"])


def test_a_shelf_called_accessories_and_no_more_is_none_of_parts() -> None:
    assert "拉杆箱" in said("斜纹拉杆箱", category=["配件", "功能箱包"])


@pytest.mark.parametrize(
    ("name", "category", "thing"),
    [
        ("皮沙发清洁剂 去污保养", "沙发", "清洁剂"),
        ("洗衣机槽清洁剂滚筒波轮 家用", "洗衣机", "清洁剂"),
        ("电瓶充电器72V 电动车通用", "电动车", "充电器"),
        ("鱼缸过滤棉 白色", "鱼缸", "过滤棉"),
        ("声波电动牙刷头替换头 软毛", "电动牙刷", "电动牙刷头"),
        ("Sofa Cushion Cover Linen", "Sofas", "cushion cover"),
        ("Wedding Dress Garment Bag Clear", "Wedding Dresses", "garment bag"),
    ],
)
def test_a_shelf_called_like_the_host_says_nothing_against_a_belonging(name: str, category: str, thing: str) -> None:
    assert thing in said(name, category=[category])


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("咖啡机除垢剂 浓缩", "咖啡机"),
        ("榨汁机刀头 替换", "榨汁机"),
        ("扫地机器人边刷 三支", "扫地机器人"),
        ("Coffee Machine Cleaning Tablets 20", "Coffee Machines"),
    ],
)
def test_of_an_unlisted_belonging_nothing_is_filmed(name: str, category: str) -> None:
    assert understanding(name, category=[category]).slots.kind is None


def test_what_comes_along_with_a_host_is_not_sold_by_itself() -> None:
    assert "机器人" in said("扫地机器人带边刷 白色", category=["扫地机器人"])
    assert "剃须刀" in said("剃须刀三刀头 电动", category=["剃须刀"])


@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("不是塑料!304不锈钢饭盒", "stainless steel"),
        ("拒绝塑料 玻璃饭盒", "glass"),
        ("告别玻璃 不锈钢水杯", "stainless steel"),
        ("Wallet Non-Leather Cork", "cork"),
        ("Handbag not leather, canvas", "canvas"),
        ("Free of plastic bamboo soap dish", "bamboo"),
    ],
)
def test_a_negated_material_is_never_said_and_the_stated_one_is_kept(name: str, material: str) -> None:
    told = captioned(name).slots.material
    assert told is not None
    assert told.en == material


@pytest.mark.parametrize(
    "name", ["铸铁炒锅无涂层不粘锅", "Skillet Uncoated Non-Stick Carbon Steel", "Nonstick-free Frying Pan"]
)
def test_what_has_no_coating_is_seen_with_none(name: str) -> None:
    assert "nonstick" not in {
        look.id for look in captioned(name).slots.looks.finishes + captioned(name).slots.looks.details
    }


@pytest.mark.parametrize(
    ("name", "category", "thing"),
    [
        ("Cherry Cola Flavored Lip Balm Twin Pack", "Drinks", "lip balm"),
        ("草莓小熊毛绒玩偶", "水果", "玩偶"),
        ("香蕉船充气玩具", "水果", "玩具"),
        ("Strawberry Cream Scented Candle", "Food", "candle"),
        ("苹果新鲜水果10斤箱装", "水果", "苹果"),
        ("Potato Chips Sour Cream Flavoured", "Snacks", "potato chips"),
    ],
)
def test_food_before_another_thing_is_its_taste(name: str, category: str, thing: str) -> None:
    assert thing in said(name, category=[category])


def test_a_wood_called_after_a_fruit_is_none() -> None:
    kind = understanding("菠萝格防腐木 户外", category=["建材"]).slots.kind
    assert kind is None or "菠萝" not in kind.zh
