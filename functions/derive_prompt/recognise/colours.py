"""Colour: which one a product has, and the word that a prompt uses for it.

A shade keeps its own word (玛瑙红, dusty rose), because shades can be seen: products of different shade must not share
a clip. What is listed in `vocabulary/colours.toml` is only what cannot be worked out from the shade's ending.
"""

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from functions.derive_prompt.recognise.looks import PATTERN_WORDS
from functions.derive_prompt.recognise.matcher import Found, Matcher
from functions.derive_prompt.recognise.shades import (
    ALL_BASES,
    BASE,
    BLENDS,
    IGNORED,
    NO_COLOURS,
    SHADES,
    Colour,
    in_contrast,
    joined,
    last_stem,
    listed_english,
    of_chinese,
    of_english,
    of_shade,
    quiet_words,
    running_words,
    unglued,
)
from functions.derive_prompt.recognise.text import has_chinese, is_plain_word, normalised
from functions.derive_prompt.vocabulary import materials, table

_TABLE = table("colours")


class ColourField(NamedTuple):
    """What a colour field says: a colour, the patterns named beside it, or only one of the two."""

    colour: Colour | None
    patterns: tuple[str, ...]


_AFFIXES: Matcher[None] = Matcher((word, None) for word in _TABLE["ignored"]["affixes"])
_ENGLISH_NOISE = frozenset(
    "color colour colors colours finish tone toned style edition version print base body strap lid cover trim "
    "the all a in with set pack solid plain new for handle handles leg legs frame top bottom two tone ral pantone "
    "accent accents piping sole heel".split()
)
# Endings that mean a substance as often as a colour (奶粉, 大米, 白银): a name's token needs more than such an ending.
_SUBSTANCES = frozenset("粉米金银麻铜啡驼杏茶")
# One character by itself that a title may end with: 黑. A unit (5 米) or a substance (麻) says nothing.
_ALONE = frozenset("黑白灰红橙黄绿蓝紫粉棕咖银金青杏")

_ALTERNATIVES = re.compile(r"[/|、,;，；\n]|\s或\s?|\sor\s|\s{2,}")
_CHOICE = re.compile(r"[|、,;，；\n]|\bor\b|\bavailable\b|\boptions?\b|\bchoose\b")
_SLASH = re.compile(r"\s*/\s*")
_SERIES = re.compile(r"\s*,\s*(?:and\s+|&\s*)?|\s+and\s+|\s*&\s*")
_SERIES_END = re.compile(r",[^,]+,?\s*(?:\band\b|&)[^,]+\Z")
_PARTS = re.compile(r"[+＋&]|\band\b|和|与|\swith\s")
_BRACKETS = re.compile(r"[(（【\[][^)）】\]]*[)）】\]]")
_CHINESE = re.compile("[\u4e00-\u9fff]+")
_LATIN = re.compile("[a-z]+(?:'[a-z]+)?")


def read_field(text: str) -> ColourField | None:
    """The colour of a colour field: its first alternative that names one. None where no alternative names any.

    `浅杏粉/ 玛瑙红` is 浅杏粉; `黑色花朵+粉色底座` is both, as is an English feed's `Black/White`; `见详情`,
    `GB/T 28495-2012` are none.
    """
    plain = _BRACKETS.sub(" ", normalised(text[:_FIELD_LIMIT])).strip()
    # Numbers beside Latin capitals are a standard or a model, beside Chinese they are a list's numbering.
    quotable = not any(character.isdigit() for character in plain)
    together = _together(plain)
    if together is not None:
        return together
    patterns: tuple[str, ...] = ()
    for alternative in _ALTERNATIVES.split(plain):
        parts = [
            part
            for piece in _PARTS.split(alternative)
            if (part := _read_piece(piece.strip(), quotable=quotable)) is not None
        ]
        colours = [part.colour for part in parts if part.colour is not None]
        found = tuple(dict.fromkeys(pattern for part in parts for pattern in part.patterns))
        if colours:
            return ColourField(joined(colours), found)
        patterns = patterns or found
    return ColourField(None, patterns) if patterns else None


_FIELD_LIMIT = 200


def _together(text: str) -> ColourField | None:
    """What English feeds set apart by strokes is together on one thing, up to three colours: Black/White."""
    pieces = (_SERIES if _SERIES_END.search(text) else _SLASH).split(text)
    if (
        has_chinese(text)
        or not 2 <= len(pieces) <= _MOST_TOGETHER
        or (_CHOICE.search(text) and len(_SLASH.split(text)) > 1)
    ):
        return None
    parts = [_read_part(part.strip(), quotable=False) for piece in pieces for part in _PARTS.split(piece)]
    colours = [part.colour for part in parts if part is not None and part.colour is not None]
    patterns = tuple(dict.fromkeys(pattern for part in parts if part is not None for pattern in part.patterns))
    return ColourField(joined(colours), patterns) if len(colours) == len(parts) else None


_MOST_TOGETHER = 3


def read_token(token: str) -> ColourField | None:
    """The colour of a name's or specification's own token (`星空蓝`, `蓝灰格`, `717浅紫`), if colour is all it says.

    Numbers beside it say nothing; `黑3白3灰4` is of three colours.
    """
    runs = _CHINESE.findall(token)
    if len(runs) > 1 and _ALONE.issuperset(runs) and _ONLY_COUNTS.fullmatch(token) is not None:
        return ColourField(joined([colour for run in runs if (colour := of_chinese(run, quotable=False))]), ())
    if len(runs) != 1 or token in IGNORED or token in _MATERIALS or _NUMBERED.fullmatch(token) is None:
        return None
    return _read_run(runs[0])


_ONLY_COUNTS = re.compile("[\u4e00-\u9fff0-9+*x]+")
_NUMBERED = re.compile(r"[a-z0-9#.\-_*]*[\u4e00-\u9fff]+[a-z0-9#.\-_*]*")
_LONGEST_RUN = 8


def _read_run(token: str) -> ColourField | None:
    if token in IGNORED or len(token) > _LONGEST_RUN:
        return None
    if len(token) <= 1:
        return ColourField(of_chinese(token, quotable=False), ()) if token in _ALONE else None
    shade = SHADES.get(token.removesuffix("色"))
    if shade is not None and (shade.free or token.endswith("色")):
        return ColourField(of_shade(shade), ())
    stem = PATTERN_WORDS.without(_AFFIXES.without(token))
    bare = stem.replace("色", "")
    if not _is_shade(bare, named=stem.endswith("色")):
        return None
    bare = _first_of_choice(token, bare)
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(token)))
    return _with_patterns(of_chinese(bare, quotable=False), patterns)


def _first_of_choice(text: str, stem: str) -> str:
    """Of colours to choose from, the first: 黑棕两色可选."""
    return BASE.findall(stem)[0] if "选" in text and ALL_BASES.fullmatch(stem) is not None else stem


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


def tokens_of(name: str) -> list[str]:
    """The words of a Chinese title as its maker set them apart."""
    return [token for token in _TOKEN_BREAK.split(name) if token]


_TOKEN_BREAK = re.compile(r"[\s()\[\]【】|,，、;；/·~—]+")


def are_together(values: Sequence[str], name: str) -> bool:
    """Whether the colours of a field, otherwise there to choose from, stand together in the title: 白粉拼色."""
    if not 2 <= len(values) <= _MOST_TOGETHER:
        return False
    words = [normalised(value[:_FIELD_LIMIT]).strip().removesuffix("色") for value in values]
    return all(words) and "选" not in name and any(sign.join(words) in name for sign in _JOINING)


_JOINING = ("", "色", "/", "+", "与", "和", " and ", " & ", "&", "-")


def find_in_name(name: str) -> Colour | None:
    """The colour of a normalised name: what an English title ends with (..., Sage), else the first colour that running
    text names beyond doubt: 白色, 深灰色, 藏青, navy blue."""
    colour, rest = _ending(name)
    if colour is not None:
        return colour
    return _running(rest) or (_MANY if _COUNT_OF_COLOURS.search(rest) is not None else None)


def _running(text: str) -> Colour | None:
    """The first colour in running text, with those that a sign joins to it: kids bike pink/white."""
    told: list[Found[Colour | None]] = []
    sign = _JOINED if has_chinese(text) else _JOINED_ENGLISH
    for found in _FREE.find_all(text):
        if told and sign.fullmatch(text[told[-1].end : found.start]) is None:
            break
        if found.value is not None:
            told.append(found)
    colours = [found.value for found in told if found.value is not None]
    return joined(colours) if colours else None


# Chinese titles tell colours to choose from by strokes.
_JOINED = re.compile(r"\s*(?:[&+与和拼配]|\band\b)\s*")
_JOINED_ENGLISH = re.compile(r"\s*(?:[&+/]|\band\b)\s*|,? ")
# As many colours in one pack are seen at once: 24色水彩笔. Those to choose from are not.
_COUNT_OF_COLOURS = re.compile(
    r"assorted colou?rs\b|(?:[4-9]|[1-9]\d{1,2})"
    r"(?:\s*色(?!可选|任选|选|号)|[ -]colou?rs?\b(?! to choose| available| option))"
)
_MANY = of_shade(SHADES["多彩"])


def whole_chinese(text: str) -> Colour | None:
    """The colour that a Chinese word is and nothing else: 红色, 深灰, 黑."""
    found = _read_run(text)
    return found.colour if found is not None else None


def whole_english(text: str) -> Colour | None:
    """The colour that English words are and nothing else."""
    return _FREE.get(text) or listed_english(text)


def find_last_word(name: str) -> Colour | None:
    """The shade that is the last word of an English title, or of the piece before its sizes: Clogs Lavender. What may
    be a material (wood) is none."""
    if has_chinese(name):
        return None
    for piece in _pieces(name):
        words = piece.text.split()
        for size in (3, 2, 1):
            shade = listed_english(" ".join(words[-size:])) if len(words) >= size else None
            if shade is not None and " ".join(words[-size:]) not in _MATERIALS:
                return shade
    return None


def find_beside_noun(name: str, thing: str, things: Container[str]) -> Colour | None:
    """A lone English shade that says so by what stands beside it: charcoal mesh, a plum hoodie, sweater mustard.
    `thing` is the kind, `things` are words for things."""
    for found in _QUIET.find_all(name):
        behind = name[found.end :].strip().partition(" ")[0].rstrip(",.;")
        before = name[: found.start].split()
        lone = found.word in _BEFORE_A_THING
        if behind in _GLAZES:
            return found.value
        beside_thing = behind == thing.partition(" ")[0] or any(
            " ".join(before[-size:]) in things for size in (1, 2, 3) if len(before) >= size
        )
        if found.word not in _MATERIALS and (behind in _MATERIALS or (lone and beside_thing)):
            return found.value
    return None


_GLAZES = frozenset(_TABLE["running"]["glazes"])
_BEFORE_A_THING = frozenset(_TABLE["running"]["before_a_thing"])


def find_trailing(name: str, things: Container[str]) -> Colour | None:
    """The colour that a Chinese title ends with right behind the thing: 手机壳黑. `things` are words for things."""
    found = _TRAILING.search(name)
    if found is None or any(name[found.start() - size + 1 : found.end()] in things for size in (1, 2, 3)):
        return None
    before = name[: found.start()]
    thing = any(before[-size:] in things for size in (2, 3, 4) if len(before) >= size)
    return of_chinese(found[0], quotable=False) if thing else None


_TRAILING = re.compile(f"[{''.join(sorted(_ALONE))}]\\Z")
_MATERIALS = frozenset(word for row in materials() for word in (*row["zh"], *row["en"]))
_PIECE_BREAK = re.compile(r"[,|()\[\]]|\s[-–]\s")
_LAST_PIECES = 3
_AFTERTHOUGHT = re.compile(r"\b(?:not (?:included|supplied)|sold separately|included|w/o|without)\b")


class _Piece(NamedTuple):
    """A stretch of an English title that punctuation ends."""

    start: int
    end: int
    text: str


def _pieces(name: str) -> list[_Piece]:
    """The last pieces of an English title, the last one first, without afterthoughts (lid sold separately)."""
    pieces, start = [], 0
    for found in [*_PIECE_BREAK.finditer(name), None]:
        end = len(name) if found is None else found.start()
        text = name[start:end].strip()
        if text and _AFTERTHOUGHT.search(text) is None:
            pieces.append(_Piece(start, end, text))
        start = end if found is None else found.end()
    return pieces[: -_LAST_PIECES - 1 : -1]


@lru_cache(maxsize=64)
def _ending(name: str) -> tuple[Colour | None, str]:
    """The last piece of an English title that is a colour and nothing else, and the title without it. Sizes and packs
    may stand behind it."""
    if has_chinese(name):
        return None, name
    for piece in _pieces(name):
        colour = _whole(piece.text) if piece.start else None
        if colour is not None:
            words = piece.text.split()
            said = [] if whole_english(piece.text) else words[len(_without_materials(words)) :]
            return colour, " ".join((name[: piece.start], *said, name[piece.end :]))
    return None, name


def _whole(piece: str) -> Colour | None:
    """The colour that a piece of a title is, if it is nothing but colours: sage, all white, blue and white check,
    red/white, indigo & off white, charcoal mesh."""
    told = [_only_colour(part.strip()) for half in _SLASH.split(piece) for part in _PARTS.split(half)]
    colours = [colour for colour in told if colour is not None]
    return joined(colours) if colours and len(colours) == len(told) else None


def _only_colour(part: str) -> Colour | None:
    known = whole_english(part)
    if known is not None:
        return known
    words = [word for word in PATTERN_WORDS.without(part).split() if word not in _ENGLISH_NOISE]
    bare = _without_materials(words)
    # Natural rubber is praise, natural by itself a colour.
    return whole_english(" ".join(bare)) if bare and (bare == words or bare != ["natural"]) else None


def _without_materials(words: list[str]) -> list[str]:
    end = len(words)
    while end > 1 and words[end - 1] in _MATERIALS:
        end -= 1
    return words[:end]


def without_shades(name: str, *, every: bool = False) -> str:
    """Normalised text with shades blanked: what stone grey or 珍珠白 is made of, they do not say. A single English
    word (copper) stays, if not `every` one is to go: it may well be the material, but for the colour that ends a title.
    """
    return _FREE.blanked(_MAKERS.blanked(_ending(name)[1]), compounds_only=not every)


def _read_piece(piece: str, *, quotable: bool) -> ColourField | None:
    """A part of a field; of a Chinese one with spaces, the first word that is a colour by itself: 大号 灰色."""
    words = piece.split() if has_chinese(piece) else []
    told = (read_token(word) for word in words if len(words) > 1 and len(word) > 1)
    return next((found for found in told if found is not None), None) or _read_part(piece, quotable=quotable)


def _read_part(part: str, *, quotable: bool) -> ColourField | None:
    if not part or part in IGNORED:
        return None
    shade = SHADES.get(part) or SHADES.get(part.removesuffix("色"))
    if shade is not None:
        return ColourField(of_shade(shade), ())
    return _read_chinese(part, quotable=quotable) if has_chinese(part) else _read_english(part, quotable=quotable)


def _read_chinese(part: str, *, quotable: bool) -> ColourField | None:
    chinese = "".join(_CHINESE.findall(part))
    if chinese in IGNORED:
        return None
    plain = _AFFIXES.without(chinese)
    shade = SHADES.get(plain.removesuffix("色"))
    if shade is not None:
        return ColourField(of_shade(shade), ())
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(plain)))
    said = PATTERN_WORDS.without(plain)
    # 黑色短袖 is black: what stands behind 色 is what has the colour.
    said = said.partition("色")[0] if last_stem(said.replace("色", "")) is None else said
    stem = _first_of_choice(chinese, said.replace("色", ""))
    return _with_patterns(of_chinese(stem, quotable=quotable) if stem else None, patterns)


def _read_english(part: str, *, quotable: bool) -> ColourField | None:
    patterns = tuple(dict.fromkeys(found.value for found in PATTERN_WORDS.find_all(part)))
    # A maker's number, 18k and the like are no part of a colour's name.
    part = _SHORT.sub(lambda found: _SHORTENED[found[0]], _CODE.sub(" ", part)).strip()
    whole = listed_english(" ".join(_LATIN.findall(part)))
    if whole is not None:
        return ColourField(whole, ())
    plain = PATTERN_WORDS.without(part)
    words = [word for glued in _LATIN.findall(plain) if glued not in _ENGLISH_NOISE for word in unglued(glued)]
    apart = in_contrast(words)
    if apart is not None:
        return ColourField(apart, patterns)
    sound = quotable and is_plain_word(part) and NO_COLOURS.isdisjoint(_LATIN.findall(part))
    return _with_patterns(of_english(words, quotable=sound), patterns)


_SHORTENED: dict[str, str] = _TABLE["shortened"]
_SHORT = re.compile(rf"\b(?:{'|'.join(_SHORTENED)})\b")
_CODE = re.compile(r"#?\b[a-z]{0,3}\d+[a-z]{0,2}\b")


def _with_patterns(colour: Colour | None, patterns: tuple[str, ...]) -> ColourField | None:
    return ColourField(colour, patterns) if colour is not None or patterns else None


_FREE: Matcher[Colour | None] = Matcher(running_words())
# What only sounds like a colour names no material either: Silver Cross.
_MAKERS: Matcher[bool] = Matcher((word, True) for word in _TABLE["not_a_colour"]["words"] if word.isascii())
_QUIET: Matcher[Colour] = Matcher(quiet_words())
