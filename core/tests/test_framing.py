"""Pictures of any shape, cut or squeezed or padded to one size."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.data.framing import frame


def fit(pixels: np.ndarray[Any, Any], height: int, width: int, **how: Any) -> np.ndarray[Any, Any]:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(frame(image, height, width, **how)).reshape(height, width, -1)


def bars(height: int, width: int, margin: tuple[int, int]) -> np.ndarray[Any, Any]:
    """White, with black margins at top and bottom, left and right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    y, x = margin
    pixels[y : height - y, x : width - x] = 255
    return pixels


@pytest.mark.parametrize(
    ("pixels", "size"),
    [
        (bars(40, 60, (0, 10)), (20, 20)),
        (bars(60, 40, (10, 0)), (20, 20)),
        (bars(60, 60, (15, 0)), (10, 20)),
    ],
)
def test_fitting_takes_the_middle(pixels: np.ndarray[Any, Any], size: tuple[int, int]) -> None:
    fitted = fit(pixels, *size)
    assert fitted.min() > 220  # the filter's own reach touches the margins
    assert fitted.mean() > 250


def test_fitting_keeps_all_of_the_middle() -> None:
    fitted = fit(bars(40, 60, (1, 11)), 40, 40)
    assert np.array_equal(fitted, bars(40, 40, (1, 1)))


def test_fitting_does_not_distort() -> None:
    pixels = bars(100, 200, (20, 70))  # a white square of 60 x 60 in the middle
    fitted = fit(pixels, 50, 50)[:, :, 0] > 127
    assert fitted.any(axis=1).sum() == fitted.any(axis=0).sum() == 30


def test_fitting_to_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(fit(pixels, 9, 7), pixels)


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    fitted = fit(stripes, 8, 8)
    assert fitted.shape == (8, 8, 1)
    assert abs(fitted.astype(int) - 128).max() <= 20


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_enlarging_keeps_the_channels(channels: int) -> None:
    colour = [77, 88, 99, 255][:channels]
    pixels = np.full((3, 3, channels), colour, dtype=np.uint8)
    fitted = fit(pixels, 9, 12)
    assert fitted.shape == (9, 12, channels)
    assert (fitted == colour).all()


def test_squashing_keeps_everything() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :40] = 255
    fitted = fit(pixels, 20, 20, crop="squash")
    assert (fitted[:, :9] > 250).all()
    assert (fitted[:, 11:] < 5).all()


@pytest.mark.parametrize(("shape", "bars"), [((40, 80), "rows"), ((80, 40), "columns")])
def test_padding_adds_bars_of_the_background(shape: tuple[int, int], bars: str) -> None:
    pixels = np.full((*shape, 3), 200, dtype=np.uint8)
    fitted = fit(pixels, 20, 20, crop="pad", background="#102030")
    if bars == "columns":
        fitted = fitted.swapaxes(0, 1)
    assert (fitted[:5] == (0x10, 0x20, 0x30)).all()
    assert (fitted[5:15] == 200).all()
    assert (fitted[15:] == (0x10, 0x20, 0x30)).all()


def test_padding_with_alpha_is_transparent() -> None:
    pixels = np.full((40, 80, 4), 255, dtype=np.uint8)
    fitted = fit(pixels, 20, 20, crop="pad")
    assert fitted[0, 0].tolist() == [0, 0, 0, 0]
    assert fitted[10, 10].tolist() == [255, 255, 255, 255]


def test_the_box_filter_is_the_mean_of_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    means = pixels.reshape(8, 8, 8, 8).mean(axis=(1, 3))
    assert np.abs(fit(pixels, 8, 8, resample="box")[:, :, 0] - means).max() <= 0.6


def test_every_size_can_be_cut_to_every_other() -> None:
    for side in (28, 100, 224):
        for size in range(1, 320):
            image = Image.new("L", (size, size + size % 3))
            assert frame(image, side, side).size == (side, side)
