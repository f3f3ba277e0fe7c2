"""English things are said in the right number, whatever word a merchant has for them."""

import pytest

from functions.derive_prompt.recognise.kinds import vocabulary
from functions.derive_prompt.recognise.looks import Looks
from functions.derive_prompt.recognise.numbers import plural_of
from functions.derive_prompt.recognise.understanding import Slots
from functions.derive_prompt.templates import template_of
from functions.derive_prompt.wording import fill


def phrase_of(word: str) -> str:
    """The noun phrase that a prompt has for a listed word."""
    meaning = vocabulary().meaning(word)
    assert meaning is not None, word
    kind = meaning.kind
    template = template_of(kind.template)
    slots = Slots("en", template.reference.id, kind, None, None, None, Looks((), (), (), (), ()))
    scene = template.scene_of(kind.id).text["en"]
    before, behind = scene.split("{thing}{looks}")
    return fill(template, slots, kind).removeprefix(before).partition(behind.partition("{")[0])[0]


@pytest.mark.parametrize(
    ("word", "phrase"),
    [
        ("candy", "A bowl of candies"),
        ("turmeric", "A bowl of turmeric"),
        ("rings set", "A rings set"),
        ("pyjama set", "A pyjama set"),
        ("shampoo", "A bottle of shampoo"),
        ("carry on luggage", "A piece of carry-on luggage"),
        ("luggage set", "A luggage set"),
        ("elbow patch", "A pair of elbow patches"),
        ("a frame sign", "An a-frame sign"),
        ("braces for trousers", "A pair of braces for trousers"),
        ("table knife", "A set of table knives"),
        ("uv resin kit", "A uv resin kit"),
        ("air conditioner", "An air conditioner"),
        ("footwear", "A pair of footwear"),
        ("coconuts", "A group of coconuts"),
        ("loose pearls", "A group of loose pearls"),
    ],
)
def test_a_word_is_said_in_its_own_number(word: str, phrase: str) -> None:
    assert phrase_of(word) == phrase


def test_no_listed_word_is_a_set_of_sets_or_ends_in_a_made_up_plural() -> None:
    known = vocabulary()
    for word in known.words:
        meaning = known.meaning(word)
        if word.isascii() and meaning is not None:
            english, count = meaning.kind.en, meaning.kind.en_count
            assert not (count == "a set of" and english.endswith((" set", " sets", " kit", " kits"))), (word, english)
            assert not english.endswith(("shs", "chs", "dys", "ywears")), (word, english)


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("box", "boxes"), ("toy", "toys"), ("s hook", "s hooks"), ("christmas eve box", "christmas eve boxes")],
)
def test_plurals(noun: str, plural: str) -> None:
    assert plural_of(noun) == plural
