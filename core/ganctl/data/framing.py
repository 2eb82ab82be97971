"""From a picture of any shape to one of the size that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Literal["center", "squash", "pad"]
Filter = Literal["lanczos", "box"]


def frame(
    image: Image,
    height: int,
    width: int,
    crop: Crop = "center",
    resample: Filter = "lanczos",
    background: str = "white",
) -> Image:
    """The picture at `height` × `width`, antialiased.

    `center` cuts the middle out at the wanted aspect ratio; `squash` changes the ratio; `pad` adds
    bars of the background (transparent for RGBA).
    """
    from PIL import Image, ImageColor

    if (image.height, image.width) == (height, width):
        return image
    kernel = Image.Resampling[resample.upper()]
    if crop == "squash":
        return image.resize((width, height), kernel)
    if crop == "center":
        scale = min(image.height / height, image.width / width)
        # Rounding could leave the picture by a hair, which Pillow refuses.
        cut_x = max((image.width - width * scale) / 2, 0.0)
        cut_y = max((image.height - height * scale) / 2, 0.0)
        box = (cut_x, cut_y, image.width - cut_x, image.height - cut_y)
        return image.resize((width, height), kernel, box=box)
    scale = min(height / image.height, width / image.width)
    inner = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    colour = (0, 0, 0, 0) if image.mode == "RGBA" else ImageColor.getcolor(background, image.mode)
    canvas = Image.new(image.mode, (width, height), colour)
    at = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    canvas.paste(image.resize(inner, kernel), at)
    return canvas
