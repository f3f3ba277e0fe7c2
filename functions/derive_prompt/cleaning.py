"""Catalogue text made comparable: one width, one case, no markup, no invisible characters, simplified Chinese."""

import html
import re
import unicodedata

from functions.derive_prompt.vocabulary import table

# Zero-width and bidirectional controls, soft hyphens, variation selectors: they only ever hide or split words.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Of lower-case text: a letter follows the bracket, so that "<5 kg" opens nothing that a later ">" could close.
_TAG = re.compile(r"<[/!]?[a-z-][^<>]{0,300}>")
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile("[\u4e00-\u9fffA-Za-z]+(?:[ -][A-Za-z]+)*")
_SIMPLIFIED = str.maketrans(table("traditional")["characters"])
_TRADITIONAL = re.compile(f"[{''.join(table('traditional')['characters'])}]")

NAME_LIMIT = 300
"""Characters of a text that are looked at: what a name has not said by then, it does not mean."""


def normalised(text: str) -> str:
    """Text for matching: NFKC, lower case, tags and invisible characters gone, traditional characters simplified."""
    plain = html.unescape(text) if "&" in text else text
    if plain.isascii():
        plain = plain.lower()
    else:
        plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", plain)).lower().replace("’", "'")
        if _TRADITIONAL.search(plain):
            plain = plain.translate(_SIMPLIFIED)
    if "<" in plain:
        plain = _TAG.sub(" ", plain)
    return plain


def has_chinese(text: str) -> bool:
    """Whether a text holds any Chinese character."""
    return _CJK.search(text) is not None


def is_plain_word(text: str) -> bool:
    """Whether a text is Chinese and Latin letters only, with single spaces or hyphens between Latin words."""
    return _WORD.fullmatch(text) is not None
