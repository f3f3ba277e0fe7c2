"""Image to video: a product photo becomes the clip's first latent frame and stays it."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model_store.wan.axes import permute


def cover(photo: Image.Image, width: int, height: int) -> Tensor:
    """Scale so that the photo covers width x height and crop evenly: float32 [1, 3, 1, H, W] in [-1, 1].

    ValueError: the photo is not in RGB; whoever opened the file knows what its colours are.
    """
    if photo.mode != "RGB":
        raise ValueError(f"the first frame is in mode {photo.mode}; decode it to upright sRGB in RGB before")
    scale = min(photo.width / width, photo.height / height)  # photo pixels to a clip pixel
    left, top = (photo.width - scale * width) / 2, (photo.height - scale * height) / 2
    # Only what stays is scaled: covering a clip with a very long, thin photo would otherwise need gigabytes.
    box = (left, top, left + scale * width, top + scale * height)
    pixels = np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS, box=box))
    frame = permute(torch.from_numpy(pixels.copy()), "H W C -> C H W")
    return (frame.float() / 127.5 - 1)[None, :, None]


def hold(first_frame: Tensor, latents: Tensor) -> Tensor:
    """The latents [B, C, F, H, W] with the given picture's latent [B, C, 1, H, W] as their first frame."""
    return torch.cat((first_frame, latents[:, :, 1:]), dim=2)
