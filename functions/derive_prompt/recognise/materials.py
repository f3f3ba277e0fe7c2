"""Material: what a product's visible side is made of. What fills, lines or backs it cannot be seen and is left out."""

import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from functions.derive_prompt.recognise.describing import colour_words
from functions.derive_prompt.recognise.matcher import Found, Matcher
from functions.derive_prompt.recognise.text import has_chinese, is_plain_word, normalised
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("materials")


class Material(NamedTuple):
    """`zh` and `en` stand before a noun in prompts. `filling`: usually inside; `hidden`: never on the outside;
    `frame`: under the cover of what is upholstered."""

    id: str
    zh: str
    en: str
    filling: bool = False
    hidden: bool = False
    frame: bool = False
    woven_from: tuple[str, ...] = ()
    group: str = ""


def _rows() -> Iterable[tuple[Material, list[str], list[str]]]:
    for group, rows in _TABLE["materials"].items():
        for name, row in rows.items():
            material = Material(
                name,
                row["zh"][0],
                row["en"][0],
                row.get("filling", False),
                row.get("hidden", False),
                row.get("frame", False),
                tuple(row.get("woven_from", ())),
                group,
            )
            yield material, [*row["zh"], *row["en"]], row.get("field", [])


_NAMED: Matcher[Material | None] = Matcher(
    [
        *((word, None) for word in _TABLE["not_a_material"]["words"]),
        *((word, material) for material, words, _ in _rows() for word in words),
    ]
)
_IN_FIELD: Matcher[Material] = Matcher(
    (word, material) for material, words, field in _rows() for word in (*words, *field)
)
_IGNORED = frozenset(_TABLE["ignored"]["values"])
_PRAISE: Matcher[None] = Matcher((word, None) for word in _TABLE["praise"]["zh"])
_ENDINGS_ZH = tuple(_TABLE["endings"]["zh"])
_ENDINGS_EN = tuple(_TABLE["endings"]["en"])
VISIBLE_FIELDS: dict[str, int] = {name: rank for rank, name in enumerate(_TABLE["fields"]["visible"])}
"""Attribute names that hold the visible material, with their rank: the least is asked first."""

_PART_WORDS = dict.fromkeys(_TABLE["parts"]["visible"], True) | dict.fromkeys(_TABLE["parts"]["hidden"], False)
_PART_NAMES = "|".join(sorted(map(re.escape, _PART_WORDS), key=len, reverse=True))
_PART = re.compile(rf"(?<![\u4e00-\u9fffa-z])({_PART_NAMES})\s*(?::\s*|(?=\d))")
_BRACKETS = re.compile(r"\([^()]*\)")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%\s*\Z")
_CHINESE = re.compile("[\u4e00-\u9fff]{2,8}")
_LATIN = re.compile("[a-z]+")
_FIELD_LIMIT = 400


def read_field(  # complexity 16: a field tells parts, shares and weaves, each in its own way
    text: str, said: Collection[Material] = (), *, filled: bool = False
) -> Material | None:
    """The visible material of a material field: the visible part's main one. None where nothing is named.

    `面料：100%棉 填充物：65%棉` is cotton; `36% 聚酯纤维 74% 粘胶纤维` is viscose; `见详情` is none.
    `said` are the materials of the name: a weave said there is seen where the field tells its yarn, and what is said
    there is the visible one of several, if it is no trace. Of a filled thing the cover is seen, not the frame.
    """
    plain = normalised(text[:_FIELD_LIMIT]).strip()
    if plain in _IGNORED:
        return None
    visible = _visible_part(_BRACKETS.sub(" ", plain))
    told = [
        found for found in _IN_FIELD.find_all(visible) if not found.value.hidden and not _is_negated(visible, found)
    ]
    if filled:
        told = [found for found in told if not found.value.frame] or told
    if not told:
        return _unlisted(visible)
    shares = [_share_before(visible, found) for found in told]
    # What is named first is the main thing, unless shares say otherwise.
    main = told[shares.index(max(shares))] if shares[0] > 0 else told[0]
    weave = next((material for material in said if main.value.id in material.woven_from), None)
    return weave or _said_too(told, shares, said) or _specific(visible, main)


def _share_before(text: str, found: Found[Material]) -> float:
    """The percentage written before a material, 0 where there is none."""
    share = _SHARE.search(text, 0, found.start)
    return float(share.group(1)) if share is not None else 0.0


def _said_too(told: list[Found[Material]], shares: list[float], said: Collection[Material]) -> Material | None:
    for found, percent in zip(told, shares, strict=True):
        if found.value in said and (percent == 0 or percent >= _NO_TRACE_PERCENT):
            return found.value
    return None


_NO_TRACE_PERCENT = 30


def all_in_name(name: str, *, filled: bool) -> list[Material]:
    """Every visible material that a normalised name tells, in its order."""
    return [found.value for found in _visible(name, filled=filled)]


def seen_in_name(name: str, *, filled: bool) -> Material | None:
    """What a normalised name says can be seen: of cotton gauze the gauze, of cast iron and walnut side by side both."""
    found = _visible(name, filled=filled)
    found = [told for told in found if told.word not in _TOLD_BY_NOT] or found
    if not found:
        return None
    first, others = found[0], found[1:]
    weave = next((other.value for other in others if first.value.id in other.value.woven_from), None)
    if weave is not None:
        return weave
    beside = others[0] if others else None
    if beside is None or beside.value.group == first.value.group or first.value.id in _GENERAL:
        return first.value
    together = _BESIDE.fullmatch(name[first.end : beside.start]) is not None
    return _both(first.value, beside.value) if together else first.value


_BESIDE = re.compile(r"\s*(?:\+|&|and|与|和|、|拼|配)?\s*")
_GENERAL = frozenset({"fabric", "metal"})


def _both(one: Material, other: Material) -> Material:
    return Material(f"{one.id}+{other.id}", f"{one.zh}与{other.zh}", f"{one.en} and {other.en}", group=one.group)


def holds(both: Material, one: Material) -> bool:
    """Whether `both` are two materials, of which the other is one."""
    return both.id != one.id and one.id in both.id.split("+")


def whole(text: str) -> Material | None:
    """The material that a text is and nothing else: 黄杨木, faux marble, 木."""
    return _IN_FIELD.get(text)


def _visible(name: str, *, filled: bool) -> list[Found[Material]]:
    name = _GRADED_STEEL.sub(lambda steel: "钢制".rjust(len(steel[0])), name)
    return [
        Found(found.start, found.end, found.word, found.value)
        for found in _NAMED.find_all(name)
        if found.value is not None
        and not (found.value.hidden or (filled and found.value.filling))
        and not _is_negated(name, found)
        and not name.startswith(_LINING, found.end)
        and not _is_of_a_part(name, found)
    ]


# A grade before it says that 钢 is the material: SK5钢, 65Mn钢.
_GRADED_STEEL = re.compile("[a-z]*\\d+[a-z0-9]*钢(?![圈琴笔丝])")
_LINING = (" lined", "-lined", " lining", "内里", "里衬")
_OF_A_PART = re.compile(r"(?<![\w-])(?:with|in|for|and|on)\s+(?:an?\s+|the\s+)?(?:[a-z]+\s+)?\Z")
_NOUN_FOLLOWS = re.compile(r"\s+([a-z]+)")


def _is_of_a_part(text: str, found: Found[Any]) -> bool:
    """Whether the material is that of another noun: candle in glass jar, mug with bamboo lid. A colour
    is none: dish with lid ceramic white."""
    behind = _NOUN_FOLLOWS.match(text, found.end)
    return (
        found.word.isascii()
        and behind is not None
        and behind[1] not in colour_words()
        and _OF_A_PART.search(text[: found.start]) is not None
        and not any(
            text[: found.start].endswith(f"{other.word} and ") for other in _NAMED.find_all(text[: found.start])
        )
    )


def _is_negated(text: str, found: Found[Any]) -> bool:
    """Whether it is said that the thing is not made of it, or only looks, smells or feels so: 仿木, non-leather,
    leather-free, wood effect, 木纹."""
    before, behind = text[: found.start], text[found.end :]
    return (
        before.rstrip("的").endswith(NEGATIONS)
        or before.endswith(_NOT)
        or _ONLY_LIKE.match(behind) is not None
        or before.rstrip("的").endswith(("非", "仿", "无", "不"))
    )


NEGATIONS: tuple[str, ...] = (*_TABLE["negated"]["zh"], *_TABLE["negated"]["en"])
_TOLD_BY_NOT = frozenset(_TABLE["negated"]["alone"])
NEGATIONS_BEHIND: tuple[str, ...] = tuple(_TABLE["negated"]["behind"])
_NOT = (
    "non-",
    "non ",
    "no ",
    "not ",
    "not real ",
    "without ",
    "faux ",
    "fake ",
    "imitation ",
    "mock ",
    "anti-",
    "免",
    "防",
)
_ONLY_LIKE = re.compile(
    r"[ -](?:free|look|effect|like|print|printed|pattern|scent|scented|flavou?r|style|touch|feel|inspired)\b"
    "|[纹味香感](?!木)|图案|风格|质感|清洁|护理|专用"
)


def _visible_part(text: str) -> str:
    pieces = _PART.split(text)
    if len(pieces) == 1:
        return text
    # split() gives: what stands before the first label, then label and content by turns.
    labelled = list(zip(pieces[1::2], pieces[2::2], strict=True))
    shown = [content for label, content in labelled if _PART_WORDS[label]]
    return shown[0] if shown else pieces[0]


def _specific(text: str, found: Found[Material]) -> Material:
    """A one-character material with the Chinese word around it: 水曲木 is not just 木."""
    general = found.value
    if len(found.word) > 1:
        return general
    before = re.search("[\u4e00-\u9fff]{0,4}\\Z", text[: found.start])
    longer = _PRAISE.without((before.group() if before else "") + found.word)
    if 2 <= len(longer) <= 4 and may_be_quoted(longer):
        return Material(f"other:{longer}", longer, f"{longer} {general.en}")
    return general


def _unlisted(text: str) -> Material | None:
    """A material that no list knows but whose ending says that it is one, or a short word in a field of its own."""
    if has_chinese(text):
        words = (_PRAISE.without(chinese) for chinese in _CHINESE.findall(text))
        return next((Material(f"other:{word}", word, word) for word in words if _is_unlisted_chinese(word, text)), None)
    phrase = " ".join(_LATIN.findall(text))
    return Material(f"other:{phrase}", phrase, phrase) if _is_unlisted_english(phrase, text) else None


def _is_unlisted_chinese(word: str, text: str) -> bool:
    longest = 6 if word.endswith(_ENDINGS_ZH) else 4 if word == text else 0
    return 2 <= len(word) <= longest and word not in _IGNORED and may_be_quoted(word)


def _is_unlisted_english(phrase: str, text: str) -> bool:
    # Punctuation in what no list knows is a path, a code or a joke.
    longest = 3 if phrase.endswith(_ENDINGS_EN) else 2 if is_plain_word(text) else 0
    fits = 1 <= len(phrase.split()) <= longest and 3 <= len(phrase) <= 30 and phrase not in _IGNORED
    return fits and not any(character.isdigit() for character in text) and may_be_quoted(phrase)
