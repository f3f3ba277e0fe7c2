"""Titles: the colour that a name tells where no field does."""

from functools import lru_cache

from functions.derive_prompt.recognise import colours
from functions.derive_prompt.recognise.colours import ColourField
from functions.derive_prompt.recognise.kinds import Kind, plain_form, vocabulary
from functions.derive_prompt.templates import Template


def colour_of_title(name: str, template: Template, kind: Kind | None) -> ColourField | None:
    """What a title says of colour: in running text, as its last word, as a token of its own, before its noun."""
    noun = plain_form(kind.en) if kind is not None else ""
    thing = _without_colours(noun)
    ends = name.replace(noun, thing) if thing != noun else name
    colour = colours.find_in_name(name) or (None if template.scented else colours.find_last_word(ends))
    if colour is not None:
        return ColourField(colour, ())
    things = vocabulary().words
    found = colours.first_token(token for token in colours.tokens_of(name)[1:] if token not in things)
    if found is not None:
        return found
    lone = None if template.scented or kind is None else colours.find_beside_noun(ends, thing, things)
    last = lone or colours.find_trailing(name, things)
    return ColourField(last, ()) if last is not None else None


@lru_cache(maxsize=1024)
def _without_colours(noun: str) -> str:
    """An English noun of several words, those that may be colours blanked: a wine glass, a controller skin are none."""
    words = noun.split()
    blanked = (word if colours.whole_english(word) is None else "_" * len(word) for word in words)
    return " ".join(blanked) if len(words) > 1 else noun
