"""Whatever a picture file is, decoded to upright uint8 pixels; what is none says why."""

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.data.pixels import MAX_PIXELS, Unreadable, decode, draft, make_right, open_picture


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
    data = encoded(Image.new("1", (9_500, 9_500), 1))
    assert "over" in why(data)
    image = make_right(open_picture(data, 100_000_000), 1)  # Pillow would warn, the limit is ours
    assert image.size == (9_500, 9_500)


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
    assert decode(gray, 1).tolist() == decode(gray[:, :, None], 1).tolist() == [[[0], [255]]]
    assert decode(gray, 3).tolist() == [[[0] * 3, [255] * 3]]
    colour = np.array([[[1, 2, 3]]], dtype=np.uint8)
    assert decode(colour, 3).tolist() == [[[1, 2, 3]]]


def test_a_colour_other_than_white_may_lie_under_alpha() -> None:
    picture = open_picture(encoded(row((0, 0, 0, 0), mode="RGBA")))
    assert make_right(picture, 3, "#336699").getpixel((0, 0)) == (0x33, 0x66, 0x99)


def test_a_transparent_level_of_sixteen_bits_is_seen_through() -> None:
    image = Image.fromarray(np.array([[0, 1000, 65535]], dtype=np.uint16))
    data = encoded(image, transparency=1000)
    assert decode(data, 1).ravel().tolist() == [0, 255, 255]
    assert decode(data, 4)[0, :, 3].tolist() == [255, 0, 255]


def test_32_bit_values_are_scaled_by_their_own_range() -> None:
    image = Image.fromarray(np.array([[-100, 0, 100]], dtype=np.int32))
    assert decode(encoded(image, "tiff"), 1).ravel().tolist() == [0, 128, 255]
    image = Image.fromarray(np.array([[70_000, 70_050, 70_100]], dtype=np.int32))
    assert decode(encoded(image, "tiff"), 1).ravel().tolist() == [0, 128, 255]


def test_floats_that_are_not_finite_are_black_or_white() -> None:
    image = Image.fromarray(np.array([[0.5, np.inf, np.nan, -np.inf, 1]], dtype=np.float32))
    assert decode(encoded(image, "tiff"), 1).ravel().tolist() == [128, 255, 0, 0, 255]


def profile(colours: str) -> bytes:
    """An ICC profile of matrix and gamma, with the primaries of Adobe RGB or those of sRGB."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile(colours)).tobytes()  # type: ignore[arg-type]


def wide_gamut() -> bytes:
    """A profile whose red and green are swapped: a conversion cannot go unnoticed."""
    data = bytearray(profile("sRGB"))
    swapped = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    for index in range(int.from_bytes(data[128:132], "big")):
        at = 132 + 12 * index
        data[at : at + 4] = swapped.get(bytes(data[at : at + 4]), bytes(data[at : at + 4]))
    at = data.find("sRGB".encode("utf-16-be"))
    data[at : at + 8] = "test".encode("utf-16-be")
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_go_through_the_embedded_profile(mode: str) -> None:
    image = Image.new("RGB", (4, 4), (204, 0, 0)).convert(mode)
    assert decode(encoded(image), 3)[0, 0].tolist() == [204, 0, 0]
    red, green, blue = decode(encoded(image, icc_profile=wide_gamut()), 3)[0, 0].tolist()
    assert green > 180
    assert red < 60
    assert blue < 60


def test_an_srgb_profile_or_a_damaged_one_changes_nothing() -> None:
    image = row((1, 2, 3), (250, 0, 7), mode="RGB")
    for data in (profile("sRGB"), b"no profile", wide_gamut()[:200]):
        assert decode(encoded(image, icc_profile=data), 3).tolist() == [[[1, 2, 3], [250, 0, 7]]]


def test_a_huge_jpeg_is_decoded_smaller_with_hardly_a_difference() -> None:
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(small.resize((2048, 2048), Image.Resampling.BICUBIC), "jpeg", quality=90)
    whole = make_right(open_picture(data), 3)
    picture = open_picture(data)
    draft(picture, 128)
    reduced = make_right(picture, 3)
    assert reduced.size == (512, 512)
    pair = [
        np.asarray(i.resize((128, 128), Image.Resampling.LANCZOS), float) for i in (whole, reduced)
    ]
    assert np.abs(pair[0] - pair[1]).mean() < 1
    picture = open_picture(data)
    draft(picture, 1000)
    assert picture.size == (2048, 2048)
