"""English nouns in the right number: plurals, mass nouns, and what is counted by what."""

import re

from functions.derive_prompt.vocabulary import table

_TABLE = table("numbers")
_MASS = frozenset(_TABLE["mass"]["words"])
_TOGETHER = frozenset(_TABLE["together"]["words"])
_SINGULAR = tuple(_TABLE["singular"]["words"])
_OF_SEVERAL = (
    "a pair of",
    "a set of",
    "a plate of",
    "a bunch of",
    "a string of",
    "a stack of",
    "a bowl of",
    "a bag of",
)
_HEAD_ENDS = re.compile(r" (?:for|of|with|in|without|to) ")


def in_number_of(word: str, noun: str, count: str | None) -> tuple[str, str | None]:
    """A word for what `count` and `noun` (a few, coconuts) say, in their number, with the count that it needs."""
    if is_together(word):
        return singular_of(word), None
    if is_mass(word):
        return word, count
    if count in _OF_SEVERAL and is_plural(noun):
        return plural_of(word), count
    if is_plural(word) and count is None and not is_plural(noun):
        # Sold by several: the plural needs an article of its own.
        return word, "a set of"
    return word, count


def is_plural(word: str) -> bool:
    """Whether a noun is in the plural, as far as its end tells."""
    return (
        word.endswith("s") and len(word) > 2 and (word.endswith("sses") or not word.endswith(("ss", "us", *_SINGULAR)))
    )


def is_mass(noun: str) -> bool:
    """Whether a noun phrase has no plural and takes no article: gold jewellery, food for cats."""
    words = _head(noun).lower().split()
    return bool(words) and (words[-1] in _MASS or " ".join(words[-2:]) in _MASS)


def is_together(noun: str) -> bool:
    """Whether a noun phrase says by itself that it is several things sold as one: ring set, luggage sets."""
    return _head(noun).rpartition(" ")[2] in _TOGETHER


def plural_of(noun: str) -> str:
    """A noun phrase in the plural, by its head: elbow patch -> elbow patches. One that has a plural in it stays as it
    is: braces for trousers, chives fresh."""
    head = _head(noun)
    if any(is_plural(word) for word in head.split()):
        return noun
    before, space, last = head.rpartition(" ")
    return f"{before}{space}{_plural(last)}{noun[len(head) :]}"


def singular_of(noun: str) -> str:
    """What is sold as one, as one: ring sets -> ring set."""
    head = _head(noun)
    return head.removesuffix("s") + noun[len(head) :]


def counted_by(noun: str, measure: str) -> str | None:
    """What a mass noun is counted by, where its row does not say; None for what takes an article."""
    return _TABLE["mass"]["by_measure"].get(measure, _TABLE["mass"]["otherwise"]) if is_mass(noun) else None


def _head(noun: str) -> str:
    return _HEAD_ENDS.split(noun, maxsplit=1)[0]


def _plural(word: str) -> str:
    if word in _TABLE["irregular"]:
        return str(_TABLE["irregular"][word])
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"
