"""What all payloads share: immutability, unknown fields ignored, and the kinds of text that may travel."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

# C0 and C1 controls other than tab and line ends, and lone surrogates: what no catalogue means.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_UNPRINTABLE_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Letters and symbols by their category, yet drawn as nothing: Hangul fillers and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _printable(text: str) -> str:
    return _without(_UNPRINTABLE, text)


def _one_line(text: str) -> str:
    return _without(_UNPRINTABLE_OR_BREAK, text)


def _without(refused: re.Pattern[str], text: str) -> str:
    if text.isprintable():
        return text
    found = refused.search(text)
    if found is not None:
        raise ValueError(f"control character U+{ord(found[0]):04X} is not allowed")
    return text


def _visible(text: str) -> str:
    for character in text:
        if unicodedata.category(character)[0] in "LNPS" and character not in _BLANK:
            return text
    raise ValueError("no visible character in it")


Visible = AfterValidator(_visible)
"""For a text that people look at, or look things up by: spaces and invisible marks alone do not fill it."""

Identifier = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256), AfterValidator(_one_line)
]
"""A name that somebody else chose: one line, bounded, otherwise free. Never used as an object key."""

ShortText = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_printable)]
LongText = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_printable)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Payload(BaseModel):
    """The `data` of an event. Unknown fields are ignored, so that producers may be newer than consumers."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
