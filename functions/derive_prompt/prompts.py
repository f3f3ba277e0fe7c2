"""Captions: what was understood, said in the words of a template.

Everything in a prompt is a word of the vocabularies, in the same order and form, one scene after the other, so that
clips of a catalogue look alike the whole way. What cannot be seen (price, brand, hours, certificates, sizes, pack counts)
has no slot, so that products which differ in nothing else get the same prompt and share one clip.
"""

from typing import NamedTuple

from functions.derive_prompt.recognise.understanding import Slots, Understanding
from functions.derive_prompt.templates import negative_prompts, templates
from functions.derive_prompt.wording import fill
from shared.events import TemplateReference


class Caption(NamedTuple):
    """A filled prompt with what it came from. `negative_prompt` goes with it; its version is in the render spec."""

    prompt: str
    template: TemplateReference
    slots: Slots
    negative_prompt: str
    negative_prompt_version: str


def caption_of(understood: Understanding) -> Caption:
    """The caption of what was understood."""
    slots = understood.slots
    template = templates()[slots.template]
    default, texts = negative_prompts()
    version = template.negative_prompt or default
    return Caption(fill(template, slots), template.reference, slots, texts[version], version)
