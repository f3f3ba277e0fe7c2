"""A vocabulary is found leftmost and longest, Latin words whole, Chinese ones anywhere; whatever the text."""

from hypothesis import given
from hypothesis import strategies as st

from functions.derive_prompt.recognise.matcher import Matcher


def words_in(text: str, *words: str) -> list[str]:
    return [found.word for found in Matcher((word, None) for word in words).find_all(text)]


def test_the_longest_word_wins_where_several_begin() -> None:
    assert words_in("手机壳和手机", "手机", "手机壳", "壳") == ["手机壳", "手机"]
    assert words_in("wine glass and wine", "wine", "wine glass") == ["wine glass", "wine"]


def test_a_latin_word_counts_only_whole() -> None:
    assert words_in("teapot steam tea", "tea") == ["tea"]
    assert words_in("wine glasswork", "wine glass") == []
    assert words_in("卡通t恤xl码", "t恤", "xl") == ["t恤", "xl"]


def test_a_chinese_word_counts_anywhere() -> None:
    assert words_in("100%棉质四件套abc", "四件套", "棉质") == ["棉质", "四件套"]


def test_words_never_overlap() -> None:
    assert words_in("毛线绣球", "毛线绣", "绣球") == ["毛线绣"]


def test_the_first_meaning_of_a_word_holds() -> None:
    matcher = Matcher([("锅", 1), ("锅", 2)])
    assert matcher.get("锅") == 1


def test_an_empty_vocabulary_finds_nothing() -> None:
    assert words_in("anything 任何") == []


alphabet = "ab 手机壳-"


@given(st.text(alphabet, max_size=30), st.lists(st.text("ab手机壳", min_size=1, max_size=3), max_size=6))
def test_it_finds_what_a_plain_search_finds(text: str, words: list[str]) -> None:
    matcher = Matcher((word, None) for word in words)
    expected, position = [], 0
    while position < len(text):
        best = max((word for word in words if _stands_at(text, word, position)), key=len, default=None)
        if best is None:
            position += 1
        else:
            expected.append((position, best))
            position += len(best)
    assert [(found.start, found.word) for found in matcher.find_all(text)] == expected
    assert matcher.hits(text) == bool(expected)
    assert len(matcher.without(text)) == len(text) - sum(len(word) for _, word in expected)


def _stands_at(text: str, word: str, position: int) -> bool:
    def cut(left: str, right: str) -> bool:
        return left.isascii() and left.isalnum() and right.isascii() and right.isalnum()

    end = position + len(word)
    starts_whole = position == 0 or not cut(text[position - 1], word[0])
    ends_whole = end >= len(text) or not cut(word[-1], text[end])
    return text.startswith(word, position) and starts_whole and ends_whole
