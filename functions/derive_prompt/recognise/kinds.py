"""The vocabulary of kinds: what a word of a catalogue means, read from `vocabulary/kinds/` and `endings.toml`.

Here: words and their meanings. Not here: which of several words of a product is the thing (`choosing`).
"""

import gc
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple

from functions.derive_prompt.recognise.numbers import in_number_of
from functions.derive_prompt.recognise.text import has_chinese
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import department_names, table


class Kind(NamedTuple):
    """What a thing is. `zh`, `en` are the words for prompts, `template` is where it is filmed, `wider` the id of the
    kind that it is a kind of."""

    id: str
    template: str
    zh: str
    en: str
    measure: str
    en_count: str | None = None
    motion: str = "default"
    filled: bool = False
    own_material: bool = False
    covered: bool = False
    wider: str | None = None


class Meaning(NamedTuple):
    """What one word means: a kind, in the word's own name where that says more than the kind's."""

    kind: Kind
    root: str
    """The id of the vocabulary's row."""
    needs: frozenset[str] = frozenset()
    """One of these must stand in the product's text too, for the word to mean this."""


class Listed(NamedTuple):
    """A listed word: whose it is, and whether it is the kind's own name, the same thing's, or a narrower thing's."""

    kind: Kind
    word: str
    said: Literal["itself", "same", "narrower"]
    needs: frozenset[str]


class Ending(NamedTuple):
    """The last part of a compound that decides what it is: a rack for phones is no phone."""

    kind: Kind
    unless: frozenset[str]
    """Families after whose things the word is no ending: a rod of clothing."""
    filmed_with: frozenset[str]
    """Families in whose scene the compound is filmed: the cover of a sofa."""


class Vocabulary(NamedTuple):
    """Every listed word. Latin words are written with single spaces for hyphens."""

    kinds: Mapping[str, Kind]
    words: Mapping[str, Listed]
    endings: Mapping[str, Ending]
    not_a_kind: frozenset[str]
    general: frozenset[str]
    """Wider words that say no more than any kind of their family beside them."""
    components: frozenset[str]
    """Parts and extras that never take the place of a thing already said."""
    modifiers: frozenset[str]
    """Words that English names of several words begin with."""

    def meaning(self, word: str) -> Meaning | None:
        """What a word in its plain form means, None where it is not listed."""
        return _meaning_of(word) if word in self.words else None

    def lineage(self, root: str) -> Iterator[str]:
        """The rows that this one is a kind of, nearest first. A kind in a word of its own (`bowl:斗笠碗`) is a kind of
        the row's.
        """
        row, _, own = root.partition(":")
        seen = {root}
        if own and row in self.kinds:
            seen.add(row)
            yield row
        kind = self.kinds.get(row)
        while kind is not None and kind.wider is not None and kind.wider not in seen:
            seen.add(kind.wider)
            yield kind.wider
            kind = self.kinds.get(kind.wider)


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary of this package, read once."""
    with _without_collecting():
        return _read()


@contextmanager
def _without_collecting() -> Iterator[None]:
    """The garbage collector held off while much is made that all stays, and told to leave it alone from then on."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _read() -> Vocabulary:
    rows: dict[str, dict[str, Any]] = {}
    not_a_kind: set[str] = set()
    for department in department_names():
        document = table(f"kinds/{department}")
        rows |= document["kinds"]
        not_a_kind.update(document.get("not_a_kind", {}).get("words", ()))
    kinds = {name: _kind(name, row) for name, row in rows.items()}
    rules = table("endings")
    not_a_kind.update(rules["not_a_kind"]["words"])
    listed = [listed for name, row in rows.items() for listed in _listed(kinds[name], row)]
    words: dict[str, Listed] = {}
    for one in listed:
        words.setdefault(forms(one.word)[0], one)
    # A plural that has a row of its own is that row's: glasses.
    for one in listed:
        for form in forms(one.word):
            words.setdefault(form, one)
    general, components = (
        frozenset(form for word in rules["weak"][part] for form in forms(word)) for part in ("general", "components")
    )
    nothing = frozenset(map(plain_form, not_a_kind)) - words.keys()
    modifiers = frozenset(word.partition(" ")[0] for word in words if " " in word) - words.keys()
    return Vocabulary(kinds, words, _endings(kinds.values(), words), nothing, general, components, modifiers)


def _endings(kinds: Iterable[Kind], words: Collection[str]) -> dict[str, Ending]:
    """The listed endings, and those that the names of the kinds give where they are no `words` themselves."""
    rules = table("endings")
    found: dict[str, Ending] = {}
    for name, row in rules["endings"].items():
        ending = Ending(_kind(name, row), frozenset(row.get("unless", ())), frozenset(row.get("with", ())))
        for word in row["words"]:
            for form in forms(word):
                found.setdefault(form, ending)
    for word, ending in _heads(kinds, {*rules["heads"]["not"], *table("roles")["en"]["sense_after"]}):
        for form in forms(word):
            if form not in words:
                found.setdefault(form, ending)
    return found


def _heads(kinds: Iterable[Kind], none: Collection[str]) -> Iterator[tuple[str, Ending]]:
    """The last words of the kinds' names, of which other compounds may be made: a bumper, as in crib bumper. Such a
    compound is filmed where most of them are, or with what it is for, where that is filmed with some of them."""
    found: dict[str, list[Kind]] = {}
    for kind in kinds:
        *modifiers, last = plain_form(kind.en).split()
        if modifiers and last not in none:
            found.setdefault(last, []).append(kind)
        if len(kind.zh) > _HEAD_CHARACTERS and kind.zh[-_HEAD_CHARACTERS:] not in none:
            found.setdefault(kind.zh[-_HEAD_CHARACTERS:], []).append(kind)
    for word, made in found.items():
        if len(made) >= _LEAST_COMPOUNDS:
            families = Counter(kind.template for kind in made)
            kind = next(kind for kind in made if kind.template == families.most_common(1)[0][0])
            english = word if word.isascii() else plain_form(kind.en).split()[-1]
            yield (
                word,
                Ending(
                    Kind(f"{UNLISTED_HEAD}{word}", kind.template, word, english, kind.measure, kind.en_count),
                    unless=frozenset(),
                    filmed_with=frozenset(families),
                ),
            )


UNLISTED_HEAD = "head:"
"""What the ids of compounds with unlisted heads begin with."""
_HEAD_CHARACTERS = 2
_LEAST_COMPOUNDS = 2


def _kind(name: str, row: Mapping[str, Any]) -> Kind:
    return Kind(
        id=name,
        template=row["in"],
        zh=row["zh"],
        en=row["en"],
        measure=row["measure"],
        en_count=row.get("en_count"),
        motion=row.get("motion", "default"),
        filled=row.get("filled", False),
        own_material=row.get("own_material", False),
        covered=row.get("covered", False),
        wider=row.get("wider"),
    )


def _listed(kind: Kind, row: Mapping[str, Any]) -> Iterable[Listed]:
    needs = frozenset(row.get("needs", ()))
    for word in (kind.zh, kind.en):
        yield Listed(kind, word, "itself", needs)
    for word in row.get("same", ()):
        yield Listed(kind, word, "same", needs)
    for word in row.get("also", ()):
        yield Listed(kind, word, "narrower", needs)


@cache
def _meaning_of(word: str) -> Meaning:
    """Made when a text says the word: of most words no catalogue speaks."""
    listed = vocabulary().words[word]
    kind = listed.kind
    if listed.said == "same":
        kind = _said_as(kind, listed.word)
    elif listed.said == "narrower":
        kind = in_own_word(kind, listed.word)
    return Meaning(kind, listed.kind.id, listed.needs)


def _said_as(kind: Kind, word: str) -> Kind:
    """The kind with another word for the same thing, in that word's language: merchants know it by their own."""
    if not may_be_quoted(word) or len(word) == 1:
        return kind
    if has_chinese(word):
        return kind._replace(zh=word)
    english, count = in_number_of(word, kind.en, kind.en_count)
    return kind._replace(en=english, en_count=count)


def in_own_word(kind: Kind, word: str) -> Kind:
    """The kind as a word of its own calls it: 篮球 stays 篮球 where the kind is any ball."""
    plain = plain_form(word)
    if plain in (plain_form(kind.zh), plain_form(kind.en)) or not may_be_quoted(word):
        return kind
    name = f"{kind.id}:{plain}"
    if has_chinese(word):
        return kind._replace(id=name, zh=word, en=f"{kind.en} ({word})")
    own = _said_as(kind, word)
    return own._replace(id=name, zh=f"{kind.zh}（{own.en}）")


def plain_form(word: str) -> str:
    """A word as texts are compared: lower case, hyphens as spaces, without apostrophes."""
    lowered = word.lower()
    return lowered if lowered.isalnum() else " ".join(lowered.replace("-", " ").replace("'", "").split())


@cache
def forms(word: str) -> tuple[str, ...]:
    """How a word may be written: an English one in the plural too, and in the singular where it is listed so."""
    plain = plain_form(word)
    if not plain.isascii() or len(plain) < 3 or not plain[-1].isalpha():
        return (plain,)
    found = [plain]
    if plain.endswith(("s", "x", "ch", "sh", "z")):
        found.append(f"{plain}es")
        if " " in plain and plain.endswith("s") and not plain.endswith(("ss", "us", "is")):
            # Of single words too many mean something else: shorts, tights.
            found.append(plain[:-1])
    else:
        found.append(f"{plain}s")
        if plain.endswith("y") and plain[-2] not in "aeiou":
            found.append(f"{plain[:-1]}ies")
        elif plain.endswith("f"):
            found.append(f"{plain[:-1]}ves")
    return tuple(found)
