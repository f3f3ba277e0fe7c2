"""The picture in a photo's file: the parts of a JPEG, PNG or WebP that show something, without what is around them.

Files are read as the containers they are. What is no picture (texts, previews, further frames, whatever follows the
end) is left behind with all that may be wrong with it, and what decoding will cost is known before it is paid.
"""

import math
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from functions.render_video.srgb import matrix_profile

PROFILE_LIMIT_BYTES = 4 * 1024 * 1024
"""A large CMYK press profile has 2 MiB."""
MOST_SCANS = 100
"""Passes over a progressive JPEG: encoders write 10 or so, and each one costs time for the whole picture."""

DAMAGED = "is damaged; save it again as JPEG or PNG and send that"
CUT_OFF = "is cut off; send the whole file"


class NoPicture(Exception):
    """The file holds no picture that could be shown. The message goes on after its name."""


@dataclass(frozen=True, kw_only=True)
class PhotoFile:
    """A file of which only the picture is left, and what its other parts say about that picture.

    `decoder_bytes` is what the decoder holds beside the picture it fills; `pixel_bytes` what that has for each pixel.
    """

    kind: Literal["JPEG", "PNG", "WEBP"]
    width: int
    height: int
    picture: bytes
    pixel_bytes: int
    decoder_bytes: int = 0
    profile: bytes | None = None
    exif: bytes | None = None


def read_photo_file(data: bytes) -> PhotoFile:
    """Take the picture out of a file. NoPicture: there is none."""
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


# JPEG: segments behind markers, then scans of entropy-coded data --------------------------------------------------

END_OF_JPEG = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_MARKER_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE})
"""Huffman, arithmetic, quantisation, restarts; and JFIF and Adobe, which say what the components are."""


def _jpeg(data: bytes) -> PhotoFile:
    kept = [data[:2]]
    frame: tuple[int, bytes] | None = None
    profile: dict[int, bytes] = {}
    exif = None
    scans, whole, interleaved = 0, False, True
    marker = _MARKER.search(data, 2)
    while marker is not None:
        code, start = marker[1][0], marker.end()
        if code == _END:
            whole = True
            break
        if code in _ALONE:
            marker = _MARKER.search(data, start)
            continue
        (length,) = struct.unpack_from(">H", data, start)
        segment = data[start + 2 : start + length]
        after = start + length
        if code in _FRAMES:
            frame = code, segment
        if code == _SCAN:
            scans += 1
            interleaved = interleaved and frame is not None and segment[0] == frame[1][5]
            marker = _MARKER_AFTER_SCAN.search(data, after)
            after = len(data) if marker is None else marker.start()
        else:
            marker = _MARKER.search(data, after)
        if code == _SCAN or code in _FRAMES or code in _TABLES:
            part = data[start - 1 : after]
            kept.append(b"\xff" + (part if marker is not None else part.rstrip(b"\xff")))  # half a marker
        elif code == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif = exif or segment
        elif code == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
            profile[segment[12]] = segment[14:]
    if frame is None or not scans:
        raise NoPicture(CUT_OFF)
    if scans > MOST_SCANS:
        raise NoPicture("is stored in too many passes; save it again as a plain JPEG and send that")
    several_passes = frame[0] in _PROGRESSIVE or not interleaved
    if several_passes and not whole:
        raise NoPicture(CUT_OFF)  # how many passes are missing, nobody can tell
    _, height, width, components = struct.unpack_from(">BHHB", frame[1])
    return PhotoFile(
        kind="JPEG",
        width=width,
        height=height,
        picture=b"".join(kept),
        pixel_bytes=1 if components == 1 else 4,
        decoder_bytes=_coefficient_bytes(width * height, frame[1]) if several_passes else 0,
        profile=b"".join(part for _, part in sorted(profile.items()))[:PROFILE_LIMIT_BYTES] or None,
        exif=exif,
    )


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


def _png(data: bytes) -> PhotoFile:
    kept = [data[:8]]
    said: dict[bytes, bytes] = {}
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content, checksum = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        at += 12 + length
        if kind == b"IEND":
            break
        if kind in _SHOWN:
            if len(checksum) < 4:
                # The file ends here. The decoder finds out whether the picture does as well.
                length, checksum = len(content), struct.pack(">I", zlib.crc32(kind + content))
            kept.append(struct.pack(">I", length) + kind + content + checksum)
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


def _webp(data: bytes) -> PhotoFile:
    parts: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind in (b"VP8 ", b"VP8L", b"ANMF", b"ALPH") and len(content) < length:
            raise NoPicture(CUT_OFF)
        parts.setdefault(kind, content)  # of an animation, the first frame
        at += 8 + length + length % 2
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
