"""The whole `ganctl train` loop beside the usual tutorial code, in one run.

    python benchmarks/mlp_step.py [--mnist FOLDER] [--rounds 5] [--kimg 60] [--out FILE.json]

Both train the same networks on the same images (MNIST from its idx files, else the embedded
digits) with 2 threads, each in a process of its own, turn by turn: the MLP GAN of ganctl's
defaults, and the one that the tutorial code of the field trains. The rate of
ganctl is what its log says: everything from the first step to the last, with logging,
samples and checkpoints. Reported: both rates, the ratio per round, its median and range,
and the peak memory of both processes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import machine
from report import publish
from side_by_side import Figures, compare, ganctl, run, whole_loop

HERE = Path(__file__).parent

NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"g-widths": "256,512", "d-widths": "512,256", "dropout": 0.4, "batch-norm": False},
    # Those of PyTorch-GAN's gan.py (Linder-Norén 2018).
    "tutorial": {
        "g-widths": "128,256,512,1024",
        "d-widths": "512,256",
        "dropout": 0.0,
        "batch-norm": True,
    },
}


def ours(folder: Path, data: str, network: str, batch: int, asked: argparse.Namespace) -> Figures:
    options = []
    for name, value in NETWORKS[network].items():
        if value is True:
            options.append(f"--arch.{name}")
        elif value is not False:
            options += [f"--arch.{name}", str(value)]
    return whole_loop(
        *("--data", data, "--batch", str(batch), "--kimg", str(asked.kimg)),
        # As often as in a run of default length: 800 kimg, 20 grids, 10 checkpoints.
        *("--log-every", "4", "--sample-every", "40", "--checkpoint-every", "80"),
        *options,
        folder=folder,
        threads=asked.threads,
    )


def plain(folder: Path, data: str, network: str, batch: int, asked: argparse.Namespace) -> Figures:
    options = NETWORKS[network]
    command = [
        *(sys.executable, str(HERE / "plain_mlp.py"), data),
        *("--batch", str(batch), "--images", str(round(asked.kimg * 1000))),
        *("--g-widths", options["g-widths"], "--d-widths", options["d-widths"]),
        *("--dropout", str(options["dropout"])),
        *(["--batch-norm"] if options["batch-norm"] else []),
    ]
    result: Figures = json.loads(run(*command, folder=folder, threads=asked.threads))
    return result


def measure(
    folder: Path, data: str, network: str, batch: int, asked: argparse.Namespace
) -> dict[str, Any]:
    arguments = (folder, data, network, batch, asked)
    row = compare(
        f"{network}, batch {batch}",
        lambda: plain(*arguments),
        lambda: ours(*arguments),
        asked.rounds,
    )
    return {"network": network, "batch": batch, **row}


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
            "machine": machine(asked.threads),
            "python": platform.python_version(),
            "networks": NETWORKS,
            "rows": [
                measure(folder, data, network, batch, asked)
                for network in NETWORKS
                for batch in (64, 256)
            ],
        }
    publish(report, asked.out)


if __name__ == "__main__":
    main()
