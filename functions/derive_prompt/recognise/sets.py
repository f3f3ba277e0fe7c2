"""Several things that a name sells as one: 颈枕眼罩套装, 床垫*1+枕头*2, table and chairs set. All are named."""

import re
from collections.abc import Collection, Sequence

from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.kinds import Kind, vocabulary
from functions.derive_prompt.recognise.mentions import Mention, find_mentions
from functions.derive_prompt.recognise.roles import Role
from functions.derive_prompt.recognise.text import has_chinese
from functions.derive_prompt.vocabulary import table

_SETS = table("endings")["sets"]
_SET_ZH = re.compile(rf"\s*(?:{'|'.join(_SETS['packed'])})?(?:{'|'.join(_SETS['zh'])})")
_SET_EN = re.compile(rf"\s*(?:[a-z0-9]+\s)?(?:{'|'.join(_SETS['en'])})\b")
_BESIDE_ZH = re.compile(r"\s*(?:[*x×]\s*\d+\s*)?[+&、和与]?\s*")
_BESIDE_EN = re.compile(r"\s*(?:,|&|\+|,?\s*\band\b)(?:\s+[a-z0-9]+){0,2}?\s+|\s+")
_JOINED_EN = re.compile(r"&|\+|\band\b")
_PARTS = frozenset(_SETS["parts"])
_LARGEST_SET = 3


_MAY_BE_A_SET = re.compile(rf"\+|&|\band\b|{'|'.join(_SETS['zh'])}|\b(?:{'|'.join(_SETS['en'])})\b")


def find_set(name: str, vetoed: Collection[str] = ()) -> Kind | None:
    """The set that a normalised name sells, where that is more than one thing; None otherwise."""
    if not _MAY_BE_A_SET.search(name):
        return None
    chinese = has_chinese(name)
    mentions = find_mentions(name)
    first = next((mention for mention in mentions if _is_piece(mention, vetoed)), None)
    run = _find_run(name, mentions, vetoed, chinese=chinese)
    if run is None or (not chinese and run[0] is not first):
        return None
    return _one_of([mention.meaning.kind for mention in run])


def _find_run(
    name: str, mentions: Sequence[Mention], vetoed: Collection[str], *, chinese: bool
) -> list[Mention] | None:
    """The first mentions beside each other that are a set."""
    beside = _BESIDE_ZH if chinese else _BESIDE_EN
    run: list[Mention] = []
    joined = ""
    for mention in mentions:
        if run and beside.fullmatch(name, run[-1].end, mention.start) is None:
            if _is_set(run, joined, name, chinese=chinese):
                return run
            run, joined = [], ""
        if not _is_piece(mention, vetoed):
            continue
        between = name[run[-1].end : mention.start] if run else ""
        joined += between
        if all(_unlike(mention, other, joined=bool(_JOINED_EN.search(between))) for other in run):
            run.append(mention)
        else:
            run[-1] = run[-1]._replace(end=mention.end)
    return run if _is_set(run, joined, name, chinese=chinese) else None


def _is_set(run: list[Mention], joined: str, name: str, *, chinese: bool) -> bool:
    if len(run) < 2:
        return False
    if chinese:
        return "+" in joined or _SET_ZH.match(name, run[-1].end) is not None
    return _JOINED_EN.search(joined) is not None or (len(run) > 2 and _SET_EN.match(name, run[-1].end) is not None)


def _is_piece(mention: Mention, vetoed: Collection[str]) -> bool:
    kind = mention.meaning.kind
    return (
        mention.role is Role.HEAD
        and not mention.aside
        and kind.measure != "套"
        and shelf_of(kind.template) not in _SETS["not_in"]
        and kind.template not in vetoed
        and (mention.word not in vocabulary().components or mention.word in _PARTS)
    )


def _unlike(mention: Mention, other: Mention, *, joined: bool) -> bool:
    """Whether two mentions name two things: neither is the wider word of the other. What is `joined` by an and is
    meant, however general."""
    words = vocabulary()
    one, two = mention.meaning.root, other.meaning.root
    same_family = mention.meaning.kind.template == other.meaning.kind.template
    again = one in {two, *words.lineage(two)} or two in words.lineage(one)
    return not again and (joined or not (same_family and mention.word in words.general))


def _one_of(kinds: list[Kind]) -> Kind:
    first = kinds[:_LARGEST_SET]
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
