"""A picture of any kind, made right: upright, sRGB, 8 bits, in one of three modes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 89_478_485
"""Larger pictures are refused before they are decoded: a decompression bomb fits in 1 kB.
(Pillow warns from this size on: 256 MB of RGB.)"""

FORMATS = (
    *("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "GIF", "BMP", "DIB", "TIFF", "TGA", "ICO", "PPM"),
    *("PCX", "QOI"),
)
"""What is decoded. Others (EPS, for one) would hand a stranger's file to other programs."""

MAX_FILE = 256 * 2**20
"""Bytes of the largest picture file that is read."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for so many channels."""

DRAFT_GAP = 3
"""A JPEG may be decoded at a half, a quarter or an eighth of its size (libjpeg's own scaling) as
long as so many pixels are left for each that is wanted: less than a level of difference."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

# Pillow warns of what it mends, and of sizes that are limited here.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


class Unreadable(Exception):
    """This file is not a picture that can be used; the message says why."""


def decode(data: bytes | Pixels, channels: int) -> Pixels:
    """(H, W, channels) uint8 of an encoded picture, or of raw pixels. Raises `Unreadable`."""
    image = make_right(open_picture(data), channels)
    return np.asarray(image).reshape(image.height, image.width, channels)


def as_stored(data: bytes) -> Pixels:
    """(H, W, 3) uint8 as Pillow's `convert("RGB")` makes it, and nothing more of `make_right`.

    Raises `Unreadable`.
    """
    image = open_picture(data)
    with _unreadable():
        return np.asarray(image.convert("RGB"))


def open_picture(data: bytes | Pixels, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture with its size known and nothing decoded. Raises `Unreadable`."""
    from PIL import Image

    with _unreadable():
        image: Image.Image
        if isinstance(data, np.ndarray):
            image = Image.fromarray(data[:, :, 0] if data.shape[2:] == (1,) else data)
        else:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise Unreadable(f"{image.width}x{image.height} is over {max_pixels:,} pixels")
        return image


def upright_size(image: Image) -> tuple[int, int]:
    """Width and height as they are once the picture stands upright."""
    with _unreadable():
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else (image.width, image.height)


def draft(image: Image, wanted: int) -> None:
    """Have a huge JPEG decoded smaller; `wanted` is the larger side that it is resized to."""
    if image.format == "JPEG":
        image.draft(image.mode, (DRAFT_GAP * wanted, DRAFT_GAP * wanted))


def go_through(image: Image) -> Image:
    """Decode all that is coded, so that a picture cut short is found. Raises `Unreadable`.

    Gives the picture as it is then: a JPEG is gray and an eighth of its size, as libjpeg reads
    every bit of it for that too, and only spares itself the transform.
    """
    with _unreadable():
        if image.format == "JPEG":
            image.draft("L", (1, 1))
        image.load()
        return image


def make_right(image: Image, channels: int, background: str = "white") -> Image:
    """The picture as L, RGB or RGBA: first frame, upright, sRGB, 16 bits scaled to 8.

    Where alpha is not kept, it is composited over `background`. Raises `Unreadable`.
    """
    from PIL import Image, ImageColor, ImageOps

    with _unreadable():
        image.load()  # verify() passes a JPEG cut in half, load() does not
        image = _to_srgb(_to_8_bits(ImageOps.exif_transpose(image)))
        if channels != 4 and image.has_transparency_data:
            rgba = image.convert("RGBA")
            ground = Image.new("RGBA", rgba.size, ImageColor.getrgb(background))
            image = Image.alpha_composite(ground, rgba)
        mode = MODES[channels]
        return image if image.mode == mode else image.convert(mode)


@contextmanager
def _unreadable() -> Iterator[None]:
    """Within: whatever Pillow's decoders raise, which is nearly everything, is `Unreadable`."""
    try:
        yield
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("too large for this machine's memory") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "not a picture file"
        raise Unreadable(reason) from None


def _to_8_bits(image: Image) -> Image:
    """16-bit and float pictures scaled; Pillow's convert() would clip them at 255."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    finite = values[np.isfinite(values)] if image.mode == "F" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    offset = 0.0
    if image.mode == "F" and low >= 0 and high <= 255:
        white = 1.0 if high <= 1 else 255.0
    elif low >= 0 and high <= 65535:
        white = 65535.0
    else:  # 32 bits, or signed: no white is defined, so the picture's own range
        offset, white = low, high - low or 1.0
    scaled = (values.astype(np.float32) - np.float32(offset)) * np.float32(255 / white)
    scaled = np.nan_to_num(scaled, nan=0.0).round().clip(0, 255)
    gray = Image.fromarray(scaled.astype(np.uint8))
    if isinstance(hole := image.info.get("transparency"), int):  # a PNG's transparent level
        gray.putalpha(Image.fromarray(np.where(values == hole, 0, 255).astype(np.uint8)))
    return gray


def _to_srgb(image: Image) -> Image:
    """Colours through the embedded profile, where there is one that is not sRGB already."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile", b"")
    if image.mode == "P" and profile:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    transform = _transform(profile, image.mode) if profile or image.mode == "LAB" else None
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _is_srgb(profile: Any) -> bool:
    """By its effect on some colours: descriptions do not tell, and sRGB has many profiles."""
    from PIL import Image, ImageCms

    swatch = Image.fromarray(np.arange(0, 240, 10, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1])
    target = ImageCms.createProfile("sRGB")
    seen = ImageCms.profileToProfile(swatch, profile, target, outputMode="RGB")
    return bool(np.abs(np.asarray(seen).astype(int) - np.asarray(swatch)).max() <= 2)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    """From the profile to sRGB; None if it is sRGB, damaged, or does not fit the mode."""
    from PIL import ImageCms

    try:
        if mode == "LAB":
            given: Any = ImageCms.createProfile("LAB")
        else:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if mode in ("RGB", "RGBA") and _is_srgb(given):
                return None
        return ImageCms.buildTransform(
            given,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            flags=ImageCms.Flags.NOCACHE,  # the cache is not safe among threads
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
