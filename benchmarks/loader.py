"""Shuffled batches from the caches beside bare gathers of the same rows, in one run.

    python benchmarks/loader.py [--data SET] [--images 2000] [--rounds 15] [--out FILE.json]

`--cache disk` is held against indexing a NumPy memory map of the same file, `--cache memory`
against torch's index_select on the same tensor. All take the same rows turn by turn, a few batches
each, the order changing. Between batches nothing is computed, so reading ahead hides nothing.
Reported beside them: `--cache none` (decoding each time), what `--mirror` adds, and plain indexing
of the tensor. The set is the given one, else drawn: PNGs of 256 × 256.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from torch import Tensor

from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.disk_cache import map_images
from ganctl.data.loader import Loader
from ganctl.spec import ImageSpec

CPU = torch.device("cpu")

TURN = 5
"""Batches that one way takes before it is the next one's turn."""


def draw(path: Path, count: int) -> None:
    """Noise on a coarse grid: PNGs of about the size of photographs'."""
    rng = np.random.default_rng(0)
    with DatasetWriter(path, ImageSpec(256, 256, 3)) as writer:
        for _ in range(count):
            coarse = rng.integers(0, 224, (32, 32, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            writer.add(coarse + rng.integers(0, 32, coarse.shape, dtype=np.uint8), None)


def seconds(work: Callable[[int], Any], steps: range) -> float:
    """Per step."""
    start = time.perf_counter()
    for step in steps:
        work(step)
    return (time.perf_counter() - start) / len(steps)


def measure(dataset: Dataset, batch: int, rounds: int, steps: int) -> list[dict[str, Any]]:
    loaders = {
        name: Loader(dataset, batch, 0, CPU, cache=name.partition("+")[0], mirror="+" in name)  # type: ignore[arg-type]
        for name in ("memory", "disk", "none", "memory+mirror")
    }
    mapped = map_images(dataset)
    tensor = torch.from_numpy(loaders["memory"]._images.images)  # type: ignore[attr-defined]
    # The rows of each step, as the loaders take them; drawing them is the loaders' own work.
    rows: list[Tensor] = [loaders["memory"]._rows(step) for step in range(rounds * steps)]
    bare: dict[str, Callable[[int], Any]] = {
        "index_select": lambda step: tensor.index_select(0, rows[step]),
        "numpy": lambda step: mapped[rows[step].numpy()],
        "indexing": lambda step: tensor[rows[step]],
    }
    ways: dict[str, Callable[[int], Any]] = {**bare, **loaders}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        totals = dict.fromkeys(ways, 0.0)
        starts = range(number * steps, (number + 1) * steps, TURN)
        for turn, start in enumerate(starts):
            order = list(ways)
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                if name not in ("none", "indexing") or turn == 0:
                    totals[name] += seconds(ways[name], range(start, start + TURN))
        for name, total in totals.items():
            times[name].append(total / (1 if name in ("none", "indexing") else len(starts)))
    table = []
    for name, against in (
        ("memory", "index_select"),
        ("disk", "numpy"),
        ("memory+mirror", "index_select"),
        ("none", "numpy"),
        ("indexing", "index_select"),
    ):
        ratios = [a / b for a, b in zip(times[name], times[against], strict=True)]
        row = {
            "batch": batch,
            "way": name if name == "indexing" else f"--cache {name.replace('+', ' --')}",
            "against": against,
            "time_ratio_median": round(statistics.median(ratios), 3),
            "time_ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
            "batch_ms": round(1000 * statistics.median(times[name]), 3),
            "bare_batch_ms": round(1000 * statistics.median(times[against]), 3),
        }
        print(json.dumps(row), flush=True)
        table.append(row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.steps -= asked.steps % TURN
    torch.set_num_threads(asked.threads)

    with tempfile.TemporaryDirectory() as scratch:
        path = asked.data
        if path is None:
            path = Path(scratch) / "set.zip"
            draw(path, asked.images)
        dataset = Dataset(path)
        report = {
            "work": f"shuffled uint8 batches of {len(dataset)} images of {dataset.spec.size}",
            "machine": machine(asked.threads),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rows": [
                row
                for batch in (16, 64)
                for row in measure(dataset, batch, asked.rounds, asked.steps)
            ],
        }
    print(json.dumps(report, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
