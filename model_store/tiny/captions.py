"""Words for scenes: catalogue names of the taught kinds, colours and materials, and captions made of them.

Two sources. `spoken` captions are short sentences of this module's own words, in which every choice of a scene is said,
motion and background too, the material in seven of ten. `written` captions are what derive_prompt makes of a product;
they come as a file, because models know nothing of functions (`functions/cli/write_captions.py` writes it, through
derive_prompt's public function).
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.tiny.scenes import Scene

KIND_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mug": (
        ("马克杯", "杯子", "水杯", "咖啡杯", "陶瓷杯", "茶杯", "早餐杯"),
        ("mug", "cup", "coffee mug", "tea cup", "coffee cup"),
    ),
    "bottle": (
        ("瓶子", "保温杯", "保温瓶", "运动水壶", "水瓶", "香水", "沐浴露", "洗发水", "酒瓶", "花瓶"),
        ("bottle", "water bottle", "insulated bottle", "thermos", "perfume", "shampoo", "vase", "sports bottle"),
    ),
    "kettle": (("水壶", "茶壶", "烧水壶", "电热水壶", "咖啡壶"), ("kettle", "teapot", "electric kettle", "coffee pot")),
    "bowl": (
        ("碗", "饭碗", "汤碗", "沙拉碗", "面碗", "盘子"),
        ("bowl", "rice bowl", "soup bowl", "salad bowl", "mixing bowl", "plate"),
    ),
    "headphones": (
        ("耳机", "头戴式耳机", "蓝牙耳机", "降噪耳机", "无线耳机", "游戏耳机"),
        ("headphones", "headset", "wireless headphones", "bluetooth headphones", "earphones", "over-ear headphones"),
    ),
    "phone": (
        ("手机", "智能手机", "手机壳", "平板电脑", "移动电源"),
        ("phone", "smartphone", "mobile phone", "phone case", "tablet", "power bank"),
    ),
    "watch": (
        ("手表", "腕表", "智能手表", "石英表", "机械表", "运动手环"),
        ("watch", "wristwatch", "smart watch", "smartwatch", "quartz watch", "fitness band"),
    ),
    "bag": (
        ("手提包", "包", "托特包", "单肩包", "斜挎包", "背包", "双肩包", "公文包"),
        ("handbag", "bag", "tote bag", "shoulder bag", "crossbody bag", "backpack", "briefcase"),
    ),
    "suitcase": (
        ("行李箱", "旅行箱", "拉杆箱", "登机箱"),
        ("suitcase", "luggage", "trolley case", "carry-on suitcase"),
    ),
    "shoe": (
        ("鞋", "运动鞋", "跑步鞋", "跑鞋", "休闲鞋", "板鞋", "靴子", "拖鞋", "皮鞋", "帆布鞋"),
        ("shoe", "shoes", "sneakers", "running shoes", "trainers", "boots", "slippers", "canvas shoes"),
    ),
    "lamp": (
        ("台灯", "灯", "落地灯", "床头灯", "小夜灯", "阅读灯"),
        ("lamp", "table lamp", "floor lamp", "desk lamp", "bedside lamp", "night light"),
    ),
    "chair": (
        ("椅子", "餐椅", "办公椅", "休闲椅", "凳子"),
        ("chair", "dining chair", "office chair", "armchair", "stool"),
    ),
    "sofa": (
        ("沙发", "布艺沙发", "双人沙发", "懒人沙发", "沙发床"),
        ("sofa", "couch", "loveseat", "sofa bed", "two-seat sofa"),
    ),
    "pillow": (
        ("枕头", "抱枕", "靠枕", "靠垫", "乳胶枕", "枕芯"),
        ("pillow", "cushion", "throw pillow", "bed pillow", "memory foam pillow"),
    ),
    "shirt": (
        ("T恤", "衬衫", "短袖", "卫衣", "毛衣", "外套", "连衣裙", "夹克", "背心"),
        ("T-shirt", "shirt", "tee", "sweater", "hoodie", "jacket", "dress", "polo shirt"),
    ),
    "jar": (
        ("面霜", "乳液", "蜡烛", "香薰蜡烛", "罐子", "储物罐", "茶叶罐", "面膜"),
        ("jar", "face cream", "candle", "cream", "scented candle", "storage jar", "canister"),
    ),
    "box": (("礼盒", "盒子", "收纳箱", "收纳盒", "礼品盒"), ("box", "gift box", "storage box", "carton", "parcel")),
}
"""Each kind's words, Chinese and English, most common first; near kinds that are drawn as it stand behind."""

UNKNOWN_WORDS: tuple[tuple[str, ...], tuple[str, ...]] = (
    (
        "毛绒玩具",
        "积木",
        "饼干",
        "坚果",
        "零食",
        "巧克力",
        "茶叶",
        "毛巾",
        "浴巾",
        "被子",
        "四件套",
        "床单",
        "窗帘",
        "地毯",
        "雨伞",
        "帽子",
        "围巾",
        "袜子",
        "项链",
        "戒指",
        "笔记本",
        "钢笔",
        "音箱",
        "键盘",
        "鼠标",
        "相机",
        "电饭煲",
        "吹风机",
        "风扇",
        "加湿器",
        "扫地机器人",
        "炒锅",
        "平底锅",
        "菜刀",
        "砧板",
        "桌子",
        "书架",
        "衣柜",
        "镜子",
        "瑜伽垫",
        "哑铃",
        "帐篷",
        "自行车",
        "猫砂",
        "狗粮",
        "宠物窝",
        "婴儿车",
        "口红",
        "牙刷",
        "纸巾",
        "洗衣液",
        "商品",
        "工具箱",
        "吉他",
        "花盆",
        "大米",
        "牛奶",
        "咖啡豆",
        "蜂蜜",
        "电视",
        "充电器",
        "眼镜",
    ),
    (
        "plush toy",
        "building blocks",
        "cookies",
        "nuts",
        "snack",
        "chocolate",
        "tea",
        "towel",
        "bath towel",
        "quilt",
        "bedding set",
        "sheet",
        "curtain",
        "rug",
        "umbrella",
        "hat",
        "scarf",
        "socks",
        "necklace",
        "ring",
        "notebook",
        "pen",
        "speaker",
        "keyboard",
        "mouse",
        "camera",
        "rice cooker",
        "hair dryer",
        "fan",
        "humidifier",
        "robot vacuum",
        "wok",
        "frying pan",
        "knife",
        "cutting board",
        "table",
        "bookshelf",
        "wardrobe",
        "mirror",
        "yoga mat",
        "dumbbell",
        "tent",
        "bicycle",
        "cat litter",
        "dog food",
        "pet bed",
        "stroller",
        "lipstick",
        "toothbrush",
        "tissue",
        "detergent",
        "product",
        "toolbox",
        "guitar",
        "flower pot",
        "rice",
        "milk",
        "coffee beans",
        "honey",
        "television",
        "charger",
        "glasses",
    ),
)
"""Things that are not taught: they are drawn as a wrapped box in the named colour."""

COLOUR_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "red": (
        ("红色", "大红色", "酒红色", "深红色", "玫红色", "砖红色"),
        ("red", "wine red", "dark red", "crimson", "scarlet", "burgundy"),
    ),
    "orange": (("橙色", "橘色", "橘红色", "珊瑚橙"), ("orange", "burnt orange", "coral orange", "tangerine")),
    "yellow": (("黄色", "柠檬黄", "姜黄色", "浅黄色"), ("yellow", "lemon yellow", "mustard yellow", "bright yellow")),
    "green": (
        ("绿色", "墨绿色", "军绿色", "浅绿色", "草绿色", "橄榄绿"),
        ("green", "dark green", "olive green", "sage green", "forest green"),
    ),
    "teal": (("青色", "湖蓝色", "孔雀蓝", "薄荷绿", "青绿色"), ("teal", "turquoise", "cyan", "mint green", "aqua")),
    "blue": (
        ("蓝色", "天蓝色", "浅蓝色", "宝蓝色", "雾霾蓝"),
        ("blue", "sky blue", "light blue", "royal blue", "cobalt blue"),
    ),
    "navy": (("藏青色", "深蓝色", "藏蓝色", "海军蓝"), ("navy", "navy blue", "dark blue", "midnight blue")),
    "purple": (("紫色", "浅紫色", "薰衣草紫", "深紫色", "香芋紫"), ("purple", "violet", "lavender", "plum")),
    "pink": (
        ("粉色", "粉红色", "浅粉色", "樱花粉", "藕粉色"),
        ("pink", "light pink", "rose pink", "blush pink", "hot pink"),
    ),
    "brown": (
        ("棕色", "咖啡色", "褐色", "深棕色", "驼色"),
        ("brown", "coffee brown", "dark brown", "chocolate brown", "camel"),
    ),
    "beige": (("米色", "卡其色", "杏色", "米白色", "奶油色"), ("beige", "khaki", "cream", "apricot", "ivory")),
    "grey": (
        ("灰色", "深灰色", "浅灰色", "烟灰色", "炭灰色"),
        ("grey", "gray", "dark grey", "light grey", "charcoal grey"),
    ),
    "silver": (("银色", "银灰色", "钛银色"), ("silver", "silver grey", "platinum")),
    "gold": (("金色", "香槟金", "玫瑰金", "土豪金"), ("gold", "golden", "champagne gold", "rose gold")),
    "black": (("黑色", "曜石黑", "纯黑色", "亮黑色"), ("black", "jet black", "matte black", "obsidian black")),
    "white": (
        ("白色", "珍珠白", "纯白色", "雪白色", "本白色"),
        ("white", "pearl white", "pure white", "snow white", "off white"),
    ),
}

MATERIAL_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "matte": (("木质", "硅胶", "橡胶", "磨砂", "竹制"), ("wooden", "silicone", "rubber", "frosted", "bamboo")),
    "glossy": (("陶瓷", "塑料", "玻璃", "亮面", "漆皮"), ("ceramic", "plastic", "glass", "glossy", "patent leather")),
    "metal": (("不锈钢", "金属", "铝合金", "钛合金"), ("stainless steel", "metal", "aluminium", "titanium")),
    "fabric": (("棉质", "帆布", "亚麻", "羊毛", "绒面"), ("cotton", "canvas", "linen", "wool", "velvet")),
}

MOTION_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "turntable": (
        ("缓慢旋转", "在转台上缓缓转动", "缓慢旋转半圈", "镜头平稳环绕"),
        ("rotating slowly", "turning on a turntable", "it turns slowly", "the camera circles it smoothly"),
    ),
    "push-in": (
        ("镜头缓慢推近", "镜头缓缓推进", "镜头慢慢靠近"),
        ("the camera slowly pushes in", "slow push-in", "the camera moves closer"),
    ),
    "light": (
        ("固定镜头，光影缓缓移动", "光带缓缓掠过表面", "固定镜头，光线从左向右移动"),
        (
            "fixed camera, light moves slowly over it",
            "a band of light sweeps over its surface",
            "moving light, static camera",
        ),
    ),
}

BACKGROUND_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "studio": (
        ("白色背景", "纯色背景", "干净的浅色墙面"),
        ("on a white background", "in a clean studio", "before a plain, pale wall"),
    ),
    "cool": (("冷灰色背景", "石质台面"), ("on a cool grey background", "on a pale stone surface")),
    "warm": (("暖色调背景", "暖色调"), ("on a warm background", "in warm tones")),
    "dark": (("深色背景", "深色台面"), ("on a dark background", "on a dark table top")),
    "wood": (("木质台面", "放在木桌上", "木地板"), ("on a wooden table", "on a wooden floor")),
    "sky": (("淡蓝色背景", "蓝色渐变背景"), ("on a pale blue background", "against a light blue backdrop")),
}


@dataclass(frozen=True)
class Written:
    """A prompt of derive_prompt with the choices it stands for; None: the prompt leaves the choice open."""

    text: str
    kind: str
    colour: str | None
    material: str | None
    background: str
    motion: str


def spoken(scene: Scene, language: str, generator: np.random.Generator) -> str:
    """A short caption of a scene, in `zh` or `en`, in words of the tables; three of ten leave the material out."""
    which = ("zh", "en").index(language)

    def pick(words: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
        common_first = words[which]
        index = min(int(generator.exponential(len(common_first) / 2.5)), len(common_first) - 1)
        return common_first[index]

    unknown = scene.kind == "box" and generator.random() < 0.7
    kind = str(generator.choice(UNKNOWN_WORDS[which])) if unknown else pick(KIND_WORDS[scene.kind])
    colour, material = pick(COLOUR_WORDS[scene.colour]), pick(MATERIAL_WORDS[scene.material])
    background, motion = pick(BACKGROUND_WORDS[scene.background]), pick(MOTION_WORDS[scene.motion])
    plain = generator.random() < 0.3
    if language == "zh":
        thing = (
            f"一{generator.choice(['只', '个', '款', '件', '张', '双', '台'])}{colour}{'' if plain else material}{kind}"
        )
        places = [thing, background, motion]
        order = (0, 1, 2) if generator.random() < 0.6 else (1, 0, 2)
        return "，".join(places[index] for index in order) + "。"
    article = "An" if colour[0] in "aeiou" else "A"
    thing = f"{article} {colour}{'' if plain else ' ' + material} {kind}"
    return f"{thing} {background}, {motion}."


def write_rows(path: Path, rows: list[Written]) -> None:
    """Write captions as gzipped JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row.__dict__, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> list[Written]:
    """Read what `write_rows` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [Written(**json.loads(line)) for line in file]


NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，"
    "画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""The full model's default negative prompt (Wan-Video/Wan2.2, wan/configs/shared_config.py, Apache-2.0): the tiny model
is taught to read it, like the empty prompt, as "anything at all"."""
