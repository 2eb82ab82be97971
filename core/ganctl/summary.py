"""The layer table of a network: modules, parameters, buffers, output shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Row:
    """One module: its own parameters and buffers, and what it returned."""

    module: str
    kind: str
    parameters: int
    buffers: int
    shape: tuple[int, ...]
    dtype: str


DEEPEST = 3
"""Modules nested deeper (`synthesis.b4.conv1.affine`) are counted with the one around them."""


def layer_table(network: nn.Module, *inputs: Tensor | None) -> list[Row]:
    """Rows in order of execution for modules that hold tensors or have no children."""
    rows: list[Row] = []
    handles = []
    names = {module: name for name, module in network.named_modules() if name.count(".") < DEEPEST}

    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        whole = names[module].count(".") == DEEPEST - 1
        own = _held(module, whole)
        if any(module.children()) and not any(own):
            return
        first = next(_tensors(output), None)
        shape = () if first is None else tuple(first.shape)
        dtype = "" if first is None else str(first.dtype).removeprefix("torch.")
        rows.append(Row(names[module] or "(itself)", type(module).__name__, *own, shape, dtype))

    for module in names:
        handles.append(module.register_forward_hook(record))
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def totals(network: nn.Module) -> tuple[int, int]:
    """(parameters, buffer elements) of a network, shared ones counted once."""
    parameters = sum(p.numel() for p in network.parameters())
    return parameters, sum(b.numel() for b in network.buffers())


def training_bytes(
    tables: dict[str, list[Row]], networks: dict[str, nn.Module], rows: int, ema: bool
) -> int:
    """A rough estimate of what training takes: weights, gradients, Adam, activations.

    `tables` were made for one row. Activations are held for the backward pass of the widest
    phase: the generator once, the discriminator for reals and fakes.
    """
    total = 0
    for name, network in networks.items():
        weights, buffers = totals(network)
        copies = 4 + (1 if ema and name == "generator" else 0)
        activations = sum(torch.Size(row.shape).numel() for row in tables[name])
        passes = 1 if name == "generator" else 2
        total += 4 * (copies * weights + buffers + activations * rows * passes)
    return total


def _held(module: nn.Module, whole: bool) -> tuple[int, int]:
    parameters = sum(p.numel() for p in module.parameters(recurse=whole))
    return parameters, sum(b.numel() for b in module.buffers(recurse=whole))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
