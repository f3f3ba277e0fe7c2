"""Words that describe a thing and never name it: colours, materials, looks, wearers, and what fills titles."""

from functools import cache

from functions.derive_prompt.recognise.kinds import plain_form
from functions.derive_prompt.recognise.shades import QUIET, SHADES
from functions.derive_prompt.vocabulary import materials, table


@cache
def descriptive_words() -> frozenset[str]:
    """Words that say how a thing is, for whom or of what, and never what it is."""
    found = {word for words in table("endings")["weak"]["filler"].values() for word in words}
    for row in materials():
        found.update((*row["zh"], *row["en"], *row.get("field", ())))
    for section in ("finishes", "patterns", "shapes", "details", "actions"):
        for row in table("looks")[section].values():
            found.update((row["zh"], row["en"], *row.get("also", ())))
    for row in table("families")["audiences"].values():
        found.update((row["zh"], row["en"], *row["also"]))
    return frozenset(map(plain_form, found)) | colour_words()


@cache
def colour_words() -> frozenset[str]:
    """Words that name a colour: an orange in a title is a fruit only where something else says so."""
    found: set[str] = set()
    for row in table("colours")["bases"].values():
        found.update((*row["zh"], *row["en"]))
    found.update(SHADES.keys() - QUIET)
    return frozenset(map(plain_form, found))
