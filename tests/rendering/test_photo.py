"""A photo's bytes become the picture they show, in sRGB, within memory; or are refused in a merchant's words."""

import contextlib
import io
import re
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from functions.render_video import photo as photos
from functions.render_video.photo import FITS_MEGAPIXELS, MEMORY_LIMIT_BYTES, decode_photo
from functions.render_video.photo_file import MOST_PIECES, read_photo_file
from functions.render_video.srgb import matrix_profile
from shared.errors import PhotoRefused

NAME = "the product's photo"
ADOBE_RGB = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
DISPLAY_P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
MODEST = [(200, 40, 40), (40, 160, 70), (60, 80, 190), (120, 120, 120), (250, 245, 240)]
"""Colours that all of these spaces have."""


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Soft, with every pixel row another, so that what is missing shows."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(
        np.stack((40 + 180 * across, 60 + 150 * down, 200 - 120 * across * down), axis=2).astype(np.uint8)
    )


def a_file(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def decoded(file: bytes) -> NDArray[np.int16]:
    picture = decode_photo(file, NAME)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(np.int16)


def difference(one: NDArray[np.int16], other: Image.Image) -> float:
    """The mean, in steps of 1 in 255."""
    return float(np.abs(one - np.asarray(other).astype(np.int16)).mean())


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", right if checksum is None else checksum)


def png(rows: NDArray[np.uint8], depth: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of raw rows [H, bytes]."""
    height = len(rows)
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", rows.shape[1] * 8 // depth // samples, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes())
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks, chunk(b"IDAT", packed), chunk(b"IEND", b""))
    )


def after_header(file: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks more."""
    return file[:33] + b"".join(chunks) + file[33:]


# Colours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("points", "gamma"),
    [(ADOBE_RGB, 1 / 2.2), (DISPLAY_P3, None), (PROPHOTO, 1 / 1.8)],
    ids=["Adobe RGB", "P3", "ProPhoto"],
)
def test_every_profile_becomes_srgb(kind: str, points: tuple[float, ...], gamma: float | None) -> None:
    profile = matrix_profile(gamma, points)
    assert profile is not None
    picture = Image.new("RGB", (16 * len(MODEST), 32))
    for number, colour in enumerate(MODEST):
        picture.paste(colour, (16 * number, 0, 16 * number + 16, 32))
    there = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)), "RGB", "RGB"
    ).apply(picture)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = decoded(a_file(there, kind, icc_profile=profile, **options))
    for number, colour in enumerate(MODEST):
        np.testing.assert_allclose(found[16, 16 * number + 8], colour, atol=6)


def test_red_in_adobe_rgb_is_less_than_it_says() -> None:
    """The numbers are Adobe RGB's own, from its specification: no profile of ours is both sides of this."""
    profile = matrix_profile(256 / 563, ADOBE_RGB)
    file = a_file(Image.new("RGB", (32, 32), (173, 46, 44)), "PNG", icc_profile=profile)
    linear = (np.array([173, 46, 44]) / 255) ** (563 / 256)
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.24097, -1.53738, -0.49861], [-0.96924, 1.87597, 0.04156], [0.05563, -0.20398, 1.05697]])
    srgb = np.clip(from_xyz @ to_xyz @ linear, 0, 1)
    expected = 255 * np.where(srgb <= 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(decoded(file)[5, 5], expected, atol=2)


@pytest.mark.parametrize("points", [ADOBE_RGB, None], ids=["primaries", "gamma alone"])
def test_gamma_and_primaries_of_a_png_are_a_profile_too(points: tuple[float, ...] | None) -> None:
    plain = a_file(scene(), "PNG")
    said = [chunk(b"gAMA", struct.pack(">I", 55555))]
    if points:
        said.append(chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in points))))
    profile = matrix_profile(0.55555, points)
    np.testing.assert_allclose(
        decoded(after_header(plain, *said)), decoded(a_file(scene(), "PNG", icc_profile=profile)), atol=1
    )
    assert difference(decoded(after_header(plain, *said)), scene()) > 5
    # What says that it is sRGB is, and the usual gamma is sRGB's.
    assert difference(decoded(after_header(plain, chunk(b"sRGB", b"\0"), *said)), scene()) == 0
    assert difference(decoded(after_header(plain, chunk(b"gAMA", struct.pack(">I", 45455)))), scene()) == 0


@pytest.mark.parametrize(
    "points",
    [(0.0,) * 8, (0.3, 0.3) * 4, (1e4, 1e-4) * 4, (0.3127, 0.329, 0.64, 0.33, 0.64, 0.33, 0.15, 0.06)],
)
def test_primaries_that_are_none_are_left_out(points: tuple[float, ...]) -> None:
    said = chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in points)))
    assert difference(decoded(after_header(a_file(scene(), "PNG"), said)), scene()) < 60


RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    "profile",
    [b"nonsense", RGB_PROFILE[:200], RGB_PROFILE[:-1] + b"?", LAB_PROFILE, b"\0" * 70_000, RGB_PROFILE + b"more"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_profile_that_is_broken_or_of_other_pictures_is_srgb(kind: str, profile: bytes) -> None:
    assert difference(decoded(a_file(scene(), kind, icc_profile=profile)), scene()) < 4


def test_a_grey_or_four_colour_picture_with_a_profile_of_another_kind_is_read_without_it() -> None:
    grey = a_file(scene().convert("L"), "JPEG", quality=95, icc_profile=RGB_PROFILE)
    assert difference(decoded(grey), scene().convert("L").convert("RGB")) < 2
    inks = a_file(scene().convert("CMYK"), "JPEG", quality=95, icc_profile=RGB_PROFILE)
    assert difference(decoded(inks), scene()) < 3


def test_inks_that_adobe_stores_inverted_are_read_as_what_they_print() -> None:
    inks = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    file = a_file(inks, "JPEG", quality=100)
    assert b"Adobe" in file
    np.testing.assert_allclose(decoded(file)[5, 5], (255, 0, 0), atol=3)


def test_sixteen_bits_are_brought_down_to_eight() -> None:
    grey = np.asarray(scene().convert("L"))
    rows = np.repeat(grey, 2, axis=1)  # the value twice: 257 times it
    assert difference(decoded(png(rows, 16, 0)), scene().convert("L").convert("RGB")) == 0
    colours = np.repeat(np.asarray(scene()), 2, axis=2).reshape(64, -1)
    assert difference(decoded(png(colours, 16, 2)), scene()) == 0
    # A transparent colour of 16 bits cannot be found again among 8: nothing is transparent.
    for kind, key in ((0, b"\x80\x80"), (2, b"\x80\x80" * 3)):
        assert decoded(png(rows if kind == 0 else colours, 16, kind, chunk(b"tRNS", key))).shape == (64, 96, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_a_png_becomes_rgb(mode: str) -> None:
    grey = scene().convert("L")
    picture = Image.new(mode, (40, 30)) if mode == "I;16" else grey.convert(mode)
    assert decoded(a_file(picture, "PNG")).shape[2] == 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_becomes_white(kind: str) -> None:
    picture = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 16, 32))
    found = decoded(a_file(picture, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
    assert tuple(found[4, 4]) == (0, 0, 255)
    assert tuple(found[4, 28]) == (255, 255, 255)


def test_transparency_of_palettes_and_of_one_colour_becomes_white() -> None:
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 255, 200, 0, 0])
    palette.paste(0, (0, 0, 16, 32))
    of_palette = decoded(a_file(palette, "PNG", transparency=1))
    one_colour = decoded(a_file(palette.convert("RGB"), "PNG", transparency=(200, 0, 0)))
    grey = Image.new("LA", (32, 32), (90, 0))
    for found in (of_palette, one_colour):
        assert (tuple(found[4, 4]), tuple(found[4, 28])) == ((0, 0, 255), (255, 255, 255))
    assert tuple(decoded(a_file(grey, "PNG"))[4, 4]) == (255, 255, 255)


# What surrounds the picture -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_taken_sideways_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(a_file(scene(60, 30), kind, exif=exif)).shape == (60, 30, 3)


JPEG = a_file(scene(), "JPEG", quality=95)
PNG = a_file(scene(), "PNG")
WEBP = a_file(scene(), "WEBP", lossless=True)
BOMB = zlib.compress(bytes(80_000_000))
APP1 = b"\xff\xe1"
INTACT = {
    "no end marker": JPEG[:-2],
    "half an end marker": JPEG[:-1],
    "bytes after the end of a JPEG": JPEG + bytes(range(256)),
    "another picture after the end": JPEG + a_file(Image.new("RGB", (640, 480)), "JPEG"),
    "bytes between a JPEG's parts": JPEG[:20] + b"garbage" + JPEG[20:],
    "a JPEG's broken EXIF": JPEG[:2]
    + APP1
    + struct.pack(">H", 40)
    + b"Exif\0\0II*\0\xff\xff\xff\x7f".ljust(38)
    + JPEG[2:],
    "a preview that is broken": JPEG[:2] + APP1 + struct.pack(">H", 42) + b"MPF\0\xff\xd8\xff\xda".ljust(40) + JPEG[2:],
    "a part of a profile is missing": JPEG[:2]
    + b"\xff\xe2"
    + struct.pack(">H", 20)
    + b"ICC_PROFILE\0\2\3????"
    + JPEG[2:],
    "no end chunk": PNG[:-12],
    "half an end chunk": PNG[:-5],
    "bytes after the end of a PNG": PNG + b"more" * 1000,
    "a text over 1 MiB": after_header(PNG, chunk(b"iTXt", b"note\0\0\0\0\0" + b"x" * 1_500_000)),
    "a packed text over 1 MiB": after_header(PNG, chunk(b"iTXt", b"note\0\1\0\0\0" + BOMB)),
    "a bomb of a text": after_header(PNG, *[chunk(b"zTXt", b"note\0\0" + BOMB)] * 20),
    "a bomb of a profile": after_header(PNG, chunk(b"iCCP", b"icc\0\0" + BOMB)),
    "a profile that cannot be unpacked": after_header(PNG, chunk(b"iCCP", b"icc\0\0nonsense")),
    "a text's wrong checksum": after_header(PNG, chunk(b"tEXt", b"note\0hello", 7)),
    "a profile's wrong checksum": after_header(PNG, chunk(b"iCCP", b"icc\0\0" + zlib.compress(LAB_PROFILE), 7)),
    "a PNG's broken EXIF": after_header(PNG, chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f")),
    "a chunk nobody knows": after_header(PNG, chunk(b"juNk", b"?" * 1000)),
    "frames of an animation": after_header(PNG, chunk(b"acTL", struct.pack(">II", 1000, 0))),
    "bytes after the end of a WebP": WEBP + b"more" * 1000,
    "a RIFF that lies about its size": WEBP[:4] + b"\xff\xff\xff\x7f" + WEBP[8:],
    "a chunk cut off after a WebP's picture": WEBP + b"EXIF\xff\xff\0\0II",
}


@pytest.mark.parametrize("file", INTACT.values(), ids=INTACT)
def test_damage_outside_the_picture_is_none(file: bytes) -> None:
    assert difference(decoded(file), scene()) < 2


def test_of_an_animation_the_first_frame_is_filmed() -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (96, 64))] * 3}
    assert difference(decoded(a_file(scene(), "WEBP", lossless=True, **frames)), scene()) == 0
    assert difference(decoded(a_file(scene(), "PNG", **frames)), scene()) == 0


# Damage in the picture ------------------------------------------------------------------------------------------------

LARGE_JPEG = a_file(scene(640, 480), "JPEG", quality=90)
RESTARTS = a_file(scene(640, 480), "JPEG", quality=90, restart_marker_rows=1)
PROGRESSIVE = a_file(scene(640, 480), "JPEG", quality=90, progressive=True)
GREY = a_file(scene(640, 480).convert("L"), "JPEG", quality=90)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9", b"\xff"], ids=["cut", "ended anew", "cut in a marker"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("file", [LARGE_JPEG, RESTARTS, GREY], ids=["plain", "restarts", "grey"])
def test_a_jpeg_that_lacks_its_lower_part_is_refused(file: bytes, share: float, end: bytes) -> None:
    header = file.index(b"\xff\xda")
    cut = file[: header + int(share * (len(file) - header))]
    with pytest.raises(PhotoRefused, match=r"is cut off: its lower \d+ % is missing; send the whole file"):
        decode_photo(cut + end, NAME)


@pytest.mark.parametrize("file", [LARGE_JPEG, RESTARTS, PROGRESSIVE, GREY], ids=["plain", "restarts", "passes", "grey"])
def test_a_whole_jpeg_is_whole(file: bytes) -> None:
    expected = scene(640, 480) if file is not GREY else scene(640, 480).convert("L").convert("RGB")
    found = decoded(file)
    assert found.shape == (480, 640, 3)
    assert difference(found, expected) < 3


def test_a_picture_with_a_grey_lower_half_of_its_own_is_whole() -> None:
    picture = scene(640, 480)
    picture.paste((128, 128, 128), (0, 240, 640, 480))
    assert decoded(a_file(picture, "JPEG", quality=90)).shape == (480, 640, 3)
    assert decoded(a_file(picture, "JPEG", quality=90)[:-2]).shape == (480, 640, 3)


def test_a_few_rows_that_are_missing_are_cut_away() -> None:
    picture = scene(640, 1600)
    file = a_file(picture, "JPEG", quality=90)
    found = decoded(file[:-40])
    assert 1568 <= found.shape[0] < 1600
    assert difference(found, picture.crop((0, 0, 640, found.shape[0]))) < 3


def test_a_progressive_jpeg_that_lacks_a_pass_is_refused() -> None:
    last_pass = PROGRESSIVE.rindex(b"\xff\xda")
    for cut in (last_pass, last_pass + 40):
        with pytest.raises(PhotoRefused, match="is cut off; send the whole file"):
            decode_photo(PROGRESSIVE[:cut], NAME)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_pictures_that_are_cut_off_are_refused(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    file = a_file(noise, kind)
    with pytest.raises(PhotoRefused, match=r"is (cut off|damaged)"):
        decode_photo(file[: int(share * len(file))], NAME)


def test_a_png_whose_pixels_have_another_checksum_is_refused() -> None:
    at = PNG.index(b"IDAT") + 20
    with pytest.raises(PhotoRefused, match="is damaged; save it again"):
        decode_photo(PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :], NAME)


def test_no_picture_is_refused_in_a_merchants_words() -> None:
    files = [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", JPEG[:30], PNG[:30], WEBP[:20]]
    files += [a_file(scene(), kind) for kind in ("GIF", "BMP", "TIFF")]
    files += [a_file(scene(60, 5), "PNG"), PNG[:60], a_file(scene(), "JPEG").replace(b"\xff\xda", b"\xff\xdb")]
    for file in files:
        with pytest.raises(PhotoRefused) as refused:
            decode_photo(file, NAME)
        assert refused.value.reason == "invalid-image"
        assert re.fullmatch(rf"{NAME} (is|has) [^<>_]+; (send|save) [^<>_]+", str(refused.value))


@pytest.mark.filterwarnings("ignore")  # Pillow remarks on damage in many words
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP", "progressive"]), data=st.data())
def test_a_damaged_photo_is_decoded_or_refused_and_nothing_else(kind: str, data: st.DataObject) -> None:
    options: dict[str, object] = {"progressive": True} if kind == "progressive" else {}
    sound = a_file(scene(), "JPEG" if options else kind, icc_profile=RGB_PROFILE, exif=Image.Exif(), **options)
    file = bytearray(sound[: data.draw(st.integers(0, len(sound)))] if data.draw(st.booleans()) else sound)
    for _ in range(data.draw(st.integers(0, 8)) if file else 0):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PhotoRefused):
        assert decode_photo(bytes(file), NAME).mode == "RGB"


@pytest.mark.parametrize("error", [RuntimeError("no frame"), struct.error("no header"), Image.DecompressionBombError()])
def test_whatever_a_decoder_raises_makes_the_photo_invalid(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(PhotoRefused, match="is damaged"):
        decode_photo(PNG, NAME)


# Pieces ---------------------------------------------------------------------------------------------------------------


def after_start(file: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments more."""
    return file[:2] + b"".join(segments) + file[2:]


def webp_of(chunks: bytes) -> bytes:
    body = WEBP[8:] + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


IN_PIECES: dict[str, Callable[[int], bytes]] = {
    "segments of a JPEG": lambda number: after_start(JPEG, b"\xff\xfe\0\2" * number),
    "markers alone": lambda number: after_start(JPEG, b"\xff\x01" * number),
    "tables": lambda number: after_start(JPEG, b"\xff\xdb\0\2" * number),
    "texts of a PNG": lambda number: after_header(PNG, chunk(b"tEXt", b"") * number),
    "empty pixels": lambda number: after_header(PNG, chunk(b"IDAT", b"") * number),
    "chunks of as many kinds": lambda number: after_header(
        PNG, *(chunk(b"%c%c%cx" % tuple(n // 26**i % 26 + 97 for i in range(3)), b"") for n in range(number))
    ),
    "chunks of a WebP": lambda number: webp_of(b"".join(struct.pack("<I4x", n) for n in range(number))),
}


@pytest.mark.parametrize("make", IN_PIECES.values(), ids=IN_PIECES)
def test_a_photo_in_too_many_pieces_is_refused_before_it_is_decoded(
    make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert difference(decoded(make(1000)), scene()) < 2
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(PhotoRefused, match=f"^{NAME} is stored in too many pieces; save it again as JPEG or PNG"):
        decode_photo(make(MOST_PIECES + 1), NAME)


def test_what_cameras_and_editors_write_is_not_too_many_pieces() -> None:
    app1 = b"\xff\xe1" + struct.pack(">H", 65_535) + b"http://ns.adobe.com/xmp/extension/\0".ljust(65_533)
    profile = a_file(scene(), "JPEG", quality=95, icc_profile=bytes(255 * 65_519))  # 255 segments, the most there are
    assert profile.count(b"ICC_PROFILE\0") == 255
    assert difference(decoded(after_start(profile, app1 * 40)), scene()) < 2
    assert difference(decoded(after_start(JPEG, app1 * 310)), scene()) < 2
    noise = np.random.default_rng(0).integers(0, 256, (2600, 2600, 3), dtype=np.uint8)
    file = png(noise.reshape(2600, -1), 8, 2)
    at = file.index(b"IDAT") - 4
    packed = file[at + 8 : -16]
    assert 19 * 2**20 < len(packed) < 20 * 2**20
    pixels = (chunk(b"IDAT", packed[start : start + 512]) for start in range(0, len(packed), 512))
    assert decoded(file[:at] + b"".join(pixels) + file[-12:]).shape == (2600, 2600, 3)


@pytest.mark.parametrize("before", [b"\xff\xda", b"\xff\xd9"], ids=["before a segment", "in the pixels"])
def test_padding_of_a_jpeg_costs_what_its_bytes_do(before: bytes) -> None:
    """Bytes FF before a marker, or in the data, are padding; each search from each of them would take hours."""
    at = JPEG.rindex(before)
    file = JPEG[:at] + bytes([0xFF]) * 15_000_000 + b"\0" + JPEG[at:]
    with deadline(10):
        decode_photo(file, NAME)


@contextlib.contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """End the test, even inside of a search."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"took over {seconds} s"))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Memory ---------------------------------------------------------------------------------------------------------------


def flat_png(width: int, height: int, colour: int, depth: int = 8) -> bytes:
    """Of one value, written without ever being whole: a small file of many pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packing = zlib.compressobj(1)
    row = b"\0" + b"\x80" * (width * samples * depth // 8)
    packed = b"".join(packing.compress(row) for _ in range(height)) + packing.flush()
    palette = (chunk(b"PLTE", bytes(768)),) if colour == 3 else ()
    transparency = (chunk(b"tRNS", bytes(256)),) if colour == 3 else ()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *palette,
            *transparency,
            chunk(b"IDAT", packed),
            chunk(b"IEND", b""),
        )
    )


def camera_jpeg(width: int, height: int, **options: object) -> bytes:
    return a_file(scene(width // 8, height // 8).resize((width, height)), "JPEG", **options)


def large_webp() -> bytes:
    return a_file(Image.new("RGB", (4500, 3375), (90, 140, 60)), "WEBP", lossless=True, method=0)


def gigantic_webp() -> bytes:
    """16,384 pixels square, by its header alone."""
    file = a_file(Image.new("RGBA", (64, 64)), "WEBP", lossless=True, exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    at = file.index(b"VP8X") + 12
    return file[:at] + b"\xff\x3f\x00\xff\x3f\x00" + file[at + 6 :]


PEAK = """
import resource, sys, threading
from pathlib import Path
from functions.render_video.photo import decode_photo
from shared.errors import PhotoRefused

def decode():
    try:
        print("decoded", decode_photo(file, "photo").size)
    except PhotoRefused as refused:
        print("refused", refused)

def resident_at_most():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

file = Path(sys.argv[1]).read_bytes()
before = resident_at_most()
threads = [threading.Thread(target=decode) for _ in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident_at_most() - before)
"""


@pytest.mark.parametrize(
    ("make", "threads", "outcome"),
    [
        (lambda: flat_png(6000, 6000, 6), 3, "decoded"),
        (lambda: flat_png(8000, 6000, 3), 1, "decoded"),
        (lambda: flat_png(8000, 6000, 0, 16), 1, "decoded"),
        (lambda: flat_png(9000, 8000, 6), 1, "refused"),
        (lambda: flat_png(30000, 30000, 0, 1), 1, "refused"),
        (lambda: camera_jpeg(8688, 5792, quality=60), 1, "decoded"),
        (lambda: camera_jpeg(6000, 4000, quality=20, progressive=True), 1, "decoded"),
        (lambda: camera_jpeg(8000, 5600, quality=20, progressive=True, subsampling=0), 1, "refused"),
        (large_webp, 1, "decoded"),
        (gigantic_webp, 1, "refused"),
    ],
    ids=[
        "RGBA, three at once",
        "palette",
        "16 bits",
        "RGBA, 72 megapixels",
        "900 megapixels",
        "a camera's 50 megapixels",
        "progressive",
        "progressive, 45 megapixels",
        "WebP",
        "WebP, 268 megapixels",
    ],
)
def test_memory_is_bounded_before_anything_is_decoded(
    make: Callable[[], bytes], threads: int, outcome: str, tmp_path: Path
) -> None:
    path = tmp_path / "photo"
    path.write_bytes(make())
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(threads)], check=True, capture_output=True, text=True, timeout=120
    )
    *said, peak = ran.stdout.splitlines()
    assert [line.split()[0] for line in said] == [outcome] * threads
    results = (threads - 1) * 4 * photos.WORKING_SIDE_PX**2 * 6  # finished pictures, which their callers hold
    assert int(peak) < MEMORY_LIMIT_BYTES * 1.1 + results
    if outcome == "refused":
        assert "megapixels" in said[0]
        assert int(peak) < 64 * 1024 * 1024


def test_a_large_photo_is_brought_down_while_it_is_decoded_and_still_covers_every_clip() -> None:
    for file in (flat_png(4500, 3000, 0), camera_jpeg(6000, 4000)):
        short, long = sorted(decode_photo(file, NAME).size)
        assert photos.WORKING_SIDE_PX <= short < 2 * photos.WORKING_SIDE_PX
        assert long / short == pytest.approx(1.5, abs=0.01)


def of_size(file: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header says another size."""
    at = re.search(rb"\xff[\xc0\xc2]\0\x11\x08", file)
    assert at is not None
    return file[: at.end()] + struct.pack(">HH", height, width) + file[at.end() + 4 :]


PLAIN_HELPS = "or save it as a plain JPEG, not a progressive one"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            of_size(JPEG, 65500, 1200),
            "has 65500x1200 pixels, 79 megapixels, more than can be decoded of a file of this",
        ),
        (of_size(PROGRESSIVE, 8900, 8900), "79 megapixels, more than can be decoded of a progressive JPEG"),
        (of_size(PROGRESSIVE, 65500, 1200), "79 megapixels, more than can be decoded of a progressive JPEG"),
        (of_size(JPEG, 20000, 20000), "400 megapixels, more than can be decoded of a file of this kind and shape"),
        (gigantic_webp(), "268 megapixels, more than can be decoded of a file of this kind and shape"),
    ],
    ids=["narrow", "progressive", "narrow and progressive", "large", "WebP"],
)
def test_what_is_advised_of_a_large_photo_helps(file: bytes, said: str) -> None:
    with pytest.raises(PhotoRefused) as refused:
        decode_photo(file, NAME)
    told = str(refused.value)
    assert said in told
    assert f"scale it down to {FITS_MEGAPIXELS} megapixels" in told
    found = re.search(r"has (\d+)x(\d+) pixels", told)
    assert found is not None
    plain = of_size(JPEG, *map(int, found.groups()))
    assert (PLAIN_HELPS in told) is photos._fits(read_photo_file(plain))


def test_what_would_be_too_narrow_scaled_down_is_to_be_cropped() -> None:
    with pytest.raises(PhotoRefused, match=f"; crop it to {FITS_MEGAPIXELS} megapixels$"):
        decode_photo(flat_png(16, 5_000_000, 0, 1), NAME)


@pytest.mark.parametrize("ratio", [1, 4 / 3, 100, 4000])
def test_the_size_that_is_advised_fits_for_every_kind(ratio: float) -> None:
    height = int((FITS_MEGAPIXELS * 1_000_000 / ratio) ** 0.5)
    width = FITS_MEGAPIXELS * 1_000_000 // height
    inks = a_file(scene().convert("CMYK"), "JPEG", progressive=True, subsampling=0)
    for file in (JPEG, PROGRESSIVE, inks):
        found = read_photo_file(file)
        assert photos._fits(replace(found, width=width, height=height, decoder_bytes=8 * width * height))
    for file in (PNG, WEBP):
        found = read_photo_file(file)
        assert photos._fits(replace(found, width=width, height=height, decoder_bytes=12 * width * height))
