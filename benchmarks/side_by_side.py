"""Two programs turn by turn, each in a process of its own, compared round by round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import spread

Figures = dict[str, float]
"""At least images_per_second and peak_memory_mb."""

PLUGINS = (
    "mlp,dcgan,stylegan2-ada,bce,stylegan2,digits,mnist,folder,zip,"
    "divergence,gradients,mode-collapse,one-sided"
)
"""What ganctl sees: all that a run has by default but TensorBoard, which is an extra."""


def run(*command: str, folder: Path, threads: int) -> str:
    """The standard output of a command with so many threads."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "GANCTL_PLUGINS": PLUGINS},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def ganctl(*arguments: str, folder: Path, threads: int) -> str:
    return run(sys.executable, "-m", "ganctl", *arguments, folder=folder, threads=threads)


def whole_loop(*arguments: str, folder: Path, threads: int) -> Figures:
    """A `ganctl train`, by its log: everything from the first step to the last."""
    outcome = json.loads(ganctl("train", *arguments, "--json", folder=folder, threads=threads))
    log = (folder / outcome["run"] / "log.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    rate = last["images"] / last["seconds"]
    return {"images_per_second": rate, "peak_memory_mb": last["peak_memory_mb"]}


def compare(
    label: str, plain: Callable[[], Figures], ours: Callable[[], Figures], rounds: int
) -> dict[str, Any]:
    """The ratio of the rates per round, its median and range; medians of the other figures."""
    pairs = []
    for number in range(rounds):
        a, b = plain(), ours()
        pairs.append((a, b))
        print(
            f"{label}, round {number + 1}: plain {a['images_per_second']:,.1f} img/s, "
            f"ganctl {b['images_per_second']:,.1f} img/s, "
            f"ratio {b['images_per_second'] / a['images_per_second']:.2f}",
            flush=True,
        )
    ratios = [b["images_per_second"] / a["images_per_second"] for a, b in pairs]
    row = spread(ratios)
    for index, name in enumerate(("plain", "ganctl")):
        for key in ("images_per_second", "peak_memory_mb"):
            row[f"{name}_{key}"] = round(statistics.median(pair[index][key] for pair in pairs), 1)
    return row
