"""What a snapshot holds, for others to map to networks of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class NetworkRecord:
    """A PyTorch module, its children's tensors among its own: `synthesis.b4.const`."""

    class_name: str
    init_args: tuple[Any, ...]
    init_kwargs: dict[str, Any]
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class TensorFlowRecord:
    """A TensorFlow network, its components' variables among its own: `synthesis/lod`."""

    static_kwargs: dict[str, Any]
    variables: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was read from one file: PyTorch networks, or TensorFlow ones."""

    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    """Of G, D and G_ema those that the file has."""
    tensorflow: dict[str, TensorFlowRecord] = field(default_factory=dict)
    """G, D and Gs, the last being the average."""
    training_set_kwargs: dict[str, Any] | None = None
    augment_pipe: NetworkRecord | None = None
