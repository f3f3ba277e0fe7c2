"""Files play everywhere, are what was asked for, and come into being whole or not at all."""

import contextlib
import io
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from functions.render_video import encoding, ffmpeg, mp4
from functions.render_video.encoding import (
    RECORDED_COLOUR,
    EncodedClip,
    encode_clip,
    encode_poster,
    probe,
    sealed,
)
from functions.render_video.ffmpeg import ffmpeg_path
from shared.errors import PermanentError, TemporaryError, Unavailable
from tests.rendering.drawn import Clip, each, noisy, turntable

TAGS = {"AIGC": '{"Label":"1"}'}


def encode(clip: Clip, path: Path, fps: int = 12) -> EncodedClip:
    height, width = clip.shape[1:3]
    return sealed(path, encode_clip(each(clip), path, width=width, height=height, fps=fps, tags=TAGS))


def decoded(path: Path, shape: tuple[int, ...], pixels: str = "rgb24") -> Clip:
    """The frames as any correct player shows them, or raw planes for another pixel format."""
    to_rgb = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int"
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", pixels]
    if pixels == "rgb24":
        command += ["-vf", to_rgb]
    done = subprocess.run([*command, "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, *shape)


def encoders() -> list[psutil.Process]:
    """The ffmpeg processes of this test run; its servers are children as well."""
    return [child for child in psutil.Process().children() if "ffmpeg" in child.name()]


@pytest.mark.parametrize(("width", "height", "fps"), [(128, 96, 12), (256, 192, 24), (480, 832, 24)])
def test_a_clip_is_what_every_player_takes(tmp_path: Path, width: int, height: int, fps: int) -> None:
    path = tmp_path / "clip.mp4"
    clip = turntable(width, height, 25)
    encoded = encode(clip, path, fps)
    found = probe(path)
    assert (found.frames, found.width, found.height, found.fps) == (25, width, height, fps)
    assert (found.codec, found.profile, found.pixel_format) == ("h264", "High", "yuv420p")
    assert found.colour == RECORDED_COLOUR
    assert found.constant_frame_rate
    assert found.faststart
    assert not found.edit_list
    assert found.tags == TAGS
    assert encoded.duration_ms == found.duration_ms == round(25_000 / fps)
    assert encoded.size_bytes == path.stat().st_size
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]


def test_every_frame_is_shown_in_order_and_close_to_what_was_drawn(tmp_path: Path) -> None:
    clip = turntable(256, 192)
    encode(clip, tmp_path / "clip.mp4")
    shown = decoded(tmp_path / "clip.mp4", clip.shape[1:])
    assert len(shown) == len(clip)
    errors = [[float(np.abs(a.astype(int) - b).mean()) for b in clip] for a in shown.astype(int)]
    assert [int(np.argmin(row)) for row in errors] == list(range(len(clip)))
    assert max(errors[index][index] for index in range(len(clip))) < 2.0


def test_a_view_of_a_larger_array_is_a_frame_too(tmp_path: Path) -> None:
    """What a decoder hands out may be a crop, or have its axes turned."""
    clip = turntable(128, 96, 3)
    turned = np.ascontiguousarray(clip.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0)
    encode_clip(list(turned), tmp_path / "turned.mp4", width=128, height=96, fps=12, tags=TAGS)
    encode(clip, tmp_path / "plain.mp4")
    assert (tmp_path / "turned.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


def test_colours_go_to_yuv_by_bt709_and_come_back(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    clip = np.repeat(np.array(colours, np.uint8)[:, None, :], 64 * 64, axis=1)
    clip = np.repeat(clip.reshape(len(colours), 64, 64, 3), 2, axis=0)
    encode(clip, tmp_path / "clip.mp4")
    shown = decoded(tmp_path / "clip.mp4", (64, 64, 3))[::2, 32, 32].astype(int)
    assert np.abs(shown - np.array(colours)).max() <= 3
    # A converter and a player that both use BT.601 agree with each other and are both wrong: look at luma itself.
    luma = decoded(tmp_path / "clip.mp4", (96, 64), "yuv420p")[::2, 32, 32].astype(int)
    weights = np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(luma - (16 + 219 / 255 * np.array(colours) @ weights)).max() <= 1.5


def test_small_clips_keep_their_detail(tmp_path: Path) -> None:
    clip = noisy(turntable(256, 192, 9), 4)
    encode(clip, tmp_path / "clip.mp4")
    luma = decoded(tmp_path / "clip.mp4", (288, 256), "yuv420p")[:, :192]
    drawn = 16 + 219 / 255 * (clip @ np.array([0.2126, 0.7152, 0.0722]))
    psnr = 10 * np.log10(219**2 / ((luma - drawn) ** 2).mean())
    assert psnr > 38


def test_equal_requests_give_equal_bytes(tmp_path: Path) -> None:
    clip = turntable(128, 96)
    first, second = encode(clip, tmp_path / "a.mp4"), encode(clip, tmp_path / "b.mp4")
    assert first == second
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_file_does_not_say_when_it_was_made(tmp_path: Path) -> None:
    encode(turntable(128, 96, 5), tmp_path / "clip.mp4")
    content = (tmp_path / "clip.mp4").read_bytes()
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        version, created, changed = struct.unpack_from(">III", content, content.index(box) + 4)
        assert (version >> 24, created, changed) == (0, 0, 0)


def test_a_player_can_enter_at_every_second(tmp_path: Path) -> None:
    fps = 8
    still = np.repeat(turntable(128, 96, 2)[:1], 4 * fps, axis=0)  # nothing in it asks for a key frame
    encode(still, tmp_path / "clip.mp4", fps)
    command = [ffmpeg_path(), "-v", "error", "-skip_frame", "nokey", "-i", str(tmp_path / "clip.mp4")]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framecrc", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    (unit,) = (int(line.split("/")[1]) for line in lines if line.startswith("#tb 0"))
    times = [int(line.split(",")[2]) / unit for line in lines if not line.startswith("#")]
    assert times == [0, 1, 2, 3]


@pytest.mark.skipif(
    not hasattr(psutil.Process, "io_counters"), reason="the system does not tell what a process has read"
)
def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """A generator may be far ahead of the file by what a pipe holds, never by the clip."""
    pipe_and_buffers = 8

    def frames() -> Iterator[Clip]:
        for index in range(60):
            written = sum(child.io_counters().read_chars for child in encoders())
            if index > 30:
                assert written > (index - pipe_and_buffers) * 640 * 480 * 3
            yield np.full((480, 640, 3), index, np.uint8)

    encode_clip(frames(), tmp_path / "clip.mp4", width=640, height=480, fps=24, tags={})


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((96, 130, 3), np.uint8),
        np.zeros((128, 96, 3), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 3), np.float32),
    ],
    ids=lambda frame: f"{frame.dtype} {frame.shape}",
)
def test_a_frame_of_another_kind_is_refused_and_leaves_nothing(tmp_path: Path, frame: Clip) -> None:
    frames = [*turntable(128, 96, 3), frame]
    with pytest.raises(PermanentError, match="frame 3 is") as caught:
        encode_clip(frames, tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert caught.value.reason == "invalid-frames"
    assert list(tmp_path.iterdir()) == []
    assert encoders() == []


def test_no_frames_are_no_clip(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no frame") as caught:
        encode_clip([], tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert caught.value.reason == "invalid-frames"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("width", "height", "fps"), [(127, 96, 12), (128, 95, 12), (0, 96, 12), (128, 96, 0)])
def test_a_size_that_cannot_be_encoded_is_refused(tmp_path: Path, width: int, height: int, fps: int) -> None:
    with pytest.raises(PermanentError, match="even sides"):
        encode_clip([], tmp_path / "clip.mp4", width=width, height=height, fps=fps, tags={})


@pytest.mark.parametrize("tags", [{"a=b": "c"}, {"": "c"}, {"AIGC": "a\0b"}, {"AIGC": "a\nb"}, {"-i": "c"}])
def test_a_tag_that_ffmpeg_could_misread_is_refused(tmp_path: Path, tags: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="is no tag"):
        encode_clip(turntable(128, 96, 2), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags=tags)


def test_an_error_of_who_draws_ends_ffmpeg_and_comes_through(tmp_path: Path) -> None:
    def frames() -> Iterator[Clip]:
        yield from turntable(128, 96, 5)
        raise BrokenPipeError("the device is gone")

    with pytest.raises(BrokenPipeError, match="the device is gone"):
        encode_clip(frames(), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert encoders() == []
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_file_of_that_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"an earlier clip")
    with pytest.raises(PermanentError):
        encode_clip([], path, width=128, height=96, fps=12, tags={})
    assert path.read_bytes() == b"an earlier clip"


@pytest.fixture
def ffmpeg_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Stand in for ffmpeg with a shell script: `ffmpeg_that.does("exit 3")`."""

    def does(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(encoding, "ffmpeg_path", lambda: str(path))

    return SimpleNamespace(does=does)


def endless(events: list[str]) -> Iterator[Clip]:
    """Frames without end; notes when it is closed, as what holds a device must be."""
    try:
        while True:
            yield np.zeros((96, 128, 3), np.uint8)
    finally:
        events.append("closed")


def test_a_killed_ffmpeg_is_tried_again(tmp_path: Path, ffmpeg_that: SimpleNamespace) -> None:
    ffmpeg_that.does("head -c 100000 >/dev/null; kill -9 $$")
    events: list[str] = []
    with pytest.raises(TemporaryError, match="killed by signal 9"):
        encode_clip(endless(events), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert events == ["closed"]


def test_an_ffmpeg_that_refuses_is_not_tried_again_and_says_why(tmp_path: Path, ffmpeg_that: SimpleNamespace) -> None:
    ffmpeg_that.does("echo 'Unknown encoder libx264' >&2; exit 8")
    events: list[str] = []
    with pytest.raises(PermanentError, match=r"status 8 .*Unknown encoder libx264") as caught:
        encode_clip(endless(events), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert caught.value.reason == "encoding-failed"
    assert events == ["closed"]


def test_much_complaint_does_not_stall_the_frames(tmp_path: Path, ffmpeg_that: SimpleNamespace) -> None:
    ffmpeg_that.does(
        "i=0; while [ $i -lt 4000 ]; do echo 'a long complaint about nothing much' >&2; i=$((i+1)); done; exit 1"
    )
    with pytest.raises(PermanentError, match="a long complaint"):
        encode_clip(endless([]), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})


def test_an_ffmpeg_that_never_finishes_is_ended(
    tmp_path: Path, ffmpeg_that: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg_that.does("cat >/dev/null; exec sleep 600")
    monkeypatch.setattr(ffmpeg, "FINISH_SECONDS", 0.2)
    with pytest.raises(TemporaryError, match="did not finish"):
        encode_clip(turntable(128, 96, 2), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert encoders() == []


@pytest.mark.parametrize("script", ["exec sleep 600", "head -c 100000 >/dev/null; sleep 600", "kill -STOP $$"])
def test_an_ffmpeg_that_takes_no_frame_is_ended_with_all_it_started(
    tmp_path: Path, ffmpeg_that: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    ffmpeg_that.does(script)
    monkeypatch.setattr(ffmpeg, "WRITE_SECONDS", 0.3)
    before = psutil.Process().num_fds(), set(psutil.Process().children(recursive=True))
    events: list[str] = []
    with pytest.raises(TemporaryError, match=r"took no frame for 0 s and was ended; .*tried again"):
        encode_clip(endless(events), tmp_path / "clip.mp4", width=128, height=96, fps=12, tags={})
    assert events == ["closed"]
    assert (psutil.Process().num_fds(), set(psutil.Process().children(recursive=True))) == before


def test_a_hanging_look_at_the_finished_file_is_ended(
    tmp_path: Path, ffmpeg_that: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, small_clip: Path
) -> None:
    ffmpeg_that.does("exec sleep 600")
    monkeypatch.setattr(ffmpeg, "FINISH_SECONDS", 0.2)
    with pytest.raises(TemporaryError, match="did not finish"):
        probe(small_clip)
    assert encoders() == []


def test_a_killed_look_at_the_finished_file_says_nothing_of_the_file(
    ffmpeg_that: SimpleNamespace, small_clip: Path
) -> None:
    ffmpeg_that.does("kill -9 $$")
    with pytest.raises(TemporaryError, match="killed by signal 9"):
        probe(small_clip)


def test_of_much_complaint_beginning_and_end_are_kept(ffmpeg_that: SimpleNamespace, tmp_path: Path) -> None:
    ffmpeg_that.does("echo first >&2; head -c 3000000 /dev/zero | tr '\\0' 'x' >&2; echo last >&2")
    with ffmpeg.FfmpegRun([encoding.ffmpeg_path()], "clip.mp4") as run:
        assert run.finish() == 0
    assert run.complaints.startswith("first\n")
    assert run.complaints.endswith("last\n")
    assert len(run.complaints) == 2 * ffmpeg.COMPLAINTS_BYTES


def test_a_child_that_keeps_the_pipes_open_holds_nobody_up(
    ffmpeg_that: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg_that.does("sleep 3 & exit 3")
    monkeypatch.setattr(ffmpeg, "KILL_SECONDS", 0.3)
    with ffmpeg.FfmpegRun([encoding.ffmpeg_path()], "clip.mp4") as run:
        assert run.finish() == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_no_fault_of_the_clip(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4.part").symlink_to("/dev/full")
    with pytest.raises(Unavailable, match="the disk is full"):
        encode(noisy(turntable(128, 96), 40), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_tag_that_ffmpeg_dropped_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoding._command

    def forgetful(*args: object) -> list[str]:
        return [part.replace("+use_metadata_tags", "") for part in whole(*args)]  # type: ignore[arg-type]

    monkeypatch.setattr(encoding, "_command", forgetful)
    with pytest.raises(PermanentError, match=r"tags \{\} instead of \{'AIGC'") as caught:
        encode(turntable(128, 96, 3), tmp_path / "clip.mp4")
    assert caught.value.reason == "encoding-failed"
    assert list(tmp_path.iterdir()) == []


def test_probe_tells_a_plain_file_from_a_good_one(tmp_path: Path) -> None:
    """What ffmpeg writes when it is not asked: the index last, an edit list, no colour, BT.601."""
    path = tmp_path / "plain.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=128x96:rate=12:duration=1"]
    subprocess.run([ffmpeg_path(), "-v", "error", *source, "-pix_fmt", "yuv444p", str(path)], check=True)
    found = probe(path)
    assert not found.faststart
    assert found.edit_list
    assert found.colour != RECORDED_COLOUR
    assert (found.profile, found.pixel_format) == ("High 4:4:4 Predictive", "yuv444p")


def test_probe_notices_a_varying_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=128x96:rate=12:duration=2", "-vf", r"select=not(mod(n\,5))+lt(n\,8)"]
    subprocess.run([ffmpeg_path(), "-v", "error", *source, "-fps_mode", "vfr", str(path)], check=True)
    assert not probe(path).constant_frame_rate


@pytest.mark.parametrize("damage", ["cut", "holed", "text", "empty"])
def test_a_file_that_does_not_play_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "clip.mp4"
    encode(noisy(turntable(128, 96), 20), path)
    content = path.read_bytes()
    middle = len(content) // 2
    spoilt = {
        "cut": content[:middle],
        "holed": content[:middle] + bytes(2000) + content[middle + 2000 :],
        "text": b"<html>not found</html>",
        "empty": b"",
    }[damage]
    path.write_bytes(spoilt)
    with pytest.raises(PermanentError) as caught:
        probe(path)
    assert caught.value.reason == "unplayable-clip"


@pytest.mark.parametrize("size", [2, 7, 9_999_999], ids=["no room for itself", "nearly room", "beyond the end"])
@pytest.mark.parametrize("box", [b"moov", b"trak", b"stts"])
def test_a_box_of_an_impossible_size_is_refused(small_clip: Path, tmp_path: Path, box: bytes, size: int) -> None:
    content = bytearray(small_clip.read_bytes())
    struct.pack_into(">I", content, content.index(box) - 4, size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=rf"'{box.decode()}' box claims {size} bytes"):
        mp4.read_container(path)


def test_a_box_of_no_size_does_not_hold_the_reader_up(tmp_path: Path) -> None:
    path = tmp_path / "endless.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, b"free", 0))
    with pytest.raises(PermanentError, match="'free' box claims 0 bytes"):
        mp4.read_container(path)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "small.mp4"
    encode(turntable(128, 96, 2), path)
    return path


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_boxes_are_read_or_refused(small_clip: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(small_clip.read_bytes())
    index = content.index(b"mdat")
    for _hit in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, index))] = data.draw(st.sampled_from([0, 1, 7, 8, 9, 16, 127, 128, 255]))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(PermanentError):
        mp4.read_container(path)


def test_a_poster_keeps_colours_and_says_that_a_model_made_it() -> None:
    frame = turntable(256, 192, 2)[0]
    poster = encode_poster(frame)
    assert poster == encode_poster(frame.copy())
    with Image.open(io.BytesIO(poster)) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (256, 192))
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}, "colour is halved"  # type: ignore[attr-defined]
        assert np.abs(np.asarray(image).astype(int) - frame).mean() < 2
        xmp = image.info["xmp"].decode()
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert re.search(rf'Iptc4xmpExt:DigitalSourceType="{source}"', xmp)


def test_a_poster_of_no_picture_is_refused() -> None:
    with pytest.raises(PermanentError):
        encode_poster(np.zeros((96, 128), np.uint8))


def test_encoding_leaves_no_open_files(tmp_path: Path) -> None:
    clip = turntable(128, 96, 2)
    encode(clip, tmp_path / "clip.mp4")
    before = psutil.Process().num_fds()
    for _ in range(3):
        encode(clip, tmp_path / "clip.mp4")
    assert psutil.Process().num_fds() <= before
