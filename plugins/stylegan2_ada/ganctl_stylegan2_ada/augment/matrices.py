"""Batches of homogeneous matrices, for the plane (N, 3, 3) and for colours (N, 4, 4).

They act on columns: `translation(t) @ point`. Arguments are tensors (N,).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def identity(n: int, size: int) -> Tensor:
    """(n, size, size) float32."""
    return torch.eye(size, dtype=torch.float32).repeat(n, 1, 1)


def translation(offsets: Sequence[Tensor]) -> Tensor:
    """One offset (N,) per axis → (N, axes + 1, axes + 1)."""
    matrix = identity(len(offsets[0]), len(offsets) + 1)
    matrix[:, :-1, -1] = torch.stack(list(offsets), dim=1)
    return matrix


def scaling(factors: Sequence[Tensor]) -> Tensor:
    """One factor (N,) per axis → (N, axes + 1, axes + 1)."""
    columns = torch.stack([*factors, torch.ones_like(factors[0])], dim=1)
    return torch.diag_embed(columns)


def rotation(angle: Tensor) -> Tensor:
    """Radians (N,) that turn the x axis towards the y axis → (N, 3, 3)."""
    matrix = identity(len(angle), 3)
    cos, sin = angle.cos(), angle.sin()
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, -sin
    matrix[:, 1, 0], matrix[:, 1, 1] = sin, cos
    return matrix


def gray_projection() -> Tensor:
    """(4, 4) projection of colours onto the gray axis (1, 1, 1) / √3; the constant goes to 0."""
    matrix = torch.zeros(4, 4, dtype=torch.float32)
    matrix[:3, :3] = 1 / 3
    return matrix


def rotation_about_gray(angle: Tensor) -> Tensor:
    """Rodrigues' rotation of colours by radians (N,) about the gray axis → (N, 4, 4)."""
    onto = gray_projection()
    cross = torch.zeros(4, 4, dtype=torch.float32)
    cross[:3, :3] = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    rest = torch.eye(4, dtype=torch.float32) - onto
    rest[3, 3] = 0
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    matrix = onto + cos * rest + sin * cross
    matrix[:, 3, 3] = 1
    return matrix
