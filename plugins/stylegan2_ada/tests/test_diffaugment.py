"""DiffAugment: each transformation by its formula, its draws, its derivatives, and its rows."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganctl import UserError, random
from ganctl.options import load
from ganctl_stylegan2_ada import DiffAugmentOptions
from ganctl_stylegan2_ada.diffaugment import (
    TRANSFORMATIONS,
    DiffAugmenter,
    adjust_color,
    cut_out,
    translate,
)

ALL = tuple(TRANSFORMATIONS)
SHAPES = [(4, 3, 16, 16), (4, 1, 16, 24), (4, 4, 9, 17), (3, 2, 5, 8), (2, 3, 1, 1)]

Array = NDArray[np.float64]


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augmented(x: Tensor, *policy: str, seed: int = 3) -> Tensor:
    random.seed_everything(seed)
    out: Tensor = DiffAugmenter(policy or ALL)(x)
    return out


def slow_color(image: Array, brightness: float, saturation: float, contrast: float) -> Array:
    image = image + brightness
    for y, x in product(*map(range, image.shape[1:])):
        gray = image[:, y, x].sum() / len(image)
        image[:, y, x] = saturation * (image[:, y, x] - gray) + gray
    mean = image.sum() / image.size
    out: Array = contrast * (image - mean) + mean
    return out


def slow_translation(image: Array, down: int, right: int) -> Array:
    out = np.zeros_like(image)
    height, width = image.shape[1:]
    for y, x in product(range(height), range(width)):
        if 0 <= y + down < height and 0 <= x + right < width:
            out[:, y + down, x + right] = image[:, y, x]
    return out


def slow_cutout(image: Array, top: int, left: int, height: int, width: int) -> Array:
    out = image.copy()
    for y, x in product(range(top, top + height), range(left, left + width)):
        if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
            out[:, y, x] = 0
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_colors_change_by_the_formula(shape: tuple[int, ...]) -> None:
    x = pictures(*shape).double()
    draws = torch.rand(3, shape[0], generator=torch.Generator().manual_seed(1)).double() * 2
    out = adjust_color(x, *draws.view(3, -1, 1, 1, 1))
    rows = zip(x, *draws.tolist(), strict=True)
    expected = np.stack([slow_color(image.numpy(), *row) for image, *row in rows])
    np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_images_move_by_whole_pixels_and_zeros_come_in(shape: tuple[int, ...]) -> None:
    for down, right in ((0, 0), (2, -1), (-3, 4), (100, 0), (0, -100)):
        x = pictures(*shape)
        shift = torch.tensor([[down, right], *[[0, 1]] * (shape[0] - 1)])
        rows = zip(x, shift.tolist(), strict=True)
        expected = np.stack([slow_translation(image.numpy(), *row) for image, row in rows])
        np.testing.assert_array_equal(translate(x, shift).numpy(), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rectangle_is_cut_out_as_far_as_it_lies_inside(shape: tuple[int, ...]) -> None:
    for top, left in ((0, 0), (-2, 3), (5, -1), (100, 0)):
        images = pictures(*shape)
        corner = torch.tensor([[top, left], *[[1, 1]] * (shape[0] - 1)])
        rows = zip(images, corner.tolist(), strict=True)
        expected = np.stack([slow_cutout(image.numpy(), y, x, 4, 6) for image, (y, x) in rows])
        np.testing.assert_array_equal(cut_out(images, corner, 4, 6).numpy(), expected)


def test_neutral_draws_change_nothing() -> None:
    x = pictures(2, 3, 8, 12)
    zero, one = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    nowhere = torch.zeros(2, 2, dtype=torch.int64)
    assert torch.equal(adjust_color(x, zero, one, one), x)
    assert torch.equal(translate(x, nowhere), x)
    assert torch.equal(cut_out(x, nowhere, 0, 0), x)


def test_colors_are_uniform_in_their_ranges_and_independent() -> None:
    one = torch.tensor([[0.5, 0.6], [-0.5, 0.6], [0.0, 0.6]]).view(1, 3, 1, 2)  # a hue, and a gray
    out = augmented(one.repeat(20_000, 1, 1, 1), "color")[:, :, 0]
    grays = out.mean(1)
    brightness = grays.mean(1) - 0.3
    contrast = (grays[:, 1] - grays[:, 0]) / 0.6
    saturation = (out[:, 0, 0] - out[:, 1, 0]) / contrast
    ranges = ((-0.5, 0.5), (0.5, 1.5), (0, 2))
    for found, (low, high) in zip((brightness, contrast, saturation), ranges, strict=True):
        share = ((found - low) / (high - low)).sort().values
        assert share[0] > -1e-5
        assert share[-1] < 1 + 1e-5
        expected = (torch.arange(len(share)) + 0.5) / len(share)
        assert (share - expected).abs().max() < 0.014  # Kolmogorov-Smirnov, p about 0.001
    together = torch.corrcoef(torch.stack([brightness, contrast, saturation]))
    assert (together - torch.eye(3)).abs().max() < 0.03


def assert_uniform(found: Counter[tuple[int, ...]], values: set[tuple[int, ...]]) -> None:
    assert found.keys() == values
    expected = sum(found.values()) / len(values)
    chi2 = sum((count - expected) ** 2 / expected for count in found.values())
    assert abs(chi2 - (len(values) - 1)) < 4 * (2 * (len(values) - 1)) ** 0.5


@pytest.mark.parametrize("size", [(16, 28), (8, 7)])
def test_every_shift_of_up_to_an_eighth_is_as_likely(size: tuple[int, int]) -> None:
    height, width = size
    x = torch.zeros(20_000, 1, height, width)
    x[:, :, height // 2, width // 2] = 1
    where = augmented(x, "translation").nonzero()[:, 2:] - torch.tensor([height // 2, width // 2])
    reach = [range(-(side // 8), side // 8 + 1) for side in size]
    assert_uniform(Counter(map(tuple, where.tolist())), set(product(*reach)))


@pytest.mark.parametrize("size", [(6, 9), (8, 7)])
def test_every_center_of_the_cutout_is_as_likely(size: tuple[int, int]) -> None:
    half = {6: 3, 7: 3, 8: 4, 9: 4}
    centers = {6: 6, 7: 7, 8: 9, 9: 10}  # rows if half of them is odd, otherwise boundaries
    corners = (range(-(half[side] // 2), centers[side] - half[side] // 2) for side in size)
    height, width = half[size[0]], half[size[1]]
    masks = [slow_cutout(np.ones((1, *size)), y, x, height, width) for y, x in product(*corners)]
    expected = {tuple(mask.astype(int).ravel().tolist()) for mask in masks}
    assert len(expected) == len(masks)
    out = augmented(torch.ones(30_000, 1, *size), "cutout").flatten(1).int()
    assert_uniform(Counter(map(tuple, out.tolist())), expected)


def test_images_are_augmented_each_in_its_own_way_and_by_the_seed() -> None:
    x = pictures(1, 3, 16, 16).repeat(4, 1, 1, 1)
    for name in ALL:
        out = augmented(x, name)
        assert torch.equal(augmented(x, name), out)
        assert not torch.equal(augmented(x, name, seed=4), out)
        assert all(not torch.equal(out[i], out[i + 1]) for i in range(3))


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_and_number_of_channels_will_do(shape: tuple[int, ...]) -> None:
    out = augmented(pictures(*shape))
    assert out.shape == shape
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_dtype_stays(dtype: torch.dtype) -> None:
    x = pictures(3, 3, 16, 12)
    out = augmented(x.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), augmented(x), rtol=0, atol=0.05)


def test_channels_last_images_give_the_same() -> None:
    x = pictures(3, 3, 16, 12)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(augmented(last), augmented(x))


def test_nothing_waits_for_a_value_of_the_device() -> None:
    assert augmented(torch.empty(2, 3, 16, 16, device="meta")).device.type == "meta"  # has none


@pytest.mark.parametrize("policy", [*((name,) for name in ALL), ALL])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_derivatives_are_right_twice(channels: int, policy: tuple[str, ...]) -> None:
    x = pictures(2, channels, 9, 8).double().requires_grad_()

    def squared(x: Tensor) -> Tensor:  # whose second derivative is not zero
        return augmented(x, *policy).square()

    assert gradcheck(squared, x, fast_mode=True)
    assert gradgradcheck(squared, x, fast_mode=True)


def test_rows_of_a_micro_batch_are_augmented_as_in_the_batch() -> None:
    x = pictures(6, 3, 16, 24)
    whole = augmented(x)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        with random.rows(start, stop, 6):
            torch.testing.assert_close(augmented(x[start:stop]), whole[start:stop])


@pytest.mark.parametrize("policy", [p for n in (1, 2, 3) for p in permutations(ALL, n)])
def test_a_policy_is_its_transformations_in_its_order(policy: tuple[str, ...]) -> None:
    x = pictures(4, 3, 16, 16)
    out = augmented(x, *policy)
    random.seed_everything(3)
    for name in policy:
        x = TRANSFORMATIONS[name](x)
    assert torch.equal(out, x)


def test_options_name_the_transformations() -> None:
    assert DiffAugmentOptions().policy == ALL
    assert load(DiffAugmentOptions, {"policy": "cutout, color"}).policy == ("cutout", "color")
    assert load(DiffAugmentOptions, {"policy": ["cutout"]}).policy == ("cutout",)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ((), "augment: policy names no transformation"),
        ("", "augment: policy names no transformation"),
        ("color,cutout,color", "augment: policy names a transformation twice"),
        ("color,hue", "augment.policy: 'hue' is not one of color, translation, cutout"),
    ],
)
def test_a_policy_that_makes_no_sense_is_named(policy: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(DiffAugmentOptions, {"policy": policy}, "augment")
