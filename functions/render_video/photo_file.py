"""The picture in a photo's file: the parts of a JPEG, PNG or WebP that show something, without what is around them.

Files are read as the containers they are. What is no picture (texts, previews, further frames, whatever follows the
end) is left behind with all that may be wrong with it, and what decoding will cost is known before it is paid.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from functions.render_video.srgb import matrix_profile

PROFILE_LIMIT_BYTES = 4 * 1024 * 1024
"""A large CMYK press profile has 2 MiB."""
MOST_SCANS = 40
"""Passes over a progressive JPEG: encoders write 10 or so, and each one costs time for the whole picture."""
MOST_PIECES = 50_000
"""Segments or chunks of a file, each of which costs some microseconds and a hundred bytes, here and in the decoder,
however little it holds. A JPEG's profile comes in 255 at most, and 20 MiB of it are 320 full ones; a PNG written 512
bytes at a time has 40,000 in 20 MiB, and encoders write 8 KiB and more."""

DAMAGED = "is damaged; save it again as JPEG or PNG and send that"
CUT_OFF = "is cut off; send the whole file"


class NoPicture(Exception):
    """The file holds no picture that could be shown. The message goes on after its name."""


@dataclass(frozen=True, kw_only=True)
class PhotoFile:
    """A file of which only the picture is left, and what its other parts say about that picture.

    `decoder_bytes` is what the decoder holds beside the picture it fills; `pixel_bytes` what that has for each pixel.
    `several_passes`: a JPEG that is progressive, or has one component after the other.
    """

    kind: Literal["JPEG", "PNG", "WEBP"]
    width: int
    height: int
    picture: bytes
    pixel_bytes: int
    decoder_bytes: int = 0
    several_passes: bool = False
    profile: bytes | None = None
    exif: bytes | None = None


def read_photo_file(data: bytes) -> PhotoFile:
    """Take the picture out of a file. NoPicture: there is none, or it is in too many pieces."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as error:  # a part is shorter than its kind
        raise NoPicture(DAMAGED) from error
    raise NoPicture("is no JPEG, PNG or WebP; send one of these")


PieceT = TypeVar("PieceT")


def _counted(pieces: Iterable[PieceT]) -> Iterator[PieceT]:
    """As they come, so that no more than so many are ever held. NoPicture: there are too many."""
    for number, piece in enumerate(pieces):
        if number == MOST_PIECES:
            raise NoPicture("is stored in too many pieces; save it again as JPEG or PNG and send that")
        yield piece


# JPEG: segments behind markers, then scans of entropy-coded data --------------------------------------------------

END_OF_JPEG = b"\xff\xd9"
# Of all bytes FF before a code, the last suffices: to look for a run of them takes the square of its length.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MARKER_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_PADDING = re.compile(rb"\xff{2,}")
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE})
"""Huffman, arithmetic, quantisation, restarts; and JFIF and Adobe, which say what the components are."""


class _Segment(NamedTuple):
    """A marker and what follows it. `whole` is as it stands in the file, of a scan with its data."""

    code: int
    content: bytes
    whole: bytes


def _segments(data: bytes) -> Iterator[_Segment]:
    """Up to the end marker, which is the last one, or to the end of the data."""
    marker = _MARKER.search(data, 2)
    while marker is not None:
        code, start = marker[1][0], marker.end()
        if code in _ALONE:
            yield _Segment(code, b"", b"")
            marker = _MARKER.search(data, start)
            continue
        if code == _END:
            yield _Segment(code, b"", END_OF_JPEG)
            return
        (length,) = struct.unpack_from(">H", data, start)
        content, whole = data[start + 2 : start + length], data[start - 1 : start + length]
        marker = (_MARKER_AFTER_SCAN if code == _SCAN else _MARKER).search(data, start + length)
        if code == _SCAN:
            # Its last bytes FF belong to a marker, or are half of one. Among others, the decoder begins anew at the
            # first of them with every 64 KiB that it is given.
            scan = data[start - 1 : None if marker is None else marker.start()]
            whole = _PADDING.sub(b"\xff", scan).rstrip(b"\xff")
        yield _Segment(code, content, b"\xff" + whole)


def _jpeg(data: bytes) -> PhotoFile:
    segments = list(_counted(_segments(data)))
    frames = [segment for segment in segments if segment.code in _FRAMES]
    scans = [segment.content for segment in segments if segment.code == _SCAN]
    if not frames or not scans:
        raise NoPicture(CUT_OFF)
    several_passes = _comes_in_passes(frames[0], scans)
    if several_passes and segments[-1].code != _END:
        raise NoPicture(CUT_OFF)  # how many passes are missing, nobody can tell
    _, height, width, components = struct.unpack_from(">BHHB", frames[0].content)
    shown = _FRAMES | _TABLES | {_SCAN}
    return PhotoFile(
        kind="JPEG",
        width=width,
        height=height,
        picture=data[:2] + b"".join(segment.whole for segment in segments if segment.code in shown),
        pixel_bytes=1 if components == 1 else 4,
        decoder_bytes=_coefficient_bytes(width * height, frames[0].content) if several_passes else 0,
        several_passes=several_passes,
        profile=_jpeg_profile(segments),
        exif=next((found.content for found in segments if found.content.startswith(b"Exif\0\0")), None),
    )


def _comes_in_passes(frame: _Segment, scans: Sequence[bytes]) -> bool:
    """Whether the decoder must keep the whole picture until the last scan. NoPicture: there are too many."""
    if len(scans) > MOST_SCANS:
        raise NoPicture("is stored in too many passes; save it again as a plain JPEG and send that")
    components = frame.content[5]
    return frame.code in _PROGRESSIVE or any(scan[0] != components for scan in scans)


def _jpeg_profile(segments: Iterable[_Segment]) -> bytes | None:
    """A profile is parted among segments, which say their number."""
    begin = b"ICC_PROFILE\0"
    parts = {found.content[12]: found.content[14:] for found in segments if found.content.startswith(begin)}
    return b"".join(part for _, part in sorted(parts.items()))[:PROFILE_LIMIT_BYTES] or None


def _coefficient_bytes(pixels: int, frame: bytes) -> int:
    """What the decoder keeps of a picture that comes in several passes: two bytes for each sample of each component."""
    sampling = [(byte >> 4, byte & 15) for byte in frame[7::3]]
    most = max(across for across, _ in sampling) * max(down for _, down in sampling)
    if most == 0:
        raise NoPicture(DAMAGED)
    return math.ceil(2 * pixels * sum(across * down for across, down in sampling) / most)


# PNG: chunks with checksums -----------------------------------------------------------------------------------------

_SHOWN = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_SRGB_GAMMA = 45455


class _Chunk(NamedTuple):
    """Of a PNG. One that is cut off has less of its content, or of its checksum."""

    kind: bytes
    content: bytes
    checksum: bytes


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Up to the end chunk, or to the end of the data."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        yield _Chunk(kind, data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length])
        at += 12 + length


def _png(data: bytes) -> PhotoFile:
    kept = [data[:8]]
    said: dict[bytes, bytes] = {}
    for kind, content, checksum in _counted(_chunks(data)):
        if kind in _SHOWN:
            # Where the file ends in it, the decoder finds out whether the picture does as well.
            sound = checksum if len(checksum) == 4 else struct.pack(">I", zlib.crc32(kind + content))
            kept.append(struct.pack(">I", len(content)) + kind + content + sound)
        if kind not in (b"IDAT", b"PLTE") and checksum == struct.pack(">I", zlib.crc32(kind + content)):
            said.setdefault(kind, content)
    if b"IHDR" not in said:
        raise NoPicture(DAMAGED)
    width, height, depth, colour = struct.unpack_from(">IIBB", said[b"IHDR"])
    if depth == 16:
        # Decoders give the upper half of each value, with which the one transparent colour cannot be compared.
        kept = [chunk for chunk in kept if chunk[4:8] != b"tRNS"]
    kept.append(struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND")))
    return PhotoFile(
        kind="PNG",
        width=width,
        height=height,
        picture=b"".join(kept),
        pixel_bytes=4 if colour not in (0, 3) else 2 if depth == 16 else 1,
        profile=_png_profile(said),
        exif=said.get(b"eXIf"),
    )


def _png_profile(said: dict[bytes, bytes]) -> bytes | None:
    """In the order in which the PNG specification believes them. None is sRGB."""
    if b"iCCP" in said:
        _, _, packed = said[b"iCCP"].partition(b"\0")
        try:
            return zlib.decompressobj().decompress(packed[1:], PROFILE_LIMIT_BYTES) or None
        except zlib.error:
            return None
    if b"sRGB" in said or not said.keys() & {b"gAMA", b"cHRM"}:
        return None
    gamma = struct.unpack_from(">I", said[b"gAMA"])[0] if b"gAMA" in said else _SRGB_GAMMA
    points = struct.unpack_from(">8I", said[b"cHRM"]) if b"cHRM" in said else None
    return matrix_profile(
        None if abs(gamma - _SRGB_GAMMA) < 1000 else gamma / 100_000,
        None if points is None else [value / 100_000 for value in points],
    )


# WebP: RIFF chunks --------------------------------------------------------------------------------------------------

_ALPHA_AND_ANIMATION = 0x12
_ANIMATION_BYTES = 12
"""Pillow decodes every WebP as an animation: two canvases in RGBA, and a copy on the way to the picture."""


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each. NoPicture: the file ends in one of the picture's."""
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind in (b"VP8 ", b"VP8L", b"ANMF", b"ALPH") and len(content) < length:
            raise NoPicture(CUT_OFF)
        yield kind, content
        at += 8 + length + length % 2


def _webp(data: bytes) -> PhotoFile:
    parts: dict[bytes, bytes] = {}
    for kind, content in _counted(_riff_chunks(data)):
        parts.setdefault(kind, content)  # of an animation, the first frame
    if b"VP8X" in parts:
        flags = parts[b"VP8X"][0]
        parts[b"VP8X"] = bytes([flags & _ALPHA_AND_ANIMATION]) + parts[b"VP8X"][1:]
        width, height = (1 + int.from_bytes(parts[b"VP8X"][start : start + 3], "little") for start in (4, 7))
    elif b"VP8L" in parts:
        (sides,) = struct.unpack_from("<I", parts[b"VP8L"], 1)
        width, height = 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    elif b"VP8 " in parts:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", parts[b"VP8 "], 6))
    else:
        raise NoPicture(DAMAGED)
    body = b"WEBP"
    for kind in (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"):
        if kind in parts:
            content = parts[kind]
            body += kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return PhotoFile(
        kind="WEBP",
        width=width,
        height=height,
        picture=b"RIFF" + struct.pack("<I", len(body)) + body,
        pixel_bytes=4,
        decoder_bytes=_ANIMATION_BYTES * width * height,
        profile=parts.get(b"ICCP", b"")[:PROFILE_LIMIT_BYTES] or None,
        exif=parts.get(b"EXIF"),
    )
