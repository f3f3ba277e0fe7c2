"""Which of a product's words is the thing: by agreement, repetition and position, with a confidence.

Each mention is evidence, weighed by where it stands and what part it plays there. A narrower kind is supported by the
wider ones that are mentioned too (小龙虾 by 海鲜), and chosen before them.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from functions.derive_prompt.recognise.belongings import belongs
from functions.derive_prompt.recognise.compounds import only_says_a_pack
from functions.derive_prompt.recognise.describing import colour_words
from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.fitting import (
    HOST,
    are_kin,
    fitted_only,
    hosts_in,
    weight_of_hosts,
    with_parts_as_things,
)
from functions.derive_prompt.recognise.kin import Kin
from functions.derive_prompt.recognise.kinds import Kind, vocabulary
from functions.derive_prompt.recognise.mentions import Mention, find_mentions
from functions.derive_prompt.recognise.roles import Role
from functions.derive_prompt.recognise.sources import NAME, Source, Weighed
from functions.derive_prompt.templates import GENERAL


class Evidence(NamedTuple):
    """One mention with its weight, for whoever wants to know why."""

    field: str
    word: str
    kind: str
    role: Role
    weight: float


class Choice(NamedTuple):
    """The thing, how sure that is (0 to 1), what spoke for it, and the nearest rival's words."""

    kind: Kind | None
    root: str | None
    confidence: float
    evidence: tuple[Evidence, ...]
    rivals: tuple[str, ...]


_ROLES = {
    Role.HEAD: 1.0,
    Role.OF: 0.12,
    Role.PERHAPS_OF: 0.3,
    Role.INCLUDED: 0.12,
    Role.FOR: 0.10,
    Role.SENSE: 0.0,
    Role.EXCLUDED: 0.0,
}
_CLAUSES = (1.0, 0.6, 0.45, 0.35)
"""What a clause's head weighs, by how many clauses with heads come before it: titles begin with the thing."""
_NOT_MAIN = 0.55
"""A head beside the clause's main one."""
_LATER = 0.4
"""A head of a phrase that is strung on behind."""
_ASIDE = 0.6
_WEAK = 0.4
"""A component or a wider word, where the name says something else as well."""
_LONE_PART = 0.3
"""An English part or extra that is all that a title says, late in it: what it belongs to is not listed."""
_WIDER = 0.5
"""What a mention of a wider kind lends to a narrower one."""
_FAMILY = 0.25
"""What a category that holds such things lends to a kind."""
_OTHER_FAMILY = 0.7
"""A kind that the category does not expect."""
_COLOUR = 0.25
"""A word that names a colour as well, where the category does not expect the thing."""
_NAMED_BY_SHELF = 0.35
"""What a shelf that is called just so adds to a thing of the name."""
_LEAST = 0.35
_LEAST_MARGIN = 0.12


def choose(sources: Sequence[Source], family: str | None = None, vetoed: Iterable[str] = ()) -> Choice:
    """The kind that the sources speak of. `family` is what the category is filmed as, `vetoed` are families of which it
    holds nothing. No kind where nothing is said, or two unlike things are said as clearly."""
    weighed = _weighed(sources, family, frozenset(vetoed))
    evidence = tuple(
        Evidence(source.field, mention.word, mention.meaning.root, mention.role, round(weight, 3))
        for mention, source, weight in weighed
    )
    kin = Kin(weighed)
    scores = _scores(weighed, family, kin)
    if not scores:
        return Choice(None, None, 0.0, evidence, ())
    ranked = sorted(scores, key=lambda root: (-scores[root], _first_place(root, weighed)))
    best = _narrowest(ranked[0], scores, weighed, kin)
    telling = {mention.meaning.root for mention, source, _ in weighed if source.weight >= _TELLING_WEIGHT}
    rivals = _rivals(best, ranked, telling, kin)
    score = scores[best]
    rival = scores[rivals[0]] if rivals else 0.0
    confidence = round(min(1.0, score) * score / (score + rival), 3)
    words = tuple(dict.fromkeys(mention.word for mention, _, _ in weighed if mention.meaning.root in rivals[:2]))
    weak = score < _LEAST or score - rival < _LEAST_MARGIN
    if weak or _is_doubtful(best, telling, weighed) or _is_only_on_the_shelf(best, rivals, weighed, kin):
        return Choice(None, None, confidence, evidence, words)
    return Choice(_in_best_word(best, weighed), best, confidence, evidence, words)


def _is_doubtful(best: str, telling: set[str], weighed: Sequence[Weighed]) -> bool:
    """Whether nothing that names the thing itself says the kind, and no shelf is called just that."""
    return best not in telling and not _is_whole(best, weighed)


def _is_only_on_the_shelf(best: str, rivals: Sequence[str], weighed: Sequence[Weighed], kin: Kin) -> bool:
    """Whether the name says another thing more clearly, and the category holds such things but says none of them."""
    if not rivals:
        return False
    told = _scores(weighed, None, kin)
    said = any(mention.meaning.root == best and source.field != NAME for mention, source, _ in weighed)
    return told[rivals[0]] - told[best] > _LEAST_MARGIN and not said


def _weighed(sources: Sequence[Source], family: str | None, vetoed: frozenset[str]) -> list[Weighed]:
    """Every mention that may tell what the thing is, with its weight. What makes a compound of its own counts in names
    only."""
    everything = " ".join(source.text for source in sources)
    host = weight_of_hosts(sources)
    parts = host == HOST
    hosts = fitted_only(sources) | _with_kin(hosts_in(sources), sources)
    return [
        (mention, source, weight * (1.0 if belongs(mention.word, mention.meaning.kind) else host))
        for source in sources
        for mention, weight in _mentions_of(source, family, parts=parts and source.field == NAME)
        if weight > 0
        and (source.field == NAME or mention.meaning.root not in hosts)
        and mention.meaning.kind.template not in vetoed
        and (source.field == NAME or mention.meaning.root.partition(":")[0] in vocabulary().kinds)
        and (not mention.meaning.needs or any(word in everything for word in mention.meaning.needs))
    ]


def _with_kin(hosts: frozenset[str], sources: Sequence[Source]) -> frozenset[str]:
    """Hosts and the kinds by which shelves call them: dresses for a wedding dress."""
    shelves = {
        mention.meaning.root
        for source in sources
        if source.field == "category" and hosts
        for mention in find_mentions(source.text)
    }
    return frozenset(root for root in shelves if any(are_kin(root, host) for host in hosts))


def _rivals(best: str, ranked: Sequence[str], telling: set[str], kin: Kin) -> list[str]:
    """The other kinds, best first, but those that are the same thing in wider or narrower words. Where the name says a
    thing, shelves are no rivals: 被枕 holds quilts and pillows."""
    related = kin.related(best) | kin.alike(best)
    return [
        root
        for root in ranked
        if root not in related and best not in kin.related(root) and (best not in telling or root in telling)
    ]


def _mentions_of(source: Source, family: str | None, *, parts: bool) -> Iterable[tuple[Mention, float]]:
    """The mentions of a source with their weights. Where `parts` are sold, the first of a clause is its thing."""
    mentions = with_parts_as_things(find_mentions(source.text)) if parts else find_mentions(source.text)
    strong = any(mention.role is Role.HEAD and not _is_weak(mention) for mention in mentions)
    with_heads = _clauses_with_heads(mentions, strong=strong)
    for mention in mentions:
        weight = source.weight * _ROLES[mention.role]
        if mention.role is Role.HEAD:
            weight *= _as_a_head(mention, with_heads, strong=strong, opens=_opens(mention, source.text))
        names_a_colour = mention.word in colour_words() and (
            not _opens(mention, source.text) or _stands_before_a_thing(mention, mentions)
        )
        if names_a_colour and not _is_expected(mention.meaning.kind, family):
            weight *= _COLOUR
        yield mention, weight * (_ASIDE if mention.aside else 1.0)


def _opens(mention: Mention, text: str) -> bool:
    """Whether a text begins with the word, but for two words: 口红 or Organic Honey is the thing, shades come later."""
    return len(text[: mention.start].split()) <= _WORDS_BEFORE and mention.clause == 0


_WORDS_BEFORE = 1


def _stands_before_a_thing(mention: Mention, mentions: Sequence[Mention]) -> bool:
    """Whether a thing follows in the same phrase: women's cognac leather ankle boots."""
    return any(
        other.role is Role.HEAD and other.clause == mention.clause and other.start > mention.start for other in mentions
    )


def _as_a_head(mention: Mention, with_heads: Sequence[int], *, strong: bool, opens: bool) -> float:
    weight = _LONE_PART if _is_part(mention) and not strong and not opens else 1.0
    if mention.clause in with_heads:
        weight *= _CLAUSES[min(with_heads.index(mention.clause), len(_CLAUSES) - 1)]
    if not mention.main:
        weight *= _LATER if mention.later else _NOT_MAIN
    return weight * _WEAK if strong and _is_weak(mention) else weight


def _is_part(mention: Mention) -> bool:
    return mention.word.isascii() and mention.word in vocabulary().components


def _is_weak(mention: Mention) -> bool:
    return mention.word in vocabulary().components or mention.word in vocabulary().general


def _clauses_with_heads(mentions: Sequence[Mention], *, strong: bool) -> list[int]:
    """The clauses that name a thing, and not only in what another is given."""
    heads = [mention for mention in mentions if mention.role is Role.HEAD and not mention.aside]
    return sorted({mention.clause for mention in heads if not (strong and _only_packs(mention))})


def _only_packs(mention: Mention) -> bool:
    """Whether a mention says in what a thing is given: 新年礼盒 before 蚕丝被."""
    return only_says_a_pack(mention.word)


def _is_expected(kind: Kind, family: str | None) -> bool:
    return family is not None and shelf_of(kind.template) == shelf_of(family)


def _scores(weighed: Sequence[Weighed], family: str | None, kin: Kin) -> dict[str, float]:
    own: dict[str, float] = {}
    for field in dict.fromkeys(source.field for _, source, _ in weighed):
        told: dict[str, float] = {}
        for mention, source, weight in weighed:
            if source.field == field:
                root = mention.meaning.root
                # What one field says again, it only says more surely.
                told[root] = max(told.get(root, 0.0), weight) + 0.15 * min(told.get(root, 0.0), weight)
        for root, weight in told.items():
            own[root] = own.get(root, 0.0) + weight
    families = {mention.meaning.root: mention.meaning.kind.template for mention, _, _ in weighed}
    named = _named_by_shelf(weighed)
    scores = {}
    for root, weight in own.items():
        support = sum(own.get(wider, 0.0) for wider in kin.wider(root))
        scores[root] = weight + _WIDER * min(support, 2 * weight)
        if family is not None and shelf_of(families[root]) == shelf_of(family):
            scores[root] += _FAMILY * min(1.0, 2 * weight)
        elif family is not None and family != GENERAL:
            scores[root] *= _OTHER_FAMILY
        if root in named:
            scores[root] += _NAMED_BY_SHELF
    return scores


def _named_by_shelf(weighed: Sequence[Weighed]) -> set[str]:
    """The kinds among a name's things that a level of the category is called and nothing else; a wide one only where
    the name begins with it."""
    named = [
        mention.meaning.root
        for mention, source, _ in weighed
        if source.field == NAME and mention.role in _MAY_BE_THE_THING
    ]
    things = {*named[:1], *(set(named) - _wide_kinds())}
    return {
        mention.meaning.root
        for mention, source, _ in weighed
        if source.field == "category"
        and mention.meaning.root in things
        and mention.word not in vocabulary().general | vocabulary().components
        and mention.end - mention.start == len(source.text.strip())
    }


def _narrowest(root: str, scores: dict[str, float], weighed: Sequence[Weighed], kin: Kin) -> str:
    """The narrowest kind of `root` that is a thing of the name itself, or the best-weighed one."""
    heads = {
        mention.meaning.root
        for mention, source, _ in weighed
        if mention.role in _MAY_BE_THE_THING and not mention.aside and source.weight >= _TELLING_WEIGHT
    }
    narrower = [other for other in scores if other in heads and root in kin.wider(other)]
    return max(narrower, key=lambda other: (len(kin.wider(other)), scores[other]), default=root)


_MAY_BE_THE_THING = (Role.HEAD, Role.PERHAPS_OF)
_TELLING_WEIGHT = 0.5
"""Of sources that name the thing itself: the name, an attribute for it."""


def _is_whole(root: str, weighed: Sequence[Weighed]) -> bool:
    """Whether a text says the kind and nothing else, and no wide one: a shelf named Fish is not the thing on it."""
    return root not in _wide_kinds() and any(
        mention.meaning.root == root and mention.end - mention.start == len(source.text.strip())
        for mention, source, _ in weighed
    )


@cache
def _wide_kinds() -> frozenset[str]:
    """The kinds that others are kinds of."""
    return frozenset(kind.wider for kind in vocabulary().kinds.values() if kind.wider is not None)


def _first_place(root: str, weighed: Sequence[Weighed]) -> int:
    return next(place for place, (mention, _, _) in enumerate(weighed) if mention.meaning.root == root)


def _in_best_word(root: str, weighed: Sequence[Weighed]) -> Kind:
    """The kind in the word that was said of it: of the best-weighed one of its own, the name's, the longest."""
    said = [
        (
            weight,
            (mention.meaning.kind.id != root, source.field == NAME, len(mention.word), -place),
            mention.meaning.kind,
        )
        for place, (mention, source, weight) in enumerate(weighed)
        if mention.meaning.root == root
    ]
    heaviest = max(weight for weight, _, _ in said)
    return max((entry for entry in said if entry[0] >= 0.8 * heaviest), key=lambda entry: entry[1])[2]
