"""The whole `ganctl train --arch dcgan` loop beside the usual tutorial code, in one run.

    python benchmarks/dcgan_step.py SET.zip [--rounds 5] [--kimg 2.5] [--out FILE.json]

SET is a prepared set of 64×64 pictures. Both train the same networks (z 100, ngf = ndf = 64,
batch 128) on the same images in memory, with 2 threads, turn by turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

from machine import machine
from report import publish
from side_by_side import Figures, compare, run, whole_loop

HERE = Path(__file__).parent
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kimg", type=float, default=2.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data = str(asked.data.resolve())

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def plain() -> Figures:
            amount = ("--batch", str(BATCH), "--images", str(round(asked.kimg * 1000)))
            command = (sys.executable, str(HERE / "plain_dcgan.py"), data, *amount)
            figures: Figures = json.loads(run(*command, folder=folder, threads=asked.threads))
            return figures

        def ours() -> Figures:
            amount = ("--batch", str(BATCH), "--kimg", str(asked.kimg))
            # As often as in a run of default length: 1,000 kimg.
            rare = ("--log-every", "4", "--sample-every", "50", "--checkpoint-every", "100")
            options = ("--arch", "dcgan", "--data", data, *amount, *rare)
            return whole_loop(*options, folder=folder, threads=asked.threads)

        row = compare("dcgan", plain, ours, asked.rounds)
    report = {
        "work": f"DCGAN 64x64, z 100, ngf = ndf = 64, batch {BATCH}, {asked.data.name}, whole loop",
        "machine": machine(asked.threads),
        "python": platform.python_version(),
        **row,
    }
    publish(report, asked.out)


if __name__ == "__main__":
    main()
