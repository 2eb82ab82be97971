"""Where a part of gpu.py runs, and how large."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]

EMULATION = Path(__file__).resolve().parents[1] / "plugins" / "stylegan2_ada" / "tests"


@dataclass(frozen=True)
class Setting:
    """The device, and whether sizes are such that they only try the script out."""

    device: torch.device
    small: bool
    kernels: Callable[[], AbstractContextManager[object]]
    """Within, kernels are used."""


Part = Callable[[Setting], Iterator[Row]]
"""Measures, row by row."""


def setting(device: str, small: bool) -> Setting:
    """On a CPU kernels are emulated, and all sizes small."""
    if device != "cpu":
        return Setting(torch.device(device, torch.cuda.current_device()), small, nullcontext)
    sys.path.insert(0, str(EMULATION))
    import emulation

    if not emulation.possible():
        raise SystemExit("on a CPU kernels are emulated, and that needs g++")
    with tempfile.TemporaryDirectory() as folder:
        emulation.load_driver(Path(folder))
    return Setting(torch.device("cpu"), True, emulation.emulated)
