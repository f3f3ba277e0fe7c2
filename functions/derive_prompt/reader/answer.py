"""A reader's answer: for each slot what it says, with the words of the product that say so. Pure."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from shared.errors import TemporaryError
from shared.validation import described

LIMIT_BYTES = 64 * 1024
"""Of an answer as it comes; one that fills every slot has a tenth."""
_MOST = 4
"""Entries of a slot that are looked at."""
_LONGEST = 200
"""Characters of an entry that are looked at. What is cut is no word of a colour or a thing any more."""
_THOUGHTS = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


class UnusableAnswer(TemporaryError):
    """The reader answered, and not as it was asked to: no JSON, another form, too long, a refusal."""


def _cut(value: object) -> object:
    return value[:_LONGEST] if isinstance(value, str) else value


def _few(value: object) -> object:
    return value[:_MOST] if isinstance(value, list | tuple) else value


Text = Annotated[str, BeforeValidator(_cut)]


class Said(BaseModel):
    """One entry: what is said, in the reader's word, and the product's own words for it."""

    model_config = ConfigDict(frozen=True)

    value: Text
    words: Text


Entries = Annotated[tuple[Said, ...], BeforeValidator(_few)]


class Answer(BaseModel):
    """What the reader found in a product's text. Bounded; not yet believed."""

    model_config = ConfigDict(frozen=True)

    kind: Entries
    colours: Entries
    materials: Entries
    patterns: Entries
    parts: Entries
    audience: Entries


SLOTS = tuple(Answer.model_fields)
NOTHING = Answer(kind=(), colours=(), materials=(), patterns=(), parts=(), audience=())
"""The answer of a reader that found nothing, and what stands for one that cannot be used: the rules decide."""


def parse(text: str) -> Answer:
    """The answer in a reader's text, which may have thoughts before it and a fence about it. Raises UnusableAnswer."""
    found = _OBJECT.search(_THOUGHTS.sub("", text))
    if found is None:
        raise UnusableAnswer("the reader's answer holds no JSON object")
    try:
        return Answer.model_validate_json(found[0])
    except ValidationError as error:
        raise UnusableAnswer(f"the reader's answer is not of the form asked for: {described(error)}") from error
