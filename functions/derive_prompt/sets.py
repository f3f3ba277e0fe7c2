"""Sets: several things that a name sells as one (颈枕眼罩套装, table and chairs set)."""

import re

from functions.derive_prompt.accessories import ACCESSORIES, accessory_of
from functions.derive_prompt.kind_words import COMPONENTS, Kind, is_vetoed, is_wider, kinds_told
from functions.derive_prompt.matcher import Found
from functions.derive_prompt.vocabulary import table

_TABLE = table("kinds")


_SETS = _TABLE["sets"]
_SET_ZH = re.compile(rf"\s*(?:{'|'.join(_SETS['packed'])})?(?:{'|'.join(_SETS['zh'])})")
SAYS_SET_ZH = re.compile(rf"\+|{'|'.join(_SETS['zh'])}")
SAYS_SET_EN = re.compile(rf"\b(?:{'|'.join(_SETS['en'])})\b")
_BESIDE_ZH = re.compile(r"\s*(?:[*x×]\s*\d+\s*)?[+&、和与]?\s*")
_BESIDE_EN = re.compile(r"\s*(?:,|&|\+|,?\s*\band\b)(?:\s+[a-z0-9]+){0,2}?\s+|\s+")
_JOINED_EN = re.compile(r"&|\+|\band\b")
_NOT_IN_SETS = COMPONENTS - frozenset(_SETS["parts"])
_LARGEST_SET = 3


def set_of(name: str, category_template: str | None, *, chinese: bool) -> Kind | None:
    """Everything that a name sells as one (颈枕眼罩套装, 床垫*1+枕头*2, table and chairs set), where that is more than
    one thing."""
    beside = _BESIDE_ZH if chinese else _BESIDE_EN
    run: list[Kind] = []
    end, joined = 0, ""
    for found in kinds_told(name):
        kind = found.value
        if run and beside.fullmatch(name, end, found.start) is None:
            if _is_set(run, joined, name, end, chinese):
                break
            run, joined = [], ""
        if kind is None or not _is_set_piece(found, name, category_template):
            continue
        between = name[end : found.start] if run else ""
        joined, end = joined + between, found.end
        # Side by side, a wider word names the same thing again.
        again = not between.strip() and any(is_wider(found, other) for other in run)
        if not again and all(_row(kind) != _row(other) for other in run):
            run.append(kind)
    return _one_of(run) if _is_set(run, joined, name, end, chinese) else None


def _is_set(run: list[Kind], joined: str, name: str, end: int, chinese: bool) -> bool:
    if len(run) < 2:
        return False
    if chinese:
        return "+" in joined or _SET_ZH.match(name, end) is not None
    return _JOINED_EN.search(joined) is not None or (len(run) > 2 and SAYS_SET_EN.match(name, end + 1) is not None)


def _is_set_piece(found: Found[Kind | None], name: str, category_template: str | None) -> bool:
    kind = found.value
    return (
        kind is not None
        and not kind.tail
        and kind.measure != "套"
        and kind.template not in _SETS["not_in"]
        and found.word not in _NOT_IN_SETS
        and not is_vetoed(kind, category_template)
        and accessory_of(found, name) is None
        and ACCESSORIES.get(found.word.rpartition(" ")[2]) is None
    )


def _one_of(run: list[Kind]) -> Kind:
    first = run[:_LARGEST_SET]
    zh, en = ([getattr(kind, language) for kind in first] for language in ("zh", "en"))
    return first[0]._replace(
        id="set:" + "+".join(kind.id for kind in first),
        zh="、".join(zh[:-1]) + f"和{zh[-1]}",
        en=", ".join(en[:-1]) + f" and {en[-1]} set",
        measure="套",
        en_count=None,
        motion="default",
        own_material=all(kind.own_material for kind in first),
    )


def _row(kind: Kind) -> str:
    return kind.id.partition(":")[0]
