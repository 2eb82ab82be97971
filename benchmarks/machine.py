"""Which machine a figure was measured on."""

from __future__ import annotations

import platform
from pathlib import Path


def machine(threads: int) -> str:
    """`AMD EPYC, 2 threads`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{name}, {threads} threads"
