"""Frames to files: the MP4 and its poster, written so that they play everywhere, and read back before anyone sees them.

ffmpeg does the encoding, in a process of its own; here is what it is asked for, what may go wrong, and the proof that
the finished file is what was asked for. What the frames show and what the tags say is decided elsewhere.
"""

import hashlib
import io
import itertools
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from functions.render_video.ffmpeg import FfmpegRun, ffmpeg_path
from functions.render_video.mp4 import read_container
from shared.errors import PermanentError, TemporaryError, Unavailable

Frame = NDArray[np.uint8]
"""One picture: (H, W, 3), RGB, uint8."""

_QUALITY = "17"
"""x264's constant rate factor: visually the source, with room for the platforms' own encoders after it."""
_THREADS = "4"
"""A fixed number: x264's bytes depend on it, and equal requests must give equal files on any machine."""
_POSTER_QUALITY = 90

_TRAINED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for pictures made by a trained model; Google Merchant Center asks for it."""

AIGC_NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
"""XMP namespace of China's implicit label, where a file has no tags of its own (TC260-PG-20257A)."""

_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_STREAM = re.compile(
    r"Stream #0:0.*?: Video: (?P<codec>\w+)(?: \((?P<profile>[^)]+)\))? \(\w+ / 0x\w+\), "
    r"(?P<pixels>\w+)(?:\((?P<colour>[^)]*)\))?, (?P<width>\d+)x(?P<height>\d+)"
)


@dataclass(frozen=True)
class EncodedClip:
    """A finished MP4, as it was read back from the disk."""

    frames: int
    fps: int
    duration_ms: int
    size_bytes: int
    sha256: str
    codec: str


@dataclass(frozen=True)
class Colour:
    """How a decoder must turn YUV into RGB; `unknown` where the file does not say."""

    range: str
    matrix: str
    primaries: str
    transfer: str


RECORDED_COLOUR = Colour(range="tv", matrix="bt709", primaries="bt709", transfer="bt709")
"""What clips are written in: what players assume of HD, and what every platform takes (ITU-R BT.709)."""


@dataclass(frozen=True)
class ProbedClip:
    """What a finished file holds: the pictures as ffmpeg decodes them, the container as its boxes say."""

    frames: int
    width: int
    height: int
    fps: float
    constant_frame_rate: bool
    duration_ms: int
    codec: str
    profile: str
    pixel_format: str
    colour: Colour
    faststart: bool
    edit_list: bool
    tags: Mapping[str, str]


def encode_clip(
    frames: Iterable[Frame], path: Path, *, width: int, height: int, fps: int, tags: Mapping[str, str]
) -> ProbedClip:
    """Write frames to `path` as H.264 High, yuv420p, bt709, constant frame rate, closed groups of at most a second.

    Frames are taken one at a time, when ffmpeg has room for the next. Equal frames and tags give equal bytes. The file
    gets its name only after it has been decoded and found to be what was asked for; on any failure nothing is left.

    Raises PermanentError for frames that are no such pictures (`invalid-frames`) or that ffmpeg refuses
    (`encoding-failed`), Unavailable for a full disk, TemporaryError for an ffmpeg that was killed or hangs, and
    whatever `frames` raises.
    """
    _check_request(path, width, height, fps, tags)
    part = path.with_name(f"{path.name}.part")
    try:
        count = _feed(frames, _command(part, width, height, fps, tags), path.name, (height, width, 3))
        clip = probe(part)
        _check_finished(path, clip, count, width, height, fps, tags)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return clip


def sealed(path: Path, clip: ProbedClip) -> EncodedClip:
    """The finished clip with the digest and size of its file, which nobody changes from here on."""
    content = path.read_bytes()
    return EncodedClip(
        frames=clip.frames,
        fps=round(clip.fps),
        duration_ms=clip.duration_ms,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        codec=clip.codec,
    )


def encode_poster(frame: Frame, tags: Mapping[str, str] | None = None) -> bytes:
    """One frame as a JPEG in full colour resolution, that says in XMP that a model made it.

    `tags` may hold the clip's `AIGC` label, which a still carries as the XMP property TC260:AIGC.
    """
    _check_frame(frame, 0, frame.shape)
    label = (tags or {}).get("AIGC")
    aigc = "" if label is None else f' xmlns:TC260="{AIGC_NAMESPACE}" TC260:AIGC={quoteattr(label)}'
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{_TRAINED_MEDIA}"{aigc}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=_POSTER_QUALITY, subsampling="4:4:4", xmp=packet.encode())
    return file.getvalue()


def probe(path: Path) -> ProbedClip:
    """Decode a finished file whole, and read its boxes. What does not play is a PermanentError (`unplayable-clip`).

    Raises TemporaryError for a killed ffmpeg and for one that does not end.
    """
    container = read_container(path)
    # One line a decoded frame, with its time in units of the frame rate; the first damaged frame ends it.
    command = [
        *(ffmpeg_path(), "-hide_banner", "-nostdin", "-xerror", "-err_detect", "explode", "-threads", _THREADS),
        *("-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough", "-enc_time_base", "demux"),
        *("-f", "framecrc", "-"),
    ]
    with FfmpegRun(command, path.name) as run:
        status = run.finish()
    if status < 0:
        raise TemporaryError(
            f"{path.name}: ffmpeg was killed by signal {-status} while it played the clip; it is tried again"
        )
    report = run.complaints
    stream = _STREAM.search(report)
    if status != 0 or stream is None:
        raise PermanentError(
            f"{path.name}: ffmpeg cannot play it: {_last_line(report)}; render it again", reason="unplayable-clip"
        )
    decoded = run.answer.splitlines()
    (unit,) = (line.split()[-1] for line in decoded if line.startswith("#tb 0:"))
    seconds_a_tick = int(unit.split("/")[0]) / int(unit.split("/")[1])
    times = [int(line.split(",")[2]) for line in decoded if not line.startswith("#")]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    fps = container.frame_rates[0]
    return ProbedClip(
        frames=len(times),
        width=int(stream["width"]),
        height=int(stream["height"]),
        fps=fps,
        constant_frame_rate=len(container.frame_rates) == 1
        and times[:1] == [0]
        and all(abs(step * seconds_a_tick * fps - 1) < 1e-6 for step in steps),
        duration_ms=round(1000 * len(times) / fps),
        codec=stream["codec"],
        profile=stream["profile"] or "unknown",
        pixel_format=stream["pixels"],
        colour=_colour(stream["colour"] or ""),
        faststart=container.is_faststart,
        edit_list=container.has_edit_list,
        tags=dict(container.tags),
    )


def _command(path: Path, width: int, height: int, fps: int, tags: Mapping[str, str]) -> list[str]:
    # Left alone, the scale filter converts by BT.601 and libx264 writes no colour at all: both are said here.
    to_yuv = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
    as_bt709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    metadata = [part for name, value in tags.items() for part in ("-metadata", f"{name}={value}")]
    return [
        *(ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}", "-framerate", str(fps), "-i", "-"),
        *("-vf", f"{to_yuv},format=yuv420p,{as_bt709}"),
        *("-c:v", "libx264", "-profile:v", "high", "-preset", "medium", "-crf", _QUALITY),
        *("-g", str(fps), "-bf", "2", "-flags:v", "+cgop+bitexact", "-threads", _THREADS, "-fps_mode", "cfr"),
        *("-map_metadata", "-1", *metadata, "-fflags", "+bitexact"),
        # Shown from the first frame on without an edit list, which YouTube refuses and simple players ignore.
        *("-movflags", "+faststart+use_metadata_tags+negative_cts_offsets", "-use_editlist", "0"),
        *("-f", "mp4", f"file:{path}"),
    ]


def _feed(frames: Iterable[Frame], command: list[str], name: str, shape: tuple[int, int, int]) -> int:
    """Give every frame to a new ffmpeg and wait for its end, which comes before this returns or raises."""
    count = 0
    try:
        with FfmpegRun(command, name) as run:
            for frame in frames:
                _check_frame(frame, count, shape)
                if not run.write(np.ascontiguousarray(frame).data):
                    break  # ffmpeg has ended before its input; its status and last words say why
                count += 1
            else:
                if count == 0:
                    raise PermanentError(
                        f"{name}: there is no frame to encode; look at what drew it", reason="invalid-frames"
                    )
            status = run.finish()
    finally:
        if isinstance(frames, Generator):
            frames.close()  # what draws them may hold the device
    if status != 0:
        raise _failure(name, status, count, run.complaints)
    return count


def _failure(name: str, status: int, count: int, complaints: str) -> TemporaryError | PermanentError:
    if any(sign in complaints for sign in ("No space left on device", "Disk quota exceeded")):
        return Unavailable(f"{name}: the disk is full after {count} frames; free some space, the clip is tried again")
    if status < 0:
        return TemporaryError(
            f"{name}: ffmpeg was killed by signal {-status} after {count} frames; the clip is tried again"
        )
    return PermanentError(
        f"{name}: ffmpeg ended with status {status} after {count} frames: {_last_line(complaints)}; "
        "look at the frames and the tags",
        reason="encoding-failed",
    )


def _check_request(path: Path, width: int, height: int, fps: int, tags: Mapping[str, str]) -> None:
    if width < 2 or height < 2 or width % 2 or height % 2 or fps < 1:
        raise PermanentError(
            f"{path.name}: {width}x{height} at {fps} fps cannot be encoded; use even sides and at least 1 fps",
            reason="invalid-frames",
        )
    for name, value in tags.items():
        if not _TAG_NAME.fullmatch(name) or not value.isprintable():
            raise PermanentError(
                f"{path.name}: {name!r} is no tag; use letters, and a printable value", reason="invalid-tag"
            )


def _check_frame(frame: Frame, index: int, shape: tuple[int, ...]) -> None:
    if frame.dtype != np.uint8 or frame.shape != shape or len(shape) != 3 or shape[2] != 3:
        raise PermanentError(
            f"frame {index} is {frame.dtype} {frame.shape}, not uint8 {shape[:2]} in RGB; look at what drew it",
            reason="invalid-frames",
        )


def _check_finished(
    path: Path, clip: ProbedClip, count: int, width: int, height: int, fps: int, tags: Mapping[str, str]
) -> None:
    wanted: dict[str, object] = {
        "frames": count,
        "width": width,
        "height": height,
        "fps": float(fps),
        "constant_frame_rate": True,
        "codec": "h264",
        "profile": "High",
        "pixel_format": "yuv420p",
        "colour": RECORDED_COLOUR,
        "faststart": True,
        "edit_list": False,
        "tags": dict(tags),
    }
    wrong = [
        f"{name} {getattr(clip, name)} instead of {value}"
        for name, value in wanted.items()
        if getattr(clip, name) != value
    ]
    if wrong:
        raise PermanentError(
            f"{path.name}: the finished file has {', '.join(wrong)}; check the version of ffmpeg",
            reason="encoding-failed",
        )


def _colour(text: str) -> Colour:
    """Read ffmpeg's `tv, bt709, progressive` or `tv, matrix/primaries/transfer, progressive`."""
    words = [word.strip() for word in text.split(",")]
    spread = next(
        (word for word in words if word not in ("tv", "pc", "progressive") and "first" not in word), "unknown"
    )
    matrix, primaries, transfer = spread.split("/") if "/" in spread else (spread, spread, spread)
    range_ = next((word for word in words if word in ("tv", "pc")), "unknown")
    return Colour(range=range_, matrix=matrix, primaries=primaries, transfer=transfer)


def _last_line(report: str) -> str:
    return next((line.strip() for line in reversed(report.splitlines()) if line.strip()), "it gave no reason")
