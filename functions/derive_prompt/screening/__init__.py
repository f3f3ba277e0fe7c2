"""What may not become a clip, what a person must see first, and what may not shape a prompt. Decided by words alone,
before any GPU time.

Here: the words (`screening.toml`), when they count (`rules`), and how they hide (`disguises`). Not here: what merchants
are told (`refusals`).
"""

import re
import tomllib
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from functions.derive_prompt.recognise.matcher import Found, Matcher
from functions.derive_prompt.recognise.text import is_plain_word, normalised
from functions.derive_prompt.screening.disguises import Disguises, Reading
from functions.derive_prompt.screening.rules import Denials, Rules
from shared.events import Product

_TABLE = tomllib.loads(resources.files(__name__).joinpath("screening.toml").read_text("utf-8"))

VERSION: str = _TABLE["version"]

GROUPS: dict[str, tuple[str, str]] = {
    group["code"]: (group["en"], group["zh"]) for kind in ("prohibited", "review") for group in _TABLE[kind].values()
}
"""What the goods of each code are called, in English and Chinese."""

_denials = Denials(_TABLE["denied"]["before"], _TABLE["denied"]["behind"])
_prohibited = Rules(_TABLE["prohibited"].values(), _denials)
_review = Rules(_TABLE["review"].values(), _denials)
_claims = Rules(_TABLE["claims"].values())
_refused: Matcher[None] = Matcher((word, None) for words in _TABLE["refused"].values() for word in words)
_disguises = Disguises((*_prohibited.words, *_claims.words), _TABLE["disguises"])

_RUNNING_TEXT = frozenset({"features", "brief", "attributes", "specifications"})
# Within the clause: few Chinese characters, or some English words and what is listed between them.
_KEPT_OFF = re.compile(
    rf"(?:{'|'.join(_TABLE['kept_off']['zh'])})[^\s,.;:!?。，；：！？]{{0,6}}\Z"
    rf"|\b(?:{'|'.join(_TABLE['kept_off']['en'])})\b[^.;:!?\n]{{0,40}}\Z"
)
_KEPT_OFF_REACH = 64
_BRAND_FIELDS = frozenset({"brand", "品牌", "vendor"})
_COLOUR_FIELDS = frozenset({"color", "colour", "颜色", "顏色", "花色", "主要颜色", "颜色分类"})
_COLOURS = frozenset(_TABLE["colours"]["words"])


class Finding(NamedTuple):
    """A word of a group, and the product's field that says it."""

    code: str
    field: str
    word: str


def screen(product: Product) -> tuple[Finding, ...]:
    """Why this product gets no clip: one finding for each code, in the order of the fields. Empty: it may have one."""
    return _findings(product, _says_prohibited, _prohibited)


def licensed(product: Product) -> tuple[Finding, ...]:
    """What may belong to somebody else, so that a person looks at the clip first. Nothing where its brand is stated."""
    brands = " ".join(
        normalised(text)
        for field, texts in product.attributes.items()
        if field.lower() in _BRAND_FIELDS
        for text in texts
    )
    return tuple(found for found in _findings(product, _says_licensed, _review) if found.word not in brands)


def makes_claim(text: str) -> bool:
    """Whether a text promises what advertising law forbids: to be the best, to heal, to pay."""
    return _claims.hits(_disguises.readings(text))


def may_be_quoted(word: str) -> bool:
    """Whether a word that no vocabulary knows may stand in a prompt: letters only, no brand, claim or instruction."""
    if not is_plain_word(word) or _refused.hits(word):
        return False
    return not any(rules.hits([Reading(word)]) for rules in (_claims, _prohibited, _review))


def _findings(product: Product, says: Callable[[str], bool], rules: Rules) -> tuple[Finding, ...]:
    texts = _texts(product)
    if not any(says(text) for _, text in texts):
        return ()
    findings: dict[str, Finding] = {}
    for field, text in texts:
        for reading in _disguises.readings(text):
            for found in rules.find(reading):
                if not _is_excused(field, reading.text, found):
                    findings.setdefault(found.value, Finding(found.value, field, found.word))
    return tuple(findings.values())


def _is_excused(field: str, text: str, found: Found[str]) -> bool:
    """Whether a word stands where it means something else: a colour's name, or what a running text keeps off."""
    if field == "color":
        return found.word in _COLOURS
    return field in _RUNNING_TEXT and _is_kept_off(text, found.start)


def _is_kept_off(text: str, start: int) -> bool:
    """Whether what stands at `start` is said to be kept away or taken out: 请远离香烟、火源."""
    return _KEPT_OFF.search(text[max(0, start - _KEPT_OFF_REACH) : start]) is not None


CACHED_LENGTH = 4096
"""Longer texts are read each time, so that the memory of what was read stays below 2048 x 4096 characters."""


def _remembered(rules: Rules) -> Callable[[str], bool]:
    """Whether a text says anything of these rules. Catalogues repeat themselves with every update of price or stock."""

    def says(text: str) -> bool:
        return rules.hits(_disguises.readings(text))

    cached = lru_cache(maxsize=2048)(says)
    return lambda text: cached(text) if len(text) <= CACHED_LENGTH else says(text)


_says_prohibited = _remembered(_prohibited)
_says_licensed = _remembered(_review)


def _texts(product: Product) -> list[tuple[str, str]]:
    """Everything the merchant wrote, with the field it stands in."""
    texts = [("name", product.name)]
    for field in ("category", "keywords", "features", "color", "material"):
        texts += [(field, text) for text in getattr(product, field)]
    if product.brief:
        texts.append(("brief", product.brief))
    for field, values in (("attributes", product.attributes), ("specifications", product.specifications)):
        for name, texts_of in values.items():
            place = "color" if name.lower() in _COLOUR_FIELDS else field
            texts += [(place, text) for text in texts_of]
    return texts
