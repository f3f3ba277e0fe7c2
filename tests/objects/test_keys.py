"""Which keys pass, and that those come back from a store as they are."""

import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.objects import ObjectStore
from shared.objects.keys import check_key, check_prefix
from shared.settings import ObjectSettings

TRICKS = [
    "",
    "/",
    "/etc/passwd",
    "a//b",
    "a/",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a\tb",
    "a\x7fb",
    "\x1b[2J",
    "a\x85b",
    "a\u2028b",
    "a\ufffe",
    "\ud800",
    "a/" + "b" * 256,
    "a/" + "品" * 86,
    "/".join(["c" * 200] * 6),
    "/".join(["品" * 80] * 5),
]

SCRIPTS = [
    "uploads/商品.jpg",
    "uploads/صورة المنتج.jpg",
    "uploads/e\u0301te\u0301.jpg",
    "uploads/\u00e9t\u00e9.jpg",
    "uploads/👩\u200d👧.png",
    "uploads/\ufeffa\u202eb\u00a0",
    "uploads/" + "品" * 85,
]

ODD = "videos/a b+c%2f%2e%2e&=?#~!*'()[]{}|\"<>^`$,;:@.json"


@pytest.mark.parametrize("key", TRICKS, ids=ascii)
def test_a_path_trick_is_refused_before_the_store_is_asked(key: str, tmp_path: Path) -> None:
    # Port 1 answers nobody: a request would be a TemporaryError.
    store = ObjectStore(ObjectSettings(endpoint="127.0.0.1:1", secure=False))
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for use in (
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.put_new(key, b"x", "text/plain"),
        lambda: store.put_file_new(key, file, "text/plain"),
        lambda: store.download(key, tmp_path / "got"),
        lambda: store.url(key),
    ):
        with pytest.raises(PermanentError) as refused:
            use()
        assert refused.value.reason == "bad-key"
        assert str(refused.value).isascii()
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("prefix", ["..", "../", "/", "a//", "a/../", "\0", "a\\"], ids=ascii)
def test_a_prefix_that_no_key_has_is_refused(prefix: str) -> None:
    with pytest.raises(PermanentError, match="object key"):
        check_prefix(prefix)


@given(
    st.lists(st.text(string.ascii_letters + string.digits + "-_. %+&", min_size=1, max_size=60), min_size=1, max_size=8)
)
def test_a_key_passes_when_every_segment_is_a_name(segments: list[str]) -> None:
    key = "/".join(segments)
    if any(segment in (".", "..") for segment in segments):
        with pytest.raises(PermanentError):
            check_key(key)
    else:
        check_key(key)
        check_prefix(key + "/")


@given(st.text(max_size=40))
def test_no_text_makes_the_check_fail_otherwise(key: str) -> None:
    try:
        check_key(key)
    except PermanentError:
        pass  # and no other error, whatever the text
    else:
        assert len(key.encode()) <= 1024
        assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, key))
        assert "\\" not in key
        assert all(segment not in ("", ".", "..") for segment in key.split("/"))


@pytest.mark.parametrize(
    "key", [ODD, *SCRIPTS, "a" * 255 + "/" + "b" * 255, "/".join(["c" * 200] * 5) + "/" + "d" * 19], ids=ascii
)
def test_an_odd_or_long_key_means_the_same_to_the_store(store: ObjectStore, key: str) -> None:
    assert store.put_new(key, key.encode(), "text/plain")
    assert store.get(key) == key.encode()
    assert [found.key for found in store.list()] == [key]
