"""A product photo as the engine takes it: opened, turned upright, RGB. Sizes are the engine's business."""

from typing import IO

from PIL import Image, ImageOps, UnidentifiedImageError

from shared.errors import PermanentError

LIMIT_PIXELS = 64_000_000
"""A phone's best picture has 50 million; more is a mistake or a decompression bomb."""


def open_photo(file: IO[bytes], name: str) -> Image.Image:
    """Read a JPEG, PNG or WebP. What cannot be read, or is gigantic, is a PermanentError `bad-image`."""
    try:
        with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
            width, height = image.size
            if width * height > LIMIT_PIXELS:
                raise PermanentError(
                    f"image {name!r} has {width}x{height} pixels, {LIMIT_PIXELS} are allowed; send a smaller one",
                    reason="bad-image",
                )
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PermanentError(f"image {name!r} is not readable: {error}; send it again", reason="bad-image") from error
