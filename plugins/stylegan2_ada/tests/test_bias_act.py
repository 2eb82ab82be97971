"""Activations: the reference's figures, their formulas, and what they keep in memory."""

import itertools
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

from ganctl_stylegan2_ada.bias_act import GAINS, Activation, bias_act

Vectors = Callable[[str], Any]

pytestmark = pytest.mark.usefixtures("operators")


def double(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_activations_and_their_derivatives_equal_the_reference(vectors: Vectors) -> None:
    figures = vectors("bias_act.npz")
    for case in figures:
        params = dict(case["params"])
        dim, nobias = params.get("dim", 1), params.pop("nobias", False)
        x, dy = (figures[key].clone().requires_grad_() for key in ("x", "dy"))
        b = None if nobias else figures[f"b_dim{dim}"].clone().requires_grad_()
        y = bias_act(x, b, **params)
        inputs = [x] if b is None else [x, b]
        first = grad(y, inputs, dy, create_graph=True)
        directions = [figures["v"], figures[f"vb_dim{dim}"]][: len(inputs)]
        scalar = sum((d * v).sum() for d, v in zip(first, directions, strict=True))
        second = grad(scalar, [x, dy], allow_unused=True, materialize_grads=True)
        results = {"y": y, "d2x": second[0], "d2dy": second[1]}
        results |= dict(zip(("dx", "db"), first, strict=False))
        figures.compare(case, **results)
    figures.check(81)


def test_the_default_gains_equal_the_reference(vectors: Vectors) -> None:
    figures = vectors("bias_act.npz")
    assert torch.allclose(torch.tensor(list(GAINS.values())), figures["def_gains"].float())


FORMULAS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "relu": lambda z: z.clamp(min=0),
    "lrelu": lambda z: torch.where(z > 0, z, 0.3 * z),
    "tanh": torch.tanh,
    "sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "elu": lambda z: torch.where(z > 0, z, z.exp() - 1),
    "selu": lambda z: 1.0507009873554805 * torch.where(z > 0, z, 1.6732632423543772 * z.expm1()),
    "softplus": lambda z: (1 + z.exp()).log(),
    "swish": lambda z: z / (1 + (-z).exp()),
}


@pytest.mark.parametrize("act", get_args(Activation))
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("bias", [True, False])
def test_activations_are_their_formulas_to_the_second_derivative(
    act: Activation, clamp: float | None, bias: bool
) -> None:
    x, b = double(2, 5, 3), double(5, seed=1)

    def ours(x: Tensor, b: Tensor) -> Tensor:
        return bias_act(x, b if bias else None, act=act, alpha=0.3, gain=1.3, clamp=clamp)

    def theirs(x: Tensor, b: Tensor) -> Tensor:
        z = 1.3 * FORMULAS[act](x + b[:, None] if bias else x)
        return z if clamp is None else z.clamp(-clamp, clamp)

    torch.testing.assert_close(ours(x, b), theirs(x, b))
    assert gradcheck(ours, (x, b) if bias else (x, b.detach()))
    assert gradgradcheck(ours, (x, b) if bias else (x, b.detach()))
    for function in ours, theirs:
        first = grad(function(x, b).square().sum(), x, create_graph=True)[0]
        second = grad(first.square().sum(), x)[0]
        if function is ours:
            mine = first, second
    torch.testing.assert_close(mine, (first, second))


@pytest.mark.parametrize("act", get_args(Activation))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_activations_in_16_bits_are_near(act: Activation, dtype: torch.dtype) -> None:
    x = double(2, 3, 4, 4).detach().to(dtype)
    exact, near = x.double().requires_grad_(), x.requires_grad_()
    y, rounded = (bias_act(values, torch.ones(3), act=act, clamp=2) for values in (exact, near))
    assert rounded.dtype == dtype
    torch.testing.assert_close(rounded.double(), y, rtol=0, atol=0.03)
    dx, dnear = grad(y.sum(), exact)[0], grad(rounded.sum(), near)[0].double()
    inside = (y.abs() - 2).abs() > 0.02  # rounding takes what is nearer to the limit
    torch.testing.assert_close(dnear[inside], dx[inside], rtol=0, atol=0.03)


@pytest.mark.parametrize("act", get_args(Activation))
def test_large_values_have_finite_derivatives(act: Activation) -> None:
    x = torch.tensor([-1e4, -100.0, -30, 0, 30, 100, 1e4], requires_grad=True)
    y = bias_act(x, dim=0, act=act)
    (dx,) = grad(y.sum(), x, create_graph=True)
    loss = dx.square().sum()
    d2x = grad(loss, x, allow_unused=True)[0] if loss.requires_grad else None
    for values in y, dx, x if d2x is None else d2x:
        assert values.isfinite().all()


def test_activations_keep_no_more_than_the_slope_needs() -> None:
    for act, clamp in itertools.product(GAINS, (None, 0.5)):
        kept: list[Tensor] = []
        x, b = torch.randn(4, 8, 5, 5, requires_grad=True), torch.zeros(8, requires_grad=True)

        def keep(tensor: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            y = bias_act(x, b, act=act, clamp=clamp)
        large = [t for t in kept if t.numel() == x.numel()]
        expected = (act != "linear" or clamp is not None) + (act == "swish" and clamp is not None)
        assert len(large) == expected
        assert all(t.data_ptr() in (x.data_ptr(), y.data_ptr()) for t in large)


def test_inputs_are_left_as_they_are() -> None:
    for act in GAINS:
        x = torch.linspace(-2, 2, 9)
        bias_act(x, dim=0, act=act, clamp=0.5)
        assert torch.equal(x, torch.linspace(-2, 2, 9))


def test_a_limit_that_the_type_cannot_hold_still_stops_gradients() -> None:
    x = torch.tensor([0.5, 3.0], dtype=torch.bfloat16, requires_grad=True)
    (dx,) = grad(bias_act(x, dim=0, clamp=1.003).sum(), x)
    assert dx.tolist() == [1, 0]


@pytest.mark.parametrize(
    "options", [{"act": "gelu"}, {"gain": 0}, {"alpha": -1}, {"clamp": -1}, {"b": torch.ones(3)}]
)
def test_impossible_activations_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"activation|gain > 0|as long as"):
        bias_act(torch.zeros(2, 4), **options)


def test_a_bias_on_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="b is where x is, on cpu, not on meta"):
        bias_act(torch.zeros(2, 4), torch.zeros(4, device="meta"))
