"""Accessories: the other thing that a kind's word is only the beginning of (手机 + 膜, camera + bag)."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from functions.derive_prompt.kind_words import KIND_WORDS, SAME, Kind, kinds_of
from functions.derive_prompt.matcher import Found, Matcher, plurals
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("kinds")


class _Accessory(NamedTuple):
    kind: Kind
    unless: frozenset[str]
    filmed_with: frozenset[str]


def _accessories() -> Iterable[tuple[str, _Accessory | None]]:
    for word in _TABLE["accessories_are_not"]["words"]:
        yield word, None
    for name, kind in kinds_of("accessories").items():
        row = _TABLE["accessories"][name]
        accessory = _Accessory(kind, frozenset(row.get("unless", ())), frozenset(row.get("with", ())))
        for word in row["also"]:
            for form in plurals(word):
                yield form, accessory


ACCESSORIES: Matcher[_Accessory | None] = Matcher(_accessories())
_BETWEEN = re.compile(rf"(?:'s)?\s+(?:(?:\d+[a-z]*|{'|'.join(_TABLE['accessories_are_not']['between'])})\s+)*")
# Sweater light blue: before a colour, light says how, not what.
_LIGHT_GOES_ON = re.compile(
    rf"lights?\s+(?:{'|'.join(word for row in table('colours')['bases'].values() for word in row['en'])})"
)
_LONGEST_COMPOUND = 8


def accessory_of(found: Found[Kind | None], text: str) -> tuple[Kind, int] | None:
    """The accessory that a kind's word is only the beginning of, if it follows directly, and where it ends."""
    between = _BETWEEN.match(text, found.end) if found.word.isascii() else None
    start = between.end() if between is not None else found.end
    following = ACCESSORIES.first(text[start : start + 16])
    if found.value is None or following is None or following.start > 0 or following.value is None:
        return None
    ending = following.word
    if found.word.isascii() is not ending.isascii() or found.value.template in following.value.unless:
        return None
    listed = None
    if ending.isascii():
        if between is None or _goes_on(ending, text, start):
            return None
        listed = _listed(found.value, found.word, ending)
    kind = listed or _compound(_filmed_beside(following.value, found.value), found.value, found.word, ending)
    return kind, start + following.end


def _goes_on(ending: str, text: str, start: int) -> bool:
    """Whether an accessory's English word only begins another: case in case cover, light before a colour."""
    longer = KIND_WORDS.first(text[start:])
    listed = longer is not None and longer.start == 0 and len(longer.word) > len(ending)
    return listed or _LIGHT_GOES_ON.match(text, start) is not None


def _listed(kind: Kind, word: str, ending: str) -> Kind | None:
    """The kind that a list has for an English word and the accessory's together."""
    if kind.en.endswith(f" {ending}"):
        return kind
    return KIND_WORDS.get(f"{word} {ending}") or KIND_WORDS.get(f"{word.rpartition(' ')[2]} {ending}")


def _filmed_beside(accessory: _Accessory, thing: Kind) -> Kind:
    if thing.template in accessory.filmed_with:
        return accessory.kind._replace(template=thing.template)
    return accessory.kind


def _compound(kind: Kind, of: Kind, word: str, ending: str) -> Kind:
    if ending.isascii():
        phrase = f"{of.en.lower() if word in SAME else word} {ending}"
        if not may_be_quoted(phrase):
            return kind
        count = "a set of" if ending.endswith("s") else None
        return kind._replace(id=f"{kind.id}:{phrase}", zh=f"{kind.zh}（{phrase}）", en=phrase, en_count=count)
    listed = KIND_WORDS.get(word[-1] + ending)
    if listed is not None and not listed.tail:
        return listed
    longer = word + ending
    for noun in (longer, ending):
        if 2 <= len(noun) <= _LONGEST_COMPOUND and may_be_quoted(noun):
            return kind._replace(id=f"{kind.id}:{noun}", zh=noun, en=f"{kind.en} ({noun})")
    return kind
