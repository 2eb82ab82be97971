"""Blank pictures, discs and near duplicates."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ganctl.data.cleaning import NearDuplicates, deviation, is_disc, perceptual_hash


def noise(seed: int = 0, side: int = 64) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


def disc(ground: str, side: int = 64, hole: bool = True) -> Image.Image:
    """A picture disc: noise within a circle."""
    image, mask = Image.new("RGB", (side, side), ground), Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((1, 1, side - 2, side - 2), fill=255)
    if hole:
        draw.ellipse((side * 0.47, side * 0.47, side * 0.53, side * 0.53), fill=0)
    image.paste(noise(side=side), mask=mask)
    return image


def test_the_deviation_of_one_colour_is_zero() -> None:
    assert deviation(Image.new("RGB", (9, 9), "tomato")) == 0
    assert deviation(Image.fromarray(np.array([[0, 255]], dtype=np.uint8))) == 127.5


@pytest.mark.parametrize("ground", ["white", "black", "#d0c8c0"])
@pytest.mark.parametrize("side", [32, 256])
def test_a_disc_is_told_from_its_plain_ground(ground: str, side: int) -> None:
    assert is_disc(np.asarray(disc(ground, side)))


def test_a_black_record_on_white_is_a_disc() -> None:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((2, 2, 125, 125), fill=(20, 20, 20))
    assert is_disc(np.asarray(image))


def test_covers_are_no_discs() -> None:
    cover = noise()
    framed = Image.new("RGB", (64, 64), "white")
    framed.paste(noise(side=40), (12, 12))  # a square on plain ground
    moon = Image.new("RGB", (64, 64), "black")
    ImageDraw.Draw(moon).ellipse((20, 20, 44, 44), fill="white")  # round, but not to the rim
    for image in (cover, framed, moon, Image.new("RGB", (64, 64), "white")):
        assert not is_disc(np.asarray(image))
    assert not is_disc(np.zeros((8, 8, 3), dtype=np.uint8))


def test_a_picture_smaller_and_compressed_anew_has_nearly_the_same_hash() -> None:
    one, other = noise(0, 256), noise(1, 256)
    value = perceptual_hash(one)
    assert (value ^ perceptual_hash(one.resize((100, 100)))).bit_count() <= 4
    assert (value ^ perceptual_hash(other)).bit_count() >= 14


def test_the_hash_is_that_of_imagehash() -> None:
    imagehash = pytest.importorskip("imagehash")

    def theirs(image: Image.Image) -> int:
        return int(str(imagehash.phash(image)), 16)

    random = np.random.default_rng(0)
    pictures = [Image.new("RGB", (64, 48), level) for level in ("black", "gray", "white", "tomato")]
    for height, width in random.integers(8, 100, (200, 2)):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pictures.append(Image.fromarray(pixels))
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK"):
        pictures.append(noise(2).convert(mode))
    for picture in pictures:
        assert perceptual_hash(picture) == theirs(picture)


def test_near_duplicates_are_found_within_the_distance() -> None:
    near = NearDuplicates(2)
    assert near.find(0) is None
    for index in range(3000):
        near.add(index << 20, f"{index}")
    near.add(2**64 - 1, "last")
    assert near.find((1234 << 20) | 0b11) == "1234"
    assert near.find((1234 << 20) | 0b111) is None
    assert near.find(2**64 - 2) == "last"
