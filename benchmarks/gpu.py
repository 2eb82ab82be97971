"""StyleGAN2-ADA on a GPU: its kernels, and its training beside the same with plain operators.

    python benchmarks/gpu.py [--out FILE.json] [--parts training,profile] [--quick] [--device cpu]

Everything takes less than nine minutes on an H200. The file is written anew after each figure, so
that what was measured is there whatever happens next: a part that fails says so, and the others go
on. `--quick` is for trying this out, with small sizes; so is `--device cpu`, where g++ compiles the
kernels, and times say nothing. Where ganctl is not installed:
PYTHONPATH=core:plugins/stylegan2_ada.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import gpu_kernels
import gpu_training
import torch
from gpu_setting import Part, Row, Setting, setting
from machine import machine

from ganctl_stylegan2_ada.kernels import BACKENDS, KernelWarning

PARTS: dict[str, tuple[Part, int]] = {
    "first_use": (gpu_kernels.first_use, 60),
    "equality": (gpu_kernels.equality, 60),
    "bandwidth": (gpu_kernels.bandwidth, 40),
    "training": (gpu_training.training, 190),
    "same_losses": (gpu_training.same_losses, 35),
    "profile": (gpu_training.profiles, 35),
    "sweep": (gpu_kernels.sweep, 50),
    "sanitizer": (gpu_kernels.sanitizer, 20),
    "switches": (gpu_training.switches, 25),
}
"""With the seconds that each may take, beside what those before it have left over."""

ENOUGH = 535
"""Seconds after which nothing goes on."""

PATIENCE = 40
"""Seconds that a part may take beyond its own: for one row."""


INFINITE = float("inf")


class Report:
    """What was found so far, on the disk."""

    def __init__(self, out: Path) -> None:
        self._out, self._begun = out, time.monotonic()
        self.content: Row = {"machine": None, "parts": {}}
        self.parts: dict[str, Row] = self.content["parts"]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def save(self) -> None:
        """The file is there whole, or as it was."""
        self.content["seconds"] = round(self.seconds, 1)
        part = self._out.with_name(self._out.name + ".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(part, self._out)


def run(name: str, options: list[str], report: Report, until: float) -> None:
    """A part in a process of its own: what breaks a GPU's state breaks that of no other."""
    begun, rows = report.seconds, []
    found: Row = {"rows": rows}
    report.parts[name] = found
    seconds = max(until - begun, 1)
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, __file__, "--part", name, "--seconds", str(seconds), *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # what it starts ends with it
        )
        end = partial(os.killpg, child.pid, signal.SIGKILL)
        timer = threading.Timer(min(seconds + PATIENCE, ENOUGH - begun), end)
        timer.start()
        assert child.stdout is not None
        for line in child.stdout:
            if not (line.startswith("{") and line.endswith("\n")):
                continue  # what a library says, or half a row of a child that was killed
            row = json.loads(line)
            if "machine" in row:
                report.content |= row
            else:
                rows.append(row)
                print(f"{name}: {brief(row)}", flush=True)
            report.save()
        timer.cancel()
        if child.wait():
            errors.seek(0)
            found["error"] = [f"exit status {child.returncode}", *errors.readlines()[-12:]]
            print(f"{name}: FAILED: {found['error'][-1]}", flush=True)
    found["seconds"] = round(report.seconds - begun, 1)
    report.save()


def measure(part: Part, chosen: Setting, seconds: float) -> None:
    """Print row by row, until the part is done or its time is up."""
    start = time.monotonic()
    print(json.dumps({"machine": about(chosen)}), flush=True)
    for row in part(chosen):
        print(json.dumps(rounded(row)), flush=True)
        if time.monotonic() - start > seconds:
            print(json.dumps({"stopped": "its time was up"}), flush=True)
            break


def about(chosen: Setting) -> Row:
    """What it was measured on."""
    found: Row = {"python": platform.python_version(), "torch": str(torch.__version__)}
    found["small"] = chosen.small
    with chosen.kernels():
        found["compiler"] = BACKENDS[chosen.device.type].compiler()
    if chosen.device.type == "cuda":
        facts = torch.cuda.get_device_properties(chosen.device)
        found |= {"device": facts.name, "memory_gb": facts.total_memory / 1e9}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    else:
        found["device"] = machine(torch.get_num_threads())
    return found


def rounded(value: Any) -> Any:
    """Floats to five digits, wherever they are."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


def brief(row: Row) -> str:
    """On one line, without what is long."""
    cells = []
    for key, value in row.items():
        text = f"{key}={json.dumps(value)}"
        cells.append(text if len(text) <= 160 else f"{key}=…")
    return " ".join(cells)


def summary(parts: dict[str, Row]) -> list[str]:
    """What is looked at first."""
    lines = []
    for order in ("forward", "backward", "double"):
        by_dtype: dict[str, list[tuple[float, float, str]]] = {}
        for row in parts.get("equality", {}).get("rows", []):
            case = f"{row['what']}, {row['layout']}"
            error = row["kernels"].get(order, INFINITE), row["plain"].get(order, INFINITE), case
            by_dtype.setdefault(row["dtype"], []).append(error)
        for dtype, errors in by_dtype.items():
            ours, plain, what = max(errors)
            lines.append(f"{dtype} {order}: error {ours:.1e} at most ({what}; plain {plain:.1e})")
    shares: dict[str, list[float]] = {}
    for row in parts.get("bandwidth", {}).get("rows", []):
        shares.setdefault(f"{row['what']} {row['dtype']} {row['layout']}", []).append(row["share"])
    lines += [f"{what}: {min(of):.0%} to {max(of):.0%} of a copy" for what, of in shares.items()]
    for row in parts.get("training", {}).get("rows", []):
        case = f"{row['side']} {row['recipe']}{' ada' if row['augment'] else ''} {row['operators']}"
        figures = row.get("error", "")
        if "error" not in row:
            figures = f"{row['images_per_second']} img/s, {row['seconds_per_kimg']} s/kimg"
            figures += f", {row.get('peak_memory_gb', 0):.1f} GB"
        lines.append(f"{case}, batch {row['batch']}: {figures}")
    for name, part in parts.items():
        stopped = any("stopped" in row for row in part["rows"])
        how = "FAILED" if "error" in part else "its time was up" if stopped else "done"
        lines.append(f"{name}: {len(part['rows'])} rows in {part['seconds']} s, {how}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try this out")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=ENOUGH, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        # Plain operators in place of a kernel that does not build would be taken for the kernel.
        warnings.simplefilter("error", KernelWarning)
        part = gpu_kernels.build if asked.part == "build" else PARTS[asked.part][0]
        measure(part, setting(asked.device, asked.quick), asked.seconds)
        return

    names = asked.parts.split(",")
    if unknown := set(names) - PARTS.keys():
        parser.error(f"--parts: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options = ["--device", asked.device, *(["--quick"] if asked.quick else [])]
    report, until = Report(asked.out), 0
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for name in names:
            until += PARTS[name][1]
            run(name, options, report, until)
    print("\n".join(["", *summary(report.parts)]))
    sys.exit(any("error" in part for part in report.parts.values()))


if __name__ == "__main__":
    main()
