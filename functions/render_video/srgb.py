"""Colours of any profile as sRGB, the one colour space that the model was trained in and clips are shown in."""

import io
import logging
import struct
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_KINDS = frozenset({"mntr", "scnr", "prtr", "spac"})
_SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_srgb(mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """What turns pictures of a mode (L, RGB or CMYK), whose colours the ICC profile describes, into RGB in sRGB.

    A profile that is broken, or is of other pictures, is taken for sRGB, as browsers do.
    """
    if profile is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            described = source.profile.xcolor_space.strip(), source.profile.device_class
            if described[0] == _SPACES[mode] and described[1] in _KINDS:
                transform = ImageCms.buildTransform(
                    source,
                    ImageCms.createProfile("sRGB"),
                    mode,
                    "RGB",
                    ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                return transform.apply
            log.info("a colour profile of %s in %s is no use for a picture in %s; taken for sRGB", *described, mode)
        except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
            log.info("a colour profile is broken (%s); taken for sRGB", error)
    return lambda picture: picture.convert("RGB")


def matrix_profile(gamma: float | None, points: Sequence[float] | None) -> bytes | None:
    """The ICC profile that a PNG's gAMA and cHRM describe, or None where they describe no colours.

    gamma: the encoding exponent, as 0.45; None: sRGB's curve. points: x and y of white, red, green, blue; None: sRGB's.
    Source: ICC.1:2022; adapted to D50 by Bradford's matrix, as its annex E says.
    """
    chromaticities = np.array(_SRGB_POINTS if points is None else points, dtype=float).reshape(4, 2)
    if (chromaticities[:, 1] <= 0).any() or (gamma is not None and not 0.1 < gamma < 10):
        return None
    x, y = chromaticities.T
    white, *_ = xyz = np.stack((x / y, np.ones(4), (1 - x - y) / y), axis=1)  # each at luminance 1
    primaries = xyz[1:].T
    if abs(np.linalg.det(primaries)) < 1e-6:
        return None
    primaries = primaries * np.linalg.solve(primaries, white)
    cone = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted = np.linalg.inv(_BRADFORD) @ cone @ _BRADFORD @ primaries
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 16:
        return None

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    if gamma is None:
        curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    else:
        curve = b"para" + bytes(4) + struct.pack(">HH", 0, 0) + fixed(1 / gamma)
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(*_D50)}
    for index, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*adapted[:, index])
        tags[name + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    header = struct.pack(
        ">I4sI4s4s4s12x4s4s", start + len(body), b"", 0x04000000, b"mntr", b"RGB ", b"XYZ ", b"acsp", b""
    )
    return header.ljust(68, b"\0") + fixed(*_D50) + bytes(48) + table + body
