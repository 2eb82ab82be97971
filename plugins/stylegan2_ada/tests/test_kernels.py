"""Kernels on an emulated device: the numbers of plain operators, however they are asked."""

import random
import tempfile
from collections.abc import Callable
from typing import Any, get_args

import emulation
import pytest
import torch
from torch import Tensor
from torch.autograd import grad
from torch.library import opcheck

from ganctl_stylegan2_ada import bias_act_op, discriminator, synthesis, upfirdn2d_op
from ganctl_stylegan2_ada.bias_act import Activation, bias_act
from ganctl_stylegan2_ada.fir import Axis
from ganctl_stylegan2_ada.kernels import KernelWarning, Unavailable, plain_operators
from ganctl_stylegan2_ada.kernels.kernel import _warn
from ganctl_stylegan2_ada.kernels.trial import largest_error
from ganctl_stylegan2_ada.upfirdn2d import upfirdn2d

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kernels")]

TYPES = {torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2, torch.float64: 1e-7}
"""How far results may be off what plain operators give in float64, relative to the largest."""


def laid_out(x: Tensor, how: str) -> Tensor:
    """The same numbers, elsewhere in memory."""
    match how:
        case "last":
            return x.contiguous(memory_format=torch.channels_last)
        case "odd":  # not aligned to anything
            return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
        case "strided":
            return x.repeat_interleave(2, 3)[:, :, :, ::2]
        case _:
            return x


def derivatives(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Values, first and second derivatives of a scalar made of them."""
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    y = function(*inputs)
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape).to(y.dtype)
    first = grad((y.double().square() * weights).sum(), inputs, create_graph=True)
    second = grad(sum(d.double().square().sum() for d in first), inputs, allow_unused=True)
    return [t.detach().double() for t in (y, *first, *second) if t is not None]


def compare(function: Callable[..., Tensor], dtype: torch.dtype, *inputs: Tensor) -> None:
    with plain_operators():
        expected = derivatives(function, *(x.double() for x in inputs))
    found = derivatives(function, *inputs)
    assert len(found) == len(expected)
    for order, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert ours.shape == theirs.shape
        error = (ours - theirs).abs().max() / theirs.abs().max().clamp(1e-30)
        assert error < TYPES[dtype] * (1 if order == 0 else 10), order


@pytest.mark.parametrize("seed", range(48))
def test_bias_act_at_random(seed: int) -> None:
    draw = random.Random(seed)
    act: Activation = draw.choice(get_args(Activation))
    dtype = draw.choice(list(TYPES))
    shape = [draw.choice([1, 2, 3]), *(draw.choice([1, 3, 5, 8, 16]) for _ in range(3))]
    torch.manual_seed(seed)
    x = laid_out(torch.randn(shape).to(dtype), draw.choice(["last", "odd", "strided", "plain"]))
    dim, bias = draw.randrange(4), draw.random() < 0.7
    settings = {"act": act, "gain": draw.choice([None, 0.7]), "alpha": draw.choice([None, 0.4])}
    settings["clamp"] = clamp = draw.choice([None, 1.0])
    length = shape[dim]
    b = draw.choice(
        [torch.randn(length), torch.randn(2 * length)[::2], torch.randn(1).expand(length)]
    ).to(dtype)
    if clamp is not None and dtype in (torch.float16, torch.bfloat16):
        x = x * 0.3  # rounding decides what is at the limit, and what is beyond it

    def function(x: Tensor, b: Tensor | None = None) -> Tensor:
        return bias_act(x, b, dim, **settings)

    compare(function, dtype, *([x, b] if bias else [x]))


@pytest.mark.parametrize("seed", range(48))
def test_upfirdn2d_at_random(seed: int) -> None:
    draw = random.Random(1000 + seed)
    dtype = draw.choice(list(TYPES))
    up, down = ((draw.choice([1, 1, 2, 3]), draw.choice([1, 2])) for _ in range(2))
    taps = draw.choice([(1,), (4,), (8,), (12,), (2, 3), (4, 4), (5, 1)])
    shape = draw.choice([1, 2]), draw.choice([1, 3, 4, 8, 16]), *draw.choices([4, 7, 12], k=2)
    padding = [draw.randint(-2, 9) + 12 * (max(taps) > 5) for _ in range(4)]
    torch.manual_seed(seed)
    f = torch.rand(taps)
    if draw.random() < 0.5 and len(taps) == 2:
        f = torch.outer(f[:, 0], f[0])
    x = laid_out(torch.randn(shape).to(dtype), draw.choice(["last", "odd", "strided", "plain"]))

    def function(x: Tensor) -> Tensor:
        flip, gain = draw.random() < 0.5, draw.choice([1, 4, -0.3])
        return upfirdn2d(x, f / f.sum(), up, down, padding, flip, gain)

    state = draw.getstate()

    def same(x: Tensor) -> Tensor:
        draw.setstate(state)
        return function(x)

    compare(same, dtype, x)


def test_long_filters_stay_in_loops() -> None:
    f = torch.rand(24, 20)
    x = torch.randn(1, 4, 30, 30).contiguous(memory_format=torch.channels_last)
    compare(lambda x: upfirdn2d(x, f, 2, 3, 15), torch.float32, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_are_rounded_as_pytorch_does(dtype: torch.dtype) -> None:
    words = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    expected = (words.float() * 1.37).to(dtype)
    found = bias_act(words, dim=0, gain=1.37)
    same = (found == expected) | (found.isnan() & expected.isnan())
    assert same.all()


@pytest.mark.parametrize("act", get_args(Activation))
def test_what_is_not_finite_stays_so(act: Activation) -> None:
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0])
    with plain_operators():
        expected = bias_act(x, dim=0, act=act)
    torch.testing.assert_close(bias_act(x, dim=0, act=act), expected, equal_nan=True)
    assert bias_act(x, dim=0, act=act, clamp=1.0)[0].isnan()


def test_nothing_is_made_of_nothing() -> None:
    x = torch.empty(0, 3, 4, 4, requires_grad=True)
    y = upfirdn2d(bias_act(x, torch.zeros(3)), torch.ones(4), padding=2)
    assert y.shape == (0, 3, 5, 5)
    assert grad(y.sum(), x)[0].shape == x.shape


def test_the_registry_knows_the_operators() -> None:
    """Schemas, shapes without numbers, autograd, ahead-of-time tracing: torch's own checks."""
    ops = torch.ops.stylegan2_ada
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    b = torch.randn(8, requires_grad=True)
    for operators in "kernels", "plain":
        for act, layout in (("lrelu", torch.channels_last), ("swish", torch.contiguous_format)):
            z = x.detach().contiguous(memory_format=layout).requires_grad_()
            opcheck(ops.bias_act, (z, b, 1, act, 0.2, 1.5, 0.9))
            opcheck(ops.bias_act_slope, (z, z.detach(), z.detach(), act, 0.2, 1.5, 0.9))
        y = x.detach()
        opcheck(ops.bias_act_curve, (y, y, y, y, "tanh", 0.2, 1.5, 0.9))
        axis = list(Axis(5, 4, 2, 1, 2, 1))
        opcheck(ops.upfirdn2d, (x, torch.ones(4), axis, axis, False, 4.0))
        if operators == "kernels":
            emulation.BACKENDS.pop("cpu")
    emulation.BACKENDS["cpu"] = emulation.Emulation()


def test_compiled_functions_take_them_as_they_are() -> None:
    def function(x: Tensor, b: Tensor) -> Tensor:
        y = bias_act(x, b, act="lrelu", clamp=1.0)
        return upfirdn2d(y, torch.ones(4) / 4, up=2, padding=(2, 1, 2, 1)).square().sum()

    x, b = torch.randn(2, 8, 5, 5, requires_grad=True), torch.randn(8, requires_grad=True)
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    for ours, theirs in zip(
        grad(compiled(x, b), (x, b)), grad(function(x, b), (x, b)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_autocast_leaves_them_alone() -> None:
    x, f = torch.randn(1, 8, 4, 4), torch.ones(4)
    axis = list(Axis(4, 4, 1, 1, 2, 1))
    for context in plain_operators(), torch.no_grad():
        with context, torch.autocast("cpu", torch.bfloat16):
            op = torch.ops.stylegan2_ada
            assert op.upfirdn2d(x, f, axis, axis, False, 1.0).dtype == torch.float32
            assert op.bias_act(x, None, 1, "lrelu", 0.2, 1.0, None).dtype == torch.float32
            assert bias_act(x.bfloat16(), torch.ones(8)).dtype == torch.bfloat16


def test_the_trial_of_doctor_finds_no_fault_but_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert largest_error(torch.device("cpu")) < 1e-6

    class Refusing(emulation.Emulation):
        def load(self, *facts: Any) -> Any:
            raise Unavailable("the driver is older than the compiler")

    for module in bias_act_op, upfirdn2d_op:
        monkeypatch.setattr(module.KERNEL, "_launches", {})
    _warn.cache_clear()
    emulation.BACKENDS["cpu"] = Refusing()
    with pytest.raises(KernelWarning, match="older than the compiler"):
        largest_error(torch.device("cpu"))
    _warn.cache_clear()


def test_tensors_of_several_types_are_refused() -> None:
    x, ops = torch.ones(1, 2, 2, 2), torch.ops.stylegan2_ada
    with pytest.raises(TypeError, match="one type"):
        ops.bias_act(x, torch.ones(2).half(), 1, "lrelu", 0.2, 1.0, None)
    with pytest.raises(TypeError, match="one type"):
        ops.bias_act_slope(x, x.half(), None, "lrelu", 0.2, 1.0, None)


def test_training_asks_for_what_is_said(monkeypatch: pytest.MonkeyPatch, pictures: str) -> None:
    """A step of every phase, with half of the resolutions in float16, and with ADA."""
    asked: set[str] = set()

    class Recorder(emulation.Emulation):
        def compile(self, *facts: Any) -> bytes:
            asked.add(f"{facts[1]} {' '.join(facts[4])}")
            return super().compile(*facts)

    for module in synthesis, discriminator:
        monkeypatch.setattr(
            module, "compute_dtype", lambda half, _: torch.float16 if half else torch.float32
        )
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_CACHE_HOME", folder)
        for module in bias_act_op, upfirdn2d_op:
            monkeypatch.setattr(module.KERNEL, "_launches", {})
        emulation.BACKENDS["cpu"] = Recorder()
        losses(pictures, 1, {"name": "ada", "p": 0.5}, half_resolutions=2)
    said = {
        f"{module.KERNEL.file.name} "
        + " ".join(
            f"-D{name}={int(v) if isinstance(v, bool) else v}" for name, v in sorted(c.items())
        )
        for module in (bias_act_op, upfirdn2d_op)
        for c in module.used_in_training()
    }
    assert asked == said


def test_training_is_the_same_with_kernels_and_without(pictures: str) -> None:
    with plain_operators():
        expected = losses(pictures, 20, {"name": "ada", "p": 0.3})
    found = losses(pictures, 20, {"name": "ada", "p": 0.3})
    assert found.keys() == expected.keys()
    for name, values in found.items():
        # Adam takes what is noise in a gradient of nearly 0 for a direction.
        torch.testing.assert_close(values, expected[name], rtol=2e-2, atol=1e-3, msg=name)
        torch.testing.assert_close(values[0], expected[name][0], rtol=1e-5, atol=1e-6, msg=name)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A prepared set of noise, 32×32."""
    import numpy as np
    from PIL import Image

    from ganctl.cli.main import main

    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    (folder / "in").mkdir()
    for number in range(8):
        pixels = draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "in" / f"{number}.png")
    out = str(folder / "set.zip")
    assert main(["prepare", str(folder / "in"), "--out", out, "--resolution", "32"]) == 0
    return out


def losses(
    data: str, steps: int, augment: dict[str, Any], half_resolutions: int = 0
) -> dict[str, Tensor]:
    """Of every phase, over so many steps of a small network."""
    from ganctl.data.dataset import Dataset
    from ganctl.data.loader import Loader
    from ganctl.training.loop import train
    from ganctl.training.plan import resolve
    from ganctl.training.session import build
    from ganctl.training.tally import Tally

    arch = {"name": "stylegan2-ada", "channel_base": 256, "channel_max": 16}
    plan = resolve(
        {"data": data, "batch": 4, "device": "cpu"},
        {"arch": {**arch, "half_resolutions": half_resolutions}, "augment": augment},
    )
    device = torch.device("cpu")
    torch.manual_seed(0)
    state, phases = build(plan, device)
    loader, tally = Loader(Dataset(data), 4, 0, device), Tally()
    loop = train(state, loader, phases, tally, total=4 * steps, micro_batch=4, seed=0)
    found = [tally.flush() for _ in loop]
    names = {name for step in found for name in step if name.startswith("loss/")}
    return {name: torch.tensor([s[name] for s in found if name in s]) for name in names}
