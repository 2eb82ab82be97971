"""Linear maps given with their adjoint: differentiable as often as wanted.

R1 and path-length regularisation differentiate through the augmentations twice. torch's own
second derivatives of convolutions and of `grid_sample` are slow or, in some releases and on some
devices, missing; the derivative of a linear map is its adjoint, whose derivative is the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Map, adjoint: Map) -> Tensor:
        ctx.maps = adjoint, forward
        return forward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return linear(gradients[0], *ctx.maps), None, None


def linear(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
    """forward(x), with the derivative `adjoint`; neither may close over what needs gradients."""
    y: Tensor = _Linear.apply(x, forward, adjoint)  # type: ignore[no-untyped-call]
    return y
