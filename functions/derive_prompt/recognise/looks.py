"""What can be seen on a thing besides colour, material and kind: finish, pattern, shape, details; and what it can do
before a camera. Recognised in names, features and craft attributes; what nothing here knows cannot be filmed."""

from collections.abc import Iterable
from typing import NamedTuple

from functions.derive_prompt.recognise.families import shelf_of
from functions.derive_prompt.recognise.matcher import Matcher
from functions.derive_prompt.recognise.materials import NEGATIONS, NEGATIONS_BEHIND
from functions.derive_prompt.vocabulary import materials, table

_TABLE = table("looks")
_SECTIONS = ("finishes", "patterns", "shapes", "details", "actions")
_MOST = {"finishes": 1, "patterns": 2, "shapes": 2, "details": 3, "actions": 1}
_UNCOATED = frozenset(_TABLE["uncoated"]["looks"])
_NEGATIONS = ("no ", "non-", "non ", "without ", "not ", *NEGATIONS)


class Look(NamedTuple):
    """One row of the table. `zh` and `en` are a part of the noun phrase, or a clause where it is an action. `templates`
    are the templates or shelves whose things can have it; none named: any. `not_in`, `of` and `not_of` say more."""

    section: str
    id: str
    zh: str
    en: str
    templates: tuple[str, ...]
    not_in: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    not_of: tuple[str, ...] = ()

    def suits(self, template: str, thing: str) -> bool:
        """Whether a thing that this template films can have the look. `thing` is what it is called, "" where any."""
        if self.templates and {template, shelf_of(template)}.isdisjoint(self.templates):
            return False
        if template in self.not_in or any(word in thing for word in self.not_of):
            return False
        return not (self.of and thing) or any(word in thing for word in self.of)


class Looks(NamedTuple):
    """Everything seen, by section, in order of appearance."""

    finishes: tuple[Look, ...]
    patterns: tuple[Look, ...]
    shapes: tuple[Look, ...]
    details: tuple[Look, ...]
    actions: tuple[Look, ...]

    def with_details(self, details: tuple[Look, ...]) -> "Looks":
        """The looks with details that come before the others."""
        return self._replace(details=(*details, *self.details)[: _MOST["details"]])


LOOKS: dict[str, dict[str, Look]] = {
    section: {
        name: Look(
            section,
            name,
            row["zh"],
            row["en"],
            *(tuple(row.get(rule, ())) for rule in ("in", "not_in", "of", "not_of")),
        )
        for name, row in _TABLE[section].items()
    }
    for section in _SECTIONS
}


def _words(section: str) -> Iterable[tuple[str, str]]:
    for name, row in _TABLE[section].items():
        own = () if section in ("details", "actions") else (row["zh"],) if row.get("quiet") else (row["zh"], row["en"])
        for word in (*own, *row["also"]) if "also" in row else own:
            yield word.lower(), name


PATTERN_WORDS: Matcher[str] = Matcher(_words("patterns"))


def _free_words() -> Iterable[tuple[str, tuple[Look, ...]]]:
    meanings: dict[str, list[Look]] = {}
    for section in _SECTIONS:
        for word, name in _words(section):
            if len(word) > 1:
                meanings.setdefault(word, []).append(LOOKS[section][name])
    # Materials and things that only sound like a look (天鹅绒, 波浪鼓) are read over.
    for row in materials():
        for word in (*row["zh"], *row["en"]):
            if len(word) > 1:
                meanings.setdefault(word.lower(), [])
    for word in _TABLE["not_a_look"]["words"]:
        meanings[word] = []
    return [(word, tuple(looks)) for word, looks in meanings.items()]


_FREE: Matcher[tuple[Look, ...]] = Matcher(_free_words())


def find_looks(text: str, template: str, patterns: Iterable[str] = (), *, thing: str = "") -> Looks:
    """What normalised text says can be seen on a thing that this template films; `patterns` are ids already read
    elsewhere and come first. A finish that is a word of the `thing` itself is none: lip gloss, 磨砂膏."""
    unseen = _UNCOATED if any(word in text for word in _TABLE["uncoated"]["words"]) else frozenset()
    seen: dict[str, dict[str, Look]] = {section: {} for section in _SECTIONS}
    for name in patterns:
        seen["patterns"][name] = LOOKS["patterns"][name]
    for found in _FREE.find_all(text):
        if found.value and not _is_negated(text, found.start, found.end):
            for look in found.value:
                if look.section == "finishes" and found.word in thing:
                    continue
                if look.suits(template, thing) and look.id not in unseen:
                    seen[look.section].setdefault(look.id, look)
    return Looks(**{section: tuple(rows.values())[: _MOST[section]] for section, rows in seen.items()})


def _is_negated(text: str, start: int, end: int) -> bool:
    if text.startswith(NEGATIONS_BEHIND, end):
        return True
    return start > 0 and (text[start - 1] in "无非不没未免" or text[:start].endswith(_NEGATIONS))
