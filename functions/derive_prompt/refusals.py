"""What merchants are told, in English and Chinese: why nothing is filmed or somebody looks first, and what to send.

Each message says what was found, then what can be done. Codes are for machines and stay as they are.
"""

from collections.abc import Iterable

from functions.derive_prompt.recognise.understanding import Understanding
from functions.derive_prompt.screening import GROUPS, Finding
from shared.events import Reason

_MOST_WORDS = 4
_FIELDS = {
    "name": ("The name says", "商品名称里有"),
    "category": ("The category says", "类目里有"),
    "keywords": ("The keywords say", "关键词里有"),
    "features": ("The features say", "卖点里有"),
    "brief": ("The description says", "简介里有"),
    "color": ("The colour says", "颜色里有"),
    "material": ("The material says", "材质里有"),
    "attributes": ("The attributes say", "属性里有"),
    "specifications": ("The specifications say", "规格里有"),
}
_LANGUAGES = {
    "kana": ("Japanese", "日文"),
    "hangul": ("Korean", "韩文"),
    "thai": ("Thai", "泰文"),
    "cyrillic": ("Cyrillic letters", "西里尔字母"),
    "arabic": ("Arabic letters", "阿拉伯文"),
    "hebrew": ("Hebrew", "希伯来文"),
    "devanagari": ("Hindi", "印地文"),
    "greek": ("Greek", "希腊文"),
    "khmer": ("Khmer", "高棉文"),
    "lao": ("Lao", "老挝文"),
    "burmese": ("Burmese", "缅甸文"),
    "german": ("German", "德文"),
    "french": ("French", "法文"),
    "spanish": ("Spanish", "西班牙文"),
    "italian": ("Italian", "意大利文"),
    "portuguese": ("Portuguese", "葡萄牙文"),
    "dutch": ("Dutch", "荷兰文"),
    "polish": ("Polish", "波兰文"),
    "turkish": ("Turkish", "土耳其文"),
    "indonesian": ("Indonesian", "印尼文"),
    "vietnamese": ("Vietnamese", "越南文"),
    "swedish": ("Swedish", "瑞典文"),
    "romanian": ("Romanian", "罗马尼亚文"),
}


def prohibited(finding: Finding) -> Reason:
    """The reason of goods that get no clip."""
    (english, chinese), (says, has) = GROUPS[finding.code], _FIELDS[finding.field]
    return _reason(
        finding.code,
        f"{says} “{finding.word}”. We make no videos of {english}. If you sell something else, put it in other words "
        "and send the product again.",
        f"{has}“{finding.word}”。{chinese}不能生成视频。如果卖的不是这类商品，请换个说法后重新提交。",
        finding.field,
    )


def licence_wanted(finding: Finding) -> Reason:
    """The reason of goods whose clip a person sees first."""
    (english, chinese), (says, has) = GROUPS[finding.code], _FIELDS[finding.field]
    return _reason(
        finding.code,
        f"{says} “{finding.word}”, which may be {english}. A person checks the video before it is shown. "
        "Please have your licence ready; if these are the brand's own goods, fill in the brand.",
        f"{has}“{finding.word}”，可能属于{chinese}。视频要先由人工审核，再对外展示。"
        "请备好授权书；如果是品牌正品，请填写品牌。",
        finding.field,
    )


def refusal(understood: Understanding) -> Reason:
    """The reason of an understanding's problem."""
    problem = understood.problem
    if problem is None:
        raise ValueError("this product is understood; there is nothing to refuse")
    if problem == "language-unsupported":
        english, chinese = _of_language(understood.language or "")
    elif problem == "kind-ambiguous":
        english, chinese = _of_several(_words(understood))
    else:
        english, chinese = _of_nothing(_words(understood))
    return _reason(problem, english, chinese, "name")


def _words(understood: Understanding) -> list[str]:
    """One word for each thing that the product may be, the likeliest first."""
    words: dict[str, str] = {}
    for evidence in sorted(understood.choice.evidence, key=lambda evidence: -evidence.weight):
        words.setdefault(evidence.kind, evidence.word)
    return list(dict.fromkeys(words.values()))[:_MOST_WORDS]


def _of_language(language: str) -> tuple[str, str]:
    english, chinese = _LANGUAGES.get(language, (language, language))
    return (
        f"This looks like {english}. Only Chinese and English can be read so far. Please send the name and the "
        "category in one of them, or add a photo of the product.",
        f"这段文字像是{chinese}，目前只能识别中文和英文。请用中文或英文填写名称和类目，或上传一张商品图片。",
    )


def _of_several(words: list[str]) -> tuple[str, str]:
    return (
        f"This could be more than one thing: {_listed(words, 'or')}. Please add a category that says which of them you "
        "sell, or a photo of the product.",
        f"这件商品可能是{_listed_in_chinese(words, '或')}，分不清卖的是哪一样。"
        "请补充能说明商品的类目，或上传一张商品图片。",
    )


def _of_nothing(words: list[str]) -> tuple[str, str]:
    found = f"Only {_listed(words, 'and')} could be read, which is not enough. " if words else ""
    found_zh = f"只读到{_listed_in_chinese(words, '和')}，还不足以确定。" if words else ""
    return (
        f"We cannot tell what this product is. {found}Please put the everyday word for it into the name (such as "
        "“kettle”), add a category that names it, or add a photo of the product.",
        f"看不出这是什么商品。{found_zh}请在名称里写上商品的通用叫法（例如“保温杯”），补充具体类目，或上传一张商品图片。",
    )


def _listed(words: Iterable[str], conjunction: str) -> str:
    *others, last = (f"“{word}”" for word in words)
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _listed_in_chinese(words: Iterable[str], conjunction: str) -> str:
    *others, last = (f"“{word}”" for word in words)
    return f"{'、'.join(others)}{conjunction}{last}" if others else last


def _reason(code: str, english: str, chinese: str, field: str) -> Reason:
    return Reason(code=code, message=f"{english} / {chinese}", field=field)
