"""A product photo's file, opened. How large it may be and how it is fitted to the clip is the engine's business."""

from typing import IO

from PIL import Image, UnidentifiedImageError

from shared.errors import PhotoRefused


def open_photo(file: IO[bytes], name: str) -> Image.Image:
    """Open a JPEG, PNG or WebP; who uses it decodes it. PhotoRefused `invalid-image`: it is none of these."""
    try:
        return Image.open(file, formats=("JPEG", "PNG", "WEBP"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoRefused(f"image {name!r} is not readable: {error}; send it again as JPEG, PNG or WebP") from error
