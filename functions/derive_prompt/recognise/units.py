"""Units: a clause's words, with what each is listed as. Listed words of several tokens are one unit."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from functions.derive_prompt.recognise.kinds import Ending, Meaning, plain_form, vocabulary
from functions.derive_prompt.recognise.text import Clause, Segmenter, Token, has_chinese


class Unit(NamedTuple):
    """A stretch of a clause: a kind's word, an ending, a word that is no kind, or any other word."""

    start: int
    end: int
    text: str
    meaning: Meaning | None
    ending: Ending | None
    tag: str


_LONGEST_WORD_TOKENS = 6


def units_of(text: str, clause: Clause) -> list[Unit]:
    """The clause's words, listed ones of several tokens as one: rightmost, longest. What a compound is, its end says,
    so that a word in the middle belongs to the one behind it: hen, egg cups."""
    tokens = _segmenter().tokens(text, clause)
    units: list[Unit] = []
    end = len(tokens)
    while end:
        for size in range(min(_LONGEST_WORD_TOKENS, end), 0, -1):
            unit = _listed_unit(text, tokens[end - size : end])
            if unit is not None:
                break
        else:
            size, unit = 1, Unit(*tokens[end - 1][:3], None, None, tokens[end - 1].tag)
        units.append(unit)
        end -= size
    return units[::-1]


def _listed_unit(text: str, tokens: list[Token]) -> Unit | None:
    """The tokens as one listed word, None where they are none."""
    if not is_run(tokens, text):
        return None
    words = vocabulary()
    start, end = tokens[0].start, tokens[-1].end
    word = plain_form(text[start:end])
    if word in words.not_a_kind:
        return Unit(start, end, word, None, None, "not")
    meaning, ending = words.meaning(word), words.endings.get(word)
    return None if meaning is None and ending is None else Unit(start, end, word, meaning, ending, tokens[0].tag)


def is_run(tokens: Sequence[Token | Unit], text: str) -> bool:
    """Whether nothing but spaces and hyphens stands between the tokens."""
    return all(text[left.end : right.start].strip(" -'") == "" for left, right in pairwise(tokens))


@cache
def _segmenter() -> Segmenter:
    words = vocabulary()
    # In the order of the files, and so the same in every process.
    listed = dict.fromkeys((*words.words, *words.endings, *sorted(words.not_a_kind)))
    return Segmenter([word for word in listed if has_chinese(word) and " " not in word])
