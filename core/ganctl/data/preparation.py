"""How pictures become images of one size: the options, and what is done with one picture."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from ..errors import UserError
from ..options import Opt
from ..plugin import Source
from ..spec import ImageSpec
from .cleaning import deviation, is_disc, perceptual_hash
from .faces import check_faces, face_crops
from .framing import frame
from .parallel import Budget
from .pixels import (
    MAX_PIXELS,
    MODES,
    Pixels,
    Unreadable,
    draft,
    make_right,
    open_picture,
    upright_size,
)

if TYPE_CHECKING:
    from typing import Any

    from PIL.Image import Image

NAMES: dict[int, Literal["gray", "rgb", "rgba"]] = {1: "gray", 3: "rgb", 4: "rgba"}
"""The option's word for so many channels."""

_IN_FLIGHT = Budget(128_000_000)
"""Pixels that are being decoded at a time, at 4 to 20 bytes each: many cores, large pictures."""


@dataclass(frozen=True)
class Preparation:
    """What is done to every picture of a source, and which pictures are left out."""

    channels: Annotated[
        Literal["auto", "rgb", "gray", "rgba"],
        Opt("What pictures are converted to; auto: as the source says, else rgb."),
    ] = "auto"
    crop: Annotated[
        Literal["center", "none", "squash", "pad", "anime-face"],
        Opt("Cut out the middle, take only exact sizes, squash, pad, or cut out drawn faces."),
    ] = "center"
    face_margin: Annotated[
        float, Opt("Side of a face's crop for a face of side 1, brow to chin.", ge=1, le=10)
    ] = 1.8
    filter: Annotated[
        Literal["lanczos", "box"], Opt("Antialiasing filter of the resize; it changes the FID.")
    ] = "lanczos"
    background: Annotated[str, Opt("Colour under transparency and padding: white, #336699.")] = (
        "white"
    )
    format: Annotated[
        Literal["png", "jpeg"],
        Opt("How images are stored: exact, or JPEG of quality 95 without chroma subsampling."),
    ] = "png"
    min_size: Annotated[int, Opt("Leave out pictures with a side under so many pixels.", ge=1)] = 1
    min_bytes: Annotated[int, Opt("Leave out files of fewer bytes.", ge=0)] = 0
    max_pixels: Annotated[
        int, Opt("Refuse larger pictures undecoded.", ge=1, le=2 * MAX_PIXELS)
    ] = MAX_PIXELS
    min_deviation: Annotated[
        float | None,
        Opt(
            "Leave out near-uniform pictures: standard deviation under so many of 256 levels; "
            "if not given 1, or 0 for published sets.",
            ge=0,
        ),
    ] = None
    duplicates: Annotated[
        Literal["auto", "drop", "keep"],
        Opt("The same file or pixels again; auto drops them, but keeps published sets whole."),
    ] = "auto"
    near_duplicates: Annotated[
        int | None,
        Opt("Leave out what differs from an earlier picture by at most so many of 64 bits.", ge=0),
    ] = None
    discs: Annotated[
        Literal["keep", "drop", "label"],
        Opt("Round things on plain ground: keep, leave out, or label everything disc or square."),
    ] = "keep"

    def __post_init__(self) -> None:
        from PIL import ImageColor

        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise UserError(
                f"background: {self.background!r} is not a colour such as white or #336699"
            ) from None
        if self.format == "jpeg" and self.channels == "rgba":
            raise UserError("format: jpeg holds no alpha; use png, or --channels rgb")
        if self.crop == "anime-face":
            check_faces()

    def decided(self, source: Source[Any], options: Any) -> Preparation:
        """With nothing left to `auto`."""
        how = self
        if how.channels == "auto":
            how = replace(how, channels=NAMES[source.channels(options)])
        if how.duplicates == "auto":
            how = replace(how, duplicates="keep" if source.curated else "drop")
        if how.min_deviation is None:
            how = replace(how, min_deviation=0.0 if source.curated else 1.0)
        return how

    @property
    def channel_count(self) -> int:
        """Of a decided preparation."""
        return next(count for count, name in NAMES.items() if name == self.channels)


@dataclass(frozen=True)
class Prepared:
    """What became of one picture: encoded images (several for several faces), or why not."""

    images: tuple[bytes, ...] = ()
    why: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    """Of the file."""
    images_sha256: str = ""
    hash: int | None = None
    """Perceptual, of the whole picture."""
    disc: bool = False


def prepare_picture(data: bytes | Pixels, how: Preparation, spec: ImageSpec) -> Prepared:
    """Decode, clean, frame and encode one picture with a decided preparation."""
    sha256 = _sha256(data)
    if isinstance(data, bytes) and len(data) < how.min_bytes:
        return Prepared(why=f"too small: {len(data)} bytes", sha256=sha256)
    outcome = Prepared(sha256=sha256)
    try:
        picture = open_picture(data, how.max_pixels)
        width, height = upright_size(picture)
        outcome = replace(outcome, width=width, height=height)
        if (side := min(picture.size)) < how.min_size:
            return replace(outcome, why=f"too small: a side of {side} pixels")
        # A crop of a face needs every pixel; so does a check of the picture's own size.
        if how.crop not in ("anime-face", "none"):
            draft(picture, max(spec.height, spec.width))
        with _IN_FLIGHT.take(picture.width * picture.height):
            image = make_right(picture, spec.channels, how.background)
            framed = _framed(image, how, spec)
    except Unreadable as error:
        return replace(outcome, why=f"unreadable: {error}")
    except MemoryError:
        return replace(outcome, why="unreadable: too large for this machine's memory")
    if not framed:
        other = f"of another size: {image.height}x{image.width} (height x width)"
        return replace(outcome, why="no face found" if how.crop == "anime-face" else other)
    assert how.min_deviation is not None
    seen = [image] if how.crop == "pad" else framed  # the bars are not the picture
    if how.min_deviation and max(map(deviation, seen)) < how.min_deviation:
        return replace(outcome, why="blank: all of nearly one colour")
    disc = how.discs != "keep" and is_disc(np.asarray(framed[0].convert("RGB")))
    if disc and how.discs == "drop":
        return replace(outcome, why="a disc on plain ground")
    images = tuple(encode(one, how.format) for one in framed)
    return replace(
        outcome,
        images=images,
        images_sha256=hashlib.sha256(b"".join(images)).hexdigest(),
        hash=None if how.near_duplicates is None else perceptual_hash(image),
        disc=disc,
    )


def _sha256(data: bytes | Pixels) -> str:
    if isinstance(data, np.ndarray):
        return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()
    return hashlib.sha256(data).hexdigest()


def encode(image: Image, kind: str) -> bytes:
    """A PNG, or a JPEG of quality 95 without chroma subsampling."""
    buffer = io.BytesIO()
    if kind == "jpeg":
        image.save(buffer, "jpeg", quality=95, subsampling="4:4:4")
    else:
        image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def encode_pixels(pixels: Pixels) -> bytes:
    """(H, W, C) uint8 as a PNG."""
    from PIL import Image

    channels = pixels.shape[2]
    return encode(
        Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, MODES[channels]), "png"
    )


def _framed(image: Image, how: Preparation, spec: ImageSpec) -> list[Image]:
    size = spec.height, spec.width
    if how.crop == "none":
        return [image] if (image.height, image.width) == size else []
    if how.crop != "anime-face":
        return [frame(image, *size, how.crop, how.filter, how.background)]
    crops = face_crops(image, spec.width / spec.height, how.face_margin)
    return [frame(crop, *size, "center", how.filter) for crop in crops]
