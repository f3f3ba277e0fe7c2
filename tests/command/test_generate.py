"""`skureel generate`: what it writes, what it refuses before it draws, and how its clips are numbered."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from functions.cli.command import main
from functions.render_video.encoding import probe
from functions.render_video.labels import read_label, read_poster_label
from functions.render_video.studio import open_studio
from model_store.manifest import ModelFile, write_manifest
from model_store.sampling import SamplerConfig
from shared.settings import describe, load_settings
from tests.painting import FPS, FRAMES, HEIGHT, MANIFEST, WIDTH, Painter, studio


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Painter:
    """Draws instead of an engine, in a bare environment and an empty folder."""
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)
    write_manifest(tmp_path, MANIFEST.model_copy(update={"sizes": ((WIDTH, HEIGHT),)}))
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
    Path("new/folder").mkdir(parents=True)
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
        (("--seconds", "60"), "60 s at 12 frames a second are 721 frames, and a clip has 241 at most"),
        (("--size", "2048x1024"), "2048x1024 are more than"),
        (("--size", "640x480"), "model painted was made for 128x96; at 640x480 it draws noise"),
        (("--frames", "12"), "frames 12: frames are 4n+1, as 9 or 13"),
        (("--seconds", "1", "--frames", "13"), "give one of them"),
    ):
        result = generate("a mug", "-o", "clip.mp4", *asked)
        assert result.exit_code == 1
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


def test_a_size_that_the_model_was_not_made_for_is_drawn_when_asked_for_twice(painter: Painter) -> None:
    result = generate("a mug", "-o", "clip.mp4", "--size", "160x96", "--any-size")
    # The painter draws its own size whatever is asked, which the encoder then refuses.
    assert [(clip.width, clip.height) for clip in painter.specs] == [(160, 96)], result.stderr


def test_the_model_is_proved_and_its_revision_said(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = generate("a mug", "-o", "clip.mp4")
    assert f"model painted, revision {MANIFEST.revision[:12]}" in result.stderr
    monkeypatch.setenv("SKUREEL_MODEL__REVISION", "f" * 64)
    result = generate("a mug", "-o", "clip.mp4")
    assert result.exit_code == 2
    assert "SKUREEL_MODEL__REVISION asks for ffffffffffff" in result.stderr
    assert generate("a mug", "-o", "clip.mp4", "--model", str(tmp_path)).exit_code == 0  # the pin is the setting's
    monkeypatch.delenv("SKUREEL_MODEL__REVISION")
    (tmp_path / "weights.safetensors").write_bytes(b"abc")
    listed = ModelFile(path="weights.safetensors", sha256="0" * 64, size_bytes=3)
    write_manifest(tmp_path, MANIFEST.model_copy(update={"files": (listed,)}))
    painter.specs.clear()
    result = generate("a mug", "-o", "clip.mp4")
    assert (result.exit_code, painter.specs) == (2, [])
    assert "differs from its sha256" in result.stderr


@pytest.mark.parametrize("content", [b"a holiday picture", b"", b"\xff\xd8\xff\xe0 cut"])
def test_a_picture_that_is_not_the_clips_poster_is_kept_unless_asked(
    content: bytes, painter: Painter, tmp_path: Path
) -> None:
    (tmp_path / "mug.jpg").write_bytes(content)
    result = generate("a mug", "-o", "mug.mp4")
    assert (result.exit_code, painter.specs) == (2, [])
    assert "mug.jpg would be overwritten by the poster, and is not that of mug.mp4" in result.stderr
    assert (tmp_path / "mug.jpg").read_bytes() == content
    assert not (tmp_path / "mug.mp4").exists()
    assert generate("a mug", "-o", "mug.mp4", "--overwrite").exit_code == 0
    assert generate("a mug", "--seed", "43", "-o", "mug.mp4").exit_code == 0  # its own from before
    (tmp_path / "mug.mp4").rename(tmp_path / "kept.mp4")
    assert generate("a mug", "-o", "mug.mp4").exit_code == 2  # another clip's


def test_a_negative_prompt_that_has_no_effect_is_said(painter: Painter) -> None:
    arguments = ("a mug", "-o", "clip.mp4", "--negative-prompt", "blur")
    assert "the negative prompt has no effect at guidance 1" in generate(*arguments).stderr
    assert "negative prompt" not in generate(*arguments, "--guidance", "1.5").stderr
    assert "negative prompt" not in generate(*arguments[:3]).stderr


@pytest.mark.parametrize("command", [("generate", "a mug", "-o", "clip.mp4"), ("doctor",)])
@pytest.mark.parametrize("device", ["cuda:99", "meta", "banana"])
def test_a_device_that_is_not_there_is_named_beside_those_that_are(
    command: tuple[str, ...], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.cli.generate.open_studio", open_studio)
    monkeypatch.setenv("SKUREEL_MODEL__NAME", "tiny")
    monkeypatch.setenv("SKUREEL_MODEL__DEVICE", device)
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert f"{device} cannot be used: " in result.output
    assert "; there are cpu" in result.output
    assert result.exit_code == (2 if command[0] == "generate" else 1)


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
    sampler = SamplerConfig(kind="few-step" if levels else "unipc", timesteps=levels)
    monkeypatch.setattr("model_store.importing.Checkpoint.open", lambda _: SimpleNamespace(sampler=sampler))
    assert generate("a mug", "-o", "clip.mp4", "--size", "128x96", "--seconds", "0.2").exit_code == 0
    assert [(spec.steps, spec.guidance) for spec in painter.specs] == [(steps, guidance)]
