"""Whatever a picture file is, decoded to upright uint8 pixels; what is none says why."""

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.data.pixels import MAX_PIXELS, Unreadable, decode, fit
from ganctl.spec import ImageSpec


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def row(*values: Any, mode: str) -> Image.Image:
    """A picture of one row of pixels."""
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content


def why(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        decode(data, 3)
    return str(caught.value)


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("L", 3), ("RGB", 3), ("RGB", 1), ("RGBA", 4), ("1", 3)]
)
def test_every_mode_becomes_the_channels_asked_for(mode: str, channels: int) -> None:
    pixels = decode(encoded(Image.new(mode, (5, 3), "white")), channels)
    assert pixels.shape == (3, 5, channels)
    assert pixels.dtype == np.uint8
    assert (pixels == 255).all()


def test_rgb_pixels_are_exact() -> None:
    image = row((1, 2, 3), (250, 0, 7), mode="RGB")
    assert decode(encoded(image), 3).tolist() == [[[1, 2, 3], [250, 0, 7]]]


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16))
    assert decode(encoded(image, kind), 1).ravel().tolist() == [0, 1, 128, 255]
    assert decode(encoded(image, kind), 3)[0, 2].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("values", "wanted"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 64.0, 255.0], [0, 64, 255])]
)
def test_floats_are_scaled_from_their_own_range(values: list[float], wanted: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert decode(encoded(image, "tiff"), 1).ravel().tolist() == wanted


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_cmyk_is_converted(kind: str) -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = decode(encoded(image, kind), 3)[8, 8].tolist()
    assert red < 8
    assert green > 247
    assert blue > 247


def test_alpha_lies_over_white() -> None:
    image = row((0, 0, 0, 0), (0, 0, 0, 128), (10, 20, 30, 255), mode="RGBA")
    assert decode(encoded(image), 3)[0].tolist() == [[255] * 3, [127] * 3, [10, 20, 30]]
    assert decode(encoded(row((0, 0), (7, 255), mode="LA")), 1).ravel().tolist() == [255, 7]


def test_alpha_is_kept_where_four_channels_are_wanted() -> None:
    image = row((9, 8, 7, 0), (0, 0, 0, 128), mode="RGBA")
    assert decode(encoded(image), 4)[0].tolist() == [[9, 8, 7, 0], [0, 0, 0, 128]]


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white() -> None:
    image = row(0, 1, 2, mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert decode(encoded(image), 3)[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    see_through = decode(encoded(image, transparency=1), 3)[0].tolist()
    assert see_through == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert decode(data, 3)[2, 2].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [["r", "g"]]),
        (2, [["g", "r"]]),
        (3, [["g", "r"]]),
        (4, [["r", "g"]]),
        (5, [["r"], ["g"]]),
        (6, [["r"], ["g"]]),
        (7, [["g"], ["r"]]),
        (8, [["g"], ["r"]]),
    ],
)
def test_exif_orientation_is_applied(orientation: int, wanted: list[list[str]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = row((255, 0, 0), (0, 255, 0), mode="RGB")
    pixels = decode(encoded(image, exif=exif), 3)
    assert [["r" if p[0] else "g" for p in line] for line in pixels.tolist()] == wanted


def test_a_jpeg_cut_in_half_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "jpeg")
    assert decode(data, 3).shape == (64, 64, 3)
    assert "truncated" in why(data[: len(data) // 2])


def test_a_png_cut_in_half_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise))
    assert why(data[: len(data) // 2])


@pytest.mark.parametrize("side", [10_500, 12_000, 20_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    assert side * side > MAX_PIXELS
    start = time.perf_counter()
    reason = why(png_of_size(side, side))
    assert time.perf_counter() - start < 1
    assert "pixels" in reason
    assert "\n" not in reason


def test_a_large_picture_within_the_limit_is_not_warned_of() -> None:
    image = Image.new("1", (9_500, 9_500), 1)  # over Pillow's warning, under our limit
    assert decode(encoded(image), 1).shape == (9_500, 9_500, 1)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"]
)
def test_what_is_no_picture_says_so_in_one_line(data: bytes) -> None:
    reason = why(data)
    assert reason
    assert "\n" not in reason
    assert "BytesIO" not in reason
    assert "0x" not in reason


def test_arrays_are_pictures_too() -> None:
    gray = np.array([[0, 255]], dtype=np.uint8)
    assert decode(gray, 1).tolist() == [[[0], [255]]]
    assert decode(gray, 3).tolist() == [[[0] * 3, [255] * 3]]
    colour = np.array([[[1, 2, 3]]], dtype=np.uint8)
    assert decode(colour, 3).tolist() == [[[1, 2, 3]]]


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
    fitted = fit(pixels, ImageSpec(*size, 3))
    assert fitted.min() > 220  # the filter's own reach touches the margins
    assert fitted.mean() > 250


def test_fitting_keeps_all_of_the_middle() -> None:
    fitted = fit(bars(40, 60, (1, 11)), ImageSpec(40, 40, 3))
    assert np.array_equal(fitted, bars(40, 40, (1, 1)))


def test_fitting_does_not_distort() -> None:
    pixels = bars(100, 200, (20, 70))  # a white square of 60 x 60 in the middle
    fitted = fit(pixels, ImageSpec(50, 50, 3))[:, :, 0] > 127
    assert fitted.any(axis=1).sum() == fitted.any(axis=0).sum() == 30


def test_fitting_to_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(fit(pixels, ImageSpec(9, 7, 3)), pixels)


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    fitted = fit(stripes, ImageSpec(8, 8, 1))
    assert fitted.shape == (8, 8, 1)
    assert abs(fitted.astype(int) - 128).max() <= 20


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_enlarging_keeps_the_channels(channels: int) -> None:
    colour = [77, 88, 99, 255][:channels]
    pixels = np.full((3, 3, channels), colour, dtype=np.uint8)
    fitted = fit(pixels, ImageSpec(9, 12, channels))
    assert fitted.shape == (9, 12, channels)
    assert (fitted == colour).all()
