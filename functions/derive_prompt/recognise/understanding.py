"""From a product's fields to what can be seen of it: the thing, its colour, material, looks and wearer.

What a product is must be known. Where it is not, `Slots.kind` is None and `problem` says why.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple

from functions.derive_prompt.recognise import colours, families, materials
from functions.derive_prompt.recognise.choosing import Choice, choose
from functions.derive_prompt.recognise.families import Audience
from functions.derive_prompt.recognise.gifts import with_contents
from functions.derive_prompt.recognise.kinds import Kind
from functions.derive_prompt.recognise.languages import foreign_language, is_foreign
from functions.derive_prompt.recognise.looks import PATTERN_WORDS, Looks, find_looks
from functions.derive_prompt.recognise.materials import Material
from functions.derive_prompt.recognise.parts import parts_in
from functions.derive_prompt.recognise.sets import find_set
from functions.derive_prompt.recognise.shades import Colour, joined
from functions.derive_prompt.recognise.sources import Source
from functions.derive_prompt.recognise.text import NAME_LIMIT, has_chinese, normalised, without_models
from functions.derive_prompt.recognise.titles import colour_of_title
from functions.derive_prompt.screening import makes_claim
from functions.derive_prompt.templates import Locale, Template, template_of
from functions.derive_prompt.vocabulary import table
from shared.events import Product

Texts = tuple[str, ...]
Attributes = tuple[tuple[str, Texts], ...]

_COLOUR_FIELDS = frozenset(table("colours")["fields"]["names"])
_CRAFT_FIELDS = frozenset(table("looks")["fields"]["names"])
_KIND_FIELDS = frozenset(table("endings")["fields"]["names"])
_WEARER_FIELDS = frozenset(table("families")["fields"]["names"])
_LEVELS = re.compile(r"\s*[>»/|]\s*")
"""A path of shelves may be written in one text."""
_OTHER_SPECIFICATION_LIMIT = 8
_KEYWORD_LIMIT = 8


class VisibleFields(NamedTuple):
    """All of a product that can bear on its prompt. Products with equal visible fields are one product to a camera."""

    locale: str | None
    name: str
    category: Texts
    color: Texts
    material: Texts
    features: Texts
    attributes: Attributes
    specifications: Attributes
    keywords: Texts = ()
    brief: str = ""
    wearer: Texts = ()

    def is_short(self) -> bool:
        """Whether the fields are small enough to be remembered; a hostile catalogue must not fill the memory."""
        return (
            len(self.name)
            + len(self.brief)
            + sum(map(len, self.category + self.color + self.material + self.features + self.keywords + self.wearer))
            + sum(len(text) for _, texts in self.attributes + self.specifications for text in texts)
        ) <= _REMEMBERED_LENGTH


_REMEMBERED_LENGTH = 4096


class Slots(NamedTuple):
    """What fills the template: recognised, canonical, comparable. None or empty: the product does not say."""

    locale: Locale
    template: str
    kind: Kind | None
    colour: Colour | None
    material: Material | None
    audience: Audience | None
    looks: Looks


Problem = Literal["kind-unknown", "kind-ambiguous", "language-unsupported"]


class Understanding(NamedTuple):
    """What a product is found to be. `problem`: why nothing may be named, as a code for the reason."""

    slots: Slots
    choice: Choice
    problem: Problem | None
    language: str | None
    """The language or script of a product that is neither Chinese nor English."""


def visible_fields(product: Product) -> VisibleFields:
    """The fields that a prompt is made of, as they were written."""
    return VisibleFields(
        product.locale,
        product.name,
        product.category,
        product.color,
        product.material,
        product.features,
        tuple((key, texts) for name, texts in product.attributes.items() if (key := _field_name(name)) in _READ_FIELDS),
        tuple((_field_name(name), texts) for name, texts in product.specifications.items()),
        product.keywords[:_KEYWORD_LIMIT],
        (product.brief or "")[:NAME_LIMIT],
        tuple(_wearer(product)),
    )


def _wearer(product: Product) -> Iterator[str]:
    """What the fields for it say of whom a thing is made for, normalised."""
    named = chain(product.attributes.items(), product.specifications.items())
    told = (texts for name, texts in named if _field_name(name) in _WEARER_FIELDS)
    for texts in (product.gender, product.age_group, *told):
        yield from (normalised(text[:NAME_LIMIT]) for text in texts[:_WEARER_LIMIT])


_WEARER_LIMIT = 4


def understand(
    fields: VisibleFields, *, choice: Choice | None = None, audience: Audience | None = None
) -> Understanding:
    """Recognise everything that can be seen. `choice` and `audience` are a reader's: the first holds, the second fills
    what the name and the category leave open."""
    name = without_models(normalised(fields.name[:NAME_LIMIT]))
    category = [part for level in fields.category for part in _LEVELS.split(normalised(level[:NAME_LIMIT])) if part]
    audience = _find_audience(fields, name, category, audience)
    choice = _choose(fields, name, category, choice)
    kind = choice.kind
    family = kind.template if kind is not None else families.find_family(category)
    template = template_of(families.template_for(family, audience) if family is not None else None)
    rest, details = parts_in(name, kind) if kind is not None and template.takes_material else (name, ())
    colour, patterns = _find_colour(fields, rest, template, kind)
    slots = Slots(
        locale=_locale(fields, name),
        template=template.reference.id,
        kind=kind,
        colour=colour,
        material=_find_material(fields, _without(colour, rest), kind)
        if kind is not None and template.takes_material and not kind.own_material
        else None,
        audience=_shown_audience(audience, template),
        looks=_find_looks(fields, rest, template.reference.id, patterns, kind).with_details(details)
        if template.takes_material
        else find_looks("", template.reference.id, patterns),
    )
    language = foreign_language([name, *category], fields.locale)
    if language is None and kind is None and is_foreign(fields.locale):
        language = fields.locale
    return Understanding(slots, choice, _problem(choice, language), language)


def _problem(choice: Choice, language: str | None) -> Problem | None:
    if language is not None:
        return "language-unsupported"
    if choice.kind is not None:
        return None
    return "kind-ambiguous" if choice.rivals else "kind-unknown"


def _find_audience(fields: VisibleFields, name: str, category: list[str], told: Audience | None) -> Audience | None:
    worn_by = " ".join((name, *category, *fields.wearer))
    return families.find_audience(worn_by, pets=families.may_hold_pets(category)) or told


def _choose(fields: VisibleFields, name: str, category: list[str], told: Choice | None) -> Choice:
    """What the product is, by all that its fields say, or as `told`."""
    if told is not None:
        return told
    family = families.find_family(category)
    vetoed = families.cannot_hold(family)
    several = find_set(name, vetoed)
    if several is not None:
        return Choice(several, several.id, 1.0, (), ())
    return with_contents(choose(list(_sources(fields, name, category)), family, vetoed), family)


_CATEGORY_WEIGHTS = (0.45, 0.25, 0.15)
"""Of the deepest level, the one above it, and any other: shelves are wider than what lies on them."""


def _sources(fields: VisibleFields, name: str, category: list[str]) -> Iterator[Source]:
    yield Source("name", name, 1.0)
    for key, texts in (*fields.attributes, *fields.specifications):
        if key in _KIND_FIELDS:
            yield from (Source(f"attributes.{key}", normalised(text[:NAME_LIMIT]), 0.8) for text in texts[:2])
    for weight, level in zip(_CATEGORY_WEIGHTS, reversed(category), strict=False):
        yield Source("category", level, weight)
    yield from (Source("keywords", normalised(text[:NAME_LIMIT]), 0.2) for text in fields.keywords)
    if fields.brief:
        yield Source("brief", normalised(fields.brief), 0.2)


def _locale(fields: VisibleFields, name: str) -> Locale:
    if fields.locale is not None:
        language = fields.locale[:2].lower()
        if language in ("zh", "en"):
            return "zh" if language == "zh" else "en"
    return "zh" if has_chinese(name) else "en"


def _shown_audience(audience: Audience | None, template: Template) -> Audience | None:
    if audience is None or not template.takes_material:
        return None
    return audience if template.takes_wearer or audience.id in ("child", "baby", "pet") else None


def _find_colour(
    fields: VisibleFields, name: str, template: Template, kind: Kind | None
) -> tuple[Colour | None, Texts]:
    """Colour and patterns beside it: from the colour field, colour attributes, specifications, then the name."""
    colour, patterns = _colour_of_fields(fields, name)
    if colour is None and kind is not None and kind.template in _FRESH:
        told = colours.find_in_name(name)
        # Oranges are not said to be orange.
        return (told if told is not None and told.en not in kind.en else None), patterns
    if colour is not None or not template.takes_material:
        return colour, patterns
    found = colours.first_token(_specified_words(fields)) or colour_of_title(name, template, kind)
    return (found.colour, patterns or found.patterns) if found is not None else (None, patterns)


_FRESH = frozenset({"fruit", "vegetables"})
"""Families whose titles tell the colour of what is eaten: purple aubergines."""


def _colour_of_fields(fields: VisibleFields, name: str) -> tuple[Colour | None, Texts]:
    """What the fields that are for colours say: the first colour with its patterns, else the first patterns."""
    if colours.are_together(fields.color, name):
        told = [found.colour for text in fields.color if (found := colours.read_field(text)) and found.colour]
        if told:
            return joined(told), ()
    named = (texts for key, texts in fields.attributes + fields.specifications if key in _COLOUR_FIELDS)
    patterns: Texts = ()
    for text in chain(fields.color, *named):
        found = colours.read_field(_without_maker(text, name))
        if found is not None and found.colour is not None:
            return found.colour, found.patterns
        if found is not None:
            patterns = patterns or found.patterns
    return None, patterns


def _specified_words(fields: VisibleFields) -> Iterator[str]:
    """The words of the specifications that are not for colours; a variant may be called by its colour alone."""
    for key, texts in fields.specifications:
        if key not in _COLOUR_FIELDS:
            for text in texts[:_OTHER_SPECIFICATION_LIMIT]:
                yield from normalised(text[:NAME_LIMIT]).split()


def _without_maker(text: str, name: str) -> str:
    """A colour without the word that opens the title and not as a part of that colour: Carhartt Brown of Carhartt."""
    maker, _, colour = text.partition(" ")
    opens = bool(colour) and maker.isascii() and name.startswith(f"{maker.lower()} ")
    return colour if opens and not name.startswith(text.lower()) else text


def _without(colour: Colour | None, name: str) -> str:
    """A name less a shade of several words, which may hold a material: metal slate, linen white."""
    return name.replace(colour.en, " ") if colour is not None and " " in colour.en else name


def _find_material(fields: VisibleFields, name: str, kind: Kind) -> Material | None:
    plain = PATTERN_WORDS.blanked(colours.without_shades(name))
    said = materials.all_in_name(plain, filled=kind.filled)
    in_name = materials.seen_in_name(plain, filled=kind.filled)
    for text in fields.material:
        material = materials.read_field(text, said, filled=kind.filled)
        if material is not None:
            return in_name if in_name is not None and materials.holds(in_name, material) else material
    ranked = sorted(
        (materials.VISIBLE_FIELDS[key], texts) for key, texts in fields.attributes if key in materials.VISIBLE_FIELDS
    )
    for _, texts in ranked:
        for text in texts:
            material = materials.read_field(text, said, filled=kind.filled)
            if material is not None:
                return material
    return in_name


def _find_looks(fields: VisibleFields, name: str, template: str, patterns: Texts, kind: Kind | None) -> Looks:
    texts = [name]
    for feature in fields.features:
        plain = normalised(feature[:NAME_LIMIT])
        if not makes_claim(plain):
            texts.append(plain)
    for key, values in fields.attributes:
        if key in _CRAFT_FIELDS:
            texts += [normalised(value[:NAME_LIMIT]) for value in values]
    thing = f"{kind.zh} {kind.en.lower()}" if kind is not None else ""
    return find_looks("\n".join(texts), template, patterns, thing=thing)


_READ_FIELDS = _COLOUR_FIELDS | _CRAFT_FIELDS | _KIND_FIELDS | materials.VISIBLE_FIELDS.keys()


@lru_cache(maxsize=1024)
def _field_name(name: str) -> str:
    return normalised(name[:64]).strip(" *:\u3000")
