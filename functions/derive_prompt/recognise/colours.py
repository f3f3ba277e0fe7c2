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
from functions.derive_prompt.recognise.shades import (
    ALL_BASES,
    BLENDS,
    IGNORED,
    SHADES,
    Colour,
    joined,
    last_stem,
    listed_english,
    of_chinese,
    of_english,
    of_shade,
    running_words,
)
from functions.derive_prompt.recognise.text import has_chinese, is_plain_word, normalised
from functions.derive_prompt.vocabulary import table

_TABLE = table("colours")


class ColourField(NamedTuple):
    """What a colour field says: a colour, the patterns named beside it, or only one of the two."""

    colour: Colour | None
    patterns: tuple[str, ...]


_AFFIXES: Matcher[None] = Matcher((word, None) for word in _TABLE["ignored"]["affixes"])
_ENGLISH_NOISE = frozenset(
    "color colour colors colours finish tone toned style edition version print base body strap lid cover trim the "
    "a in with set pack solid plain new for".split()
)
# Endings that mean a substance as often as a colour (奶粉, 大米, 白银): a name's token needs more than such an ending.
_SUBSTANCES = frozenset("粉米金银麻铜啡驼杏茶")

_ALTERNATIVES = re.compile(r"[/|、,;，；\n]|\s或\s?|\sor\s|\s{2,}")
_PARTS = re.compile(r"[+＋&]|\sand\s|和|与|\swith\s")
_BRACKETS = re.compile(r"[(（【\[][^)）】\]]*[)）】\]]")
_CHINESE = re.compile("[\u4e00-\u9fff]+")
_LATIN = re.compile("[a-z]+(?:-[a-z]+)*")


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
            return ColourField(joined(colours), found)
        patterns = patterns or found
    return ColourField(None, patterns) if patterns else None


_FIELD_LIMIT = 200


def read_token(token: str) -> ColourField | None:
    """The colour of a name's or specification's own token (`星空蓝`, `蓝灰格`), if colour is all it says."""
    if token in IGNORED or _CHINESE.fullmatch(token) is None or not 1 <= len(token) <= 8:
        return None
    shade = SHADES.get(token.removesuffix("色"))
    if shade is not None and (shade.free or token.endswith("色")):
        return ColourField(of_shade(shade), ())
    stem = PATTERN_WORDS.without(_AFFIXES.without(token))
    bare = stem.replace("色", "")
    if len(token) == 1 or not _is_shade(bare, named=stem.endswith("色")):
        return None
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(token)))
    return _with_patterns(of_chinese(bare, quotable=False), patterns)


def _is_shade(stem: str, *, named: bool) -> bool:
    """Whether a stem, `named` a colour by 色 or not, can be nothing else: 星空蓝, but not 奶粉."""
    end = last_stem(stem)
    if end is None or len(stem) > len(end) + 2:
        return False
    sure = named or stem in SHADES or stem in BLENDS or ALL_BASES.fullmatch(stem) is not None
    return sure or stem == end or end not in _SUBSTANCES


def first_token(tokens: Iterable[str]) -> ColourField | None:
    """The first of a text's tokens that is nothing but a colour."""
    told = (read_token(token) for token in tokens)
    return next((found for found in told if found is not None and found.colour is not None), None)


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
        shade = SHADES.get(word)
        if shade is not None and word not in _MATERIALS and not has_chinese(word):
            return of_shade(shade)
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
        return _FREE.get(piece) or listed_english(piece)
    told = [_whole(part.strip()) for part in PATTERN_WORDS.without(piece).split(" and ")]
    colours = [colour for colour in told if colour is not None]
    return joined(colours) if len(colours) == len(told) else None


def without_shades(name: str, *, every: bool = False) -> str:
    """Normalised text with shades blanked: what stone grey or 珍珠白 is made of, they do not say. A single English
    word (copper) stays, if not `every` one is to go: it may well be the material, but for the colour that ends a title.
    """
    return _FREE.blanked(_ending(name)[1], compounds_only=not every)


def _read_part(part: str, *, quotable: bool) -> ColourField | None:
    if not part or part in IGNORED:
        return None
    shade = SHADES.get(part) or SHADES.get(part.removesuffix("色"))
    if shade is not None:
        return ColourField(of_shade(shade), ())
    if has_chinese(part):
        chinese = "".join(_CHINESE.findall(part))
        if chinese in IGNORED:
            return None
        plain = _AFFIXES.without(chinese)
        shade = SHADES.get(plain.removesuffix("色"))
        if shade is not None:
            return ColourField(of_shade(shade), ())
        patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(plain)))
        stem = PATTERN_WORDS.without(plain).replace("色", "")
        return _with_patterns(of_chinese(stem, quotable=quotable) if stem else None, patterns)
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(part)))
    words = [word for word in _LATIN.findall(PATTERN_WORDS.without(part)) if word not in _ENGLISH_NOISE]
    return _with_patterns(of_english(words, quotable=quotable and is_plain_word(part)), patterns)


def _with_patterns(colour: Colour | None, patterns: tuple[str, ...]) -> ColourField | None:
    return ColourField(colour, patterns) if colour is not None or patterns else None


_FREE: Matcher[Colour | None] = Matcher(running_words())
