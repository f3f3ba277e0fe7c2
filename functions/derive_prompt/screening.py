"""What may not become a clip, and what may not shape a prompt. Decided by words alone, before any GPU time."""

import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from functions.derive_prompt.recognise.matcher import Matcher
from functions.derive_prompt.recognise.text import is_plain_word, normalised
from shared.events import Product, Reason

_TABLE = tomllib.loads(resources.files("functions.derive_prompt").joinpath("screening.toml").read_text("utf-8"))

VERSION: str = _TABLE["version"]


class _Rule(NamedTuple):
    code: str


_prohibited: Matcher[_Rule | None] = Matcher(
    [
        *((word, None) for group in _TABLE["prohibited"].values() for word in group["allowed"]),
        *((word, _Rule(group["code"])) for group in _TABLE["prohibited"].values() for word in group["words"]),
    ]
)
_absolute: Matcher[bool] = Matcher(
    [
        *((word, False) for word in _TABLE["absolute"]["allowed"]),
        *((word, True) for word in _TABLE["absolute"]["words"]),
    ]
)
_RUNNING_TEXT = frozenset({"features", "brief", "attributes", "specifications"})
# Within the clause: few Chinese characters, or some English words and what is listed between them.
_KEPT_OFF = re.compile(
    rf"(?:{'|'.join(_TABLE['kept_off']['zh'])})[^\s,.;:!?。，；：！？]{{0,6}}\Z"
    rf"|\b(?:{'|'.join(_TABLE['kept_off']['en'])})\b[^.;:!?\n]{{0,40}}\Z"
)
_KEPT_OFF_REACH = 64
_refused: Matcher[None] = Matcher((word, None) for word in _TABLE["refused"]["words"])


def screen(product: Product) -> tuple[Reason, ...]:
    """Why this product gets no clip: one reason for each code, in the order of the fields. Empty: it may have one."""
    if not any(_has_prohibited(text) for _, text in _texts(product)):
        return ()
    reasons: dict[str, Reason] = {}
    for field, text in _texts(product):
        plain = normalised(text)
        for found in _prohibited.find_all(plain):
            if found.value is None or found.value.code in reasons:
                continue
            if field not in _RUNNING_TEXT or not _is_kept_off(plain, found.start):
                reasons[found.value.code] = Reason(
                    code=found.value.code,
                    message=f"{field} says {found.word!r}; goods and content of this kind get no clip ({VERSION})",
                    field=field,
                )
    return tuple(reasons.values())


def _is_kept_off(text: str, start: int) -> bool:
    """Whether what stands at `start` is said to be kept away or taken out: 请远离香烟、火源."""
    return _KEPT_OFF.search(text[max(0, start - _KEPT_OFF_REACH) : start]) is not None


def makes_absolute_claim(text: str) -> bool:
    """Whether a normalised text holds an absolute word of advertising law outside its allowed contexts."""
    return any(found.value for found in _absolute.find_all(text))


def may_be_quoted(word: str) -> bool:
    """Whether a word that no vocabulary knows may stand in a prompt: letters only, no brand, claim or instruction."""
    return (
        is_plain_word(word)
        and not _refused.hits(word)
        and not makes_absolute_claim(word)
        and not any(found.value for found in _prohibited.find_all(word))
    )


# Catalogues repeat themselves: the same texts come again with every update of price or stock.
@lru_cache(maxsize=2048)
def _has_prohibited_cached(text: str) -> bool:
    return any(found.value for found in _prohibited.find_all(normalised(text)))


CACHED_LENGTH = 4096
"""Longer texts are read each time, so that the memory of what was read stays below 2048 x 4096 characters."""


def _has_prohibited(text: str) -> bool:
    check = _has_prohibited_cached if len(text) <= CACHED_LENGTH else _has_prohibited_cached.__wrapped__
    return check(text)


def _texts(product: Product) -> list[tuple[str, str]]:
    """Everything the merchant wrote, with the field it stands in."""
    texts = [("name", product.name)]
    for field in ("category", "keywords", "features", "color", "material"):
        texts += [(field, text) for text in getattr(product, field)]
    if product.brief:
        texts.append(("brief", product.brief))
    for field, values in (("attributes", product.attributes), ("specifications", product.specifications)):
        texts += [(field, text) for texts_of in values.values() for text in texts_of]
    return texts
