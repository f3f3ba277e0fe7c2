"""Colour: which one a product has, and the word that a prompt uses for it.

A shade keeps its own word (玛瑙红, dusty rose), because shades can be seen: products of different shade must not share
a clip. What is listed in `vocabulary/colours.toml` is only what cannot be worked out from the shade's ending.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from functions.derive_prompt.recognise.looks import PATTERN_WORDS
from functions.derive_prompt.recognise.matcher import Matcher
from functions.derive_prompt.recognise.text import has_chinese, is_plain_word, normalised
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("colours")


class Colour(NamedTuple):
    """`id` is canonical across languages where the shade is listed; `zh` and `en` are the words for prompts."""

    id: str
    zh: str
    en: str


class ColourField(NamedTuple):
    """What a colour field says: a colour, the patterns named beside it, or only one of the two."""

    colour: Colour | None
    patterns: tuple[str, ...]


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


_SHADES: dict[str, _Shade] = dict(_shades())
_BASES_ZH = {stem: name for name, row in _TABLE["bases"].items() for stem in row["zh"]}
_BASES_EN = {word: name for name, row in _TABLE["bases"].items() for word in row["en"]}
_BASE_ZH_WORD = {name: row["zh"][0] for name, row in _TABLE["bases"].items()}
_BASE_EN_WORD = {name: row["en"][0] for name, row in _TABLE["bases"].items()}
_BLENDS: dict[str, str] = _TABLE["blends"]
_TRANSLATED: dict[str, str] = _TABLE["modifiers"]["translated"]
_TRANSLATED_BACK = {english: chinese for chinese, english in reversed(_TRANSLATED.items())}
_IGNORED = frozenset(_TABLE["ignored"]["values"])
_COUNTED = re.compile(f"[{_TABLE['ignored']['characters']}]")
_AFFIXES: Matcher[None] = Matcher((word, None) for word in _TABLE["ignored"]["affixes"])
_ENGLISH_NOISE = frozenset(
    "color colour colors colours finish tone toned style edition version print base body strap lid cover trim the "
    "a in with set pack solid plain new for".split()
)
# Endings that mean a substance as often as a colour (奶粉, 大米, 白银): a name's token needs more than such an ending.
_SUBSTANCES = frozenset("粉米金银麻铜啡驼杏茶")

_STEMS = "|".join(sorted(map(re.escape, _BASES_ZH), key=len, reverse=True))
_ENDS_IN_BASE = re.compile(f"(.*?)({_STEMS})")
_ALL_BASES = re.compile(f"(?:{_STEMS}){{2,3}}")
_BASE = re.compile(_STEMS)
_ALTERNATIVES = re.compile(r"[/|、,;，；\n]|\s或\s?|\sor\s|\s{2,}")
_PARTS = re.compile(r"[+＋&]|\sand\s|和|与|\swith\s")
_BRACKETS = re.compile(r"[(（【\[][^)）】\]]*[)）】\]]")
_CHINESE = re.compile("[\u4e00-\u9fff]+")
_LATIN = re.compile("[a-z]+(?:-[a-z]+)*")
_LONGEST_PREFIX = 4
_LONGEST_UNKNOWN = 6


def read_field(text: str) -> ColourField | None:
    """The colour of a colour field: its first alternative that names one. None where no alternative names any.

    `浅杏粉/ 玛瑙红` is 浅杏粉; `黑色花朵+粉色底座` is both; `见详情`, `GB/T 28495-2012` are none.
    """
    plain = _BRACKETS.sub(" ", normalised(text[:_FIELD_LIMIT])).strip()
    # Numbers beside Latin capitals are a standard or a model, beside Chinese they are a list's numbering.
    quotable = not any(character.isdigit() for character in plain)
    patterns: tuple[str, ...] = ()
    for alternative in _ALTERNATIVES.split(plain):
        parts = [
            part
            for piece in _PARTS.split(alternative)
            if (part := _read_part(piece.strip(), quotable=quotable)) is not None
        ]
        colours = [part.colour for part in parts if part.colour is not None]
        found = tuple(dict.fromkeys(pattern for part in parts for pattern in part.patterns))
        if colours:
            return ColourField(_joined(colours), found)
        patterns = patterns or found
    return ColourField(None, patterns) if patterns else None


_FIELD_LIMIT = 200


def read_token(token: str) -> ColourField | None:
    """The colour of a name's or specification's own token (`星空蓝`, `蓝灰格`), if colour is all it says."""
    if token in _IGNORED or _CHINESE.fullmatch(token) is None or not 1 <= len(token) <= 8:
        return None
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(token)))
    shade = _SHADES.get(token.removesuffix("色"))
    if shade is not None and (shade.free or token.endswith("色")):
        return ColourField(_of_shade(shade), ())
    stem = PATTERN_WORDS.without(_AFFIXES.without(token))
    bare = stem.replace("色", "")
    if not bare:
        return None
    end = _last_stem(bare)
    if end is None or (len(bare) > len(end) + 2):
        return None
    sure = stem.endswith("色") or bare in _SHADES or bare in _BLENDS or _ALL_BASES.fullmatch(bare) is not None
    if not sure and (end in _SUBSTANCES and bare != end):
        return None
    if len(token) == 1:
        return None
    return _with_patterns(_chinese(bare, quotable=False), patterns)


def find_in_name(name: str) -> Colour | None:
    """The colour of a normalised name: what an English title ends with (..., Sage), else the first colour that running
    text names beyond doubt: 白色, 深灰色, 藏青, navy blue. That of a part (with Gold Legs) is not the thing's."""
    colour, rest = _ending(name)
    if colour is not None:
        return colour
    for found in _FREE.find_all(rest):
        if found.value is not None and _PART_FOLLOWS.match(rest, found.end) is None:
            return found.value
    return None


def find_last_word(name: str) -> Colour | None:
    """The shade that is the last word of an English title, or of the piece before its sizes: Clogs Lavender. What may
    be a material (wood) is none."""
    for piece in _PIECE_BREAK.split(name)[: -_LAST_PIECES - 1 : -1]:
        word = piece.rstrip().rpartition(" ")[2]
        shade = _SHADES.get(word)
        if shade is not None and word not in _MATERIALS and not has_chinese(word):
            return _of_shade(shade)
    return None


_MATERIALS = frozenset(word for row in table("materials")["materials"].values() for word in row["en"])


_PIECE_BREAK = re.compile(r"[,|()\[\]]|\s-\s")
_LAST_PIECES = 3
_PART_FOLLOWS = re.compile(rf"(?:'s|\s(?:[a-z]+\s)?(?:{'|'.join(_TABLE['parts']['en'])})s?)\b")


@lru_cache(maxsize=64)
def _ending(name: str) -> tuple[Colour | None, str]:
    """The last piece of an English title that is a colour and nothing else, and the title without it. Sizes and packs
    may stand behind it."""
    if has_chinese(name):
        return None, name
    end = len(name)
    for found in [*_PIECE_BREAK.finditer(name)][: -_LAST_PIECES - 1 : -1]:
        colour = _whole(name[found.end() : end].partition("/")[0].strip())
        if colour is not None:
            return colour, f"{name[: found.end()]} {name[end:]}"
        end = found.start()
    return None, name


def _whole(piece: str) -> Colour | None:
    """The colour that a piece of a title is, if it is nothing but a colour: sage, blue and white check."""
    if " and " not in piece:
        return _FREE.get(piece) or _listed_english(piece)
    told = [_whole(part.strip()) for part in PATTERN_WORDS.without(piece).split(" and ")]
    colours = [colour for colour in told if colour is not None]
    return _joined(colours) if len(colours) == len(told) else None


def without_shades(name: str, *, every: bool = False) -> str:
    """Normalised text with shades blanked: what stone grey or 珍珠白 is made of, they do not say. A single English
    word (copper) stays, if not `every` one is to go: it may well be the material, but for the colour that ends a title.
    """
    return _FREE.blanked(_ending(name)[1], compounds_only=not every)


def _read_part(part: str, *, quotable: bool) -> ColourField | None:
    if not part or part in _IGNORED:
        return None
    shade = _SHADES.get(part) or _SHADES.get(part.removesuffix("色"))
    if shade is not None:
        return ColourField(_of_shade(shade), ())
    if has_chinese(part):
        chinese = "".join(_CHINESE.findall(part))
        if chinese in _IGNORED:
            return None
        plain = _AFFIXES.without(chinese)
        shade = _SHADES.get(plain.removesuffix("色"))
        if shade is not None:
            return ColourField(_of_shade(shade), ())
        patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(plain)))
        stem = PATTERN_WORDS.without(plain).replace("色", "")
        return _with_patterns(_chinese(stem, quotable=quotable) if stem else None, patterns)
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(part)))
    words = [word for word in _LATIN.findall(PATTERN_WORDS.without(part)) if word not in _ENGLISH_NOISE]
    return _with_patterns(_english(words, quotable=quotable and is_plain_word(part)), patterns)


def _with_patterns(colour: Colour | None, patterns: tuple[str, ...]) -> ColourField | None:
    return ColourField(colour, patterns) if colour is not None or patterns else None


def _chinese(stem: str, *, quotable: bool) -> Colour | None:
    """A colour from a Chinese stem without 色."""
    shade = _SHADES.get(stem)
    if shade is not None:
        return _of_shade(shade)
    if stem in _BLENDS:
        return Colour(f"shade:{stem}", f"{stem}色", _BLENDS[stem])
    if stem in _BASES_ZH:
        name = _BASES_ZH[stem]
        return Colour(name if stem == _BASE_ZH_WORD[name] else f"{name}:{stem}", f"{stem}色", _BASE_EN_WORD[name])
    if _ALL_BASES.fullmatch(stem) is not None:
        return _two_coloured(_BASE.findall(stem))
    end = _last_stem(stem)
    if end is not None:
        prefix = stem[: -len(end)]
        if len(prefix) <= _LONGEST_PREFIX and may_be_quoted(stem):
            return Colour(f"{_BASES_ZH[end]}:{stem}", f"{stem}色", _in_english(prefix, end, stem))
        return _chinese(end, quotable=False)
    unknown = quotable and stem not in _IGNORED and 2 <= len(stem) <= _LONGEST_UNKNOWN
    if unknown and _COUNTED.search(stem) is None and may_be_quoted(stem):
        return Colour(f"other:{stem}", f"{stem}色", stem)
    return None


def _in_english(prefix: str, end: str, stem: str) -> str:
    """An unlisted Chinese shade in English: translated where its parts are known, else the base with the shade's own
    word behind it, so that two shades never read the same."""
    known = _SHADES.get(prefix + end)
    if known is not None:
        return known.en
    for size in (2, 1):
        modifier = _TRANSLATED.get(prefix[:size]) if len(prefix) >= size else None
        if modifier is None:
            continue
        rest = stem[size:]
        inner = _chinese(rest, quotable=False)
        if inner is not None and not has_chinese(inner.en):
            # 咖 and 棕 are both brown: only what is told apart in English too may be translated.
            return (
                f"{modifier} {inner.en}"
                if rest not in _BASES_ZH or rest == _BASE_ZH_WORD[_BASES_ZH[rest]]
                else (f"{modifier} {inner.en} ({stem}色)")
            )
    return f"{_BASE_EN_WORD[_BASES_ZH[end]]} ({stem}色)"


def _english(words: list[str], *, quotable: bool) -> Colour | None:
    """A colour from an English colour field's words: the last listed shade or base, with up to two words before it."""
    if not words or len(words) > 5:
        return None
    for end in range(len(words), 0, -1):
        for size in (3, 2, 1):
            start = end - size
            if start < 0:
                continue
            ending = " ".join(words[start:end])
            colour = _listed_english(ending) or _listed_english(ending.replace("-", " "))
            if colour is None:
                continue
            prefix = " ".join(words[max(0, start - 2) : start])
            # Black titanium is not black.
            suffix = " ".join(words[end : end + 2]) if quotable else ""
            if suffix and may_be_quoted(suffix):
                phrase = " ".join((*prefix.split(), colour.en, *suffix.split()))
                return Colour(f"{colour.id}:{phrase}", f"{_plain(colour.zh)}（{phrase}）", phrase)
            if not prefix or not may_be_quoted(prefix):
                return colour
            shade = _listed_english(f"{prefix} {ending}")
            if shade is not None:
                return shade
            back = _TRANSLATED_BACK.get(prefix)
            zh = f"{back}{colour.zh}" if back else f"{_plain(colour.zh)}（{prefix} {colour.en}）"
            return Colour(f"{colour.id}:{prefix}", zh, f"{prefix} {colour.en}")
    phrase = " ".join(words)
    if (
        quotable
        and len(words) <= 2
        and phrase not in _IGNORED
        and all(3 <= len(word) <= 14 for word in words)
        and may_be_quoted(phrase)
    ):
        return Colour(f"other:{phrase}", f"{phrase}色", phrase)
    return None


def _plain(chinese: str) -> str:
    return chinese.partition("（")[0]


def _listed_english(phrase: str) -> Colour | None:
    shade = _SHADES.get(phrase)
    if shade is not None:
        return _of_shade(shade)
    name = _BASES_EN.get(phrase)
    if name is None:
        return None
    word = _BASE_EN_WORD[name] if phrase in ("gray", "golden") else phrase
    same = word == _BASE_EN_WORD[name]
    zh = f"{_BASE_ZH_WORD[name]}色"
    return Colour(name if same else f"{name}:{word}", zh if same else f"{zh}（{word}）", word)


def _of_shade(shade: _Shade) -> Colour:
    zh = shade.zh if shade.base == "clear" else f"{shade.zh}色"
    return Colour(f"{shade.id}:{shade.zh}:{shade.en}", zh, shade.en)


def _two_coloured(stems: list[str]) -> Colour:
    if len(set(stems)) == 1:
        return _chinese(stems[0], quotable=False) or Colour(stems[0], f"{stems[0]}色", stems[0])
    names = [_BASE_EN_WORD[_BASES_ZH[stem]] for stem in stems]
    zh = f"{''.join(stems)}{'双' if len(stems) == 2 else '三'}色"
    return Colour(f"several:{'+'.join(stems)}", zh, f"{', '.join(names[:-1])} and {names[-1]}")


def _joined(colours: list[Colour]) -> Colour:
    distinct = list(dict.fromkeys(colours))[:2]
    if len(distinct) == 1:
        return distinct[0]
    return Colour(
        "+".join(colour.id for colour in distinct),
        "与".join(colour.zh for colour in distinct),
        " and ".join(colour.en for colour in distinct),
    )


def _last_stem(stem: str) -> str | None:
    for size in (2, 1):
        if stem[-size:] in _BASES_ZH and len(stem) >= size:
            return stem[-size:]
    return None


def _free_words() -> Iterable[tuple[str, Colour | None]]:
    for word in _TABLE["not_a_colour"]["words"]:
        yield word, None
    for word, shade in _SHADES.items():
        if shade.free:
            yield word, _of_shade(shade)
            if has_chinese(word):
                yield f"{word}色", _of_shade(shade)
        elif has_chinese(word) and len(word) >= 2:
            yield f"{word}色", _of_shade(shade)
    for blend in _BLENDS:
        yield f"{blend}色", _chinese(blend, quotable=False)
    for stem in _BASES_ZH:
        yield f"{stem}色", _chinese(stem, quotable=False)
        for modifier in _TABLE["modifiers"]["zh"]:
            yield f"{modifier}{stem}色", _chinese(modifier + stem, quotable=False)
    for base in _BASES_EN:
        yield base, _english([base], quotable=False)
        for modifier in _TABLE["modifiers"]["en"]:
            yield f"{modifier} {base}", _english([modifier, base], quotable=False)


_FREE: Matcher[Colour | None] = Matcher(_free_words())
