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
    """`free`: a colour in running text too. Else only in a colour field, at a title's end or before 色."""

    id: str
    base: str
    zh: str
    en: str
    free: bool


def _shades() -> Iterable[tuple[str, _Shade]]:
    for base, rows in _TABLE["shades"].items():
        for row in rows:
            zh, en = row["zh"][0], row["en"][0]
            for word in (*row["zh"], *row["en"]):
                free = word not in QUIET and row.get("free", _ends_with_base(word))
                yield word, _Shade(f"shade:{en}", base, zh, en, free)


def _ends_with_base(word: str) -> bool:
    """Whether a word is a compound whose end says that it is a colour: 牛油果绿, sage green."""
    if has_chinese(word):
        return len(word) >= 2 and word[-1] in _SURE
    return " " in word and word.rpartition(" ")[2] in _BASES_EN


QUIET = frozenset(_TABLE["running"]["quiet"])
_SURE: frozenset[str] = frozenset(_TABLE["modifiers"]["sure"])
_BASES_ZH = {stem: name for name, row in _TABLE["bases"].items() for stem in row["zh"]}
_BASES_EN = {word: name for name, row in _TABLE["bases"].items() for word in row["en"]}
_BASE_ZH_WORD = {name: row["zh"][0] for name, row in _TABLE["bases"].items()}
_BASE_EN_WORD = {name: row["en"][0] for name, row in _TABLE["bases"].items()}
SHADES: dict[str, _Shade] = dict(_shades())
BLENDS: dict[str, str] = _TABLE["blends"]
_TRANSLATED: dict[str, str] = _TABLE["modifiers"]["translated"]
_TRANSLATED_BACK = {english: chinese for chinese, english in reversed(_TRANSLATED.items())}
IGNORED = frozenset(_TABLE["ignored"]["values"])
NO_COLOURS = frozenset(_TABLE["ignored"]["words"])
_COUNTED = re.compile(f"[{_TABLE['ignored']['characters']}]")

_STEMS = "|".join(sorted(map(re.escape, _BASES_ZH), key=len, reverse=True))
ALL_BASES = re.compile(f"(?:{_STEMS}){{2,3}}")
BASE = re.compile(_STEMS)
# Where each colour is on the thing: 黑拼白, 上黑下白, 白底黑边.
_APART = re.compile(
    f"[上内外前左主]?(?P<one>{_STEMS})(?:拼|配|间|撞|镶|[上下里外后右底])(?P<other>{_STEMS})[边领袖字点条]?"
)
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
        return _two_coloured(BASE.findall(stem))
    apart = _APART.fullmatch(stem)
    if apart is not None:
        return _two_coloured([apart["one"], apart["other"]])
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
            colour = listed_english(ending)
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
    """What a whole English phrase means, however it is spelt: off white, Off-White, offwhite."""
    shade = _SQUEEZED.get(squeezed(phrase))
    if shade is not None:
        return of_shade(shade)
    name = _BASES_EN.get(phrase)
    if name is None:
        return None
    word = _BASE_EN_WORD[name] if phrase in ("gray", "golden") else phrase
    same = word == _BASE_EN_WORD[name]
    zh = f"{_BASE_ZH_WORD[name]}色"
    return Colour(name if same else f"{name}:{word}", zh if same else f"{zh}（{word}）", word)


def in_contrast(words: list[str]) -> Colour | None:
    """Plain colours side by side, black or white among them: red-black is two, where blue-green is a shade."""
    told = [listed_english(word) for word in words if word in _BASES_EN]
    if 2 <= len(words) <= _MOST_ON_ONE_THING and len(told) == len(words) and not _CONTRAST.isdisjoint(words):
        return joined([colour for colour in told if colour is not None])
    return None


_CONTRAST = frozenset({"black", "white"})


def squeezed(phrase: str) -> str:
    """An English phrase without what spellings differ in."""
    return _SPACING.sub("", phrase.lower()).replace("gray", "grey").replace("color", "colour")


_SPACING = re.compile("[ '-]")
_SQUEEZED = {squeezed(word): shade for word, shade in SHADES.items() if not has_chinese(word)}


def unglued(word: str) -> list[str]:
    """The words that are written as one: darkblue is dark blue. What a list knows stays one (turquoise)."""
    if word in _BASES_EN or squeezed(word) in _SQUEEZED:
        return [word]
    for size in range(3, len(word) - 2):
        before, base = word[:size], word[size:]
        if base in _BASES_EN and (before in _MODIFIERS_EN or before in _BASES_EN or before in _SQUEEZED):
            return [before, base]
    return [word]


_MODIFIERS_EN = frozenset(_TABLE["modifiers"]["en"])


def of_shade(shade: _Shade) -> Colour:
    zh = shade.zh if shade.base == "clear" else f"{shade.zh}色"
    return Colour(shade.id, zh, shade.en)


def _two_coloured(stems: list[str]) -> Colour:
    if len(set(stems)) == 1:
        return of_chinese(stems[0], quotable=False) or Colour(stems[0], f"{stems[0]}色", stems[0])
    names = [_BASE_EN_WORD[_BASES_ZH[stem]] for stem in stems]
    zh = f"{''.join(stems)}{'双' if len(stems) == 2 else '三'}色"
    return Colour(f"several:{'+'.join(stems)}", zh, f"{', '.join(names[:-1])} and {names[-1]}")


def joined(colours: list[Colour]) -> Colour:
    """The colours of one thing as one: white and blue."""
    distinct = list(dict.fromkeys(colours))[:_MOST_ON_ONE_THING]
    if len(distinct) == 1:
        return distinct[0]
    zh, en = [colour.zh for colour in distinct], [colour.en for colour in distinct]
    return Colour(
        "+".join(colour.id for colour in distinct),
        f"{'、'.join(zh[:-1])}与{zh[-1]}",
        f"{', '.join(en[:-1])} and {en[-1]}",
    )


_MOST_ON_ONE_THING = 3


def last_stem(stem: str) -> str | None:
    for size in (2, 1):
        if stem[-size:] in _BASES_ZH and len(stem) >= size:
            return stem[-size:]
    return None


def running_words() -> Iterable[tuple[str, Colour | None]]:  # complexity 18: one branch for each way to write a colour
    """What is a colour in running text too, beyond doubt; and with None, what only looks like one."""
    for word in _TABLE["not_a_colour"]["words"]:
        yield word, None
    for word, shade in SHADES.items():
        colour = of_shade(shade)
        if shade.free:
            yield word, colour
        if has_chinese(word):
            if shade.free or len(word) >= 2 or word not in _CUTS:
                yield f"{word}色", colour
        elif not shade.free:
            yield from ((f"{word} {noun}", colour) for noun in _SAYS_COLOUR)
    for blend in BLENDS:
        yield f"{blend}色", of_chinese(blend, quotable=False)
    for stem in _BASES_ZH:
        yield f"{stem}色", of_chinese(stem, quotable=False)
        for modifier in _TABLE["modifiers"]["zh"]:
            yield f"{modifier}{stem}色", of_chinese(modifier + stem, quotable=False)
        if stem in _SURE:
            yield from ((word + stem, of_chinese(word + stem, quotable=False)) for word in _TABLE["modifiers"]["free"])
    for base, name in _BASES_EN.items():
        if _TABLE["bases"][name].get("free", True):
            yield base, of_english([base], quotable=False)
        for modifier in _TABLE["modifiers"]["en"]:
            yield f"{modifier} {base}", of_english([modifier, base], quotable=False)


# 花色 and 本色 are words of their own, 多色 and 混色 may be a choice.
_CUTS = frozenset("花本原多混拼撞杂水姜自石")
_SAYS_COLOUR = ("color", "colour", "colored", "coloured", "finish", "tone", "shade", "hue")


def quiet_words() -> Iterable[tuple[str, Colour]]:
    """English words that are a colour where their neighbour says so: charcoal mesh, espresso wood."""
    for word, shade in SHADES.items():
        if not shade.free and not has_chinese(word):
            yield word, of_shade(shade)
