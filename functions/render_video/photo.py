"""A product photo's bytes become the picture they show: upright, in 8-bit sRGB, within bounds of memory.

What the file is, photo_file says; what its colours are, srgb. How a picture is fitted to a clip is the engine's part.
"""

import io
import math
import threading
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops

from functions.render_video.photo_file import CUT_OFF, DAMAGED, END_OF_JPEG, NoPicture, PhotoFile, read_photo_file
from functions.render_video.srgb import to_srgb
from shared.errors import PhotoRefused

MEMORY_LIMIT_BYTES = 256 * 1024 * 1024
"""For one decoding, beside the file: a camera's JPEG of 80 megapixels, a PNG of 60, a WebP of 15."""
MOST_PIXELS = 80_000_000
"""More than cameras have, and fewer than Pillow warns of."""
FITS_MEGAPIXELS = 10
"""What can be decoded of every kind of file, and shape, and suffices for every clip."""
SMALLEST_SIDE_PX = 16
WORKING_SIDE_PX = 1408
"""Pictures are brought down while they are decoded, by a whole number, to sides no shorter than this: twice the shorter
side of 720p, for whatever scaling to the clip takes from there."""
MOST_MISSING = 0.02
"""The share of rows that a picture may lack at its lower end; they are cut away. More is no longer the same picture."""

_STRIP_PIXELS = 1_000_000
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Entropy-coded data of no meaning, with each restart marker in it.
_NONSENSE = bytes(range(1, 255)) + b"".join(b"\xff" + bytes([0xD0 + n]) + bytes(range(254, 0, -1)) for n in range(8))

# A handler's thread each may have a photo in hand; memory is bounded for one.
_decoding = threading.Lock()


def decode_photo(data: bytes, name: str) -> Image.Image:
    """The picture in a JPEG, PNG or WebP: upright, RGB in sRGB, transparency on white.

    One is decoded at a time, in `MEMORY_LIMIT_BYTES`. PhotoRefused: there is none, or it is too large, too small or
    damaged; the message begins with `name` and says to a merchant what to send.
    """
    try:
        with _decoding:
            file = read_photo_file(data)
            _check_size(file)
            picture = _normalised(_decoded(file), file)
            return _upright(picture, file.exif)
    except NoPicture as error:
        raise PhotoRefused(f"{name} {error}") from error


def _check_size(file: PhotoFile) -> None:
    """Before anything is decoded. NoPicture: too small to be filmed, or too large to be decoded."""
    size = f"has {file.width}x{file.height} pixels"
    if min(file.width, file.height) < SMALLEST_SIDE_PX:
        raise NoPicture(f"{size}, too few to be filmed: sides need {SMALLEST_SIDE_PX} at least; send a larger one")
    if not _fits(file):
        megapixels = file.width * file.height / 1_000_000
        such = "a progressive JPEG" if file.several_passes else "a file of this kind and shape"
        raise NoPicture(f"{size}, {megapixels:.0f} megapixels, more than can be decoded of {such}; {_advice(file)}")


def _fits(file: PhotoFile) -> bool:
    """Whether it can be decoded within `MEMORY_LIMIT_BYTES`, the copies of the file among them."""
    scale = _scale(file)
    pixels = math.ceil(file.width / scale) * math.ceil(file.height / scale)
    result = 4 * pixels // (min(file.width, file.height) // scale // WORKING_SIDE_PX or 1) ** 2
    copies = (2 if file.kind == "JPEG" else 1) * len(file.picture)
    needed = file.decoder_bytes + file.pixel_bytes * pixels + result + copies
    return file.width * file.height <= MOST_PIXELS and needed <= MEMORY_LIMIT_BYTES


def _advice(file: PhotoFile) -> str:
    """What helps. A plain JPEG, which is brought down while it is decoded, does where it is not one, nor narrow."""
    shrunk = min(file.width, file.height) * (FITS_MEGAPIXELS * 1_000_000 / (file.width * file.height)) ** 0.5
    how = "scale it down" if shrunk >= SMALLEST_SIDE_PX else "crop it"
    smaller = f"{how} to {FITS_MEGAPIXELS} megapixels"
    plain = replace(file, kind="JPEG", pixel_bytes=4, decoder_bytes=0)
    return f"{smaller}, or save it as a plain JPEG, not a progressive one" if _fits(plain) else smaller


def _scale(file: PhotoFile) -> int:
    """By how much the decoder brings a picture down: a JPEG by 1, 2, 4 or 8, as Pillow's draft chooses."""
    if file.kind != "JPEG":
        return 1
    room = min(file.width, file.height) // WORKING_SIDE_PX
    return max(scale for scale in (1, 2, 4, 8) if scale <= max(1, room))


def _decoded(file: PhotoFile) -> Image.Image:
    """The pixels as they are stored, without what is missing at the lower end."""
    if file.kind != "JPEG":
        return _loaded(file.picture, file.kind)
    missing = _missing_share(file)
    if missing > MOST_MISSING:
        raise NoPicture(f"is cut off: its lower {math.ceil(100 * missing)} % is missing; send the whole file")
    image = _loaded(file.picture + END_OF_JPEG, file.kind, smallest_side=WORKING_SIDE_PX)
    rows = image.height - math.ceil(missing * image.height)
    return image if rows == image.height else image.crop((0, 0, image.width, rows))


def _missing_share(file: PhotoFile) -> float:
    """The share of a JPEG's rows that its data does not reach.

    The decoder fills them with grey and says nothing. So nonsense is put behind the data: in a whole picture nobody
    reads it, in one that is cut off it is read as the first rows that are missing, and these differ.
    """
    plain, other = (
        _loaded(file.picture + tail + END_OF_JPEG, file.kind, smallest_side=1).convert("RGB")
        for tail in (b"", _NONSENSE)
    )
    differing = ImageChops.difference(plain, other).getbbox()
    return 0.0 if differing is None else 1 - differing[1] / plain.height


def _loaded(picture: bytes, kind: str, *, smallest_side: int | None = None) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(picture), formats=(kind,))
        if smallest_side is not None:
            image.draft(None, (smallest_side, smallest_side))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders have no error in common
        cut_off = "truncated" in str(error)
        raise NoPicture(CUT_OFF if cut_off else DAMAGED) from error
    return image


def _normalised(image: Image.Image, file: PhotoFile) -> Image.Image:
    """RGB in sRGB, on white, brought down to the working size: strip by strip, so that nothing is held twice."""
    factor = max(1, min(image.size) // WORKING_SIDE_PX)
    width, height = (math.ceil(side / factor) for side in image.size)
    result = Image.new("RGB", (width, height))
    step = factor * max(1, _STRIP_PIXELS // (factor * image.width))
    convert = None
    for top in range(0, image.height, step):
        strip = _in_bytes(image.crop((0, top, image.width, min(top + step, image.height)))).reduce(factor)
        alpha = strip.getchannel("A") if strip.mode in ("LA", "RGBA") else None
        colours = strip.convert(strip.mode.removesuffix("A"))
        convert = convert or to_srgb(colours.mode, file.profile)
        colours = convert(colours)
        if alpha is not None:
            colours = Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)
        result.paste(colours, (0, top // factor))
    return result


def _in_bytes(strip: Image.Image) -> Image.Image:
    """A strip in L, LA, RGB, RGBA or CMYK: palettes looked up, 16 bits as the nearest 8."""
    if strip.mode.startswith("I"):
        values = np.asarray(strip).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if "transparency" in strip.info:
        return strip.convert("RGBA")
    if strip.mode in ("P", "1"):
        return strip.convert("RGB" if strip.mode == "P" else "L")
    return strip


def _upright(picture: Image.Image, exif: bytes | None) -> Image.Image:
    """Turned as the camera says that it was held. A note that cannot be read says nothing."""
    if exif is None:
        return picture
    try:
        tags = Image.Exif()
        tags.load(exif)
        turn = _UPRIGHT.get(tags.get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow reads EXIF with whatever its bytes lead to
        return picture
    return picture if turn is None else picture.transpose(turn)
