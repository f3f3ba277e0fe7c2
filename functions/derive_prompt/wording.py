"""Slots -> the prompt's text, in Chinese or English."""

import re

from functions.derive_prompt.recognise import families
from functions.derive_prompt.recognise.kinds import Kind
from functions.derive_prompt.recognise.numbers import counted_by, is_plural
from functions.derive_prompt.recognise.understanding import Slots
from functions.derive_prompt.templates import PHOTOGRAPHED, Template, templates


def fill(template: Template, slots: Slots, kind: Kind, *, from_photo: bool = False) -> str:
    """The template's text in the slots' locale every place filled. `kind` is what the thing is called.

    `from_photo`: the clip starts from the product's own photo, which is the scene, and only what it shows moves.
    """
    chinese = slots.locale == "zh"
    filmed = templates()[PHOTOGRAPHED] if from_photo else template
    # Where a model wears the thing, the model shows whom it is for.
    model = families.MODELS.get(slots.audience.id if slots.audience else "") if filmed.has_model else None
    worn = slots._replace(audience=None) if model is not None else slots
    thing = _chinese_thing(worn, kind) if chinese else _english_thing(worn, kind)
    if model is None:
        model = ("一位成年模特", "an adult model")
    text = (
        filmed.scene_of(kind.id)
        .text[slots.locale]
        .format(
            thing=thing,
            looks=_chinese_looks(slots, kind) if chinese else _english_looks(slots, kind),
            motion=_photo_motion(template, slots, kind) if from_photo else _motion(template, slots, kind),
            model=model[0 if chinese else 1],
        )
    )
    return _STANDS.sub(r"\1 is placed", text)


_STANDS = re.compile(r"\b(stands?) stands\b")
"""A stand that stands."""


def _motion(template: Template, slots: Slots, kind: Kind) -> str:
    for look in slots.looks.actions:
        return look.zh if slots.locale == "zh" else look.en
    motion = "default" if kind.motion in _HOT and _is_cold(kind) else kind.motion
    return template.motion_of(kind.id, motion)[slots.locale]


_HOT = frozenset({"steam", "boil", "simmer"})


def _is_cold(kind: Kind) -> bool:
    """Whether what would steam is sold cold: 冰粽, frozen dumplings."""
    return (
        "热" not in kind.zh and any(word in kind.zh for word in ("冰", "冷", "凉", "速冻"))
    ) or not _COLD.isdisjoint(kind.en.lower().split())


_COLD = frozenset({"iced", "cold", "frozen", "chilled"})


def _photo_motion(template: Template, slots: Slots, kind: Kind) -> str:
    """What the thing can do is left out: it would open, unfold or turn to what the photo does not show."""
    return template.from_photo.get(kind.motion, template.from_photo["default"])[slots.locale]


def _chinese_thing(slots: Slots, kind: Kind) -> str:
    """一套 + 浅杏粉色 + 条纹 + 圆形 + 真丝 + 儿童 + 四件套; a part that the kind already says is left out."""
    parts = [look.zh for look in slots.looks.finishes]
    if slots.colour is not None:
        parts.append(slots.colour.zh)
    parts += [look.zh for look in (*slots.looks.patterns, *slots.looks.shapes) if not _says(kind.zh, look.zh[:2])]
    if slots.material is not None:
        stem = slots.material.zh.rstrip("质制艺布面") or slots.material.zh
        if kind.covered:
            parts.append(f"{stem}面")
        elif not _says(kind.zh, stem):
            parts.append(slots.material.zh)
    if slots.audience is not None and not _says(kind.zh, slots.audience.zh[:1]):
        parts.append(slots.audience.zh)
    return f"一{kind.measure}{''.join(_undoubled(parts))}{kind.zh}"


def _english_thing(slots: Slots, kind: Kind) -> str:
    """A + matte + white + striped + round + cotton + children's + dress; what the kind already says is left out."""
    words = set(kind.en.lower().split()) - {"and", "set"}
    before, behind = _english_wearer(slots, words)
    parts = [*before, *(look.en for look in slots.looks.finishes)]
    if slots.colour is not None:
        parts.append(slots.colour.en)
    parts += [look.en for look in (*slots.looks.patterns, *slots.looks.shapes)]
    if slots.material is not None:
        parts.append(f"{slots.material.en}-covered" if kind.covered else slots.material.en)
    # A night light does not say light grey.
    kept = [
        part
        for part in _undoubled([*parts, *behind])
        if not words.issuperset(part.lower().removesuffix("-like").split())
    ]
    said = " ".join(kept)
    # Soy wax, wax seal: what a material ends and the kind begins with is said once.
    own = kind.en.partition(" ")
    noun = f"{said} {own[2] if own[2] and said.endswith(f' {own[0]}') else kind.en}".strip()
    stated = _COUNTS.get(kind.en_count or "", kind.en_count)
    if kind.en_count == "some" and is_plural(kind.en):
        stated = "a group of"
    count = stated or counted_by(kind.en, kind.measure) or _article(noun)
    phrase = f"{count} {noun}"
    return phrase[0].upper() + phrase[1:]


_COUNTS = {"": None, "a": None, "an": None, "a few": "a group of"}
"""What a count is said as: one that takes a singular verb, and articles are chosen by the word that follows."""


def _english_wearer(slots: Slots, words: set[str]) -> tuple[list[str], list[str]]:
    """Whom the thing is for, before all else (women's) or next to the kind (children's); a dog bed says it itself."""
    audience = slots.audience
    if audience is None or words & _SAID_BY.get(audience.id, set()):
        return [], []
    return ([audience.en], []) if audience.id in families.MODELS else ([], [audience.en])


_SAID_BY = {
    "pet": {"dog", "cat"},
    "child": {"girls'", "boys'", "kids'", "girls", "boys", "kids", "toddler", "baby"},
    "baby": {"infant", "newborn", "toddler"},
}
"""Words of a kind that say whom it is for."""


def _undoubled(parts: list[str]) -> list[str]:
    """The parts without one that its neighbour already says: matte, matte black -> matte black; rose gold, gold."""
    kept: list[str] = []
    for part in dict.fromkeys(parts):
        before = kept[-1] if kept else ""
        space = " " if part.isascii() else ""
        if before and (before.endswith(f"{space}{part}") or (not space and before.startswith(part))):
            continue
        if before and part.startswith(f"{before}{space}"):
            kept.pop()
        kept.append(part)
    return kept


def _says(word: str, part: str) -> bool:
    return bool(part) and part in word


def _article(noun: str) -> str:
    lowered = noun.lower()
    if lowered.startswith(("uni", "use", "usb", "uku", "ute", "uti", "uv", "one-", "u-", "eu")):
        return "a"
    return "an" if lowered[0] in "aeiou" or noun.startswith(("L-", "LED", "MP", "hour", "heir", "x-")) else "a"


def _chinese_looks(slots: Slots, kind: Kind) -> str:
    names = [look.zh for look in slots.looks.details if not _says(kind.zh, look.zh[:2])]
    return f"可见{'、'.join(names)}，" if names else ""


def _english_looks(slots: Slots, kind: Kind) -> str:
    said = set(kind.en.lower().split())
    names = [look.en for look in slots.looks.details if said.isdisjoint(look.en.split())]
    if not names:
        return ""
    return f" with {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else f" with {names[0]}"
