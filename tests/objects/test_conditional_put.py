"""An object is written once: the first one wins, and whoever comes later is told."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.objects import ObjectStore, multipart
from shared.objects import store as store_module
from shared.settings import ObjectSettings

RACERS = 4
S3_SMALLEST_PART_BYTES = 5 * 1024 * 1024


def test_the_first_object_of_a_key_stays(store: ObjectStore) -> None:
    assert store.put_new("videos/1/record.json", b"first", "application/json") is True
    assert store.put_new("videos/1/record.json", b"second", "application/json") is False
    assert store.get("videos/1/record.json") == b"first"


def test_an_empty_object_counts_as_one(store: ObjectStore) -> None:
    assert store.put_new("empty", b"", "text/plain")
    assert not store.put_new("empty", b"more", "text/plain")
    assert store.get("empty") == b""


def test_a_large_object_that_is_there_is_told_as_fast_as_a_small_one(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"x" * (store_module.LOOK_FIRST_BYTES + 1)
    assert store.put_new("large", data, "video/mp4")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the bytes were sent")

    monkeypatch.setattr(store_module, "check_stored", refuse)
    assert not store.put_new("large", data, "video/mp4")


def test_of_racing_puts_exactly_one_wins(store: ObjectStore) -> None:
    for turn in range(3):
        key = f"races/{turn}"
        won = _race(lambda number, key=key: store.put_new(key, b"%d" % number, "text/plain"))
        assert won.count(True) == 1, won
        assert store.get(key) == b"%d" % won.index(True)


@pytest.mark.connected
def test_of_racing_multipart_uploads_exactly_one_wins(
    real_minio: ObjectSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", S3_SMALLEST_PART_BYTES)
    store = ObjectStore(real_minio)
    store.check()
    files = [_file(tmp_path, number) for number in range(4)]
    for turn in range(3):
        key = f"races/{turn}"
        won = _race(lambda number, key=key: store.put_file_new(key, files[number], "video/mp4"), racers=4)
        assert won.count(True) == 1, won
        assert store.get(key) == files[won.index(True)].read_bytes()
    assert list(store.open_uploads()) == []


def test_a_multipart_upload_after_another_changes_nothing(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look before the upload is bypassed: the condition on its completion decides."""
    monkeypatch.setattr(multipart, "PART_BYTES", S3_SMALLEST_PART_BYTES)
    first, second = _file(tmp_path, 1), _file(tmp_path, 2)
    assert store.put_file_new("clip.mp4", first, "video/mp4")
    monkeypatch.setattr(store, "_facts", lambda key: None)
    assert not store.put_file_new("clip.mp4", second, "video/mp4")
    assert store.get("clip.mp4") == first.read_bytes()


def _file(folder: Path, number: int) -> Path:
    path = folder / f"{number}.mp4"
    path.write_bytes(bytes([65 + number]) * (S3_SMALLEST_PART_BYTES + 1000))
    return path


def _race(put: Callable[[int], bool], racers: int = RACERS) -> list[bool]:
    """Whether each racer won; all start at once."""
    together = threading.Barrier(racers)
    won: list[bool | Exception] = [False] * racers

    def run(number: int) -> None:
        together.wait()
        try:
            won[number] = put(number)
        except Exception as error:  # noqa: BLE001 - a thread's failure is shown by the test
            won[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(result, bool) for result in won), won
    return [bool(result) for result in won]
