"""Peak memory of evaluators over many images a side, with Inception loaded and used.

    python benchmarks/evaluator_memory.py WEIGHTS [--out FILE.json]

Extracting 100,000 images takes hours on a CPU; here the network sees one batch, whose features,
with noise of their own for each row, then come as often as so many images would bring them.
FID over 50,000 a side, and five metrics over 10,000, with all that they compute in the end.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from pathlib import Path

from machine import machine
from report import publish

PROGRAM = """
import sys, resource, torch
from ganctl import ImageBatch, ImageSpec
from ganctl.training.plan import choose_evaluators
weights, images, metrics = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
options = {"weights": weights, "weights_unverified": True}
evaluators = [
    c.plugin.build(c.options, ImageSpec(64, 64, 3)) for c in choose_evaluators(metrics, options)
]
space = evaluators[0].space
from ganctl_metrics.rows import Bank
bank = Bank()  # as they share it within a measurement
for evaluator in evaluators:
    if hasattr(evaluator, "bank"):
        evaluator.bank = bank
first = space(torch.randint(0, 256, (32, 3, 64, 64), dtype=torch.uint8))
for real in (True, False):
    for start in range(0, images, 32):
        count = min(32, images - start)
        batch = ImageBatch(
            torch.empty(count, 0, dtype=torch.uint8), rows=torch.arange(start, start + count)
        )
        features = first[:count] * (1 + 0.1 * torch.randn(count, first.shape[1]))
        batch._features[space] = features
        for evaluator in evaluators:
            evaluator.update(batch, real)
for evaluator in evaluators:
    evaluator.compute()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    report = {
        "work": "rows of 2,048 features, as many on either side",
        "machine": machine(2),
        "python": platform.python_version(),
    }
    for name, images, metrics in (
        ("fid", 50_000, "fid"),
        ("five", 10_000, "fid,is,kid,precision-recall,density-coverage"),
    ):
        command = [sys.executable, "-c", PROGRAM, asked.weights, images, metrics]
        out = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
        report[f"{name}_over_{images}_peak_memory_mb"] = round(float(out.stdout.split()[-1]))
    publish(report, asked.out)


if __name__ == "__main__":
    main()
