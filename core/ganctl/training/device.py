"""Where a run computes, and how much memory it took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import GanctlError, UserError


def pick_device(name: str) -> torch.device:
    """`auto` takes CUDA, then Apple's GPU, then the CPU. Raises `UserError` for what is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in present.items() if there), "cpu")
    if name not in ("cpu", *present):
        raise UserError(f"device: {name!r} is not one of auto, cpu, {', '.join(present)}")
    if not present.get(name, True):
        raise UserError(
            f"device: {name} is not available to this torch ({torch.__version__}); "
            "`ganctl doctor` tells more"
        )
    return torch.device(name)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Within: running out of memory is a `GanctlError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError, GanctlError) as error:
        text = str(error.__cause__ if isinstance(error, GanctlError) else error).lower()
        if not isinstance(error, MemoryError) and not ("memory" in text and "alloc" in text):
            raise
        raise GanctlError(
            "out of memory: try a smaller --micro-batch, a smaller --resolution or smaller networks"
        ) from None


def peak_memory(device: torch.device) -> float:
    """Highest use so far in bytes: of the GPU's memory, else of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
