"""StyleGAN2's whole lazily weighted training step beside a plain one, in one run, on a CPU.

    python benchmarks/stylegan2_step.py [--rounds 5] [--max 512,128] [--steps 16] [--out FILE.json]

64×64, channel_base 4096, channel_max as given, batch 16, no augmentation, with EMA. After a
step in which every phase runs once, 16 steps hold 16 main phases of each player, 4 of path
lengths and 1 of R1, as they are weighted in training; numbers that 16 does not divide are for
trying out. Ours is the loop of `ganctl train` without its logging, the other is
plain_stylegan2.py; both see the same noise pictures with 2 threads, each in a process of its own,
the order changing. Memory is the process's peak, and beside it what it was when training began.
What the reference took is quoted from earlier measurements, not measured here.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import machine
from report import publish, spread
from side_by_side import Figures, run

SIDE, CHANNEL_BASE, BATCH, PICTURES = 64, 4096, 16, 256

QUOTED = {
    512: {"ms_per_image": 327.0, "peak_memory_mb": 2700.0},
    128: {"ms_per_image": 123.9, "peak_memory_mb": 1400.0},
}
"""The reference implementation's, by channel_max, on a 2-core CPU; not measured here."""


def ours(data: str, channel_max: int) -> Callable[[], Any]:
    import torch

    from ganctl.data.dataset import Dataset
    from ganctl.data.loader import Loader
    from ganctl.training.loop import train
    from ganctl.training.plan import resolve
    from ganctl.training.session import build
    from ganctl.training.tally import Tally

    core = {"data": data, "batch": BATCH, "device": "cpu"}
    arch = {"name": "stylegan2-ada", "channel_base": CHANNEL_BASE, "channel_max": channel_max}
    plan = resolve(core, {"arch": arch, "augment": {"name": "none"}})
    device, seed = torch.device("cpu"), plan.settings.seed
    state, phases = build(plan, device)
    loader = Loader(Dataset(data), BATCH, seed, device)
    progress = train(
        state, loader, phases, Tally(), total=sys.maxsize, micro_batch=BATCH, seed=seed
    )
    return lambda: next(progress)


def plain(data: str, channel_max: int) -> Callable[[], Any]:
    import itertools

    import torch
    from plain_dcgan import read
    from plain_stylegan2 import Training

    training, pictures = Training(SIDE, CHANNEL_BASE, channel_max, BATCH), read(data)
    numbers = itertools.count()
    return lambda: training.step(next(numbers), pictures[torch.randperm(PICTURES)[:BATCH]])


SIDES = {"plain": plain, "ganctl": ours}


def measure(side: str, data: str, channel_max: int, steps: int) -> Figures:
    """Of this process: one step to warm up, then so many."""
    step = SIDES[side](data, channel_max)
    before = peak_memory_mb()
    step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - start
    return {
        "ms_per_image": seconds / (steps * BATCH) * 1000,
        "peak_memory_mb": peak_memory_mb(),
        "memory_before_training_mb": before,
    }


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def compare(data: Path, channel_max: int, asked: argparse.Namespace) -> dict[str, Any]:
    """The ratio of the times per round, its median and range; medians of all figures."""
    rounds: list[dict[str, Figures]] = []
    for number in range(asked.rounds):
        figures = {}
        for side in list(SIDES)[:: 1 if number % 2 == 0 else -1]:
            sizes = ("--max", str(channel_max), "--steps", str(asked.steps))
            command = (sys.executable, __file__, *sizes, "--measure", side, str(data))
            figures[side] = json.loads(run(*command, folder=data.parent, threads=asked.threads))
        rounds.append(figures)
        print(f"max {channel_max}, round {number + 1}: ratio {ratio(figures):.2f}", flush=True)
    row = {"channel_max": channel_max, **spread([ratio(figures) for figures in rounds])}
    for side in SIDES:
        for key in rounds[0][side]:
            middle = statistics.median(figures[side][key] for figures in rounds)
            row[f"{side}_{key}"] = round(middle, 1)
    if channel_max in QUOTED:
        row |= {f"reference_{key}_quoted": value for key, value in QUOTED[channel_max].items()}
    return row


def ratio(figures: dict[str, Figures]) -> float:
    return figures["plain"]["ms_per_image"] / figures["ganctl"]["ms_per_image"]


def show(rows: list[dict[str, Any]]) -> None:
    print("\nchannel_max                        ms/image   peak MB   before MB")
    for row in rows:
        for side, suffix in (("ganctl", ""), ("plain", ""), ("reference", "_quoted")):
            keys = ("ms_per_image", "peak_memory_mb", "memory_before_training_mb")
            values = [row.get(f"{side}_{key}{suffix}") for key in keys]
            cells = ("–" if value is None else f"{value:,.1f}" for value in values)
            name = f"{side} (quoted, not measured)" if suffix else side
            print(f"{row['channel_max']:11} {name:30} {{:>9}} {{:>9}} {{:>11}}".format(*cells))
    print()


def draw(path: Path) -> None:
    """Noise."""
    import numpy as np

    from ganctl.data.dataset import DatasetWriter
    from ganctl.spec import ImageSpec

    rng = np.random.default_rng(0)
    with DatasetWriter(path, ImageSpec(SIDE, SIDE, 3)) as writer:
        for _ in range(PICTURES):
            writer.add(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max", default="512,128")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("SIDE", "SET"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.max.split(",")]
    if asked.measure:
        side, path = asked.measure
        print(json.dumps(measure(side, path, sizes[0], asked.steps)))
        return

    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch).resolve() / "noise.zip"
        draw(data)
        rows = [compare(data, size, asked) for size in sizes]
    show(rows)
    report = {
        "work": f"StyleGAN2 {SIDE}x{SIDE}, channel_base {CHANNEL_BASE}, batch {BATCH}, EMA, "
        f"no augmentation, {asked.steps} steps after one with all phases",
        "machine": machine(asked.threads),
        "python": platform.python_version(),
        "rows": rows,
    }
    publish(report, asked.out)


if __name__ == "__main__":
    main()
