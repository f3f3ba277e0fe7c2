"""Catalogue text made comparable, and cut into clauses and words.

One width, one case, no markup, no invisible characters, simplified Chinese. Chinese is segmented by jieba with the
vocabulary's words in its dictionary: 进口红酒 is 进口 and 红酒, and no lipstick (口红).
"""

import html
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

import opencc
import rjieba

# Zero-width and bidirectional controls, soft hyphens, variation selectors: they only ever hide or split words.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Of lower-case text: a letter follows the bracket, so that "<5 kg" opens nothing that a later ">" could close.
_TAG = re.compile(r"<[/!]?[a-z-][^<>]{0,300}>")
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile("[\u4e00-\u9fffA-Za-z]+(?:[ -][A-Za-z]+)*")

NAME_LIMIT = 300
"""Characters of a text that are looked at: what a name has not said by then, it does not mean."""


def normalised(text: str) -> str:
    """Text for matching: NFKC, lower case, tags and invisible characters gone, traditional characters simplified."""
    plain = html.unescape(text) if "&" in text else text
    if plain.isascii():
        plain = plain.lower()
    else:
        plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", plain)).lower().replace("’", "'")
        if has_chinese(plain):
            plain = _simplifier().convert(plain).translate(_REGIONAL)
    if "<" in plain:
        plain = _TAG.sub(" ", plain)
    return _SHORT_WITH.sub(lambda found: "without " if found[1] else "with ", plain) if "w/" in plain else plain


_SHORT_WITH = re.compile(r"\bw/(o\b)?\s*")
# Hong Kong's and Taiwan's own forms, which OpenCC's general table leaves as they are.
_REGIONAL = str.maketrans("衞枱揹簷", "卫台背檐")


@cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def has_chinese(text: str) -> bool:
    """Whether a text holds any Chinese character."""
    return _CJK.search(text) is not None


def is_plain_word(text: str) -> bool:
    """Whether a text is Chinese and Latin letters only, with single spaces or hyphens between Latin words."""
    return _WORD.fullmatch(text) is not None


_MODEL = re.compile(
    r"\b(iphone|ipad|galaxy|macbook|airpods|switch|kindle|pixel|surface|redmi|xbox|playstation|ps\d|watch)"
    r"(?:\s+(?:\d+(?:th|st|nd|rd)?[a-z]?|[sam]\d+|pro|max|plus|mini|ultra|air|se|fe|gen|generation|series|lite|note|oled|"
    r"paperwhite|edition|inch))+\b"
)


_MODEL_CODE = re.compile(r"(?<![a-z])[a-z]{2,5}-\d{3,}[a-z0-9]*")


def without_models(text: str) -> str:
    """Normalised text without what tells one model of a device from another: iPhone 15 Pro Max case is iphone case,
    and codes (BCD-216) are no words."""
    return _MODEL_CODE.sub(" ", _MODEL.sub(r"\1", text))


class Token(NamedTuple):
    """One word of a clause. `tag` is jieba's part of speech; empty for Latin words and numbers."""

    start: int
    end: int
    text: str
    tag: str


class Clause(NamedTuple):
    """A stretch of text that separators end. `aside`: it stood in brackets. `said_from`: where the phrase begins that a
    number only interrupts (fits 12-17 inch notebooks). Places are the whole text's."""

    start: int
    end: int
    aside: bool
    said_from: int


_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+|[a-z0-9]+(?:['.][a-z0-9]+)*")
_OPENING = "([{「『《<"
_BRACKET = re.compile(r"[()\[\]{}【】「」『』《》〈〉<>]")
# Chinese titles set their phrases apart by spaces, but for a Latin word before a Chinese one: airpods 保护套. English
# ones by commas, dashes, numbers: Cooling Pad 5 Quiet Fans.
_SEPARATOR = re.compile(
    r"[,，。;；|、!！?？:：\n\t~·•…—–]|(?<!\d)/|/(?!\d)|\s-\s|(?<=[\u4e00-\u9fff])\s+|(?<![a-z]{3})\s+(?=[\u4e00-\u9fff])|(?<=[a-z])\s+(?=\d)"
)


def clauses(text: str) -> Iterator[Clause]:
    """The clauses of normalised text, in order, brackets' contents by themselves."""
    aside, begin = False, 0
    for bracket in [*_BRACKET.finditer(text), None]:
        end = len(text) if bracket is None else bracket.start()
        start = said_from = begin
        for separator in [*_SEPARATOR.finditer(text, begin, end), None]:
            stop = end if separator is None else separator.start()
            if text[start:stop].strip():
                yield Clause(start, stop, aside, said_from)
            start = stop if separator is None else separator.end()
            if separator is not None and (separator[0].strip() or not text[start : start + 1].isdigit()):
                said_from = start
        if bracket is not None:
            aside, begin = bracket[0] in _OPENING or bracket[0] in "【〈", bracket.end()


class Segmenter:
    """Cuts clauses into words. Words that are added are as likely as their parts, and so stay whole.

    Their order matters, for a part that was added makes a word likelier.
    """

    def __init__(self, words: Collection[str]) -> None:
        self._jieba = rjieba.Jieba()
        self._added = frozenset(words)
        for word in words:
            self._jieba.add_word(word, max(self._jieba.suggest_freq(word), _LEAST_FREQUENCY), _VOCABULARY_TAG)

    def tokens(self, text: str, clause: Clause) -> list[Token]:
        """The words of one clause of `text`."""
        found: list[Token] = []
        for run in _RUN.finditer(text, clause.start, clause.end):
            if run[0][0].isascii():
                found.append(Token(run.start(), run.end(), run[0], ""))
                continue
            place = run.start()
            words: list[tuple[str, str]] = []
            for word, tag in self._jieba.tag(run[0], False):
                words = self._with_end(words, word, tag)
            for word, tag in words:
                found.append(Token(place, place + len(word), word, tag))
                place += len(word)
        return found

    def _with_end(self, words: list[tuple[str, str]], word: str, tag: str) -> list[tuple[str, str]]:
        """The words and one more, cut elsewhere where that makes two added words of the last two.

        龙井茶 and 叶 are 龙井 and 茶叶. A character that is left over takes from the word before what makes an added
        word of it, where a word remains: 儿童玩具 and 车 are 儿童 and 玩具车.
        """
        if not words or (word in self._added and words[-1][0] in self._added):
            return [*words, (word, tag)]
        before, before_tag = words[-1]
        both = before + word
        for cut in range(1, min(len(both), _LONGEST_RECUT)):
            left, right = both[:cut], both[cut:]
            if right in self._added and left in self._added:
                return [*words[:-1], (left, _VOCABULARY_TAG), (right, _VOCABULARY_TAG)]
            if len(word) == 1 and _SHORTEST_REST <= cut < len(before) and right in self._added and self._is_word(left):
                return [*words[:-1], (left, before_tag), (right, _VOCABULARY_TAG)]
        return [*words, (word, tag)]

    def _is_word(self, text: str) -> bool:
        return bool(self._jieba.cut(text, False) == [text])


_LONGEST_RECUT = 8
_SHORTEST_REST = 2
_LEAST_FREQUENCY = 3
_VOCABULARY_TAG = "n"
