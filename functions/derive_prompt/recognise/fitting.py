"""Fitting: what a product's fields say of a part and of what it fits, and what the one and the other then weigh."""

from collections.abc import Sequence

from functions.derive_prompt.recognise.belongings import belongs, holds_belongings, says_that_it_fits
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
