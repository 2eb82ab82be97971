"""Modulated convolution and the spread of a batch: the reference's figures, and definitions."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import grad, gradgradcheck

from ganctl_stylegan2_ada.filters import setup_filter
from ganctl_stylegan2_ada.modulate import demodulation, minibatch_stddev, modulated_conv2d
from ganctl_stylegan2_ada.resample import conv2d_resample

Vectors = Callable[[str], Any]


def double(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_convolutions_equal_the_reference(vectors: Vectors) -> None:
    figures = vectors("conv.npz")
    for case in figures:
        params = dict(case["params"])
        function = params.pop("fn")
        x = figures[params.pop("x")].clone().requires_grad_()
        if function == "MinibatchStdLayer":
            inputs = {"dx": x}
            y = minibatch_stddev(x, params["group_size"], params["num_channels"])
        else:
            w = figures[params.pop("w")].clone().requires_grad_()
            f = figures[params.pop("f")]
            inputs = {"dx": x, "dw": w}
            if function == "conv2d_resample":
                y = conv2d_resample(x, w, f, **params)
            else:
                styles = figures[params.pop("styles")].clone().requires_grad_()
                inputs["dstyles"] = styles
                noise = params.pop("noise")
                params["fused"] = params.pop("fused_modconv")
                params["noise"] = None if noise is None else figures[noise]
                y = modulated_conv2d(x, w, styles, f=f, **params)
        grads = grad(y, list(inputs.values()), figures[case["inputs"]["dy"]])
        figures.compare(case, y=y, **dict(zip(inputs, grads, strict=True)))
    figures.check(94)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_each_sample_is_convolved_with_weights_of_its_own(
    fused: bool, demodulate: bool, up: int, down: int
) -> None:
    x, w, styles = double(3, 4, 4, 6), double(5, 4, 3, 3, seed=1), double(3, 4, seed=2)
    f = setup_filter([1, 3, 3, 1])
    noise = double(3, 1, 4 * up // down, 6 * up // down, seed=3)
    y = modulated_conv2d(x, w, styles, noise, up, down, 1, f, demodulate, fused=fused)
    rows = []
    for n in range(3):
        own = w * styles[n, :, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        rows.append(conv2d_resample(x[n : n + 1], own, f, up, down, 1) + noise[n])
    torch.testing.assert_close(y, torch.cat(rows))


@pytest.mark.parametrize("fused", [True, False])
def test_modulation_can_be_differentiated_twice(fused: bool) -> None:
    x, w, styles = double(2, 2, 3, 3), double(2, 2, 3, 3, seed=1), double(2, 2, seed=2)

    def step(x: Tensor, w: Tensor, styles: Tensor) -> Tensor:
        return modulated_conv2d(x, w, styles, padding=1, fused=fused)

    assert gradgradcheck(step, (x, w, styles))


def test_demodulated_outputs_have_unit_deviation() -> None:
    x, w, styles = double(8, 16, 32, 32), double(12, 16, 3, 3, seed=1), 3 * double(8, 16, seed=2)
    y = modulated_conv2d(x, w, styles)
    assert y.std((2, 3)).mean().item() == pytest.approx(1, abs=0.02)
    assert demodulation(w, styles).shape == (8, 12)


@pytest.mark.parametrize("fused", [True, False])
def test_large_styles_do_not_overflow_16_bits(fused: bool) -> None:
    x, w = double(2, 16, 8, 8).detach(), 100 * double(4, 16, 3, 3, seed=1).detach()
    styles = 1000 * double(2, 16, seed=2).detach()
    exact = modulated_conv2d(x, w, styles, padding=1)
    y = modulated_conv2d(x.half(), w.float(), styles.float(), padding=1, fused=fused)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=0.03)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        modulated_conv2d(torch.zeros(2, 3, 4, 4), torch.zeros(5, 4, 3, 3), torch.zeros(2, 3))


@pytest.mark.parametrize(("n", "group"), [(8, 4), (6, 3), (7, 4), (11, 4), (3, 8), (5, None)])
@pytest.mark.parametrize("features", [1, 2])
def test_the_spread_is_that_of_the_images_in_a_group(
    n: int, group: int | None, features: int
) -> None:
    x = double(n, 4, 3, 5)
    y = minibatch_stddev(x, group, features)
    assert y.shape == (n, 4 + features, 3, 5)
    assert torch.equal(y[:, :4], x)
    groups = max(n // (group or n), 1)
    for m, part in itertools.product(range(n), range(features)):
        members = range(m % groups, n, groups)
        assert len(members) >= min(group or n, n)
        channels = range(part * 4 // features, (part + 1) * 4 // features)
        figures = []
        for c, i, j in itertools.product(channels, range(3), range(5)):
            values = [x[k, c, i, j].item() for k in members]
            mean = sum(values) / len(values)
            variance = sum((v - mean) ** 2 for v in values) / len(values)
            figures.append(math.sqrt(variance + 1e-8))
        maps = y[m, 4 + part]
        assert (maps == maps[0, 0]).all()
        assert maps[0, 0].item() == pytest.approx(sum(figures) / len(figures))


@pytest.mark.parametrize("n", [4, 5])
def test_the_spread_can_be_differentiated_twice(n: int) -> None:
    assert gradgradcheck(lambda x: minibatch_stddev(x, 2), double(n, 2, 2, 2))


def test_a_batch_of_equal_images_has_finite_gradients() -> None:
    x = torch.ones(4, 2, 3, 3, requires_grad=True)
    (dx,) = grad(minibatch_stddev(x)[:, 2:].sum(), x)
    assert dx.isfinite().all()


def test_fused_has_the_same_gradients_in_any_layout() -> None:
    """One layer upon another, in channels_last: there PyTorch's own are wrong if asked naively."""

    def gradients(fused: bool) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        x = torch.randn(3, 16, 8, 8).contiguous(memory_format=torch.channels_last)
        w, u = (
            torch.randn(outputs, 16, k, k).contiguous(memory_format=torch.channels_last)
            for outputs, k in ((16, 3), (3, 1))
        )
        styles = torch.randn(3, 2, 16).requires_grad_()
        y = modulated_conv2d(x, w, styles[:, 0], padding=1, fused=fused)
        y = modulated_conv2d(y, u, styles[:, 1], demodulate=False, fused=fused)
        (first,) = grad(y.square().sum(), styles, create_graph=True)
        return y, first, *grad(first.square().sum(), styles)

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())
