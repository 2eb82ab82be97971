"""What five Inception metrics cost beside FID alone, and the memory they take, in one run.

    python benchmarks/metrics.py PICTURES SET WEIGHTS [--samples N] [--rounds 3] [--out FILE.json]

`ganctl evaluate PICTURES --data SET` with a weights file of the real shapes, two threads, an
empty cache each time: CPU seconds of the whole command and its peak memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine
from report import publish, spread

ONE, FIVE = "fid", "fid,is,kid,precision-recall,density-coverage"


def cost(asked: argparse.Namespace, metrics: str) -> tuple[float, float]:
    """(CPU seconds, peak memory in MB) of one command."""
    words = [asked.pictures, "--data", asked.set, "--metrics", metrics, "--weights", asked.weights]
    if asked.samples:
        words += ["--samples", asked.samples]
    with tempfile.TemporaryDirectory() as cache:
        process = subprocess.Popen(
            [sys.executable, "-m", "ganctl", "evaluate", *map(str, words), "--weights-unverified"],
            env={**os.environ, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "2"},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"ganctl evaluate ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rounds = []
    for number in range(asked.rounds):
        rounds.append((cost(asked, ONE), cost(asked, FIVE)))
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    ratios = [five[0] / one[0] for one, five in rounds]
    report = {
        "work": f"ganctl evaluate {asked.pictures.name} --data {asked.set.name}, CPU seconds",
        "machine": machine(2),
        "python": platform.python_version(),
        **spread(ratios),
    }
    for index, name in enumerate(("fid", "five")):
        report[f"{name}_cpu_seconds"] = round(statistics.median(r[index][0] for r in rounds), 1)
        report[f"{name}_peak_memory_mb"] = round(statistics.median(r[index][1] for r in rounds))
    publish(report, asked.out)


if __name__ == "__main__":
    main()
