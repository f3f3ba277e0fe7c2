"""Product -> slots: what of a product can be seen, recognised, in words that can be compared. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from functions.derive_prompt import colours, families, kinds, materials
from functions.derive_prompt.cleaning import NAME_LIMIT, has_chinese, normalised
from functions.derive_prompt.families import Audience
from functions.derive_prompt.kind_words import Kind
from functions.derive_prompt.looks import PATTERN_WORDS, Looks, find_looks
from functions.derive_prompt.materials import Material
from functions.derive_prompt.screening import makes_absolute_claim
from functions.derive_prompt.shades import Colour
from functions.derive_prompt.templates import GENERAL, Locale, Template, templates
from functions.derive_prompt.vocabulary import table
from shared.events import Product

Texts = tuple[str, ...]
Attributes = tuple[tuple[str, Texts], ...]

_COLOUR_FIELDS = frozenset(table("colours")["fields"]["names"])
_CRAFT_FIELDS = frozenset(table("looks")["fields"]["names"])
_READ_FIELDS = _COLOUR_FIELDS | _CRAFT_FIELDS | materials.VISIBLE_FIELDS.keys()
_OTHER_SPECIFICATION_LIMIT = 8
_REMEMBERED_LENGTH = 4096


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

    def is_short(self) -> bool:
        """Whether the fields are small enough to be remembered; a hostile catalogue must not fill the memory."""
        return (
            len(self.name)
            + sum(map(len, self.category + self.color + self.material + self.features))
            + sum(len(text) for _, texts in self.attributes + self.specifications for text in texts)
        ) <= _REMEMBERED_LENGTH


class Slots(NamedTuple):
    """What fills the template: recognised, canonical, comparable. None or empty: the product does not say."""

    locale: Locale
    template: str
    kind: Kind
    colour: Colour | None
    material: Material | None
    audience: Audience | None
    looks: Looks


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
    )


@lru_cache(maxsize=1024)
def _field_name(name: str) -> str:
    return normalised(name[:64]).strip(" *:\u3000")


def find_slots(fields: VisibleFields) -> Slots:
    """Recognise everything that can be seen."""
    name = normalised(fields.name[:NAME_LIMIT])
    category = [normalised(level[:NAME_LIMIT]) for level in fields.category]
    audience = families.find_audience(" ".join((name, *category)), pets=families.may_hold_pets(category))
    kind = _find_kind(name, category, fields.specifications)
    template_id = families.template_for(_find_template(kind, category), audience)
    template = templates()[template_id]
    kind = kind or _generic_kind(name, template, template_id)
    colour, patterns = _find_colour(fields, name, template)
    return Slots(
        locale=_locale(fields, name),
        template=template_id,
        kind=kind,
        colour=colour,
        material=_find_material(fields, _without(colour, name), kind)
        if template.takes_material and not kind.own_material
        else None,
        audience=_shown_audience(audience, template),
        looks=_find_looks(fields, name, template_id, patterns)
        if template.takes_material
        else find_looks("", template_id, patterns),
    )


def _locale(fields: VisibleFields, name: str) -> Locale:
    if fields.locale is not None:
        language = fields.locale[:2].lower()
        if language in ("zh", "en"):
            return "zh" if language == "zh" else "en"
    return "zh" if has_chinese(name) else "en"


def _find_kind(name: str, category: list[str], specifications: Attributes) -> Kind | None:
    kind = kinds.find_kind(name, families.find_template(category))
    if kind is None or kind.id.partition(":")[0] in ("set_like", "tool_like"):
        # A name may leave the thing to what it is sold as (床垫*1+枕头*2) or to the category: 清晨系列 in 马克杯.
        sold_as = [normalised(texts[0][:NAME_LIMIT]) for _, texts in specifications if texts]
        for text in (*sold_as, *category[-1:]):
            told = kinds.find_kind(text)
            if told is not None and not told.tail:
                return told
    return kind


def _find_template(kind: Kind | None, category: list[str]) -> str:
    if kind is not None and not kind.tail:
        return kind.template
    of_category = families.find_template(category)
    if of_category is not None and of_category != GENERAL:
        return of_category
    return kind.template if kind is not None else GENERAL


def _generic_kind(name: str, template: Template, template_id: str) -> Kind:
    generic = template.generic
    noun = kinds.unlisted_noun(colours.without_shades(name, every=True))
    kind = Kind(
        id=f"generic:{template_id}",
        template=template_id,
        zh=generic.zh,
        en=generic.en,
        measure=generic.measure,
        en_count=generic.en_count,
        motion=generic.motion,
    )
    if noun is None:
        return kind
    return kind._replace(id=f"unlisted:{noun}", zh=f"{generic.zh}（{noun}）", en=noun, en_count=None)


def _shown_audience(audience: Audience | None, template: Template) -> Audience | None:
    if audience is None or not template.takes_material:
        return None
    return audience if template.takes_wearer or audience.id in ("child", "baby", "pet") else None


def _find_colour(fields: VisibleFields, name: str, template: Template) -> tuple[Colour | None, Texts]:
    """Colour and patterns beside it: from the colour field, colour attributes, specifications, then the name."""
    colour, patterns = _colour_of_fields(fields, name)
    if colour is not None or not template.takes_material:
        return colour, patterns
    found = colours.first_token(_specified_words(fields))
    if found is not None:
        return found.colour, patterns or found.patterns
    colour = colours.find_in_name(name) or (None if template.scented else colours.find_last_word(name))
    if colour is not None:
        return colour, patterns
    found = colours.first_token(token for token in name.split()[1:] if kinds.find_kind(token) is None)
    return (found.colour, patterns or found.patterns) if found is not None else (None, patterns)


def _colour_of_fields(fields: VisibleFields, name: str) -> tuple[Colour | None, Texts]:
    """What the fields that are for colours say: the first colour with its patterns, else the first patterns."""
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
    said = materials.all_in_name(PATTERN_WORDS.blanked(colours.without_shades(name)), filled=kind.filled)
    for text in fields.material:
        material = materials.read_field(text, said, filled=kind.filled)
        if material is not None:
            return material
    ranked = sorted(
        (materials.VISIBLE_FIELDS[key], texts) for key, texts in fields.attributes if key in materials.VISIBLE_FIELDS
    )
    for _, texts in ranked:
        for text in texts:
            material = materials.read_field(text, said, filled=kind.filled)
            if material is not None:
                return material
    # Of cotton gauze the gauze is seen.
    return next((material for material in said if said[0].id in material.woven_from), said[0]) if said else None


def _find_looks(fields: VisibleFields, name: str, template: str, patterns: Texts) -> Looks:
    texts = [name]
    for feature in fields.features:
        plain = normalised(feature[:NAME_LIMIT])
        if not makes_absolute_claim(plain):
            texts.append(plain)
    for key, values in fields.attributes:
        if key in _CRAFT_FIELDS:
            texts += [normalised(value[:NAME_LIMIT]) for value in values]
    return find_looks("\n".join(texts), template, patterns)
