"""From product.created to video.ready: everything but the drawing is what runs in production."""

import hashlib
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from functions.cli.demo import run_demo
from functions.cli.products_file import ProductsFile
from functions.render_video.encoding import probe
from functions.render_video.labels import read_label
from shared.errors import ConfigurationError
from shared.events import Event, Product, Reason, VideoRejected
from shared.events.cloudevents import to_kafka, to_structured
from shared.kafka import Publisher, create_topics, list_dead_letters
from shared.settings import KafkaSettings, Settings
from tests.painting import FRAMES, Painter

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
HEADPHONES = {"name": "无线蓝牙降噪耳机", "color": "黑色"}
PRODUCTS: list[dict[str, Any]] = [
    {"product_id": "black", **HEADPHONES, "features": ["主动降噪", "续航30小时"]},
    {"product_id": "black-too", **HEADPHONES, "features": ["续航60小时"], "brand": "X", "price": "999"},
    {"product_id": "white", **HEADPHONES, "color": "白色"},
    {"product_id": "mug", "name": "Ceramic Coffee Mug", "color": "red", "category": ["Kitchen"]},
    {"product_id": "../../%2f<script>", "name": '<img src=x onerror="alert(1)">😀\u202e杯子', "color": "蓝色"},
]


def products_file(folder: Path, products: list[dict[str, Any]]) -> ProductsFile:
    file = folder / "products.jsonl"
    file.write_text("\n".join(map(json.dumps, products)), encoding="utf-8")
    return ProductsFile(file)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.timeout(180)
def test_every_product_gets_a_clip_and_lookalikes_share_one(
    settings: Settings, painter: Painter, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = run_demo(settings, products_file(tmp_path, PRODUCTS), None, out)
    assert outcome.everything_answered
    ready = {
        event["data"]["product_id"]: event["data"]
        for event in lines(out / "events.jsonl")
        if event["type"] == "video.ready"
    }
    assert set(ready) == {product["product_id"] for product in PRODUCTS}

    assert ready["black"]["video_id"] == ready["black-too"]["video_id"]
    assert {ready["black"]["cache_hit"], ready["black-too"]["cache_hit"]} == {True, False}
    assert len({data["video_id"] for data in ready.values()}) == len(painter.specs) - 1 == 4

    for data in ready.values():
        clip = out / "videos" / f"{data['video_id']}.mp4"
        assert hashlib.sha256(clip.read_bytes()).hexdigest() == data["master"]["sha256"]
        assert clip.stat().st_size == data["master"]["size_bytes"]
        assert probe(clip).frames == data["master"]["frames"] == FRAMES
        label = read_label(clip)
        assert label is not None
        assert label.produce_id == data["label"]["produce_id"]
        assert data["master"]["key"].startswith(f"videos/{data['video_id']}/")
        poster = out / "videos" / f"{data['video_id']}.jpg"
        assert hashlib.sha256(poster.read_bytes()).hexdigest() == data["poster"]["sha256"]


@pytest.mark.timeout(180)
def test_an_embedded_broker_that_is_slow_is_no_news(
    settings: Settings,
    painter: Painter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unheard = itertools.cycle((True, False))
    monkeypatch.setattr("shared.kafka.mends.is_unheard", lambda _: next(unheard))
    alone = settings.model_copy(update={"kafka": KafkaSettings()})
    assert run_demo(alone, products_file(tmp_path, PRODUCTS[:1]), None, tmp_path / "out").everything_answered
    assert "the group" not in caplog.text


@pytest.mark.timeout(180)
def test_a_second_run_draws_nothing(settings: Settings, painter: Painter, tmp_path: Path) -> None:
    file = products_file(tmp_path, PRODUCTS[:3])
    run_demo(settings, file, None, tmp_path / "out")
    drawn = len(painter.specs)
    again = run_demo(settings, file, None, tmp_path / "out")
    assert again.everything_answered
    assert again.counts == {"shared": 3}
    # One more request was the new worker warming up.
    assert len(painter.specs) == drawn + 1


@pytest.mark.timeout(180)
def test_the_page_shows_hostile_products_as_text(settings: Settings, painter: Painter, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_demo(settings, products_file(tmp_path, PRODUCTS[-1:]), None, out)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert [path.name for path in (out / "videos").iterdir() if "script" in path.name] == []


@pytest.mark.timeout(180)
def test_an_event_that_a_file_holds_twice_is_answered_twice(
    settings: Settings, painter: Painter, tmp_path: Path
) -> None:
    event = Event("product.created", "/shop", "e-1", Product(product_id="SKU-1", name="红色陶瓷马克杯"), NOW)
    file = tmp_path / "twice.jsonl"
    file.write_bytes(to_structured(event) + b"\n" + to_structured(event) + b"\n")
    outcome = run_demo(settings, ProductsFile(file), None, tmp_path / "out")
    assert outcome.counts == {"rendered": 1, "shared": 1}


def test_a_demo_takes_product_events_only(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = VideoRejected(product_id="SKU-1", stage="screening", reasons=(Reason(code="x", message="x"),))
    file = tmp_path / "answers.jsonl"
    file.write_bytes(to_structured(Event("video.rejected", "/shop", "e-1", refusal, NOW)) + b"\n")
    with pytest.raises(ConfigurationError, match="holds no product"):
        run_demo(settings, ProductsFile(file), None, tmp_path / "out")
    assert "line 1: a video.rejected holds no product" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        run_demo(settings, products_file(tmp_path, PRODUCTS), 1, tmp_path / "file" / "out")


@pytest.mark.timeout(180)
def test_bad_records_stop_nobody(settings: Settings, painter: Painter, tmp_path: Path) -> None:
    """Records that no producer should send lie among good ones; each becomes a dead letter with its exact bytes."""
    create_topics(settings.kafka)
    good = next(products_file(tmp_path, PRODUCTS[:1]).lines("product.created", source="/test"))
    headers = to_kafka(good.event).headers
    without_id = [(name, raw) for name, raw in headers if name != "ce_id"]
    bad: dict[str, tuple[bytes | None, list[tuple[str, bytes]]]] = {
        "tombstone": (None, headers),
        "not-a-cloudevent": (b"{}", []),
        "no-id": (b'{"product_id": "1", "name": "x"}', without_id),
        "invalid-json": (b'{"product_id"', headers),
        "invalid-utf8": (b'{"product_id": "1", "name": "\xff"}', headers),
        "invalid-data": (b'{"product_id": "a\\u0000", "name": "x"}', headers),
        "too-large": (b'{"product_id": "1", "name": "' + b"x" * (2 << 20) + b'"}', headers),
    }
    topic = settings.kafka.topic_prefix + "product.created"
    with Publisher(settings.kafka) as publisher:
        for reason, (value, with_headers) in bad.items():
            publisher.publish_raw(topic, reason.encode(), value, with_headers)
    outcome = run_demo(settings, products_file(tmp_path, PRODUCTS), None, tmp_path / "out")
    assert outcome.everything_answered
    letters = {letter.story.reason: letter for letter in list_dead_letters(settings.kafka)}
    assert set(letters) == set(bad)
    for reason, (value, _) in bad.items():
        assert letters[reason].value == value
        assert letters[reason].key == reason.encode()


@pytest.mark.timeout(180)
def test_a_product_that_becomes_a_dead_letter_is_told_from_one_that_is_lost(
    settings: Settings, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(seed: int, index: int) -> Any:
        raise ZeroDivisionError("the painter is broken")

    out = tmp_path / "out"
    good = painter.paint

    def paint(seed: int, index: int) -> Any:
        # The warm-up is drawn; the clip is not.
        return good(seed, index) if seed == 0 else broken(seed, index)

    monkeypatch.setattr(painter, "paint", paint)
    monkeypatch.setattr("functions.cli.demo.QUIET_SECONDS", 0.2)
    outcome = run_demo(settings, products_file(tmp_path, PRODUCTS[:1]), None, out)
    assert not outcome.everything_answered
    assert outcome.counts == {"dead letter": 1}
    assert "the painter is broken" in (outcome.journeys[0].dead_letter or "")
