"""What crashes and lost races leave behind is found and deleted, and nothing else."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from functions.cli.command import main
from shared.clips import ClipRecord, ClipStore
from shared.errors import Unavailable
from shared.leftovers import Leftover, Leftovers
from shared.objects import ObjectFacts, ObjectStore
from shared.objects.multipart import Upload
from shared.settings import ObjectSettings
from tests.objects.faulty_server import answering, http_answer
from tests.objects.test_clips import keep

LATER = datetime.now(UTC) + timedelta(hours=2)
"""A moment before which everything that a test stores was stored."""


@pytest.fixture
def clips(store: ObjectStore) -> ClipStore:
    return ClipStore(store)


@pytest.fixture
def kept(clips: ClipStore, tmp_path: Path) -> ClipRecord:
    return keep(clips, tmp_path)


def found(clips: ClipStore, before: datetime = LATER) -> list[Leftover]:
    return list(Leftovers(clips).find(before))


def file(clips: ClipStore, video_id: str, name: str) -> str:
    key = f"videos/{video_id}/{name}"
    clips.objects.put_new(key, b"left over", "video/mp4")
    return key


def test_files_that_no_record_names_are_left_over(clips: ClipStore, kept: ClipRecord) -> None:
    lost_race = file(clips, kept.video_id, "e" * 64 + ".mp4")
    crashed = file(clips, "f" * 64, "e" * 64 + ".jpg")
    assert {(one.key, one.size_bytes) for one in found(clips)} == {(lost_race, 9), (crashed, 9)}


@pytest.mark.parametrize(
    "name", ["record.json", "notes.txt", "E" * 64 + ".mp4", "e" * 63 + ".mp4", f"x/{'e' * 64}.mp4", "e" * 64]
)
def test_what_is_not_named_as_ours_is_left_alone(clips: ClipStore, kept: ClipRecord, name: str) -> None:
    file(clips, "f" * 64, name)
    clips.objects.put_new("photos/" + "a" * 64, b"x", "image/png")
    clips.objects.put_new("uploads/" + "a" * 64 + ".mp4", b"x", "image/png")
    assert found(clips) == []


def test_what_is_young_may_be_at_work(clips: ClipStore) -> None:
    file(clips, "f" * 64, "e" * 64 + ".mp4")
    upload = Upload.begin(clips.objects._client, clips.objects._bucket, "videos/x.mp4", {"Content-Type": "video/mp4"})
    assert found(clips, datetime.now(UTC) - timedelta(minutes=30)) == []
    upload.give_up()


def test_unfinished_uploads_of_clips_are_left_over(clips: ClipStore) -> None:
    for key in ("videos/1/a.mp4", "models/a.safetensors"):
        Upload.begin(clips.objects._client, clips.objects._bucket, key, {"Content-Type": "video/mp4"}).add(b"x")
    leftovers = Leftovers(clips)
    (one,) = leftovers.find(LATER)
    assert (one.key, one.size_bytes) == ("videos/1/a.mp4", None)
    leftovers.remove(one)
    leftovers.remove(one)
    assert [upload.key for upload in clips.objects.open_uploads()] == ["models/a.safetensors"]


def test_a_video_whose_record_cannot_be_read_is_left_alone_and_told(clips: ClipStore) -> None:
    file(clips, "f" * 64, "e" * 64 + ".mp4")
    clips.objects.put_new(f"videos/{'f' * 64}/record.json", b"{}", "application/json")
    leftovers = Leftovers(clips)
    assert list(leftovers.find(LATER)) == []
    assert leftovers.unreadable == ["f" * 64]


def test_a_store_that_stops_answering_ends_the_search(clips: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no record: whoever takes it for one deletes what is in use."""
    file(clips, "f" * 64, "e" * 64 + ".mp4")
    with answering(http_answer("404 Not Found", b"<html/>", headers=("Content-Type: text/html",))) as settings:
        monkeypatch.setattr(clips, "recorded", ClipStore(ObjectStore(settings)).recorded)
        with pytest.raises(Unavailable):
            found(clips)


def test_memory_does_not_grow_with_the_bucket() -> None:
    count = 100_000

    class Large(ObjectStore):
        def list(self, prefix: str = "") -> Iterator[ObjectFacts]:
            for number in range(count):
                key = f"{prefix}{number // 10:064x}/{number:064x}.mp4"
                yield ObjectFacts(key, 1, "", modified=datetime.min.replace(tzinfo=UTC))

        def get(self, key: str, **_: object) -> bytes | None:
            return None

        def open_uploads(self) -> Iterator[object]:  # type: ignore[override]
            return iter(())

    leftovers = Leftovers(ClipStore(Large(ObjectSettings(endpoint="store:9000"))))
    tracemalloc.start()
    try:
        assert sum(1 for _ in leftovers.find(LATER)) == count
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def sweep(settings: ObjectSettings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    for name in ("endpoint", "access_key", "bucket"):
        monkeypatch.setenv(f"SKUREEL_OBJECTS__{name.upper()}", str(getattr(settings, name)))
    assert settings.secret_key is not None
    monkeypatch.setenv("SKUREEL_OBJECTS__SECRET_KEY", settings.secret_key.get_secret_value())
    monkeypatch.setenv("SKUREEL_OBJECTS__SECURE", "false")
    return CliRunner().invoke(main, ["store", "sweep", *arguments])


def test_the_command_says_what_it_would_delete_and_deletes_when_told_to(
    object_store: ObjectSettings, clips: ClipStore, kept: ClipRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = file(clips, "f" * 64, "e" * 64 + ".mp4")
    told = sweep(object_store, monkeypatch)
    assert (told.exit_code, told.stdout) == (0, "")
    monkeypatch.setattr("functions.cli.store.timedelta", lambda hours: timedelta(hours=hours - 100))
    told = sweep(object_store, monkeypatch)
    assert f"{key}  9 bytes" in told.stdout
    assert "1 file, 0.0 MB, and 0 unfinished uploads left over; --delete removes them" in told.stderr
    assert clips.objects.head(key) is not None
    assert "deleted" in sweep(object_store, monkeypatch, "--delete").stderr
    assert clips.objects.head(key) is None
    assert clips.find(kept.video_id) is not None
