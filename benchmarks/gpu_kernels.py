"""Parts of gpu.py about the kernels: how soon they are there, whether they are right, how fast."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import torch
from gpu_setting import Row, Setting
from gpu_training import Training, networks
from torch import Tensor
from torch.autograd import grad

from ganctl_stylegan2_ada import bias_act_op, upfirdn2d_op
from ganctl_stylegan2_ada.activations import Activation
from ganctl_stylegan2_ada.bias_act import bias_act
from ganctl_stylegan2_ada.filters import setup_filter
from ganctl_stylegan2_ada.kernels import Kernel, bench, plain_operators
from ganctl_stylegan2_ada.upfirdn2d import upfirdn2d

SLOW = 100
"""Seconds after which a process that builds kernels is given up."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
FORMS = (torch.channels_last, torch.contiguous_format)

GEOMETRIES: dict[str, dict[str, Any]] = {
    "after up": {"padding": 1, "gain": 4},
    "before down": {"padding": 2},
    "up": {"up": 2, "padding": (2, 1, 2, 1), "gain": 4},
    "down": {"down": 2, "padding": 1},
    "flipped": {"padding": (2, 1), "flip_filter": True},
    "cropped": {"padding": (-1, 3, 4, -2)},
    "up, cropped": {"up": 2, "padding": (-3, 5, 7, -2)},
    "down by 3": {"down": 3, "padding": (-1, 6, 6, -1)},
    "up 3, down 2": {"up": 3, "down": 2, "padding": (5, 0, 4, 7), "flip_filter": True},
    "axes apart": {"up": (3, 1), "down": (1, 2), "padding": (4, 3, 2, 5)},
    "long": {"f": [1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1], "up": 2, "padding": (6, 5)},
    "not separable": {"f": [[1, 2, 3], [4, 0, -1]], "padding": 1},
}

ROWS, COLUMNS, SUMS = (1, 2, 4, 8), (1, 2, 4), 64
"""For `upfirdn2d`: what a thread makes, and the most results that its registers hold."""

TIMES, BLOCKS = (1, 2, 4), (64, 128, 256, 512)
"""For `bias_act`, how many vectors a thread takes; for both, how many threads a block has."""

SWEPT = (64, 256)
"""Channels and side of the maps that parameters of the kernels are tried on."""


def first_use(setting: Setting) -> Iterator[Row]:
    """Kernels of a first step that are compiled, and found by the next process."""
    options = ["--device", setting.device.type, *(["--quick"] if setting.small else [])]
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "warm"):
            done = subprocess.run(
                [sys.executable, Path(__file__).with_name("gpu.py"), "--part", "build", *options],
                env={**os.environ, "XDG_CACHE_HOME": cache},
                stdout=subprocess.PIPE,
                text=True,
                timeout=SLOW,
                check=True,
            )
            yield {"cache": state, **json.loads(done.stdout.splitlines()[-1])}


def build(setting: Setting) -> Iterator[Row]:
    """Which kernels this process builds for a step, or finds, and how long each takes."""
    side, batch = (16, 4) if setting.small else (256, 4)
    with setting.kernels(), _watched() as made:
        run = Training(side, batch, setting.device, **networks(setting))
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            run.step(0)
            if setting.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    foreseen = [*bias_act_op.used_in_training(), *upfirdn2d_op.used_in_training()]
    yield {
        "kernels": len(made),
        "not_foreseen": [one["constants"] for one in made if one["constants"] not in foreseen],
        "seconds": sum(one["seconds"] for one in made),
        "seconds_of_first_step": seconds[0],
        "seconds_of_second_step": seconds[1],
        "each": made,
    }


@contextmanager
def _watched() -> Iterator[list[Row]]:
    """Within, notes what is built, or found built, and loaded."""
    made: list[Row] = []
    make = Kernel._made

    def timed(kernel: Kernel, device: torch.device, constants: dict[str, Any]) -> Any:
        start = time.perf_counter()
        launch = make(kernel, device, constants)
        spent = time.perf_counter() - start
        made.append({"kernel": kernel.name, "seconds": spent, "constants": constants})
        return launch

    with patch.object(Kernel, "_made", timed):
        yield made


def equality(setting: Setting) -> Iterator[Row]:
    """How far kernels, and plain operators beside them, are from plain ones in float64.

    By the largest difference over the largest value, of the result, its gradient, and the gradient
    of that in the direction of another's.
    """
    torch.manual_seed(0)
    forms, dtypes = (FORMS[:1], DTYPES[:2]) if setting.small else (FORMS, DTYPES)
    for dtype, form in itertools.product(dtypes, forms):
        about = {"dtype": str(dtype)[6:], "layout": str(form)[6:]}
        for number, act in enumerate(get_args(Activation)):
            x, b = _maps(dtype, form, setting), _normal(16, dtype=dtype, device=setting.device) / 4
            # At the limit, and a rounding beside it, slopes are of two kinds: nothing is near it.
            clamp = (None, 2.0)[number % 2]
            if clamp is not None:
                x = _kept_off(x, b, act, clamp)
            yield (
                about
                | {"what": f"bias_act, {act}"}
                | _errors(
                    lambda x, b, act=act, clamp=clamp: bias_act(x, b, act=act, clamp=clamp),
                    (x, b),
                    setting,
                )
            )
        for name, geometry in GEOMETRIES.items():
            chosen = dict(geometry)
            f = setup_filter(chosen.pop("f", bench.RESAMPLE)).to(setting.device)
            yield (
                about
                | {"what": f"upfirdn2d, {name}"}
                | _errors(
                    lambda x, f=f, chosen=chosen: upfirdn2d(x, f, **chosen),
                    (_maps(dtype, form, setting),),
                    setting,
                )
            )


def _errors(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], setting: Setting
) -> dict[str, Any]:
    """Of kernels and of plain operators, by order."""
    with plain_operators():
        exact = [tensor.double() for tensor in inputs]
        y = function(*exact)
        directions = _normal_like(y, inputs[0].dtype), _normal_like(inputs[0], inputs[0].dtype)
        expected = _derivatives(function, exact, [d.double() for d in directions])
    found: dict[str, Any] = {}
    for name, operators in (("kernels", setting.kernels), ("plain", plain_operators)):
        try:
            with operators():
                results = _derivatives(function, inputs, directions)
        except RuntimeError as error:  # of one library's type and layout, say
            found[name] = {"error": str(error).partition("\n")[0]}
            continue
        found[name] = {
            order: _error(result, known)
            for order, result, known in zip(
                ("forward", "backward", "double"), results, expected, strict=True
            )
        }
    return found


def _derivatives(
    function: Callable[..., Tensor], inputs: Any, directions: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """y, dx for dy, and what becomes of dy (and x, where y is curved) when dx goes elsewhere."""
    dy, v = (direction.detach().requires_grad_() for direction in directions)
    x, *others = (tensor.detach().requires_grad_() for tensor in inputs)
    y = function(x, *others)
    (dx,) = grad(y, x, dy, create_graph=True)
    second = grad(dx, [dy, x], v, allow_unused=True, materialize_grads=True)
    return y.detach(), dx.detach(), torch.cat([part.flatten() for part in second])


def _error(result: Tensor, known: Tensor) -> float:
    """nan counts as the worst."""
    error = (result.double() - known).abs().max() / known.abs().max()
    return float(error.nan_to_num(float("inf")))


def _maps(dtype: torch.dtype, form: torch.memory_format, setting: Setting) -> Tensor:
    shape = (2, 16, 9, 7) if setting.small else (3, 16, 45, 39)
    return _normal(*shape, dtype=dtype, device=setting.device).contiguous(memory_format=form)


def _kept_off(x: Tensor, b: Tensor, act: Activation, clamp: float) -> Tensor:
    """x without those numbers that the activation takes near its limits."""
    with plain_operators():
        y = bias_act(x.double(), b.double(), act=act)
    return torch.where(((y.abs() - clamp).abs() < 0.05), 0, x)


def _normal(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(shape, device=device).to(dtype)


def _normal_like(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.randn_like(x, dtype=torch.float32).to(dtype)


def bandwidth(setting: Setting) -> Iterator[Row]:
    """Bytes over time beside those of a copy."""
    with setting.kernels():
        if setting.small:
            found = bench.rows(setting.device, sizes=((8, 16),), images=((3, 16),), large=2**12)
        else:
            found = bench.rows(setting.device)
        for row in found:
            yield dataclasses.asdict(row)


def sanitizer(setting: Setting) -> Iterator[Row]:
    """Whether the kernels keep to their memory: what NVIDIA's checker says of a small run."""
    tool = shutil.which("compute-sanitizer")
    if tool is None or setting.device.type == "cpu":
        yield {"missing": "compute-sanitizer"}
        return
    done = subprocess.run(
        [
            *(tool, "--error-exitcode", "9", sys.executable, Path(__file__).with_name("gpu.py")),
            *("--part", "equality", "--quick", "--seconds", "40"),
        ],
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},  # each tensor has bounds
        capture_output=True,
        text=True,
        timeout=SLOW,
        check=False,
    )
    lines = done.stdout.splitlines()
    yield {
        "exit_status": done.returncode,
        "cases": sum("kernels" in line for line in lines),
        "said": [line for line in lines if line.startswith("=====")][-20:],
    }


def sweep(setting: Setting) -> Iterator[Row]:
    """The same with other shares of work for a thread, and other blocks."""
    channels, side, large = (8, 16, 2**10) if setting.small else (*SWEPT, bench.LARGE)
    dtypes = (torch.float32,) if setting.small else (torch.float16, torch.float32)
    with setting.kernels():
        copy = bench.copied(setting.device, large)
        for what, dtype in itertools.product(bench.WORK, dtypes):
            for maps in bench.both_layouts(channels, side, dtype, setting.device, large):
                choices = _choices(what, maps)
                yield _swept(what, maps, copy, choices[:1] if setting.small else choices)


def _choices(what: str, maps: bench.Maps) -> list[dict[str, int]]:
    if "bias_act" in what:
        return [{"times": t, "threads": n} for t, n in itertools.product(TIMES, BLOCKS)]
    up = 2 if what == "upfirdn2d, up" else 1
    last = maps.form == torch.channels_last
    vectors = [size // maps.dtype.itemsize for size in (16, 8)] if last else [1]
    return [
        {"rows": rows * up, "columns": columns * up, "vector": vector, "threads": threads}
        for rows, columns, vector, threads in itertools.product(ROWS, COLUMNS, vectors, BLOCKS)
        if rows * columns * up**2 * vector <= SUMS
    ]


def _swept(what: str, maps: bench.Maps, copy: bench.Row, choices: list[dict[str, int]]) -> Row:
    """Shares of a copy's rate by choice, the best first."""
    found = []
    for choice in choices:
        with _choosing(**choice):
            found.append({**choice, "share": bench.measured(what, maps, copy).share})
    found.sort(key=lambda one: -one["share"])
    row = dataclasses.asdict(bench.measured(what, maps, copy))
    return {**row, "best": found[:8], "worst": found[-1]}


@contextmanager
def _choosing(*, threads: int, times: int | None = None, **tile: int) -> Iterator[None]:
    """Within, kernels share out their work so."""
    with ExitStack() as stack:
        if times is None:
            work = upfirdn2d_op._Work(tile["rows"], tile["columns"], tile["vector"])
            stack.enter_context(patch.object(upfirdn2d_op._Work, "of", lambda v, h, channels: work))
            stack.enter_context(patch.object(upfirdn2d_op, "THREADS", threads))
        else:
            stack.enter_context(patch.object(bias_act_op, "TIMES", times))
            stack.enter_context(patch.object(bias_act_op, "THREADS", threads))
        yield
