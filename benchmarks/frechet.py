"""The Fréchet term beside SciPy's matrix root, as pytorch-fid takes it, in one run.

    python benchmarks/frechet.py [--dimensions 2048] [--rounds 5] [--out FILE.json]

Two covariances of 4,096 random vectors each with the falling spectrum of Inception features;
CPU seconds of one thread, turn by turn, and the relative difference of the two distances.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from machine import machine
from report import publish, spread
from scipy import linalg

from ganctl_metrics.frechet import Gaussian, frechet_distance


def gaussian(dimensions: int, seed: int) -> Gaussian:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64)
    mixing *= torch.arange(1, dimensions + 1).double().rsqrt()
    rows = torch.randn(2 * dimensions, dimensions, generator=draw, dtype=torch.float64) @ mixing.T
    return Gaussian(rows.mean(dim=0), rows.T.cov(), len(rows))


def by_scipy(a: Gaussian, b: Gaussian) -> float:
    """The arithmetic of pytorch-fid's `calculate_frechet_distance`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root, _ = linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy(), disp=False)
    apart = (a.mean - b.mean).square().sum()
    traces = a.covariance.trace() + b.covariance.trace()
    return float(apart + traces - 2 * np.trace(root.real))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    a, b = (gaussian(asked.dimensions, seed) for seed in range(2))
    rows = []
    for number in range(asked.rounds):
        start = time.process_time()
        theirs = by_scipy(a, b)
        middle = time.process_time()
        fresh = Gaussian(a.mean, a.covariance, a.count)  # its root is remembered otherwise
        ours = frechet_distance(fresh, b)
        end = time.process_time()
        rows.append((middle - start, end - middle))
        print(f"round {number + 1}: {rows[-1][0]:.2f} s, {rows[-1][1]:.2f} s", flush=True)
    ratios = [theirs_s / ours_s for theirs_s, ours_s in rows]
    report = {
        "work": f"Fréchet distance at {asked.dimensions} dimensions, CPU seconds, 1 thread",
        "machine": machine(1),
        "python": platform.python_version(),
        **spread(ratios),
        "scipy_cpu_seconds": round(statistics.median(row[0] for row in rows), 2),
        "ganctl_cpu_seconds": round(statistics.median(row[1] for row in rows), 2),
        "relative_difference": abs(ours - theirs) / theirs,
    }
    publish(report, asked.out)


if __name__ == "__main__":
    main()
