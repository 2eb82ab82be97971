"""benchmarks/gpu.py, tried without a GPU: every part, with small sizes and emulated kernels."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_every_part_of_the_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("needs g++, which is not here")
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--out", out],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    parts = {name: part["rows"] for name, part in json.loads(out.read_text())["parts"].items()}
    assert all(parts.values())

    cold, warm = parts["first_use"]
    assert cold["kernels"] == warm["kernels"] > 5
    assert warm["seconds"] < cold["seconds"]
    for row in parts["equality"]:
        worst = max(row["kernels"][order] for order in ("forward", "backward", "double"))
        assert worst < (1e-6 if row["dtype"] == "float32" else 3e-3), row
    copy, *kernels = parts["bandwidth"]
    assert copy["share"] == 1
    assert all(row["bytes"] > 0 and row["share"] > 0 for row in kernels)
    for row in parts["training"]:
        assert row["images_per_second"] > 0, row
    for row in parts["same_losses"]:
        assert row["largest_difference"]["relative"] < 0.01
        assert row["largest_difference_of_plain_runs"]["relative"] == 0
        assert {"loss/G", "loss/D", "loss/PL", "loss/R1"} <= row["kernels"][0].keys()
    assert len({row["step"] for row in parts["profile"]}) == 3
    assert all(row.get("top") or row["operations"] > 0 for row in parts["profile"])
    assert all(row["best"][0]["share"] > 0 for row in parts["sweep"])
    assert all(row["images_per_second"] > 0 for row in parts["switches"])
