"""`ganctl doctor`: what works on this machine, what does not, and what to do."""

from __future__ import annotations

import os
import platform
import shutil
from typing import Annotated

import typer

from .. import __version__
from ..plugin import Check
from .parse import run_command

MARKS = {True: "ok  ", False: "FAIL", None: "note"}


def run(argv: list[str]) -> int:
    return run_command(doctor, "doctor", argv)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check this machine: Python, torch, device, plugins, disk. Status 1 if something fails."""
    checks = [*_python(), *_torch(), *_plugins(), *_disk()]
    if as_json:
        import json

        print(json.dumps([{"what": w, "ok": ok, "detail": d} for w, ok, d in checks], indent=2))
    else:
        for what, ok, detail in checks:
            print(f"{MARKS[ok]}  {what}: {detail}")
    return 1 if any(ok is False for _, ok, _ in checks) else 0


def _python() -> list[Check]:
    return [
        ("ganctl", True, __version__),
        ("python", True, f"{platform.python_version()} on {platform.platform()}"),
    ]


def _torch() -> list[Check]:
    try:
        import torch
    except Exception as error:  # a broken build raises OSError, ImportError, RuntimeError …
        return [("torch", False, f"does not import: {error}; reinstall it: pip install torch")]
    checks: list[Check] = [("torch", True, torch.__version__)]
    try:
        (torch.ones(8, 8) @ torch.ones(8, 8)).sum().item()
    except Exception as error:
        checks.append(("cpu", False, f"a matrix product fails: {error}"))
    cores = os.cpu_count() or 1
    threads = torch.get_num_threads()
    checks.append(
        ("threads", True, f"torch uses {threads} of {cores} cores (OMP_NUM_THREADS sets it)")
    )
    checks.append(_gpu())
    return checks


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        try:
            free, total = torch.cuda.mem_get_info()
            torch.ones(8, device="cuda").sum().item()
        except Exception as error:
            return ("device", False, f"CUDA is there but fails: {error}; try --device cpu")
        name = torch.cuda.get_device_name()
        return ("device", True, f"cuda: {name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if torch.backends.mps.is_available():
        return ("device", True, "mps: Apple GPU")
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        return (
            "device",
            False,
            f"an NVIDIA GPU is here, but torch {torch.__version__} is built without CUDA: "
            "install a CUDA build of torch",
        )
    return ("device", None, "no GPU: training runs on the CPU")


def _plugins() -> list[Check]:
    from ..registry import PluginError, duplicates, entries
    from . import commands

    found = entries()
    checks: list[Check] = [("plugins", True if found else None, f"{len(found)} installed")]
    for kind, name in sorted(duplicates(found)):
        checks.append(
            (f"{kind} {name}", None, "offered twice: write DISTRIBUTION:NAME to choose one")
        )
    for entry in filter(commands.shadowed, found):
        instead = f"{entry.label} is run as {commands.typed(entry)}: ganctl's own has this name"
        checks.append((f"command {entry.name}", None, instead))
    for entry in found:
        try:
            plugin = entry.load()
            advice = plugin.missing()
            checks.extend((what, ok, detail) for what, ok, detail in plugin.checks())
        except PluginError as error:
            checks.append((f"{entry.kind} {entry.name}", False, str(error)))
            continue
        except Exception as error:  # its missing() or checks() is at fault
            checks.append((f"{entry.kind} {entry.name}", False, f"{entry.label}: {error}"))
            continue
        if advice:
            checks.append((f"{entry.kind} {entry.name}", None, f"not in use: {advice}"))
    return checks


def _disk() -> list[Check]:
    free = shutil.disk_usage(".").free
    return [
        ("disk", free > 2e9 or None, f"{free / 1e9:.1f} GB free in {os.getcwd()}"),
        ("folder", os.access(".", os.W_OK), "writable" if os.access(".", os.W_OK) else "read-only"),
    ]
