"""Generators as ONNX graphs, each held against ONNX Runtime before it is handed out."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import GanctlError, UserError
from .interfaces import Generator, StyleGenerator
from .model import Model

ADVICE = "pip install 'ganctl[onnx]'"

TOLERANCE = 1e-3
"""Of images in [-1, 1] an eighth of a grey level: float32 sums in another order differ by less.
Of larger numbers this part of the largest."""

BATCHES = 1, 5
"""Sizes of the batches on which they are compared."""

_TRACED = 2
"""Size of the batch that is traced: 1 would be taken for a constant."""
_PSI = 0.7


@dataclass(frozen=True)
class Graph:
    """What becomes one file. `inputs` are samples, (N, …) each or without axes."""

    ending: str
    """`""`, `"-mapping"` or `"-synthesis"`: of the file's name."""
    module: nn.Module
    inputs: Callable[[int], dict[str, Tensor]]
    output: str
    wanted: Callable[[int], Tensor]
    """What the model itself makes of `inputs` of as many rows."""


class Whole(nn.Module):
    """z (N, z_dim), and c (N, classes) of a conditional model → images in [-1, 1]."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return picture(self.generator, z, c)


class MappingHalf(nn.Module):
    """z, c and a truncation without axes → ws (N, num_ws, w_dim)."""

    def __init__(self, generator: StyleGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, c: Tensor | None = None, *, truncation_psi: Tensor) -> Tensor:
        mean = self.generator.mapping(z, c, 0.0)  # a tensor in its place could not be branched on
        return mean + truncation_psi * (self.generator.mapping(z, c) - mean)


class SynthesisHalf(nn.Module):
    """ws (N, num_ws, w_dim) → images in [-1, 1], with constant noise."""

    def __init__(self, generator: StyleGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, ws: Tensor) -> Tensor:
        return self.generator.synthesis(ws, "const").float().clamp(-1, 1)


def picture(generator: Generator, z: Tensor, c: Tensor | None) -> Tensor:
    """What `Model.generate` makes before it is rounded, within [-1, 1]."""
    if isinstance(generator, StyleGenerator):
        images = generator.synthesis(generator.mapping(z, c), "const")
    else:
        images = generator(z, c)
    return images.float().clamp(-1, 1)


def graphs_of(model: Model) -> list[Graph]:
    """The whole generator, and of a style generator its halves too."""
    generator = model.generator

    def latents(n: int) -> dict[str, Tensor]:
        """Those of the first seeds, of class after class."""
        z = {"z": model.latents(range(n))}
        classes = model.spec.classes
        return z | {"c": torch.eye(classes)[torch.arange(n) % classes]} if classes else z

    def image(n: int) -> Tensor:
        given = latents(n)
        return picture(generator, given["z"], given.get("c"))

    whole = Graph("", Whole(generator), latents, "image", image)
    if not isinstance(generator, StyleGenerator):
        return [whole]
    return [
        whole,
        Graph(
            "-mapping",
            MappingHalf(generator),
            lambda n: latents(n) | {"truncation_psi": torch.tensor(_PSI)},
            "ws",
            lambda n: model.styles(range(n), truncation=_PSI),
        ),
        Graph(
            "-synthesis",
            SynthesisHalf(generator),
            lambda n: {"ws": model.styles(range(n))},
            "image",
            image,
        ),
    ]


def find_onnx() -> None:
    """Raise `UserError` where the extra is not installed."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(f"ONNX needs the package {name}: {ADVICE}") from None


@torch.no_grad()
def convert(graph: Graph) -> tuple[bytes, float]:
    """A graph as a file's bytes, and by how much it differs from the model at most.

    The batch's size is open. Raises `GanctlError` when PyTorch cannot trace or convert it, and
    when what comes out gives other numbers.
    """
    data = _trace(graph)
    worst = float(np.max([_difference(data, graph, n) for n in BATCHES]))  # NaN, if one is
    if not worst <= TOLERANCE:
        raise GanctlError(
            f"the exported graph's {graph.output} differs from PyTorch's by {worst:.1e} (numbers "
            "drawn in the generator?): nothing was written"
        )
    return data, worst


def _trace(graph: Graph) -> bytes:
    inputs = graph.inputs(_TRACED)
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} if tensor.ndim else {} for name, tensor in inputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own parts; the result is checked
        try:
            program = torch.export.export(
                graph.module.eval(), (), inputs, dynamic_shapes=shapes, strict=False
            )
            exported = torch.onnx.export(
                program, output_names=[graph.output], dynamo=True, verbose=False
            )
            assert exported is not None
            first: Any = exported.model.graph.inputs[0]
            exported.rename_axes({first.shape[0]: "batch"})
            data: bytes = exported.model_proto.SerializeToString()
        except Exception as error:  # the exporter raises some twenty kinds
            reason = " ".join(str(error).split()).partition(". ")[0]
            if "specialized it to be a constant" in str(error):
                reason = "it fixes how many images it makes (x.shape[0] does not, len(x) does)"
            raise GanctlError(f"this generator cannot be exported: {reason}") from error
    return data


def _difference(data: bytes, graph: Graph, n: int) -> float:
    """Of a batch of n, in units of the largest number where that is over 1; NaN differs."""
    runtime = importlib.import_module("onnxruntime")
    runtime.set_default_logger_severity(3)  # no more than errors
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {k: v.numpy() for k, v in graph.inputs(n).items()})
    wanted = graph.wanted(n).numpy()
    if given.shape != wanted.shape or given.dtype != wanted.dtype:
        return float("inf")
    return float(np.abs(given - wanted).max() / max(1, np.abs(wanted).max()))
