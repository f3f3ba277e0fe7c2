"""Product -> slots -> filled prompt. Pure: the same visible fields give the same prompt, in any process.

`caption(product)` is the whole way. What cannot be seen (price, brand, hours, certificates, sizes, pack counts) has no
slot, so that products which differ in nothing else get the same prompt and share one clip.
"""

from typing import NamedTuple

from functions.derive_prompt.slots import Slots, VisibleFields, find_slots, visible_fields
from functions.derive_prompt.templates import negative_prompts, templates
from functions.derive_prompt.wording import fill
from shared.events import Product, TemplateReference


class Caption(NamedTuple):
    """A filled prompt with what it came from. `negative_prompt` goes with it; its version is in the render spec."""

    prompt: str
    template: TemplateReference
    slots: Slots
    negative_prompt: str
    negative_prompt_version: str


def caption(product: Product) -> Caption:
    """The prompt that films a product, its template and slots."""
    return caption_of(visible_fields(product))


def caption_of(fields: VisibleFields) -> Caption:
    """The caption of visible fields."""
    slots = find_slots(fields)
    template = templates()[slots.template]
    default, texts = negative_prompts()
    version = template.negative_prompt or default
    return Caption(fill(template, slots), template.reference, slots, texts[version], version)
