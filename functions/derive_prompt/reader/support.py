"""What of a reader's answer a product's own text supports. Pure.

The quoted words must stand in the text, and the rules must read in them what the reader says they say. So nothing that
a model writes, and nothing that it was talked into, is filmed: an answer only points at words. What the rules know
already stays as they say it; where they name another thing than the reader, neither is believed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from functions.derive_prompt.reader.answer import Answer, Said
from functions.derive_prompt.reader.own_words import own_thing
from functions.derive_prompt.reader.question import texts_of
from functions.derive_prompt.recognise import colours, families, materials
from functions.derive_prompt.recognise.choosing import Choice
from functions.derive_prompt.recognise.families import Audience
from functions.derive_prompt.recognise.kinds import Kind, vocabulary
from functions.derive_prompt.recognise.looks import Look, find_looks
from functions.derive_prompt.recognise.materials import Material
from functions.derive_prompt.recognise.mentions import Mention, find_mentions
from functions.derive_prompt.recognise.parts import parts_in
from functions.derive_prompt.recognise.roles import Role
from functions.derive_prompt.recognise.shades import Colour, joined
from functions.derive_prompt.recognise.text import has_chinese, normalised
from functions.derive_prompt.recognise.understanding import Slots, Understanding, VisibleFields, understand
from functions.derive_prompt.templates import Template, template_of

T = TypeVar("T")
_Read = Callable[[str], T | None]
"""What words say in a slot, by the rules; None: nothing."""
_Check = Callable[[T, Sequence[str]], bool]
"""Whether the texts that hold the words say so of the thing itself."""


class Refused(NamedTuple):
    """An entry of an answer that is not believed, and why, in a few words."""

    slot: str
    value: str
    words: str
    why: str


class Supported(NamedTuple):
    """What a product is by the rules and the reader together, and what of the answer was refused."""

    understood: Understanding
    refused: tuple[Refused, ...]


def supported(answer: Answer, fields: VisibleFields, rules: Understanding) -> Supported:
    """What the rules found, with what they did not find and the answer tells by the product's own words."""
    reading = _Reading(fields)
    choice = reading.choice(answer, rules.choice, template_of(rules.slots.template))
    understood = understand(fields, choice=choice, audience=reading.audience(answer))
    kind = understood.slots.kind
    template = template_of(understood.slots.template)
    if kind is not None and template.takes_material:
        slots = reading.filled(answer, understood.slots, kind, template)
        understood = understood._replace(slots=slots)
    return Supported(understood, tuple(reading.refused))


class _Reading:
    """One answer beside one product's text. `refused` grows as slots are looked at."""

    def __init__(self, fields: VisibleFields) -> None:
        told = list(texts_of(fields))
        self._texts = [text for _, text in told]
        self._name = next((text for field, text in told if field == "name"), "")
        self.refused: list[Refused] = []

    def choice(self, answer: Answer, rules: Choice, template: Template) -> Choice:
        """The thing: what the rules chose, what the reader found where they did not, or neither where they differ.
        `template` is what the category is filmed as."""
        entries = answer.kind[:1] if not _is_set(rules) else ()
        if rules.kind is None and entries and _thing(_plain(entries[0].words)) is None:
            own = self._supported("kind", entries, lambda words: own_thing(words, self._name, template), _always)
            return rules._replace(kind=own[0], root=own[0].id, rivals=()) if own else rules
        heads = {said.kind for said in rules.evidence if said.role in (Role.HEAD, Role.PERHAPS_OF)}
        found = self._supported(
            "kind", entries, _thing, lambda thing, _: any(_are_related(thing.meaning.root, head) for head in heads)
        )
        return _decided(rules, found[0]) if found else rules

    def audience(self, answer: Answer) -> Audience | None:
        """Whom all of the text says it is for: where both sexes are named, it is neither's."""
        whole = families.find_audience(" ".join(self._texts))
        entries = answer.audience[:1]
        found = self._supported("audience", entries, families.find_audience, lambda audience, _: audience == whole)
        return found[0] if found else None

    def filled(self, answer: Answer, slots: Slots, kind: Kind, template: Template) -> Slots:
        """The slots with what the rules left empty."""
        if slots.colour is None and not template.scented:
            slots = slots._replace(colour=self._colour(answer.colours, kind))
        if slots.material is None and not kind.own_material:
            slots = slots._replace(material=self._material(answer.materials, kind))
        looks, family = slots.looks, template.reference.id
        patterns = self._looks("patterns", answer.patterns, family) if not looks.patterns else ()
        details = (*looks.details, *self._parts(answer.parts, kind, family))
        return slots._replace(
            looks=looks._replace(
                patterns=looks.patterns or patterns, details=tuple(dict.fromkeys(details))[:_MOST_DETAILS]
            )
        )

    def _colour(self, entries: Sequence[Said], kind: Kind) -> Colour | None:
        """The first colour, or those that stand together in a text: black and white."""
        # Oranges are not said to be orange.
        own = kind.en.lower().split()
        found = self._supported("colours", entries, _colour, lambda colour, _: colour.en not in own)
        words = [_plain(entry.words) for entry in entries]
        if 1 < len(found) == len(entries) and any(colours.are_together(words, text) for text in self._texts):
            return joined(found)
        return found[0] if found else None

    def _material(self, entries: Sequence[Said], kind: Kind) -> Material | None:
        def is_said(material: Material, texts: Sequence[str]) -> bool:
            told = {other.id for text in texts for other in materials.all_in_name(text, filled=kind.filled)}
            return told.issuperset(material.id.split("+"))

        found = self._supported(
            "materials", entries, lambda words: materials.seen_in_name(words, filled=kind.filled), is_said
        )
        return found[0] if found else None

    def _looks(self, section: str, entries: Sequence[Said], family: str) -> tuple[Look, ...]:
        def seen(text: str) -> tuple[Look, ...]:
            looks: tuple[Look, ...] = getattr(find_looks(text, family), section)
            return looks

        return tuple(
            self._supported(
                section,
                entries,
                lambda words: next(iter(seen(words)), None),
                lambda look, texts: any(look in seen(text) for text in texts),
            )
        )[:_MOST_PATTERNS]

    def _parts(self, entries: Sequence[Said], kind: Kind, family: str) -> list[Look]:
        def part(words: str) -> Look | None:
            told = (*parts_in(words, kind)[1], *find_looks(words, family).details)
            return told[0] if told else None

        return self._supported("parts", entries, part, _always)

    def _supported(self, slot: str, entries: Sequence[Said], read: _Read[T], check: _Check[T]) -> list[T]:
        """What the supported entries of a slot say; the others are noted as refused."""
        found = []
        for entry in entries:
            said = read(_plain(entry.words))
            why = self._why_not(entry, said, read)
            if why is None and said is not None:
                holding = [text for text in self._texts if next(_places(_plain(entry.words), text), None) is not None]
                if check(said, holding):
                    found.append(said)
                    continue
                why = "the product's text does not say so of the thing itself"
            self.refused.append(Refused(slot, entry.value, entry.words, why or "the words say nothing of the kind"))
        return found

    def _why_not(self, entry: Said, said: T | None, read: _Read[T]) -> str | None:
        """Why words do not hold by themselves, or None: they stand in the text and say what the reader says."""
        words, value = _plain(entry.words), _plain(entry.value)
        places = [(text, start) for text in self._texts for start in _places(words, text)]
        if not places:
            return "these words are not in the product's text"
        if any(_DENIED.search(text[:start]) for text, start in places):
            return "the product's text denies it"
        if not value or (said is not None and value not in words and not _is_same(said, read(value))):
            return "the words say something else"
        return None


_MOST_PATTERNS = 2
_MOST_DETAILS = 3
_DENIED = re.compile(
    r"(?:\b(?:no|not|non|never|without|faux|fake|anti|excluding|excludes)\b[\s-]*(?:an?\s+|the\s+|any\s+|real\s+)?"
    r"|[非不无没未免仿防]|没有|不含|不是)\Z"
)


def _plain(text: str) -> str:
    return " ".join(normalised(text).split())


def _places(words: str, text: str) -> Iterator[int]:
    """Where words stand in a text; Latin ones only as whole words."""
    if words:
        before = r"(?<![a-z0-9])" if words[0].isascii() and words[0].isalnum() else ""
        behind = r"(?![a-z0-9])" if words[-1].isascii() and words[-1].isalnum() else ""
        for found in re.finditer(f"{before}{re.escape(words)}{behind}", text):
            yield found.start()


def _is_same(one: Any, other: Any) -> bool:
    """Whether two readings of a slot mean the same; a wider word for the same thing does."""
    if other is None:
        return False
    if isinstance(one, Mention):
        return _are_related(one.meaning.root, other.meaning.root)
    return bool(one.id == other.id)


def _thing(words: str) -> Mention | None:
    """The thing that words name."""
    heads = [mention for mention in find_mentions(words) if mention.role is Role.HEAD]
    return next((mention for mention in heads if mention.main), None)


def _decided(rules: Choice, found: Mention) -> Choice:
    """What becomes of the rules' choice where the reader found a thing."""
    root, kind = found.meaning.root, found.meaning.kind
    if rules.kind is None:
        return rules._replace(kind=kind, root=root, rivals=())
    # Two things of one family in one title are mostly two words for one.
    if kind.template == rules.kind.template or _are_related(root, rules.root or rules.kind.id):
        return rules
    word = rules.kind.zh if has_chinese(found.word) else rules.kind.en
    return rules._replace(kind=None, root=None, rivals=(word, found.word))


def _always(_said: Any, _texts: Sequence[str]) -> bool:
    return True


def _is_set(rules: Choice) -> bool:
    return rules.root is not None and rules.root.startswith("set:")


def _are_related(root: str, other: str) -> bool:
    words = vocabulary()
    return root in (other, *words.lineage(other)) or other in words.lineage(root)


def _colour(words: str) -> Colour | None:
    if not has_chinese(words):
        return colours.whole_english(words)
    token = colours.read_token(words)
    return token.colour if token is not None else None
