"""The whole `ganctl train` loop beside the usual tutorial code, in one run.

    python benchmarks/mlp_step.py [--mnist FOLDER] [--rounds 5] [--kimg 60] [--out FILE.json]

Both train the default MLP GAN on the same images (MNIST from its idx files, else the
embedded digits) with 2 threads, each in a process of its own, turn by turn. The rate of
ganctl is what its log says: everything from the first step to the last, with logging,
samples and checkpoints. Reported: both rates, the ratio per round, its median and range,
and the peak memory of both processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "GANCTL_PLUGINS": "mlp,bce,digits,mnist"}


def ganctl(*arguments: str, folder: Path, threads: int) -> str:
    return subprocess.run(
        [sys.executable, "-m", "ganctl", *arguments],
        cwd=folder,
        env=environment(threads),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def ours(folder: Path, data: str, batch: int, kimg: float, threads: int) -> dict[str, float]:
    outcome = json.loads(
        ganctl(
            *("train", "--data", data, "--batch", str(batch), "--kimg", str(kimg), "--json"),
            # As often as in a run of default length: 800 kimg, 20 grids, 10 checkpoints.
            *("--log-every", "4", "--sample-every", "40", "--checkpoint-every", "80"),
            folder=folder,
            threads=threads,
        )
    )
    log = (folder / outcome["run"] / "log.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    rate = last["images"] / last["seconds"]
    return {"images_per_second": rate, "peak_memory_mb": last["peak_memory_mb"]}


def plain(folder: Path, data: str, batch: int, kimg: float, threads: int) -> dict[str, float]:
    described = json.loads(ganctl("describe", "mlp", "--json", folder=folder, threads=threads))
    widths = {o["name"]: ",".join(map(str, o["default"])) for o in described["options"][1:3]}
    command = [
        *(sys.executable, str(HERE / "plain_mlp.py"), data),
        *("--batch", str(batch), "--images", str(round(kimg * 1000))),
        *("--g-widths", widths["g_widths"], "--d-widths", widths["d_widths"]),
    ]
    done = subprocess.run(
        command, env=environment(threads), check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(folder: Path, data: str, batch: int, asked: argparse.Namespace) -> dict[str, Any]:
    rounds = []
    for number in range(asked.rounds):
        a = plain(folder, data, batch, asked.kimg, asked.threads)
        b = ours(folder, data, batch, asked.kimg, asked.threads)
        ratio = b["images_per_second"] / a["images_per_second"]
        rounds.append({"plain": a, "ganctl": b, "ratio": ratio})
        print(
            f"batch {batch} round {number + 1}: plain {a['images_per_second']:,.0f} img/s, "
            f"ganctl {b['images_per_second']:,.0f} img/s, ratio {ratio:.2f}",
            flush=True,
        )
    ratios = [r["ratio"] for r in rounds]
    row = {
        "batch": batch,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
    }
    for name in ("plain", "ganctl"):
        for key in ("images_per_second", "peak_memory_mb"):
            row[f"{name}_{key}"] = round(statistics.median(r[name][key] for r in rounds), 1)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kimg", type=float, default=45)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = ["--source", "digits"]
        if asked.mnist:
            source = ["--source", "mnist", "--source.path", str(asked.mnist.resolve())]
        ganctl("train", *source, "--kimg", "1", folder=folder, threads=asked.threads)
        data = str(next((folder / "datasets").glob("*.zip")).resolve())
        report = {
            "work": f"MLP GAN 28x28, {source[1]}, whole loop, images per second",
            "machine": f"{_processor()}, {asked.threads} threads",
            "python": platform.python_version(),
            "rows": [measure(folder, data, batch, asked) for batch in (64, 256)],
        }
    print(json.dumps(report, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    main()
