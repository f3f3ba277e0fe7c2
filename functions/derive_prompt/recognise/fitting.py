"""Fitting: what a product's fields say of a part and of what it fits, and what the one and the other then weigh."""

from collections.abc import Iterator, Sequence

from functions.derive_prompt.recognise.belongings import (
    belongs,
    end_of_belonging,
    holds_belongings,
    says_that_it_fits,
)
from functions.derive_prompt.recognise.compounds import only_says_a_pack
from functions.derive_prompt.recognise.kinds import vocabulary
from functions.derive_prompt.recognise.mentions import Mention, find_mentions
from functions.derive_prompt.recognise.roles import Role
from functions.derive_prompt.recognise.sources import NAME, Source

HOST = 0.4
"""What a thing weighs beside a part of it, where it is said that parts are sold."""
_LONE_HOST = 0.15
"""The same where no such part is listed: less than enough."""


def weight_of_hosts(sources: Sequence[Source]) -> float:
    """What a word for a thing weighs that is none of another's parts, where the name or the shelf speaks of parts."""
    name = next((source.text for source in sources if source.field == NAME), "")
    shelf = any(source.field == "category" and holds_belongings(source.text) for source in sources)
    fits = says_that_it_fits(name)
    if not (fits or shelf):
        return 1.0
    parts = any(
        mention.role is Role.HEAD and belongs(mention.word, mention.meaning.kind) for mention in find_mentions(name)
    )
    if parts:
        return HOST
    return _LONE_HOST if fits and shelf else 1.0


def fitted_only(sources: Sequence[Source]) -> frozenset[str]:
    """The kinds of which a name says that its thing is for them, and no more: a shelf of them holds such things too."""
    roles: dict[str, set[Role]] = {}
    for source in sources:
        if source.field == NAME:
            for mention in find_mentions(source.text):
                roles.setdefault(mention.meaning.root, set()).add(mention.role)
    return frozenset(root for root, played in roles.items() if played <= {Role.FOR, Role.EXCLUDED})


def hosts_in(sources: Sequence[Source]) -> frozenset[str]:
    """The kinds that a name says only to tell what a belonging is for: the dress of a dress bag. A shelf that is
    called like one of them says nothing of what is sold."""
    name = next((source.text for source in sources if source.field == NAME), "")
    mentions = find_mentions(name)
    called = frozenset(
        host
        for thing in mentions
        if thing.role is Role.HEAD and thing.clause == 0 and belongs(thing.word, thing.meaning.kind)
        for host in _named_in(thing)
    )
    return called | frozenset(
        host.meaning.root
        for place, host in enumerate(mentions)
        if host.role in _OF_ANOTHER
        and not belongs(host.word, host.meaning.kind)
        and (end_of_belonging(name, host.end) is not None or _is_a_host(host, mentions[place + 1 :]))
    )


def _named_in(thing: Mention) -> Iterator[str]:
    """The kind that a belonging's own word begins with: the washing machine of 洗衣机槽清洗剂."""
    for end in range(len(thing.word) - 1, 1, -1):
        host = vocabulary().meaning(thing.word[:end].rstrip())
        if host is not None and not (thing.word.isascii() and thing.word[end] != " "):
            if not are_kin(host.root, thing.meaning.root):
                yield host.root
            return


def _is_a_host(host: Mention, behind: Sequence[Mention]) -> bool:
    return any(
        thing.role is Role.HEAD
        and thing.main
        and thing.clause == host.clause
        and belongs(thing.word, thing.meaning.kind)
        and not only_says_a_pack(thing.word)
        and not are_kin(host.meaning.root, thing.meaning.root)
        for thing in behind
    )


_OF_ANOTHER = (Role.OF, Role.PERHAPS_OF, Role.FOR)


def are_kin(one: str, other: str) -> bool:
    """Whether a kind is one of the other's, or both are of one."""
    words = vocabulary()
    return not {one, *words.lineage(one)}.isdisjoint((other, *words.lineage(other)))


def with_parts_as_things(mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions of a name that sells parts: the first part of a clause is its thing."""
    told: set[int] = {
        mention.clause for mention in mentions if mention.main and belongs(mention.word, mention.meaning.kind)
    }
    found = []
    for mention in mentions:
        part = mention.role is Role.HEAD and belongs(mention.word, mention.meaning.kind)
        if part and mention.clause not in told:
            told.add(mention.clause)
            mention = mention._replace(main=True)
        found.append(mention)
    return found
