"""Captions: what was understood, said in the words of a template.

Everything in a prompt is a word of the vocabularies, in the same order and form, one scene after the other, so that
clips of a catalogue look alike the whole way. What cannot be seen (price, brand, hours, certificates, sizes, pack
counts) has no slot, so that products which differ in nothing else get the same prompt and share one clip.
"""

from typing import NamedTuple

from functions.derive_prompt.recognise.kinds import Kind
from functions.derive_prompt.recognise.looks import Looks
from functions.derive_prompt.recognise.understanding import Slots, Understanding
from functions.derive_prompt.templates import PHOTO, Template, negative_prompts, templates
from functions.derive_prompt.wording import fill
from shared.events import TemplateReference


class Caption(NamedTuple):
    """A filled prompt with what it came from. `negative_prompt` goes with it; its version is in the render spec."""

    prompt: str
    template: TemplateReference
    slots: Slots
    kind: Kind
    """What the prompt calls the thing: its kind, or where that is not known, the general word of the template."""
    negative_prompt: str
    negative_prompt_version: str


def caption_of(understood: Understanding, *, from_photo: bool = False) -> Caption:
    """The caption of what was understood. `from_photo`: the clip starts from the product's own photo."""
    slots = understood.slots
    template = templates()[slots.template]
    return _caption(template, slots, slots.kind or _general_word(template), from_photo=from_photo)


def caption_of_photo(understood: Understanding) -> Caption:
    """The caption of a clip from a photo of what is not known: of light and camera only, and never of a noun."""
    template = templates()[PHOTO]
    nothing = Slots(understood.slots.locale, PHOTO, None, None, None, None, Looks((), (), (), (), ()))
    return _caption(template, nothing, _general_word(template))


def _caption(template: Template, slots: Slots, kind: Kind, *, from_photo: bool = False) -> Caption:
    default, texts = negative_prompts()
    version = template.negative_prompt or default
    prompt = fill(template, slots, kind, from_photo=from_photo)
    return Caption(prompt, template.reference, slots, kind, texts[version], version)


def _general_word(template: Template) -> Kind:
    general, family = template.generic, template.reference.id
    return Kind(f"generic:{family}", family, general.zh, general.en, general.measure, general.en_count, general.motion)
