"""A clip says that it was generated: a mark that can be seen on anything, and metadata in the finished file."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from functions.render_video.encoding import encode_clip, encode_poster
from functions.render_video.ffmpeg import ffmpeg_path
from functions.render_video.labels import MARK, AigcLabel, Labeller, read_label, read_poster_label, verify_label
from functions.render_video.labels import __file__ as labels_file
from shared.errors import PermanentError
from shared.events import Label
from shared.settings import RenderSettings
from tests.rendering.drawn import Clip, turntable

SIZES = [(128, 96), (256, 192), (640, 480), (480, 832), (1280, 704)]
PRODUCE_ID = f"{'5eed' * 8}-1234567890123456789"
BACKGROUNDS = ["white", "black", "grey", "busy"]


@pytest.fixture
def labeller() -> Labeller:
    return Labeller("cn", "skureel")


def background(kind: str, width: int, height: int) -> Clip:
    if kind == "busy":
        y, x = np.mgrid[:height, :width]
        return np.where(((x // 5 + y // 5) % 2 == 1)[..., None], [250, 220, 60], [20, 20, 25]).astype(np.uint8)
    return np.full((height, width, 3), {"white": 255, "black": 0, "grey": 128}[kind], np.uint8)


def ink(labeller: Labeller, width: int, height: int) -> np.ndarray:
    """Where the letters are: on white and on black they are the same white."""
    black, white = (labeller.mark(background(kind, width, height)) for kind in ("black", "white"))
    return (black[..., 0] >= 192) & (white[..., 0] >= 192)


def letters(mask: np.ndarray) -> list[np.ndarray]:
    """Rows of ink of what stands apart from left to right: A, I, and the parts of the characters."""
    columns = np.flatnonzero(mask.any(axis=0))
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return [np.flatnonzero(mask[:, group].any(axis=1)) for group in groups]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_letter_is_five_percent_of_the_shortest_side_high(labeller: Labeller, width: int, height: int) -> None:
    """GB 45438-2025, 5.4, taken strictly: the ink, not the em square; the lowest letter, not the line."""
    mask = labeller.mark(background("black", width, height))[..., 0] >= 128
    first, *others = letters(mask)
    assert len(first) >= 0.05 * min(width, height)
    rows = np.concatenate(others)
    assert rows.max() - rows.min() + 1 >= 0.05 * min(width, height)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_mark_is_legible_and_small_beside_the_product(labeller: Labeller, width: int, height: int) -> None:
    mask = labeller.mark(background("white", width, height))[..., 0] < 255
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert rows.max() - rows.min() >= 11, "Chinese characters need eleven rows"
    assert rows.max() < 0.25 * height
    assert columns.max() < 0.4 * width
    assert min(rows.min(), columns.min()) > 0


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_the_mark_stands_out_on_any_background_from_the_first_frame_to_the_last(
    labeller: Labeller, tmp_path: Path, kind: str, width: int, height: int
) -> None:
    frame = background(kind, width, height)
    frames = 26
    path = tmp_path / "clip.mp4"
    clip = (labeller.mark(frame) for _ in range(frames))
    encode_clip(clip, path, width=width, height=height, fps=12, tags=labeller.tags(PRODUCE_ID))
    shown = subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-i", str(path), "-vf", "scale=in_color_matrix=bt709:in_range=tv"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
        ],
        capture_output=True,
        check=True,
    ).stdout
    decoded = np.frombuffer(shown, np.uint8).reshape(frames, height, width, 3)
    mask = ink(labeller, width, height)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    around = ~grown(mask)[box]
    for index in (0, frames // 2, frames - 1):
        luminance = relative_luminance(decoded[index])[box]
        contrast = (np.median(luminance[mask[box]]) + 0.05) / (np.median(luminance[around]) + 0.05)
        assert contrast >= 4.5


def grown(mask: np.ndarray) -> np.ndarray:
    """The letters with the soft pixels of their outline."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.logical_or.reduce([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)])


def relative_luminance(frame: Clip) -> np.ndarray:
    """WCAG 2.2, of sRGB."""
    share = frame / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_marking_changes_the_corner_alone_and_never_the_frame_given(labeller: Labeller) -> None:
    frame = turntable(256, 192, 2)[0]
    kept = frame.copy()
    marked = labeller.mark(frame)
    assert np.array_equal(frame, kept)
    assert np.array_equal(marked[48:], frame[48:])
    assert np.array_equal(marked[:, 85:], frame[:, 85:])
    assert not np.array_equal(marked, frame)


def test_the_same_frame_gets_the_same_mark(labeller: Labeller) -> None:
    frame = turntable(256, 192, 2)[0]
    assert np.array_equal(labeller.mark(frame), Labeller("cn", "someone-else").mark(frame))


def test_the_metadata_only_profile_leaves_pictures_alone() -> None:
    frame = turntable(128, 96, 2)[0]
    labeller = Labeller("metadata-only", "skureel")
    assert np.array_equal(labeller.mark(frame), frame)
    assert "AIGC" in labeller.tags(PRODUCE_ID)


def test_a_picture_too_small_for_the_mark_is_refused(labeller: Labeller) -> None:
    with pytest.raises(PermanentError, match=r"needs .* pixels"):
        labeller.mark(np.zeros((32, 32, 3), np.uint8))


def test_the_profiles_are_those_of_the_settings() -> None:
    for profile in ("cn", "metadata-only"):
        assert RenderSettings.model_validate({"label_profile": profile}).label_profile == Labeller(profile, "x").profile
    with pytest.raises(PermanentError) as caught:
        Labeller("none", "skureel")
    assert caught.value.reason == "unknown-label-profile"


def test_the_font_has_the_marks_letters_and_its_licence_beside_it() -> None:
    folder = Path(labels_file).parent
    font = ImageFont.truetype(folder / "label_font.otf", 40)
    missing = drawn(font, "\u9f98")
    assert all(not np.array_equal(drawn(font, letter), missing) for letter in MARK + "人工智能合成")
    assert "SIL OPEN FONT LICENSE" in (folder / "label_font.OFL.txt").read_text("utf-8")


def drawn(font: ImageFont.FreeTypeFont, letter: str) -> np.ndarray:
    image = Image.new("L", (80, 80))
    ImageDraw.Draw(image).text((20, 10), letter, fill=255, font=font)
    return np.asarray(image)


def test_the_label_has_the_seven_fields_of_annex_e_in_order_without_spaces(labeller: Labeller) -> None:
    text = labeller.tags("id-7")["AIGC"]
    assert text == (
        '{"Label":"1","ContentProducer":"skureel","ProduceID":"id-7","ReservedCode1":"",'
        '"ContentPropagator":"skureel","PropagateID":"id-7","ReservedCode2":""}'
    )
    assert labeller.label("id-7") == Label(profile="cn", produce_id="id-7")


@pytest.mark.parametrize("value", ["云影科技", "two words", 'quo"te', "back\\slash", "line\nend", "é"])
def test_values_outside_annex_e_are_refused(value: str) -> None:
    with pytest.raises(PermanentError, match="not printable ASCII") as caught:
        AigcLabel.generated(value, "id")
    assert caught.value.reason == "invalid-label"


def file_with(tmp_path: Path, tags: dict[str, str]) -> Path:
    path = tmp_path / "clip.mp4"
    encode_clip(turntable(128, 96, 2), path, width=128, height=96, fps=12, tags=tags)
    return path


def test_a_written_label_is_read_back_from_the_finished_file(tmp_path: Path, labeller: Labeller) -> None:
    path = file_with(tmp_path, labeller.tags(PRODUCE_ID))
    assert read_label(path) == AigcLabel("1", "skureel", PRODUCE_ID, "", "skureel", PRODUCE_ID, "")
    labeller.verify(path, PRODUCE_ID)


def test_other_tools_read_the_label_too(tmp_path: Path, labeller: Labeller) -> None:
    path = file_with(tmp_path, labeller.tags(PRODUCE_ID))
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("AIGC="))
    assert json.loads(line.removeprefix("AIGC=").replace("\\", ""))["ProduceID"] == PRODUCE_ID


def test_a_wrapped_label_is_read_as_well(tmp_path: Path, labeller: Labeller) -> None:
    bare = labeller.tags("id-7")["AIGC"]
    path = file_with(tmp_path, {"AIGC": f'{{"AIGC":{bare}}}'})
    labeller.verify(path, "id-7")


def test_a_file_without_a_label_does_not_pass(tmp_path: Path, labeller: Labeller) -> None:
    path = file_with(tmp_path, {})
    assert read_label(path) is None
    with pytest.raises(PermanentError, match="no AIGC label") as caught:
        labeller.verify(path, "id-7")
    assert caught.value.reason == "missing-label"


def test_a_file_with_two_labels_does_not_pass(tmp_path: Path, labeller: Labeller) -> None:
    text = labeller.tags("id-7")["AIGC"]
    path = file_with(tmp_path, {"AIGC": text, "com.example.AIGC": text})
    with pytest.raises(PermanentError, match="2 AIGC labels") as caught:
        labeller.verify(path, "id-7")
    assert caught.value.reason == "invalid-label"


def test_a_label_hidden_behind_a_repeated_key_is_counted(tmp_path: Path, labeller: Labeller) -> None:
    """A mapping would show one of the two; the boxes show both."""
    text = labeller.tags("id-7")["AIGC"]
    path = file_with(tmp_path, {"AIGC": text, "BIGC": text})
    path.write_bytes(path.read_bytes().replace(b"mdtaBIGC", b"mdtaAIGC"))
    with pytest.raises(PermanentError, match="2 AIGC labels"):
        read_label(path)


def test_another_clips_label_does_not_pass(tmp_path: Path, labeller: Labeller) -> None:
    path = file_with(tmp_path, labeller.tags("id-7"))
    with pytest.raises(PermanentError, match=r"not .*id-8"):
        labeller.verify(path, "id-8")
    with pytest.raises(PermanentError, match="someone-else"):
        verify_label(path, AigcLabel.generated("someone-else", "id-7"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"Label":"1"}',
        '{"Label":1,"ContentProducer":"a","ProduceID":"b","ReservedCode1":"","ContentPropagator":"a","PropagateID":"b",'
        '"ReservedCode2":""}',
        '{"ContentProducer":"a","Label":"1","ProduceID":"b","ReservedCode1":"","ContentPropagator":"a","PropagateID":"b",'
        '"ReservedCode2":""}',
    ],
    ids=["empty", "text", "list", "fields missing", "number", "order"],
)
def test_a_label_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        AigcLabel.from_json(text)
    assert caught.value.reason == "invalid-label"


def test_a_poster_carries_its_clips_label(labeller: Labeller) -> None:
    poster = encode_poster(labeller.mark(turntable(128, 96, 2)[0]), labeller.tags("id-7"))
    assert read_poster_label(poster) == AigcLabel.generated("skureel", "id-7")
    labeller.verify_poster(poster, "id-7")
    with pytest.raises(PermanentError, match=r"not .*id-8"):
        labeller.verify_poster(poster, "id-8")


def test_a_poster_without_a_label_does_not_pass(labeller: Labeller) -> None:
    bare = io.BytesIO()
    Image.fromarray(turntable(128, 96, 2)[0]).save(bare, "JPEG")
    for poster in (encode_poster(turntable(128, 96, 2)[0]), bare.getvalue()):
        assert read_poster_label(poster) is None
        with pytest.raises(PermanentError, match="no AIGC label"):
            labeller.verify_poster(poster, "id-7")
