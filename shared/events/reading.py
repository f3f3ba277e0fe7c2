"""Payloads read from JSON: strictly what they must hold, and of what they may hold as much as can be read.

A product whose locale is odd is still a product: what cannot be read of an optional field is left out, and named.
"""

import codecs
import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import AliasChoices, ValidationError
from pydantic_core import ErrorDetails

from shared.events.payload import Payload
from shared.validation import first_problem

PayloadT = TypeVar("PayloadT", bound=Payload)

LOOKS = 600
"""Parts of one field that are tried by themselves. A field with more is left out whole: no record costs a second."""
DEPTH = 4
"""Lists and objects inside one another that a field may have: no payload has more."""

_NOTHING = object()
_SPENT = ErrorDetails(type="spent", loc=(), msg="too many parts", input=None)
Problem = Callable[[Any], ErrorDetails | None]
"""What is wrong with a part of a field, were it all that the field holds."""


def read(kind: type[PayloadT], data: bytes) -> tuple[PayloadT, tuple[str, ...]]:
    """A payload, and the names of those of its fields that could not be read, or not wholly.

    Of a list or an object, the elements that can be read stay; of too long a text, its beginning.

    Raises pydantic's ValidationError where a required field, or the whole, is not what it must be.
    """
    # Whoever writes JSON on Windows may begin with one; JSON itself knows none.
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return kind.model_validate_json(data), ()
    except ValidationError:
        document = _document(data)
        if document is None:
            raise
    given = _by_field(kind, document)
    needed = {name: value for name, value in given.items() if kind.model_fields[name].is_required()}
    kind.model_validate(needed)
    readable, left_out = dict(needed), []
    for name in given.keys() - needed.keys():
        part = _readable(given[name], _problem(kind, needed, name))
        if part is not _NOTHING:
            readable[name] = part
        if part is not given[name]:
            left_out.append(name)
    return kind.model_validate(readable), tuple(sorted(left_out))


def _document(data: bytes) -> dict[str, Any] | None:
    """The JSON object, by the reader that takes half characters and deep nesting as well; None where there is none."""
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _by_field(kind: type[Payload], document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document gives for each field, under whichever of the field's names comes first."""
    given = {}
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        names = [*alias.choices, name] if isinstance(alias, AliasChoices) else [name]
        found = next((key for key in names if isinstance(key, str) and key in document), None)
        if found is not None:
            given[name] = document[found]
    return given


def _problem(kind: type[Payload], needed: Mapping[str, Any], name: str) -> Problem:
    looks = 0

    def problem(part: Any) -> ErrorDetails | None:
        nonlocal looks
        looks += 1
        if looks > LOOKS:
            return _SPENT
        try:
            kind.model_validate({**needed, name: part})
        except ValidationError as error:
            return first_problem(error)
        return None

    return problem


def _readable(part: Any, problem: Problem, depth: int = DEPTH) -> Any:
    """As much of a part as has no problem, or `_NOTHING`."""
    if problem(part) is None:
        return part
    if depth:
        part = _readable_within(part, problem, depth - 1)
    found = problem(part)
    if found is not None and found["type"] in ("too_long", "string_too_long"):
        part = _beginning(part, found["ctx"]["max_length"])
        found = problem(part)
    return part if part and found is None else _NOTHING


def _readable_within(part: Any, problem: Problem, depth: int) -> Any:
    """A list or an object with as much of each item as has no problem; anything else as it is."""
    if isinstance(part, list):
        items = (_readable(item, lambda alone: problem([alone]), depth) for item in part[:LOOKS])
        return [item for item in items if item is not _NOTHING]
    if isinstance(part, dict):
        entries = ((name, _readable(item, _named(name, problem), depth)) for name, item in islice(part.items(), LOOKS))
        return {name: item for name, item in entries if item is not _NOTHING}
    return part


def _named(name: str, problem: Problem) -> Problem:
    return lambda alone: problem({name: alone})


def _beginning(part: Any, length: int) -> Any:
    return dict(islice(part.items(), length)) if isinstance(part, dict) else part[:length]
