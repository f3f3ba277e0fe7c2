"""What a field of a model takes, in words for whoever sets it: from its type and bounds, or as `Wanted` says it.

What pydantic says of a wrong value names patterns and parsers, and what it was given may be a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Wanted:
    """In a field's Annotated type: what it takes, as the object of "give ..."."""

    words: str


def wanted(field: FieldInfo) -> str:
    """What to give, e.g. "a whole number from 1 to 64"."""
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, rules: Iterable[Any]) -> str:
    rules = _flat(rules)
    told = next((rule.words for rule in rules if isinstance(rule, Wanted)), None)
    if told is not None:
        return told
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return _words(annotation, [*rules, *more])
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    some = [one for one in get_args(annotation) if one is not type(None)]
    if some:
        return _words(some[0], rules)
    if annotation in (int, float):
        return f"{'a whole number' if annotation is int else 'a number'}{_bounds(rules)}"
    return {bool: "true or false", Path: "the path of a file"}.get(annotation, "text")


def _flat(rules: Iterable[Any]) -> list[Any]:
    """A `Field` among the rules holds rules of its own."""
    return [one for rule in rules for one in (rule.metadata if isinstance(rule, FieldInfo) else [rule])]


def _bounds(rules: Iterable[Any]) -> str:
    found = {
        name: getattr(rule, name) for rule in rules for name in ("ge", "gt", "le", "multiple_of") if hasattr(rule, name)
    }
    least = found.get("ge")
    most = found.get("le")
    parts = []
    if least is not None and most is not None:
        parts.append(f" from {_plain(least)} to {_plain(most)}")
    elif least is not None:
        parts.append(f" of {_plain(least)} or more")
    elif "gt" in found:
        parts.append(f" above {_plain(found['gt'])}")
    if "multiple_of" in found:
        parts.append(f", a multiple of {_plain(found['multiple_of'])}")
    return "".join(parts)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
