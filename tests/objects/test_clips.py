"""A clip is kept whatever a store does for a moment, and is there only while all of its files are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from pydantic import SecretStr

from functions.derive_prompt import SpecMaker
from functions.derive_prompt.recognise.understanding import visible_fields
from shared.clips import STORING_ATTEMPTS, ClipRecord, ClipStore, closed_url
from shared.errors import TemporaryError, Unavailable, UnreadableRecord
from shared.objects import ObjectStore
from shared.settings import ObjectSettings, Settings
from tests.objects.faulty_server import answering, http_answer
from tests.prompts.conftest import MANIFEST, product
from tests.prompts.conftest import record as record_of


class Faltering(ObjectStore):
    """Fails the first so many writes, as a store does that is restarted."""

    failures = 0
    writes = 0

    def put_new(self, *args: Any, **kwargs: Any) -> bool:
        self.writes += 1
        if self.writes <= self.failures:
            raise Unavailable("503")
        return super().put_new(*args, **kwargs)


@pytest.fixture
def objects(object_store: ObjectSettings) -> Faltering:
    made = Faltering(object_store)
    made.check()
    return made


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def clips(objects: Faltering, waits: list[float]) -> ClipStore:
    return ClipStore(objects, sleep=waits.append)


@pytest.fixture
def kept(clips: ClipStore, tmp_path: Path) -> ClipRecord:
    """A clip in the store, with its files."""
    return keep(clips, tmp_path)


def keep(clips: ClipStore, folder: Path, content: str = "a" * 64) -> ClipRecord:
    record = record_of(SpecMaker(Settings(), MANIFEST).derive(visible_fields(product())).spec)
    files = []
    for name, file in (("mp4", record.master), ("jpg", record.poster)):
        path = folder / f"drawn.{name}"
        path.write_bytes(content.encode())
        key, _ = clips.keep_file(record.video_id, path, content, "video/mp4")
        files.append(file.model_copy(update={"key": key}))
    return clips.keep_record(record.model_copy(update={"master": files[0], "poster": files[1]}))


@pytest.mark.parametrize("failures", [1, STORING_ATTEMPTS - 1])
def test_storing_is_tried_again_for_a_while(
    clips: ClipStore, objects: Faltering, waits: list[float], tmp_path: Path, failures: int
) -> None:
    objects.failures = failures
    keep(clips, tmp_path)
    assert len(waits) == failures
    assert sum(waits) < 15


def test_a_store_that_stays_away_is_said_to_be(clips: ClipStore, objects: Faltering, tmp_path: Path) -> None:
    objects.failures = 100
    with pytest.raises(Unavailable, match="503"):
        keep(clips, tmp_path)
    assert objects.writes == STORING_ATTEMPTS


def test_what_cannot_be_mended_by_waiting_is_tried_once(clips: ClipStore, waits: list[float], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        clips.keep_file("a" * 64, tmp_path / "nothing.mp4", "a" * 64, "video/mp4")
    assert waits == []


def test_files_named_by_their_content_may_be_cached_for_ever(object_store: ObjectSettings, kept: ClipRecord) -> None:
    signing = ObjectStore(object_store.model_copy(update={"presign_seconds": 60}))
    for key in kept.keys():
        answer = urllib3.request("GET", signing.url(key), retries=False)
        assert answer.headers["Cache-Control"] == "max-age=31536000, immutable"
    record = urllib3.request("GET", signing.url(f"videos/{kept.video_id}/record.json"), retries=False)
    assert "Cache-Control" not in record.headers


@pytest.mark.parametrize("which", [lambda kept: kept.master.key, lambda kept: kept.poster.key], ids=["clip", "poster"])
def test_a_record_whose_file_is_gone_counts_as_none(
    clips: ClipStore, kept: ClipRecord, which: Callable[[ClipRecord], str]
) -> None:
    assert clips.find(kept.video_id) is not None
    clips.objects.delete(which(kept))
    assert clips.find(kept.video_id) is None


def put_record(clips: ClipStore, video_id: str, stored: bytes) -> None:
    key = f"videos/{video_id}/record.json"
    clips.objects.delete(key)
    assert clips.objects.put_new(key, stored, "application/json")


GARBAGE: dict[str, Callable[[ClipRecord], bytes]] = {
    "nothing": lambda kept: b"",
    "a page": lambda kept: b"<html>hello</html>",
    "zeros": lambda kept: bytes(1000),
    "no UTF-8": lambda kept: b"\xff" * 100,
    "cut off": lambda kept: kept.model_dump_json().encode()[:-40],
    "a list": lambda kept: b"[]",
    "an object": lambda kept: b"{}",
    "too deep": lambda kept: b"[" * 100_000,
    "a long number": lambda kept: b"9" * 5000,
    "too large": lambda kept: b" " * 1_200_000,
    "another's record": lambda kept: kept.model_copy(update={"video_id": "b" * 64}).model_dump_json().encode(),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_the_next_clip_takes_the_place_of_garbage_and_holds(
    clips: ClipStore, kept: ClipRecord, tmp_path: Path, garbage: Callable[[ClipRecord], bytes], waits: list[float]
) -> None:
    put_record(clips, kept.video_id, garbage(kept))
    assert clips.find(kept.video_id) is None
    again = keep(clips, tmp_path, "b" * 64)
    assert clips.find(kept.video_id) == clips.addressed(again)
    late = keep(clips, tmp_path, "c" * 64)
    assert list(late.keys()) == list(again.keys()) != list(kept.keys())
    assert waits == []


def test_of_two_that_replace_garbage_the_first_one_decides(
    clips: ClipStore, kept: ClipRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_record(clips, kept.video_id, b"garbage")
    replace = ObjectStore.replace
    quick: list[ClipRecord] = []

    def overtaken(store: ObjectStore, *args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(ObjectStore, "replace", replace)
        quick.append(keep(clips, tmp_path, "c" * 64))
        return replace(store, *args, **kwargs)

    monkeypatch.setattr(ObjectStore, "replace", overtaken)
    slow = keep(clips, tmp_path, "b" * 64)
    assert list(slow.keys()) == list(quick[0].keys())


FOREIGN: dict[str, Callable[[dict[str, Any]], None]] = {
    "another outcome": lambda record: record.update(outcome="archived"),
    "a field less": lambda record: record.pop("seed"),
    "a field of another type": lambda record: record.update(label="cn"),
    "another spec": lambda record: record["spec"].update(prompt="something else"),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_the_record_of_another_release_is_waited_for_and_never_replaced(
    clips: ClipStore, kept: ClipRecord, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    record = json.loads(kept.model_dump_json())
    change(record)
    stored = json.dumps(record).encode()
    put_record(clips, kept.video_id, stored)
    for use in (lambda: clips.find(kept.video_id), lambda: keep(clips, tmp_path, "b" * 64)):
        with pytest.raises(
            UnreadableRecord, match=r"none that this release .* can read \(.*\); upgrade .* or delete the"
        ):
            use()
    assert clips.objects.get(f"videos/{kept.video_id}/record.json") == stored


def test_the_next_clip_takes_the_place_of_a_record_whose_file_is_gone(
    clips: ClipStore, kept: ClipRecord, tmp_path: Path
) -> None:
    clips.objects.delete(kept.master.key)
    again = keep(clips, tmp_path, "b" * 64)
    found = clips.find(kept.video_id)
    assert found is not None
    assert list(found.keys()) == list(again.keys()) != list(kept.keys())


def test_equal_bytes_make_a_record_whole_again(clips: ClipStore, kept: ClipRecord, tmp_path: Path) -> None:
    clips.objects.delete(kept.master.key)
    keep(clips, tmp_path)
    found = clips.find(kept.video_id)
    assert found is not None
    assert list(found.keys()) == list(kept.keys())


def test_of_two_that_replace_a_record_the_first_one_decides(
    clips: ClipStore, kept: ClipRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the slow one's look and its writing, the quick one has replaced the record."""
    clips.objects.delete(kept.master.key)
    replace = ObjectStore.replace
    quick: list[ClipRecord] = []

    def overtaken(store: ObjectStore, *args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(ObjectStore, "replace", replace)
        quick.append(keep(clips, tmp_path, "c" * 64))
        return replace(store, *args, **kwargs)

    monkeypatch.setattr(ObjectStore, "replace", overtaken)
    slow = keep(clips, tmp_path, "b" * 64)
    assert list(slow.keys()) == list(quick[0].keys())


def test_nothing_is_replaced_but_what_was_seen(objects: Faltering) -> None:
    objects.put_new("record.json", b"first", "application/json")
    facts = objects.head("record.json")
    assert facts is not None
    assert objects.replace("record.json", b"second", "application/json", etag=facts.etag)
    assert not objects.replace("record.json", b"third", "application/json", etag=facts.etag)
    assert objects.get("record.json") == b"second"
    assert not objects.replace("gone.json", b"x", "application/json", etag=facts.etag)
    assert objects.get("gone.json") is None


def test_a_record_that_comes_and_goes_is_tried_again(
    clips: ClipStore, kept: ClipRecord, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.objects.delete(kept.master.key)
    monkeypatch.setattr(ObjectStore, "replace", lambda *_, **__: False)
    with pytest.raises(TemporaryError, match="trying again"):
        keep(clips, tmp_path, "b" * 64)
    assert len(waits) == STORING_ATTEMPTS - 1


def told_of(clips: ClipStore) -> str | None:
    trial = clips.try_url()
    assert trial is not None
    return closed_url(trial)


def test_urls_that_nobody_can_open_are_told_once_as_soon_as_there_is_one(
    clips: ClipStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips.warn_of_closed_urls()
    assert (clips.try_url(), caplog.text) == (None, "")
    record = keep(clips, tmp_path)
    clips.warn_of_closed_urls()
    keep(clips, tmp_path)
    (told,) = caplog.messages
    assert f"{record.master.key} answers 403 to who has no credentials; set SKUREEL_OBJECTS__PRESIGN_SECONDS" in told
    assert told_of(clips) == told


def test_urls_that_open_are_not_spoken_of(
    object_store: ObjectSettings, kept: ClipRecord, caplog: pytest.LogCaptureFixture
) -> None:
    signing = ClipStore(ObjectStore(object_store.model_copy(update={"presign_seconds": 60})))
    signing.warn_of_closed_urls()
    away = ClipStore(ObjectStore(object_store.model_copy(update={"public_url": "http://127.0.0.1:1/video"})))
    away.warn_of_closed_urls()
    assert (told_of(signing), told_of(away)) == (None, None)
    assert "nobody can open" not in caplog.text


def test_a_public_url_that_leads_elsewhere_is_told(object_store: ObjectSettings, kept: ClipRecord) -> None:
    with answering(http_answer("404 Not Found", b"")) as other:
        changes = {"public_url": f"http://{other.endpoint}/video"}
        told = told_of(ClipStore(ObjectStore(object_store.model_copy(update=changes))))
    assert told is not None
    assert f"http://{other.endpoint}/video/{kept.master.key} answers 404" in told


def test_a_signed_url_is_told_without_its_signature(object_store: ObjectSettings, kept: ClipRecord) -> None:
    store = ObjectStore(object_store)
    foreign = object_store.model_copy(update={"presign_seconds": 60, "secret_key": SecretStr("another")})
    store._addresses = ObjectStore(foreign)._addresses
    told = told_of(ClipStore(store))
    assert told is not None
    assert "X-Amz-Signature" not in told
