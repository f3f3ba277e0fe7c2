"""Parts whose colour or material a title tells: a red handle, 木柄, marble top. What is said of them is not said of the
thing, and is filmed as a detail of it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from functions.derive_prompt.recognise import colours, materials
from functions.derive_prompt.recognise.kinds import Kind
from functions.derive_prompt.recognise.looks import Look
from functions.derive_prompt.recognise.materials import Material
from functions.derive_prompt.recognise.shades import Colour
from functions.derive_prompt.vocabulary import table

_PARTS: dict[str, dict[str, Any]] = table("parts")["parts"]
_BY_WORD = {word: name for name, row in _PARTS.items() for word in (*row["zh"], *row["en"])}
_WORDS = sorted(_BY_WORD, key=len, reverse=True)
_CHINESE = re.compile(rf"([\u4e00-\u9fff]{{1,8}}?)的?({'|'.join(word for word in _WORDS if not word.isascii())})(?!具)")
_ENGLISH = re.compile(rf"\b({'|'.join(word for word in _WORDS if word.isascii())})\b")
_LATIN = re.compile(r"[a-z][a-z'-]*|\d+k")
_LONGEST = 4
_MOST = 2
_SOFT = frozenset({"textile", "hide", "paper"})


class _Part(NamedTuple):
    start: int
    end: int
    name: str
    colour: Colour | None
    material: Material | None
    several: bool = False


def parts_in(name: str, kind: Kind) -> tuple[str, tuple[Look, ...]]:
    """A normalised title with what it says of parts blanked, and the parts, each as a detail."""
    found = [part for part in (*_chinese(name), *_english(name)) if not _is_the_thing(part, kind)]
    for part in found:
        name = f"{name[: part.start]}{' ' * (part.end - part.start)}{name[part.end :]}"
    by_name = {part.name: _detail(part) for part in reversed(found)}
    return name, tuple(reversed(by_name.values()))[:_MOST]


def _chinese(name: str) -> Iterator[_Part]:
    for run in _CHINESE.finditer(name):
        before = run[1].removesuffix("的")
        for start in range(len(before)):
            said = _chinese_words(before[start:])
            if said is not None:
                yield _Part(run.start() + start, run.end(), _BY_WORD[run[2]], *said)
                break


def _chinese_words(text: str) -> tuple[Colour | None, Material | None] | None:
    """The colour, the material or both that are all that a text says: 红色, 黄杨木, 白色铁."""
    for end in (len(text), *range(len(text))):
        shade, substance = text[:end], text[end:]
        colour = colours.whole_chinese(shade) if shade else None
        material = materials.whole(substance) if substance else None
        if (colour is None) == (not shade) and (material is None) == (not substance):
            return colour, material
    return None


def _english(name: str) -> Iterator[_Part]:
    end = 0
    for word in _ENGLISH.finditer(name):
        before = [*_LATIN.finditer(name, end, word.start())]
        # Only what directly precedes the part is its own.
        words = before[-_LONGEST:] if before and not name[before[-1].end() : word.start()].strip(" -") else []
        for start in range(len(words)):
            text = name[words[start].start() : words[-1].end()]
            said = _english_words(text.replace("-", " ").split()) if "," not in text else None
            if said is not None:
                yield _Part(words[start].start(), word.end(), _BY_WORD[word[0]], *said, word[0].endswith("s"))
                break
        end = word.end()


def _english_words(words: list[str]) -> tuple[Colour | None, Material | None] | None:
    for end in (len(words), *range(len(words))):
        shade, substance = " ".join(words[:end]), " ".join(words[end:])
        colour = colours.whole_english(shade) if shade else None
        material = materials.whole(substance) if substance else None
        if (colour is None) == (not shade) and (material is None) == (not substance):
            return colour, material
    return None


def _is_the_thing(part: _Part, kind: Kind) -> bool:
    row = _PARTS[part.name]
    own = {*kind.en.lower().split(), *(word for word in kind.id.lower().replace("_", " ").split())}
    said = any(word in kind.zh for word in row["zh"]) or not own.isdisjoint(row["en"])
    soft = part.material is not None and part.material.group in _SOFT and row.get("hard", False)
    return said or soft or kind.template in row.get("not_in", ())


def _detail(part: _Part) -> Look:
    row = _PARTS[part.name]
    zh = f"{part.colour.zh if part.colour else ''}{part.material.zh if part.material else ''}"
    en = " ".join(_said(part.colour, part.material))
    noun = f"{en} {row['en'][0]}"
    if part.several and not row.get("several", False):
        noun += "s"
    elif not row.get("several", False):
        noun = f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"
    return Look("details", f"{part.name}:{en}", f"{zh}{row.get('zh_word', row['zh'][0])}", noun, ())


def _said(colour: Colour | None, material: Material | None) -> Iterable[str]:
    if colour is not None:
        yield colour.en
    if material is not None and (colour is None or material.en not in colour.en):
        yield material.en
