"""Resampling, alone and in convolutions: the reference's figures, and their definitions."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

from ganctl_stylegan2_ada.filters import setup_filter
from ganctl_stylegan2_ada.resample import conv2d_resample
from ganctl_stylegan2_ada.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d

Vectors = Callable[[str], Any]

pytestmark = pytest.mark.usefixtures("operators")

GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"padding": 2, "gain": 1.7},
    {"up": 2, "padding": (2, 1)},
    {"up": 2, "padding": (2, 1, 1, 2), "gain": 4},
    {"down": 2, "padding": (1, 2, 2, 1), "flip_filter": True},
    {"up": (3, 1), "down": (1, 2), "padding": (4, 3, 2, 5)},
    {"up": 3, "down": 2, "padding": (5, 0, 4, 7), "flip_filter": True},
    {"padding": (-1, 3, 4, -2)},
    {"down": 3, "padding": (-1, 6, 6, -1)},
    {"up": 2, "padding": (-3, 5, 7, -2)},
    {"up": 2, "padding": (12, -3, -2, 12), "gain": -0.5},
    {"up": 4, "padding": (9, 9, 8, 10)},
    {"up": (1, 2), "padding": (3, 3, 2, 3)},
    {"down": (1, 4), "padding": 6},
]
FILTERS = {
    "none": None,
    "1331": setup_filter([1, 3, 3, 1]),
    "short, separable": setup_filter([1, 2, 4], separable=True),
    "long, separable": setup_filter([1, 2, 3, 4, 3, 2, 1, 5]),
    "2d": setup_filter([[1, 2, 3], [4, 0, -1]]),
    "one tap": setup_filter(2.0, normalize=False),
}


def double(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def by_definition(
    x: Tensor,
    f: Tensor | None,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | tuple[int, ...] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Zeros put in, padded or cropped, and a sum over the taps for each sample."""
    upx, upy = (up, up) if isinstance(up, int) else up
    downx, downy = (down, down) if isinstance(down, int) else down
    sides = [padding] * 4 if isinstance(padding, int) else list(padding)
    left, right, top, bottom = sides if len(sides) == 4 else [s for s in sides for _ in "ab"]
    f = torch.ones(1, 1) if f is None else f
    f = (torch.outer(f.double(), f.double()) if f.ndim == 1 else f).to(x.dtype)
    f = f if flip_filter else f.flip(0, 1)
    n, c, height, width = x.shape
    between = x.new_zeros(n, c, height * upy, width * upx)
    for i, j in itertools.product(range(height), range(width)):
        between[:, :, i * upy, j * upx] = x[:, :, i, j]
    rows, columns = (height * upy + top + bottom), (width * upx + left + right)
    padded = x.new_zeros(n, c, rows, columns)
    for i, j in itertools.product(range(rows), range(columns)):
        if 0 <= i - top < height * upy and 0 <= j - left < width * upx:
            padded[:, :, i, j] = between[:, :, i - top, j - left]
    high, wide = f.shape
    y = [
        [
            (padded[:, :, i : i + high, j : j + wide] * f).sum((2, 3))
            for j in range(0, columns - wide + 1, downx)
        ]
        for i in range(0, rows - high + 1, downy)
    ]
    return gain * torch.stack([torch.stack(row, -1) for row in y], -2)


def test_filters_equal_the_reference(vectors: Vectors) -> None:
    figures = vectors("setup_filter.npz")
    for case in figures:
        figures.compare(case, f_out=setup_filter(**case["params"]))
    figures.check(58)


def test_resampling_equals_the_reference(vectors: Vectors) -> None:
    figures = vectors("upfirdn2d.npz")
    functions: dict[str, Callable[..., Tensor]] = {
        "upfirdn2d": upfirdn2d,
        "filter2d": filter2d,
        "upsample2d": upsample2d,
        "downsample2d": downsample2d,
    }
    for case in figures:
        params = dict(case["params"])
        function, name = functions[params.pop("fn")], params.pop("filter")
        x = figures[params.pop("x")].clone().requires_grad_()
        f = None if name == "none" else figures[f"filter/{name}"]
        y = function(x, f, **params)
        (dx,) = grad(y, x, figures[case["inputs"]["dy"]])
        figures.compare(case, y=y, dx=dx)
    figures.check(85)


def test_filters_keep_the_mean_and_gain_is_that_of_both_axes() -> None:
    long = list(range(1, 10))
    assert setup_filter([1, 3, 3, 1]).shape == (4, 4)
    assert setup_filter(long).shape == (9,)
    for f in ([1.0, 3, 3, 1], long):
        prepared = setup_filter(f, gain=4)
        whole = torch.outer(prepared, prepared) if prepared.ndim == 1 else prepared
        assert whole.sum().item() == pytest.approx(4)


@pytest.mark.parametrize(
    ("f", "options"),
    [([[1.0, 2]], {"separable": True}), ([], {}), ([1.0, -1], {}), (torch.ones(1, 1, 1), {})],
)
def test_what_is_no_filter_is_refused(f: Any, options: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match=r"filter|1-D|normalised"):
        setup_filter(f, **options)


@pytest.mark.parametrize("options", GEOMETRIES, ids=str)
@pytest.mark.parametrize("f", FILTERS.values(), ids=FILTERS)
def test_resampling_is_zeros_put_in_a_sum_and_samples_left_out(
    f: Tensor | None, options: dict[str, Any]
) -> None:
    x = double(2, 3, 9, 10)
    expected = by_definition(x, f, **options)
    dy = double(*expected.shape, seed=1)
    (dx,) = grad(expected, x, dy)
    for layout in torch.contiguous_format, torch.channels_last:
        laid = x.detach().contiguous(memory_format=layout).requires_grad_()
        y = upfirdn2d(laid, f, **options)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(grad(y, laid, dy)[0], dx)


@pytest.mark.parametrize("options", GEOMETRIES[2:11:2], ids=str)
@pytest.mark.parametrize("f", [FILTERS["2d"], FILTERS["long, separable"]], ids=["2d", "1d"])
def test_resampling_can_be_differentiated_twice(f: Tensor, options: dict[str, Any]) -> None:
    x = double(1, 2, 6, 9)

    def bent(x: Tensor) -> Tensor:  # so that the second derivative is not 0
        return upfirdn2d(x, f, **options).sin()

    assert gradcheck(bent, x)
    assert gradgradcheck(bent, x)


def test_samples_that_downsampling_skips_get_no_gradient() -> None:
    x = double(1, 1, 7, 8)
    (dx,) = grad(upfirdn2d(x, None, down=3).sum(), x)
    expected = torch.zeros(1, 1, 7, 8, dtype=torch.float64)
    expected[:, :, ::3, ::3] = 1
    assert torch.equal(dx, expected)


@pytest.mark.parametrize("size", [(8, 8), (6, 12)])
def test_levels_and_sizes_are_kept(size: tuple[int, int]) -> None:
    f = FILTERS["1331"]
    x = torch.ones(1, 2, *size)
    height, width = size
    functions: list[tuple[Callable[..., Tensor], float]] = [
        (filter2d, 1),
        (upsample2d, 2),
        (downsample2d, 0.5),
    ]
    for function, scale in functions:
        y = function(x, f)
        assert y.shape == (1, 2, height * scale, width * scale)
        torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.ones_like(y[:, :, 2:-2, 2:-2]))


def test_resampling_keeps_the_layout() -> None:
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    for options in {"up": 2, "padding": (2, 1)}, {"down": 2, "padding": 1}, {"padding": 1}:
        y = upfirdn2d(x, FILTERS["1331"], **options)
        assert y.is_contiguous(memory_format=torch.channels_last)
        (dx,) = grad(y, x, y.detach())
        assert dx.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_resampling_in_16_bits_is_near(dtype: torch.dtype) -> None:
    x, f = double(1, 2, 6, 6).detach(), FILTERS["1331"]
    y = upsample2d(x.to(dtype), f)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), upsample2d(x, f), rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 3, 3), {}, "(N, C, H, W)"),
        ((1, 1, 3, 3), {}, "smaller than the filter"),
        ((1, 1, 9, 9), {"down": 0}, "at least 1"),
        ((1, 1, 9, 9), {"padding": -3}, "smaller than the filter"),
    ],
)
def test_impossible_resampling_says_what_is_wrong(
    shape: tuple[int, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        upfirdn2d(torch.zeros(shape), FILTERS["1331"], **options)


def test_a_filter_on_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="f is where x is, on cpu, not on meta"):
        upfirdn2d(torch.zeros(1, 1, 8, 8), torch.ones(4, device="meta"))


def resampled_by_definition(
    x: Tensor, w: Tensor, f: Tensor | None, up: int, down: int, padding: int, flip: bool
) -> Tensor:
    """Each step on its own, the image convolved at its largest."""
    taps = 1 if f is None else f.shape[0]
    left, right = padding, padding
    if up > 1:
        left, right = left + (taps + up - 1) // 2, right + (taps - up) // 2
    if down > 1:
        left, right = left + (taps - down + 1) // 2, right + (taps - down) // 2
    around = (left, right, left, right)
    x = by_definition(x, f if up > 1 else None, up, 1, around, gain=up**2)
    x = F.conv2d(x, w.flip(2, 3) if flip else w, groups=x.shape[1] // w.shape[1])
    return by_definition(x, f if down > 1 else None, 1, down)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (4, 1), (1, 3), (2, 2), (3, 2)])
@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_short_ways_give_what_the_long_one_gives(
    up: int, down: int, size: int, groups: int
) -> None:
    x, w = double(2, 4, 5, 8), double(6, 4 // groups, size, size, seed=1)
    for name, flip in ("1331", True), ("2d", False), ("long, separable", False), ("none", True):
        f = FILTERS[name]
        if f is not None and f.ndim == 2:
            f = f[:2, :2]  # square, as the definition above has one size
        expected = resampled_by_definition(x, w, f, up, down, size // 2, flip)
        y = conv2d_resample(x, w, f, up, down, size // 2, groups, flip_weight=not flip)
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("padding", [-3, (-2, 1, 0, -3), (3, 0, 4, 6)])
def test_convolutions_crop_and_pad(padding: Any) -> None:
    x, w, f = double(1, 2, 6, 7), double(3, 2, 3, 3, seed=1), FILTERS["1331"]
    left, right, top, bottom = [padding] * 4 if isinstance(padding, int) else padding
    large = by_definition(x, f, 2, 1, (left + 2, right + 1, top + 2, bottom + 1), gain=4)
    expected = F.conv2d(large, w)
    torch.testing.assert_close(conv2d_resample(x, w, f, 2, 1, padding), expected)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_can_be_differentiated_twice(up: int, down: int) -> None:
    x, w = double(1, 2, 4, 5), double(2, 2, 3, 3, seed=1)
    f = FILTERS["1331"]
    assert gradgradcheck(lambda x, w: conv2d_resample(x, w, f, up, down, 1), (x, w))
