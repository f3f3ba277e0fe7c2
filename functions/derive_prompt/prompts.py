"""Product -> slots -> filled prompt. Pure: the same visible fields give the same prompt, in any process.

`caption(product)` is the whole way. What cannot be seen (price, brand, hours, certificates, sizes, pack counts) has no
slot, so that products which differ in nothing else get the same prompt and share one clip.
"""

from functools import lru_cache
from typing import NamedTuple

from functions.derive_prompt import colours, families, kinds, materials
from functions.derive_prompt.cleaning import NAME_LIMIT, has_chinese, normalised
from functions.derive_prompt.colours import Colour
from functions.derive_prompt.families import Audience
from functions.derive_prompt.kinds import Kind
from functions.derive_prompt.looks import PATTERN_WORDS, Looks, find_looks
from functions.derive_prompt.materials import Material
from functions.derive_prompt.screening import makes_absolute_claim
from functions.derive_prompt.templates import GENERAL, Locale, Template, negative_prompts, templates
from functions.derive_prompt.vocabulary import table
from shared.events import Product, TemplateReference

Texts = tuple[str, ...]
Attributes = tuple[tuple[str, Texts], ...]

_COLOUR_FIELDS = frozenset(table("colours")["fields"]["names"])
_CRAFT_FIELDS = frozenset(table("looks")["fields"]["names"])
_OTHER_SPECIFICATION_LIMIT = 8


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


_REMEMBERED_LENGTH = 4096


class Slots(NamedTuple):
    """What fills the template: recognised, canonical, comparable. None or empty: the product does not say."""

    locale: Locale
    template: str
    kind: Kind
    colour: Colour | None
    material: Material | None
    audience: Audience | None
    looks: Looks


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


def caption_of(fields: VisibleFields) -> Caption:
    """The caption of visible fields."""
    slots = find_slots(fields)
    template = templates()[slots.template]
    default, texts = negative_prompts()
    version = template.negative_prompt or default
    return Caption(fill(template, slots), template.reference, slots, texts[version], version)


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


def fill(template: Template, slots: Slots) -> str:
    """The template's text in the slots' locale with every place filled."""
    chinese = slots.locale == "zh"
    # Where a model wears the thing, the model shows whom it is for.
    model = families.MODELS.get(slots.audience.id if slots.audience else "") if template.has_model else None
    worn = slots._replace(audience=None) if model is not None else slots
    thing = _chinese_thing(worn) if chinese else _english_thing(worn)
    if model is None:
        model = ("一位成年模特", "an adult model")
    return template.text[slots.locale].format(
        thing=thing,
        looks=_chinese_looks(slots) if chinese else _english_looks(slots),
        motion=_motion(template, slots),
        model=model[0 if chinese else 1],
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
    patterns: Texts = ()
    for texts in (
        fields.color,
        *(texts for key, texts in fields.attributes + fields.specifications if key in _COLOUR_FIELDS),
    ):
        for text in texts:
            found = colours.read_field(_without_maker(text, name))
            if found is not None:
                patterns = patterns or found.patterns
                if found.colour is not None:
                    return found.colour, found.patterns
    if not template.takes_material:
        return None, patterns
    tokens = [
        token
        for key, texts in fields.specifications
        if key not in _COLOUR_FIELDS
        for text in texts[:_OTHER_SPECIFICATION_LIMIT]
        for token in normalised(text[:NAME_LIMIT]).split()
    ]
    for token in tokens:
        found = colours.read_token(token)
        if found is not None and found.colour is not None:
            return found.colour, patterns or found.patterns
    colour = colours.find_in_name(name) or (None if template.scented else colours.find_last_word(name))
    if colour is not None:
        return colour, patterns
    for token in name.split()[1:]:
        found = colours.read_token(token)
        if found is not None and found.colour is not None and kinds.find_kind(token) is None:
            return found.colour, patterns or found.patterns
    return None, patterns


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


def _motion(template: Template, slots: Slots) -> str:
    for look in slots.looks.actions:
        return look.zh if slots.locale == "zh" else look.en
    return template.motions.get(slots.kind.motion, template.motions["default"])[slots.locale]


def _chinese_thing(slots: Slots) -> str:
    """一套 + 浅杏粉色 + 条纹 + 圆形 + 真丝 + 儿童 + 四件套; a part that the kind already says is left out."""
    kind = slots.kind
    parts = [look.zh for look in slots.looks.finishes]
    if slots.colour is not None:
        parts.append(slots.colour.zh)
    parts += [look.zh for look in (*slots.looks.patterns, *slots.looks.shapes) if not _says(kind.zh, look.zh[:2])]
    if slots.material is not None:
        stem = slots.material.zh.rstrip("质制艺布面") or slots.material.zh
        if kind.covered:
            parts.append(f"{stem}面")
        elif not _says(kind.zh, stem):
            parts.append(slots.material.zh)
    if slots.audience is not None and not _says(kind.zh, slots.audience.zh[:1]):
        parts.append(slots.audience.zh)
    return f"一{kind.measure}{''.join(_undoubled(parts))}{kind.zh}"


def _english_thing(slots: Slots) -> str:
    """A + matte + white + striped + round + cotton + children's + dress; what the kind already says is left out."""
    kind = slots.kind
    words = set(kind.en.lower().split()) - {"and", "set"}
    grown_up = slots.audience is not None and slots.audience.id in families.MODELS
    parts = [slots.audience.en] if slots.audience is not None and grown_up else []
    parts += [look.en for look in slots.looks.finishes]
    if slots.colour is not None:
        parts.append(slots.colour.en)
    parts += [look.en for look in (*slots.looks.patterns, *slots.looks.shapes)]
    if slots.material is not None:
        parts.append(f"{slots.material.en}-covered" if kind.covered else slots.material.en)
    if slots.audience is not None and not grown_up and not (slots.audience.id == "pet" and words & {"dog", "cat"}):
        parts.append(slots.audience.en)
    # A night light does not say light grey.
    kept = [part for part in _undoubled(parts) if not words.issuperset(part.lower().split())]
    noun = " ".join((*kept, kind.en))
    count = kind.en_count if kind.en_count not in (None, "a", "an") else _article(noun)
    phrase = f"{count} {noun}"
    return phrase[0].upper() + phrase[1:]


def _undoubled(parts: list[str]) -> list[str]:
    """The parts without one that its neighbour already says: matte, matte black -> matte black; rose gold, gold."""
    kept: list[str] = []
    for part in dict.fromkeys(parts):
        before = kept[-1] if kept else ""
        space = " " if part.isascii() else ""
        if before and (before.endswith(f"{space}{part}") or (not space and before.startswith(part))):
            continue
        if before and part.startswith(f"{before}{space}"):
            kept.pop()
        kept.append(part)
    return kept


def _says(word: str, part: str) -> bool:
    return bool(part) and part in word


def _article(noun: str) -> str:
    lowered = noun.lower()
    if lowered.startswith(("uni", "use", "usb", "uku", "ute", "uti", "one-", "u-", "eu")):
        return "a"
    return "an" if lowered[0] in "aeiou" or noun.startswith(("L-", "LED", "MP")) else "a"


def _chinese_looks(slots: Slots) -> str:
    names = [look.zh for look in slots.looks.details if not _says(slots.kind.zh, look.zh[:2])]
    return f"可见{'、'.join(names)}，" if names else ""


def _english_looks(slots: Slots) -> str:
    said = set(slots.kind.en.lower().split())
    names = [look.en for look in slots.looks.details if said.isdisjoint(look.en.split())]
    if not names:
        return ""
    return f" with {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else f" with {names[0]}"


_READ_FIELDS = _COLOUR_FIELDS | _CRAFT_FIELDS | materials.VISIBLE_FIELDS.keys()


@lru_cache(maxsize=1024)
def _field_name(name: str) -> str:
    return normalised(name[:64]).strip(" *:\u3000")
