"""Why nothing is filmed of a product that is not understood, in Chinese and English, and what a merchant may send."""

from functions.derive_prompt.recognise.understanding import Understanding
from shared.events import Reason

_MOST_WORDS = 6


def refusal(understood: Understanding) -> Reason:
    """The reason of an understanding's problem."""
    problem = understood.problem
    if problem is None:
        raise ValueError("this product is understood; there is nothing to refuse")
    if problem == "language-unsupported":
        return Reason(code=problem, message=_of_language(understood.language), field="name")
    words = list(dict.fromkeys(evidence.word for evidence in understood.choice.evidence))[:_MOST_WORDS]
    if problem == "kind-ambiguous":
        return Reason(code=problem, message=_of_several(words), field="name")
    return Reason(code=problem, message=_of_nothing(words), field="name")


def _of_language(language: str | None) -> str:
    return (
        f"only Chinese and English are read, and this is neither ({language}); send the name and the category in one "
        f"of them, or a photo / 目前只识别中文和英文，这段文字是其他语言（{language}）；"
        "请用中文或英文填写名称和类目，或上传商品图片"
    )


def _of_several(words: list[str]) -> str:
    return (
        f"the name may mean several things: {', '.join(words)}; send a category that names the one it is, or a photo / "
        f"名称里有几样东西：{'、'.join(words)}，无法确定卖的是哪一样；请填写能说明商品的类目，或上传商品图片"
    )


def _of_nothing(words: list[str]) -> str:
    found = f"only {', '.join(words)}" if words else "no word"
    found_zh = f"只读到{'、'.join(words)}" if words else "没有读到能说明商品的词"
    return (
        f"what this is cannot be told: {found} was found that names it; send a category that names the thing, or a "
        f"photo / 无法认出这是什么商品：{found_zh}；请填写能说明商品的类目，或上传商品图片"
    )
