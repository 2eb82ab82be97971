"""Pictures and archives that are odd, broken, or meant to do harm."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageCms

from .pictures import jpeg, picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="9"/></svg>'


@cache
def odd_pictures(seed: int = 900, side: int = 96) -> dict[str, bytes]:
    """Files that can be read, if not by everybody: by what is odd about them."""
    whole = picture(seed, side)
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, side, dtype=np.uint8), (side, 1)))
    see_through = whole.copy()
    see_through.putalpha(alpha)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    deep = np.linspace(0, 65535, side * side).reshape(side, side).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [picture(seed + i, side).quantize(16) for i in range(3)]
    return {
        "cmyk.jpg": jpeg(whole.convert("CMYK")),
        "grey.jpg": jpeg(whole.convert("L")),
        "palette-transparent.png": _save(whole.quantize(32), "PNG", transparency=0),
        "rgba.png": _save(see_through, "PNG"),
        "16-bit.png": _save(Image.fromarray(deep), "PNG"),
        "rotated.jpg": _save(whole, "JPEG", exif=exif),
        "icc.jpg": _save(whole, "JPEG", icc_profile=profile),
        "animated.gif": _save(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "progressive.jpg": _save(whole, "JPEG", progressive=True),
        "webp.jpg": _save(whole, "WEBP"),
        "one-pixel.png": _save(Image.new("RGB", (1, 1), "red"), "PNG"),
    }


@cache
def broken_pictures(seed: int = 950, side: int = 96) -> dict[str, bytes]:
    """Files that are no pictures, or not whole ones, or too large: by what is wrong with them."""
    whole = jpeg(picture(seed, side))
    flipped = bytearray(_save(picture(seed, side), "PNG"))
    flipped[len(flipped) // 2] ^= 1
    return {
        "truncated.jpg": whole[: len(whole) // 2],
        "bit-flipped.png": bytes(flipped),
        "empty.jpg": b"",
        "svg.jpg": SVG,
        "html.jpg": b"<!DOCTYPE html><title>404</title>",
        "garbage.jpg": whole[:20] + b"\0" * 500,
        "144-megapixels.png": _large_png(12_000, 12_000),
        "400-megapixels.png": _large_png(20_000, 20_000),
    }


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _large_png(width: int, height: int) -> bytes:
    """One bit a pixel, all the same: some kilobytes that unfold to megapixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        summed = name + content
        return struct.pack(">I", len(content)) + summed + struct.pack(">I", zlib.crc32(summed))

    row = b"\0" * (1 + (width + 7) // 8)
    packer = zlib.compressobj(6)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@cache
def bad_archives(good: bytes | None = None) -> dict[str, bytes]:
    """Zips that must not be unpacked as they are, each with the picture `good.jpg` first."""
    content = jpeg(picture(990, 64)) if good is None else good

    def names(*more: str) -> Callable[[zipfile.ZipFile], None]:
        return lambda file: [file.writestr(_info(name), content) for name in more] and None

    def symlink(file: zipfile.ZipFile) -> None:
        info = _info("link.jpg")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")

    def bomb(file: zipfile.ZipFile) -> None:
        file.writestr(_info("bomb.jpg"), bytes(64_000_000), zipfile.ZIP_DEFLATED, 6)

    def nested(file: zipfile.ZipFile) -> None:
        file.writestr(_info("more.zip"), _zip(names("inside.jpg"), content))

    made: dict[str, Callable[[zipfile.ZipFile], None]] = {
        "parent": names("../outside.jpg"),
        "deep parent": names("covers/../../outside.jpg"),
        "backslashes": names("..\\outside.jpg"),
        "absolute": names("/tmp/outside.jpg"),
        "drive": names("C:\\outside.jpg"),
        "symlink": symlink,
        "bomb": bomb,
        "nested": nested,
        "not pictures": names("readme.txt", "run.sh", "data.csv"),
        "duplicates": names("twice.jpg", "twice.jpg"),
        "colliding case": names("Cover.jpg", "cover.JPG", "COVER.jpg"),
        "long name": names("x" * 300 + ".jpg"),
        "many": names(*(f"{i}.jpg" for i in range(2000))),
    }
    archives = {name: _zip(fill, content) for name, fill in made.items()}
    # A name that is neither ASCII nor said to be UTF-8: byte 0xFF stands in it.
    archives["not UTF-8"] = _zip(names("caf0.jpg"), content).replace(b"caf0.jpg", b"caf\xff.jpg")
    archives["cut short"] = archives["many"][:-500]
    return archives


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name  # as it stands: ZipInfo itself would tidy it
    return info


def _zip(fill: Callable[[zipfile.ZipFile], None], content: bytes) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr(_info("good.jpg"), content)
            fill(file)
    return buffer.getvalue()
