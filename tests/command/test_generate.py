"""`skureel generate`: what it writes, what it refuses before it draws, and how its clips are numbered."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from functions.cli.command import main
from functions.cli.generate import frames_for
from functions.render_video.encoding import probe
from functions.render_video.labels import read_label, read_poster_label
from model_store.manifest import write_manifest
from model_store.wan.sampler import SamplerConfig
from shared.settings import describe, load_settings
from tests.painting import FPS, FRAMES, HEIGHT, MANIFEST, WIDTH, Painter, studio


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Painter:
    """Draws instead of an engine, in a bare environment and an empty folder."""
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)
    write_manifest(tmp_path, MANIFEST)
    monkeypatch.setenv("SKUREEL_MODEL__NAME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    drawing = Painter()
    monkeypatch.setattr("functions.cli.generate.open_studio", lambda _settings, _folder: studio(drawing))
    return drawing


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("generate", *arguments), catch_exceptions=False)


def produce_id(*arguments: str) -> str:
    assert generate(*arguments, "-o", "numbered.mp4").exit_code == 0
    label = read_label(Path("numbered.mp4"))
    assert label is not None
    return label.produce_id


def test_a_clip_and_its_poster_are_written_and_labelled(painter: Painter) -> None:
    result = generate("a red mug", "-o", "new/folder/mug.MP4")
    assert result.exit_code == 0, result.stderr
    assert f"new/folder/mug.MP4: {WIDTH}x{HEIGHT}, {FRAMES} frames at {FPS} fps" in result.stderr
    clip = Path("new/folder/mug.MP4")
    assert probe(clip).frames == FRAMES
    assert read_label(clip) == read_poster_label(Path("new/folder/mug.jpg").read_bytes()) is not None
    assert (painter.specs[0].prompt, painter.specs[0].seed, painter.closed) == ("a red mug", 42, True)


def test_different_clips_have_different_numbers_and_the_same_clip_has_one(painter: Painter, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "blue.png")
    asked = [
        ("a red mug",),
        ("a blue car",),
        ("a red mug", "--seed", "43"),
        ("a red mug", "--steps", "3"),
        ("a red mug", "--fps", "13"),
        ("a red mug", "--negative-prompt", "text"),
        ("a red mug", "--image", "red.png"),
        ("a red mug", "--image", "blue.png"),
    ]
    numbers = [produce_id(*arguments) for arguments in asked]
    assert len(set(numbers)) == len(asked)
    assert produce_id("a red mug") == numbers[0]


@pytest.mark.parametrize("name", ["c.jpg", "c.JPG", "c", "c.mp4.png", "c.webm"])
def test_a_file_that_is_no_mp4_is_refused_before_drawing(name: str, painter: Painter) -> None:
    result = generate("a mug", "-o", name)
    assert (result.exit_code, painter.specs) == (2, [])
    assert "ends in .mp4" in result.stderr
    assert not Path(name).exists()


def test_a_place_that_cannot_be_written_is_refused_before_drawing(painter: Painter, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    (tmp_path / "clip.jpg").mkdir()
    for output in ("file/clip.mp4", "clip.mp4", "/proc/none/clip.mp4"):
        result = generate("a mug", "-o", output)
        assert (result.exit_code, painter.specs) == (2, []), output
        assert "cannot be written" in result.stderr
        assert "give -o another place" in result.stderr
    assert not (tmp_path / "clip.mp4").exists()


def test_an_earlier_clip_is_kept_until_the_new_one_is_drawn(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"earlier")

    def broken(*_: object) -> None:
        raise RuntimeError("the device fell off the bus")

    monkeypatch.setattr(painter, "generate", broken)
    with pytest.raises(RuntimeError, match="fell off"):
        generate("a mug", "-o", "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == b"earlier"
    assert not (tmp_path / "clip.jpg").exists()
    assert painter.closed


def test_the_photo_is_never_overwritten_by_the_poster(painter: Painter, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "mug.jpg")
    before = (tmp_path / "mug.jpg").read_bytes()
    result = generate("a mug", "--image", "mug.jpg", "-o", "mug.mp4")
    assert (result.exit_code, painter.specs) == (2, [])
    assert "would be overwritten" in result.stderr
    assert (tmp_path / "mug.jpg").read_bytes() == before


@pytest.mark.parametrize("size", ["0x0", "128x0", "100x96", "128", "128x", "x96", "-32x32", "²x32", "9" * 5000 + "x32"])
def test_a_size_that_cannot_be_drawn_is_refused(size: str, painter: Painter) -> None:
    result = generate("a mug", "-o", "clip.mp4", "--size", size)
    assert (result.exit_code, painter.specs) == (2, [])
    assert "not WIDTHxHEIGHT" in result.stderr


def test_what_is_asked_for_goes_before_the_models_own(
    painter: Painter,
) -> None:
    arguments = (
        "--size",
        "128x96",
        "--seconds",
        "0.4",
        "--fps",
        "20",
        "--steps",
        "7",
        "--guidance",
        "0",
        "--seed",
        "0",
    )
    assert generate("a mug", "-o", "clip.mp4", *arguments).exit_code == 0
    (asked,) = painter.specs
    assert (asked.width, asked.height, asked.frames, asked.steps) == (128, 96, 9, 7)
    assert (asked.guidance, asked.seed) == (0, 0)
    assert probe(Path("clip.mp4")).fps == 20


def test_a_clip_that_no_model_draws_is_refused_before_the_model_is_loaded(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.cli.generate.open_studio", None)
    for asked, told in (
        (("--seconds", "60"), "frames 721: "),
        (("--size", "2048x1024"), "2048x1024 are more than"),
        (("--seed", str(2**63)), "--seed"),
    ):
        result = generate("a mug", "-o", "clip.mp4", *asked)
        assert result.exit_code == 2
        assert told in result.stderr


def test_a_photo_that_cannot_be_read_is_named(painter: Painter, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    (tmp_path / "text.jpg").write_text("no picture")
    for name, told in (("cut.png", "is damaged"), ("text.jpg", "is no JPEG, PNG or WebP")):
        result = generate("a mug", "--image", name, "-o", "clip.mp4")
        assert (result.exit_code, painter.specs) == (1, [])
        assert f"{name} {told}; " in result.stderr


def test_a_photo_that_the_disk_does_not_give_is_named(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mug.png").touch()

    def broken(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", broken)
    result = generate("a mug", "--image", "mug.png", "-o", "clip.mp4")
    assert (result.exit_code, painter.specs) == (2, [])
    assert "mug.png cannot be read: Input/output error; give --image another file" in result.stderr


@pytest.mark.parametrize(("levels", "steps", "guidance"), [((), 50, 5.0), ((1000.0, 757.0, 522.0), 3, 1.0)])
def test_a_checkpoint_that_was_never_imported_is_drawn_as_it_was_trained(
    levels: tuple[float, ...],
    steps: int,
    guidance: float,
    painter: Painter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "manifest.json").unlink()
    sampler = SamplerConfig("few-step" if levels else "unipc", timesteps=levels)
    monkeypatch.setattr("model_store.wan.checkpoint.Checkpoint.open", lambda _: SimpleNamespace(sampler=sampler))
    assert generate("a mug", "-o", "clip.mp4", "--size", "128x96", "--seconds", "0.2").exit_code == 0
    assert [(spec.steps, spec.guidance) for spec in painter.specs] == [(steps, guidance)]


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(3, 24, 73), (0.01, 24, 1), (1, 16, 17), (5, 24, 121)])
def test_a_length_becomes_4n_plus_1_frames(seconds: float, fps: int, frames: int) -> None:
    assert frames_for(seconds, fps) == frames
