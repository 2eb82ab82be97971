"""Faces in drawings, found by nagadomi's cascade (MIT; the file beside this one)."""

from __future__ import annotations

import importlib.util
import threading
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

RAISE = 0.08
"""How far the crop's middle lies above the box's, in sides of the box: hair is higher than a chin
is low."""

MIN_SIDE = 24
"""Pixels of the smallest face that the cascade can see."""

_ours = threading.local()


def check_faces() -> None:
    """Raise `UserError` when OpenCV is missing."""
    if importlib.util.find_spec("cv2") is None:
        raise UserError("crop: anime-face needs OpenCV: pip install 'ganctl[faces]'")


def face_crops(image: Image, aspect: float = 1.0, margin: float = 1.8) -> list[Image]:
    """A crop per face, from the top left to the bottom right, with hair and shoulders.

    `aspect` is width / height; `margin` is the crop's side for a detected box of side 1, which
    spans from brow to chin. A crop that would leave the picture is moved inside, and made
    smaller where the picture is too small for it.
    """
    import cv2

    gray = cv2.equalizeHist(np.asarray(image.convert("L")))
    found = _cascade().detectMultiScale(
        gray, scaleFactor=1.05, minNeighbors=4, minSize=(MIN_SIDE, MIN_SIDE)
    )
    boxes = sorted((int(y), int(x), int(side)) for x, y, side, _ in found)
    return [image.crop(_around(x, y, side, image.size, aspect, margin)) for y, x, side in boxes]


def _around(
    x: int, y: int, side: int, size: tuple[int, int], aspect: float, margin: float
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the crop for a face at (x, y)."""
    wanted = (side * margin * max(aspect, 1), side * margin * max(1 / aspect, 1))
    shrink = min(1.0, size[0] / wanted[0], size[1] / wanted[1])
    width, height = round(wanted[0] * shrink), round(wanted[1] * shrink)
    left = round(x + side / 2 - width / 2)
    top = round(y + side / 2 - RAISE * side - height / 2)
    left, top = max(0, min(left, size[0] - width)), max(0, min(top, size[1] - height))
    return left, top, left + width, top + height


def _cascade() -> Any:
    """One per thread: detection changes the object."""
    if not hasattr(_ours, "cascade"):
        import cv2

        cv2.setNumThreads(1)  # pictures are worked on in threads already
        with as_file(files(__package__).joinpath("lbpcascade_animeface.xml")) as file:
            _ours.cascade = cv2.CascadeClassifier(str(file))
    return _ours.cascade
