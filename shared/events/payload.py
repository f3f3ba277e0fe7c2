"""What all payloads share: immutability, unknown fields ignored, and the kinds of text that may travel."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def _printable(text: str) -> str:
    """Refuse what no catalogue means: C0 and C1 controls other than tab and line ends, and lone surrogates."""
    for character in text:
        code = ord(character)
        if (code < 0x20 and character not in "\t\n\r") or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000:
            raise ValueError(f"control character U+{code:04X} is not allowed")
    return text


def _one_line(text: str) -> str:
    for character in "\t\n\r":
        if character in text:
            raise ValueError(f"control character U+{ord(character):04X} is not allowed")
    return _printable(text)


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
