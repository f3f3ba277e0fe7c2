"""Which language a text is in, as far as recognition asks: Chinese and English are read, of all else the name is told.

Words of one language mean another thing in another: 手紙 is a letter in Japanese, and Gift is poison in German.
"""

import re
from collections.abc import Iterable
from functools import cache

from functions.derive_prompt.vocabulary import table

READ = frozenset({"zh", "en", "yue", "cmn"})
_LANGUAGES = table("languages")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[a-z\u00df-\u024f\u1e00-\u1eff]+")
_ACCENTED = re.compile("[\u00df-\u024f\u1e00-\u1eff]")
_BEYOND_LATIN = re.compile("[\u0370-\u1cff\u3041-\u30ff\uac00-\ud7af\ufb50-\ufdff\ufe70-\uff9f]")
_SHARE = 0.25
"""Of letters that are not Latin: a Japanese title is half Chinese characters, a Chinese one may hold a maker's kana."""
_SMALL_WORDS = 2


def foreign_language(texts: Iterable[str], locale: str | None) -> str | None:
    """The language or script of normalised texts where it is clearly neither Chinese nor English, else None.

    Of Latin letters a locale says it only together with an accent or a small word: merchants leave locales as they are.
    """
    text = " ".join(texts)
    foreign = is_foreign(locale)
    if _BEYOND_LATIN.search(text) is not None and (script := _script(text, 0.0 if foreign else _SHARE)) is not None:
        return script
    words = set(_LATIN.findall(text))
    told = {name: len(words & small) for name, small in _small_words().items()}
    best = max(told, key=lambda name: told[name])
    if told[best] >= _SMALL_WORDS and _is_mostly_latin(text):
        return best
    if foreign and (told[best] or _ACCENTED.search(text)):
        return locale
    return None


def is_foreign(locale: str | None) -> bool:
    """Whether a locale names a language that is not read."""
    return locale is not None and re.split(r"[-_]", locale.lower(), maxsplit=1)[0] not in READ


def _script(text: str, share: float) -> str | None:
    letters = sum(1 for letter in _LETTER.findall(text) if not _LATIN.match(letter))
    for name, characters in _scripts().items():
        if len(characters.findall(text)) > share * letters:
            return name
    return None


def _is_mostly_latin(text: str) -> bool:
    letters = _LETTER.findall(text)
    return sum(1 for letter in letters if _LATIN.match(letter)) > len(letters) / 2


@cache
def _scripts() -> dict[str, re.Pattern[str]]:
    return {name: re.compile(f"[{characters}]") for name, characters in _LANGUAGES["scripts"].items()}


@cache
def _small_words() -> dict[str, frozenset[str]]:
    return {name: frozenset(words) for name, words in _LANGUAGES["small_words"].items()}
