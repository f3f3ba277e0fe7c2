"""Material: what a product's visible side is made of. What fills, lines or backs it cannot be seen and is left out."""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from functions.derive_prompt.cleaning import has_chinese, is_plain_word, normalised
from functions.derive_prompt.matcher import Found, Matcher
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("materials")


class Material(NamedTuple):
    """`zh` and `en` stand before a noun in prompts. `filling`: usually inside; `hidden`: never on the outside."""

    id: str
    zh: str
    en: str
    filling: bool = False
    hidden: bool = False
    woven_from: tuple[str, ...] = ()


def _rows() -> Iterable[tuple[Material, list[str], list[str]]]:
    for name, row in _TABLE["materials"].items():
        material = Material(
            name,
            row["zh"][0],
            row["en"][0],
            row.get("filling", False),
            row.get("hidden", False),
            tuple(row.get("woven_from", ())),
        )
        yield material, [*row["zh"], *row["en"]], row.get("field", [])


_NAMED: Matcher[Material] = Matcher((word, material) for material, words, _ in _rows() for word in words)
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


def read_field(text: str, said: Collection[Material] = ()) -> Material | None:
    """The visible material of a material field: the visible part's main one. None where nothing is named.

    `面料：100%棉 填充物：65%棉` is cotton; `36% 聚酯纤维 74% 粘胶纤维` is viscose; `见详情` is none.
    `said` are the materials of the name: of several without shares the one said there is the visible one, and a
    weave said there is seen where the field tells its yarn.
    """
    plain = normalised(text[:_FIELD_LIMIT]).strip()
    if plain in _IGNORED:
        return None
    visible = _visible_part(_BRACKETS.sub(" ", plain))
    best, best_share, best_said = None, 0.0, None
    for found in _IN_FIELD.find_all(visible):
        if found.value.hidden:
            continue
        if best_said is None and found.value in said:
            best_said = found.value
        share = _SHARE.search(visible, 0, found.start)
        # What is named first is the main thing, unless shares say otherwise.
        percent = float(share.group(1)) if share is not None else 0.0
        if best is None or percent > best_share > 0:
            best, best_share = found, percent
    if best_said is not None and best_share == 0:
        return best_said
    if best is not None:
        weave = next((material for material in said if best.value.id in material.woven_from), None)
        if weave is not None:
            return weave
        return _specific(visible, best.start, best.end) if best.end - best.start == 1 else best.value
    return _unlisted(visible)


def find_in_name(name: str, *, filled: bool) -> Material | None:
    """The first visible material that a normalised name tells. Of filled things (quilts) a filling is not believed."""
    return next(iter(all_in_name(name, filled=filled)), None)


def all_in_name(name: str, *, filled: bool) -> list[Material]:
    """Every visible material that a normalised name tells, in its order."""
    return [
        found.value
        for found in _NAMED.find_all(name)
        if not (found.value.hidden or (filled and found.value.filling))
        and not _is_negated(name, found.start)
        and not _is_of_a_part(name, found)
    ]


_OF_A_PART = re.compile(r"\b(?:with|in|for|and|on)\s+(?:an?\s+|the\s+)?(?:[a-z]+\s+)?\Z")
_NOUN_FOLLOWS = re.compile(r"\s+[a-z]")


def _is_of_a_part(text: str, found: Found[Material]) -> bool:
    """Whether the material is that of another noun: candle in glass jar, mug with bamboo lid."""
    return (
        found.word.isascii()
        and _NOUN_FOLLOWS.match(text, found.end) is not None
        and _OF_A_PART.search(text[: found.start]) is not None
    )


def _is_negated(text: str, start: int) -> bool:
    return start > 0 and text[start - 1] in "非仿无不"


def _visible_part(text: str) -> str:
    pieces = _PART.split(text)
    if len(pieces) == 1:
        return text
    # split() gives: what stands before the first label, then label and content by turns.
    labelled = list(zip(pieces[1::2], pieces[2::2], strict=True))
    shown = [content for label, content in labelled if _PART_WORDS[label]]
    return shown[0] if shown else pieces[0]


def _specific(text: str, start: int, end: int) -> Material | None:
    """A one-character material with the Chinese word around it: 水曲木 is not just 木."""
    word = text[start:end]
    before = re.search("[\u4e00-\u9fff]{0,4}\\Z", text[:start])
    longer = _PRAISE.without((before.group() if before else "") + word)
    if 2 <= len(longer) <= 4 and longer != word and may_be_quoted(longer):
        general = _IN_FIELD.get(word)
        return Material(f"other:{longer}", longer, f"{longer} {general.en}" if general else longer)
    return _IN_FIELD.get(word)


def _unlisted(text: str) -> Material | None:
    """A material that no list knows but whose ending says that it is one, or a short word in a field of its own."""
    if has_chinese(text):
        for chinese in _CHINESE.findall(text):
            word = _PRAISE.without(chinese)
            known = word.endswith(_ENDINGS_ZH) and 2 <= len(word) <= 6
            if (known or (word == text and 2 <= len(word) <= 4)) and word not in _IGNORED and may_be_quoted(word):
                return Material(f"other:{word}", word, word)
        return None
    if any(character.isdigit() for character in text):
        return None
    words = _LATIN.findall(text)
    phrase = " ".join(words)
    known = bool(words) and words[-1].endswith(_ENDINGS_EN)
    # Punctuation in what no list knows is a path, a code or a joke.
    longest = 3 if known else 2 if is_plain_word(text) else 0
    if 1 <= len(words) <= longest and 3 <= len(phrase) <= 30 and phrase not in _IGNORED and may_be_quoted(phrase):
        return Material(f"other:{phrase}", phrase, phrase)
    return None
