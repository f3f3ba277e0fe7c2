"""Shade: the word for a colour, in either language, and how one that no list has is made of those that it has."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from functions.derive_prompt.recognise.text import has_chinese
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("colours")


class Colour(NamedTuple):
    """`id` is canonical across languages where the shade is listed; `zh` and `en` are the words for prompts."""

    id: str
    zh: str
    en: str


class _Shade(NamedTuple):
    id: str
    base: str
    zh: str
    en: str
    free: bool


def _shades() -> Iterable[tuple[str, _Shade]]:
    for name, row in _TABLE["shades"].items():
        for language in ("zh", "en"):
            for word in row[language]:
                own = may_be_quoted(word) and not row.get("first", False)
                zh = word if own and language == "zh" else row["zh"][0]
                en = word if own and language == "en" else row["en"][0]
                yield word, _Shade(name, row["base"], zh, en, row.get("free", True))


SHADES: dict[str, _Shade] = dict(_shades())
_BASES_ZH = {stem: name for name, row in _TABLE["bases"].items() for stem in row["zh"]}
_BASES_EN = {word: name for name, row in _TABLE["bases"].items() for word in row["en"]}
_BASE_ZH_WORD = {name: row["zh"][0] for name, row in _TABLE["bases"].items()}
_BASE_EN_WORD = {name: row["en"][0] for name, row in _TABLE["bases"].items()}
BLENDS: dict[str, str] = _TABLE["blends"]
_TRANSLATED: dict[str, str] = _TABLE["modifiers"]["translated"]
_TRANSLATED_BACK = {english: chinese for chinese, english in reversed(_TRANSLATED.items())}
IGNORED = frozenset(_TABLE["ignored"]["values"])
_COUNTED = re.compile(f"[{_TABLE['ignored']['characters']}]")

_STEMS = "|".join(sorted(map(re.escape, _BASES_ZH), key=len, reverse=True))
ALL_BASES = re.compile(f"(?:{_STEMS}){{2,3}}")
_BASE = re.compile(_STEMS)
_LONGEST_PREFIX = 4
_LONGEST_UNKNOWN = 6
_LONGEST_LISTED = 3
_MOST_ENGLISH_WORDS = 5


def of_chinese(stem: str, *, quotable: bool) -> Colour | None:
    """A colour from a Chinese stem without 色."""
    shade = SHADES.get(stem)
    if shade is not None:
        return of_shade(shade)
    if stem in BLENDS:
        return Colour(f"shade:{stem}", f"{stem}色", BLENDS[stem])
    if stem in _BASES_ZH:
        name = _BASES_ZH[stem]
        return Colour(name if stem == _BASE_ZH_WORD[name] else f"{name}:{stem}", f"{stem}色", _BASE_EN_WORD[name])
    if ALL_BASES.fullmatch(stem) is not None:
        return _two_coloured(_BASE.findall(stem))
    end = last_stem(stem)
    if end is not None:
        prefix = stem[: -len(end)]
        if len(prefix) <= _LONGEST_PREFIX and may_be_quoted(stem):
            return Colour(f"{_BASES_ZH[end]}:{stem}", f"{stem}色", _in_english(prefix, end, stem))
        return of_chinese(end, quotable=False)
    unknown = quotable and stem not in IGNORED and 2 <= len(stem) <= _LONGEST_UNKNOWN
    if unknown and _COUNTED.search(stem) is None and may_be_quoted(stem):
        return Colour(f"other:{stem}", f"{stem}色", stem)
    return None


def _in_english(prefix: str, end: str, stem: str) -> str:
    """An unlisted Chinese shade in English: translated where its parts are known, else the base with the shade's own
    word behind it, so that two shades never read the same."""
    known = SHADES.get(prefix + end)
    if known is not None:
        return known.en
    for size in (2, 1):
        modifier = _TRANSLATED.get(prefix[:size]) if len(prefix) >= size else None
        if modifier is None:
            continue
        rest = stem[size:]
        inner = of_chinese(rest, quotable=False)
        if inner is not None and not has_chinese(inner.en):
            # 咖 and 棕 are both brown: only what is told apart in English too may be translated.
            return (
                f"{modifier} {inner.en}"
                if rest not in _BASES_ZH or rest == _BASE_ZH_WORD[_BASES_ZH[rest]]
                else (f"{modifier} {inner.en} ({stem}色)")
            )
    return f"{_BASE_EN_WORD[_BASES_ZH[end]]} ({stem}色)"


def of_english(words: list[str], *, quotable: bool) -> Colour | None:
    """A colour from an English colour field's words: the last listed shade or base, with up to two words before it."""
    if not words or len(words) > _MOST_ENGLISH_WORDS:
        return None
    for end in range(len(words), 0, -1):
        for start in range(max(0, end - _LONGEST_LISTED), end):
            ending = " ".join(words[start:end])
            colour = listed_english(ending) or listed_english(ending.replace("-", " "))
            if colour is not None:
                before, behind = words[max(0, start - 2) : start], words[end : end + 2] if quotable else []
                return _qualified(colour, ending, " ".join(before), " ".join(behind))
    return _unlisted_english(words) if quotable else None


def _qualified(colour: Colour, ending: str, before: str, behind: str) -> Colour:
    """A listed colour with the words about it: black titanium is not black, nor misty lavender lavender."""
    if behind and may_be_quoted(behind):
        phrase = " ".join((*before.split(), colour.en, *behind.split()))
        return Colour(f"{colour.id}:{phrase}", f"{_plain(colour.zh)}（{phrase}）", phrase)
    if not before or not may_be_quoted(before):
        return colour
    shade = listed_english(f"{before} {ending}")
    if shade is not None:
        return shade
    back = _TRANSLATED_BACK.get(before)
    zh = f"{back}{colour.zh}" if back else f"{_plain(colour.zh)}（{before} {colour.en}）"
    return Colour(f"{colour.id}:{before}", zh, f"{before} {colour.en}")


def _unlisted_english(words: list[str]) -> Colour | None:
    """What stands alone in a colour field is a colour, known or not."""
    phrase = " ".join(words)
    short = len(words) <= 2 and all(3 <= len(word) <= 14 for word in words)
    if short and phrase not in IGNORED and may_be_quoted(phrase):
        return Colour(f"other:{phrase}", f"{phrase}色", phrase)
    return None


def _plain(chinese: str) -> str:
    return chinese.partition("（")[0]


def listed_english(phrase: str) -> Colour | None:
    shade = SHADES.get(phrase)
    if shade is not None:
        return of_shade(shade)
    name = _BASES_EN.get(phrase)
    if name is None:
        return None
    word = _BASE_EN_WORD[name] if phrase in ("gray", "golden") else phrase
    same = word == _BASE_EN_WORD[name]
    zh = f"{_BASE_ZH_WORD[name]}色"
    return Colour(name if same else f"{name}:{word}", zh if same else f"{zh}（{word}）", word)


def of_shade(shade: _Shade) -> Colour:
    zh = shade.zh if shade.base == "clear" else f"{shade.zh}色"
    return Colour(f"{shade.id}:{shade.zh}:{shade.en}", zh, shade.en)


def _two_coloured(stems: list[str]) -> Colour:
    if len(set(stems)) == 1:
        return of_chinese(stems[0], quotable=False) or Colour(stems[0], f"{stems[0]}色", stems[0])
    names = [_BASE_EN_WORD[_BASES_ZH[stem]] for stem in stems]
    zh = f"{''.join(stems)}{'双' if len(stems) == 2 else '三'}色"
    return Colour(f"several:{'+'.join(stems)}", zh, f"{', '.join(names[:-1])} and {names[-1]}")


def joined(colours: list[Colour]) -> Colour:
    distinct = list(dict.fromkeys(colours))[:2]
    if len(distinct) == 1:
        return distinct[0]
    return Colour(
        "+".join(colour.id for colour in distinct),
        "与".join(colour.zh for colour in distinct),
        " and ".join(colour.en for colour in distinct),
    )


def last_stem(stem: str) -> str | None:
    for size in (2, 1):
        if stem[-size:] in _BASES_ZH and len(stem) >= size:
            return stem[-size:]
    return None


def running_words() -> Iterable[tuple[str, Colour | None]]:
    """What is a colour in running text too, beyond doubt; and with None, what only looks like one."""
    for word in _TABLE["not_a_colour"]["words"]:
        yield word, None
    for word, shade in SHADES.items():
        if shade.free:
            yield word, of_shade(shade)
            if has_chinese(word):
                yield f"{word}色", of_shade(shade)
        elif has_chinese(word) and len(word) >= 2:
            yield f"{word}色", of_shade(shade)
    for blend in BLENDS:
        yield f"{blend}色", of_chinese(blend, quotable=False)
    for stem in _BASES_ZH:
        yield f"{stem}色", of_chinese(stem, quotable=False)
        for modifier in _TABLE["modifiers"]["zh"]:
            yield f"{modifier}{stem}色", of_chinese(modifier + stem, quotable=False)
    for base in _BASES_EN:
        yield base, of_english([base], quotable=False)
        for modifier in _TABLE["modifiers"]["en"]:
            yield f"{modifier} {base}", of_english([modifier, base], quotable=False)
