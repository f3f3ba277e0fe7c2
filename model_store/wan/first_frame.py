"""Image to video: a product photo becomes the clip's first latent frame and stays it."""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from shared.errors import PhotoRefused

SMALLEST_SIDE_PX = 16
LARGEST_AREA_PX = 64_000_000


def open_photo(image: Image.Image) -> Image.Image:
    """Decode a photo to upright RGB, transparency on white. PhotoRefused: corrupt, gigantic or tiny."""
    width, height = image.size
    if width * height > LARGEST_AREA_PX:
        raise PhotoRefused(
            f"first frame of {width}x{height} is too large: at most {LARGEST_AREA_PX // 1_000_000} megapixels are "
            "decoded; scale the image down"
        )
    if min(width, height) < SMALLEST_SIDE_PX:
        raise PhotoRefused(
            f"first frame of {width}x{height} is too small: sides need {SMALLEST_SIDE_PX} pixels; send a larger image"
        )
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            canvas = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(canvas, upright.convert("RGBA"))
        return upright.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders have no error in common
        raise PhotoRefused(
            f"first frame cannot be decoded: {error}; send the image again as JPEG, PNG or WebP"
        ) from error


def cover(photo: Image.Image, width: int, height: int) -> Tensor:
    """Scale so that the photo covers width x height and crop evenly: float32 [1, 3, 1, H, W] in [-1, 1]."""
    scale = min(photo.width / width, photo.height / height)  # photo pixels to a clip pixel
    left, top = (photo.width - scale * width) / 2, (photo.height - scale * height) / 2
    # Only what stays is scaled: covering a clip with a very long, thin photo would otherwise need gigabytes.
    box = (left, top, left + scale * width, top + scale * height)
    pixels = np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS, box=box))
    frame = torch.from_numpy(pixels.copy()).permute(2, 0, 1)  # H W 3 -> 3 H W
    return (frame.float() / 127.5 - 1)[None, :, None]


def hold(first_frame: Tensor, latents: Tensor) -> Tensor:
    """The latents [B, C, F, H, W] with the given picture's latent [B, C, 1, H, W] as their first frame."""
    return torch.cat((first_frame, latents[:, :, 1:]), dim=2)
