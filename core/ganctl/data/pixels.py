"""An encoded picture, whatever it is, to uint8 pixels of one shape."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import ImageSpec

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a decompression bomb fits in 1 kB."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded. Others (EPS, for one) would hand a stranger's file to other programs."""

MAX_FILE = 256 * 2**20
"""Bytes of the largest picture file that is read."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class Unreadable(Exception):
    """This file is not a picture that can be used; the message says why."""


def decode(data: bytes | Pixels, channels: int) -> Pixels:
    """(H, W, channels) uint8: first frame, upright, alpha over white, 16 bits scaled to 8."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the limit is ours
            image = (
                Image.fromarray(data)
                if isinstance(data, np.ndarray)
                else Image.open(io.BytesIO(data), formats=FORMATS)
            )
            if image.width * image.height > MAX_PIXELS:
                raise Unreadable(f"{image.width}x{image.height} is over {MAX_PIXELS:,} pixels")
            image.load()  # verify() passes a JPEG cut in half, load() does not
            image = ImageOps.exif_transpose(image)
            array = np.asarray(_to_mode(image, channels))
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("too large for this machine's memory") from None
    except Exception as error:  # Pillow's decoders raise nearly everything
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "not a picture file"
        raise Unreadable(reason) from None
    return array.reshape(array.shape[0], array.shape[1], channels)


def fit(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """Centre crop to the aspect ratio of `spec`, then resize with Lanczos (antialiased)."""
    from PIL import Image

    height, width, channels = pixels.shape
    if (height, width) == (spec.height, spec.width):
        return pixels
    scale = min(height / spec.height, width / spec.width)
    crop_h, crop_w = spec.height * scale, spec.width * scale
    top, left = (height - crop_h) / 2, (width - crop_w) / 2
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    resized = image.resize(
        (spec.width, spec.height),
        Image.Resampling.LANCZOS,
        box=(left, top, left + crop_w, top + crop_h),
    )
    return np.asarray(resized).reshape(spec.height, spec.width, channels)


def _to_mode(image: Image, channels: int) -> Image:
    from PIL import Image

    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        # Pillow's convert() would clip 16-bit values at 255 instead of scaling them.
        high = 65535.0 if image.mode.startswith("I") else 1.0
        if image.mode == "F" and values.max(initial=0) > 1:
            high = 255.0
        image = Image.fromarray((values / high * 255).round().clip(0, 255).astype(np.uint8))
    if channels != 4 and image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == mode else image.convert(mode)
