"""Drawn faces, cut out with hair and shoulders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganctl.data.faces import _around, face_crops

DRAWINGS = Path(__file__).resolve().parents[3] / "shared/data/anime-detector"
drawings = pytest.mark.skipif(
    not DRAWINGS.is_dir(), reason="the drawings of shared/data/anime-detector are not here"
)


@drawings
def test_the_faces_of_a_sheet_are_found() -> None:
    pytest.importorskip("cv2")
    with Image.open(DRAWINGS / "bchao1_test.jpg") as sheet:
        crops = face_crops(sheet.convert("RGB"))
    assert 60 <= len(crops) <= 64  # there are 64
    assert all(crop.width == crop.height for crop in crops)


@drawings
def test_crops_have_the_aspect_that_is_wanted() -> None:
    pytest.importorskip("cv2")
    with Image.open(DRAWINGS / "hysts_input.jpg") as scene:
        crops = face_crops(scene.convert("RGB"), aspect=1.5)
    assert len(crops) >= 30
    assert all(abs(crop.width / crop.height - 1.5) < 0.05 for crop in crops)


def test_a_picture_without_faces_gives_none() -> None:
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    assert face_crops(Image.fromarray(noise)) == []
    assert face_crops(Image.new("RGB", (5, 5))) == []


@pytest.mark.parametrize("where", [(0, 0), (80, 80), (0, 80), (40, 10)])
def test_a_crop_stays_inside_the_picture(where: tuple[int, int]) -> None:
    left, top, right, bottom = _around(*where, 20, (100, 100), 1.0, 1.8)
    assert (right - left, bottom - top) == (36, 36)
    assert left >= 0
    assert top >= 0
    assert right <= 100
    assert bottom <= 100


def test_a_face_that_fills_the_picture_gives_the_largest_crop() -> None:
    assert _around(2, 2, 56, (60, 70), 1.0, 1.8) == (0, 0, 60, 60)
