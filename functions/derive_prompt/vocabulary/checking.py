"""What is wrong with the vocabulary of kinds, and what it covers: checked by a test, printed by this package's command.

A row has both languages, an article that suits its number, a family that is filmed and a wider kind that exists. A word
belongs to one row, is written simplified so that its traditional form finds it, and, alone in a title, is its own kind.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import opencc

from functions.derive_prompt.recognise.kinds import plain_form, vocabulary
from functions.derive_prompt.recognise.text import has_chinese, normalised
from functions.derive_prompt.recognise.understanding import understand, visible_fields
from functions.derive_prompt.templates import templates
from functions.derive_prompt.vocabulary import department_names, table
from shared.events import Product


class Fault(NamedTuple):
    """One thing to mend: in which department's file, in which row, and what is wrong."""

    department: str
    kind: str
    says: str


class Coverage(NamedTuple):
    """What one department lists. `parts` are its shelves in its own words; words are counted by language."""

    department: str
    parts: tuple[str, ...]
    kinds: int
    chinese: int
    english: int
    families: int


class _Row(NamedTuple):
    department: str
    kind: str
    row: dict[str, Any]

    def words(self) -> Iterator[str]:
        row = self.row
        yield from filter(None, (row.get("zh"), row.get("en"), *row.get("same", ()), *row.get("also", ())))

    def fault(self, says: str) -> Fault:
        return Fault(self.department, self.kind, says)


def _rows() -> Iterator[_Row]:
    for department in department_names():
        for kind, row in table(f"kinds/{department}")["kinds"].items():
            yield _Row(department, kind, row)


def coverage() -> list[Coverage]:
    """The departments in alphabetical order, each with what it lists."""
    found = []
    for department in department_names():
        rows = [row for row in _rows() if row.department == department]
        words = Counter(has_chinese(word) for row in rows for word in row.words())
        families = {row.row["in"] for row in rows}
        parts = tuple(table(f"kinds/{department}")["covers"])
        found.append(Coverage(department, parts, len(rows), words[True], words[False], len(families)))
    return found


def faults() -> Iterator[Fault]:
    """Everything that is wrong: of every row by itself, then of rows beside each other, then of how words are read."""
    rows = list(_rows())
    for row in rows:
        yield from map(row.fault, _alone(row.row))
    yield from _claimed_twice(rows)
    for row in rows:
        yield from map(row.fault, _misread(row))


def _alone(row: dict[str, Any]) -> Iterator[str]:
    for key in ("zh", "en", "in", "measure"):
        if not row.get(key):
            yield f"has no `{key}`"
    if not has_chinese(row.get("zh", "")):
        yield "its `zh` is not Chinese"
    if has_chinese(row.get("en", "")):
        yield "its `en` is Chinese"
    if row.get("in") not in _families():
        yield f"no template films the family {row.get('in')}"
    if row.get("wider", "lamp") not in vocabulary().kinds:
        yield f"the wider kind {row['wider']} is not listed"
    yield from _number(row.get("en", ""), row.get("en_count"))


@cache
def _families() -> frozenset[str]:
    return frozenset(templates()) | frozenset(table("families")["filmed_as"])


def _number(english: str, article: str | None) -> Iterator[str]:
    head = re.split(r" (?:of|with|for|and) ", english)[0]
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is", "lens", "canvas", "atlas"))
    if plural and article is None:
        yield f"'a {english}' is no English: it needs an `en_count`"
    if article == "a set of" and english.endswith((" set", " kit")):
        yield f"'{article} {english}' says it twice"


def _claimed_twice(rows: list[_Row]) -> Iterator[Fault]:
    claimed: dict[str, _Row] = {}
    ids: dict[str, _Row] = {}
    for row in rows:
        earlier = ids.setdefault(row.kind, row)
        if earlier is not row:
            yield row.fault(f"{earlier.department} has a row of that id")
        for word in {plain_form(word) for word in row.words()}:
            owner = claimed.setdefault(word, row)
            if owner is not row:
                yield row.fault(f"'{word}' is claimed by {owner.kind} of {owner.department} too")


def _misread(row: _Row) -> Iterator[str]:
    for word in row.words():
        simplified = normalised(word)
        if plain_form(simplified) != plain_form(word):
            yield f"'{word}' is not written as texts are compared: {simplified}"
        if has_chinese(word):
            for traditional in {converter.convert(word) for converter in _traditional()}:
                if normalised(traditional) != simplified:
                    yield f"'{word}' is not found as {traditional}"
        # A word that needs others beside it means nothing alone.
        if not row.row.get("needs"):
            yield from _alone_in_a_title(row.kind, word)


@cache
def _traditional() -> tuple[opencc.OpenCC, ...]:
    return opencc.OpenCC("s2t"), opencc.OpenCC("s2hk")


def _alone_in_a_title(kind: str, word: str) -> Iterator[str]:
    understood = understand(visible_fields(Product(product_id="word", name=word)))
    chosen = understood.choice.kind
    read_as = understood.problem or (chosen.id.partition(":")[0] if chosen is not None else "nothing")
    if read_as != kind:
        yield f"'{word}' alone in a title is read as {read_as}"
