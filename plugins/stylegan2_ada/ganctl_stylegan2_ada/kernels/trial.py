"""Whether kernels and PyTorch's operators agree on this machine."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ..bias_act import bias_act
from ..filters import setup_filter
from ..upfirdn2d import upfirdn2d
from .kernel import KernelWarning, plain_operators


def largest_error(device: torch.device) -> float:
    """Of values and gradients, relative to the largest of each, in float32.

    Raises `KernelWarning` when a kernel cannot be used.
    """
    x = torch.randn(2, 16, 17, 19, device=device).to(memory_format=torch.channels_last)
    with plain_operators(), torch.backends.cudnn.flags(allow_tf32=False):
        expected = _results(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", KernelWarning)
        found = _results(x)
    errors = [(a - b).abs().max() / b.abs().max() for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(errors).nan_to_num(torch.inf).max())


def _results(x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    y = bias_act(x, x.detach()[0, :, 0, 0], act="lrelu", clamp=1.5)
    z = upfirdn2d(y, setup_filter([1, 3, 3, 1]).to(x.device), up=2, padding=(2, 1, 2, 1), gain=4)
    (dx,) = torch.autograd.grad(z.square().sum(), x)
    return [y.detach(), z.detach(), dx]
