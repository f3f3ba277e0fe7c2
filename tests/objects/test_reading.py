"""What is put comes back whole, or not at all and with a reason."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import PermanentError, TemporaryError
from shared.objects import ObjectStore, multipart
from tests.objects.faulty_server import answering, http_answer


def test_what_is_not_there_is_none(store: ObjectStore) -> None:
    assert store.get("nothing") is None
    assert store.head("nothing") is None


def test_a_folder_is_not_an_object(store: ObjectStore) -> None:
    store.put_new("videos/1/record.json", b"{}", "application/json")
    assert store.get("videos/1") is None
    assert store.head("videos") is None


def test_facts_are_known_without_reading(store: ObjectStore) -> None:
    store.put_new("a.json", b"{}", "application/json")
    facts = store.head("a.json")
    assert facts is not None
    assert (facts.key, facts.size_bytes, facts.content_type) == ("a.json", 2, "application/json")
    assert facts.etag


def test_an_object_over_the_limit_is_refused_and_the_next_read_is_right(store: ObjectStore) -> None:
    store.put_new("large", b"a" * 300_000, "text/plain")
    store.put_new("small", b"b" * 1000, "text/plain")
    with pytest.raises(PermanentError, match="over 299999 bytes") as refused:
        store.get("large", limit_bytes=299_999)
    assert refused.value.reason == "object-too-large"
    assert store.get("small", limit_bytes=1000) == b"b" * 1000
    assert store.get("large", limit_bytes=300_000) == b"a" * 300_000


@pytest.mark.parametrize("size_bytes", [0, 1, 5 * 2**20, 5 * 2**20 + 1, 12 * 2**20])
def test_a_file_comes_back_byte_for_byte_in_one_part_or_several(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * 2**20)
    sent, received = tmp_path / "sent.mp4", tmp_path / "received.mp4"
    sent.write_bytes(random.Random(size_bytes).randbytes(size_bytes))
    assert store.put_file_new("clip.mp4", sent, "video/mp4")
    facts = store.download("clip.mp4", received)
    assert received.read_bytes() == sent.read_bytes()
    assert (facts.size_bytes, facts.content_type) == (size_bytes, "video/mp4")
    assert not store.put_file_new("clip.mp4", sent, "video/mp4")


def test_a_download_replaces_an_older_file(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    store.put_new("key", b"new", "text/plain")
    store.download("key", path)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_of_nothing_is_permanent_and_leaves_the_older_file(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(PermanentError, match="there is no object gone") as refused:
        store.download("gone", path)
    assert refused.value.reason == "missing-object"
    assert path.read_bytes() == b"old"


def test_a_truncated_answer_is_temporary_and_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with answering(http_answer("200 OK", b"x" * 1000, stated_length=5000)) as settings:
        store = ObjectStore(settings)
        with pytest.raises(TemporaryError, match="reading key"):
            store.download("key", path)
        with pytest.raises(TemporaryError, match="reading key"):
            store.get("key")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_upload_that_fails_leaves_no_parts(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * 2**20)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * (6 * 2**20))
    add = multipart.Upload.add
    seen = []

    def second_fails(upload: multipart.Upload, data: bytes) -> None:
        seen.extend(store.open_uploads())
        if len(upload._parts) == 1:
            raise OSError("the disk is gone")
        add(upload, data)

    monkeypatch.setattr(multipart.Upload, "add", second_fails)
    with pytest.raises(OSError, match="the disk is gone"):
        store.put_file_new("clip.mp4", path, "video/mp4")
    assert [upload.key for upload in seen] == ["clip.mp4"] * 2
    assert store.head("clip.mp4") is None
    assert list(store.open_uploads()) == []


def test_a_listing_has_every_key_of_a_prefix_in_order(store: ObjectStore) -> None:
    keys = [f"videos/{number:04}" for number in range(1010)]  # a page has 1,000
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda key: store.put_new(key, b"", "text/plain"), (*keys, "videosx", "photos/1")))
    assert [found.key for found in store.list("videos/")] == keys
    assert [found.key for found in store.list("videos/100")] == keys[1000:1010]
    assert [found.key for found in store.list("nothing/")] == []
    assert len(list(store.list())) == len(keys) + 2
