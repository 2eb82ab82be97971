"""How much memory this process may still take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

UNKNOWN = 4 << 30
"""Bytes taken to be free where the system does not tell."""


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that the system has to give, and that fit below the limits of our control groups.

    `root` is the folder that holds `proc` and `sys`.
    """
    return max(0, min([_available(root), *_left_below_limits(root)]))


def _available(root: Path) -> int:
    kilobytes = _table(root / "proc/meminfo").get("MemAvailable")
    if kilobytes is not None:
        return kilobytes * 1024
    try:  # not Linux
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return UNKNOWN


def _left_below_limits(root: Path) -> Iterator[int]:
    """Limit less use of our group and of those above it, in either version of cgroups.

    Files that were read once and can be dropped (inactive_file) do not count as used.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = "sys/fs/cgroup/memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # A container may see its own group as the root, whatever the path says.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            folder = (root / mount).joinpath(*parts[:depth])
            try:
                limit, used = (int((folder / name).read_text()) for name in names[:2])
            except (OSError, ValueError):  # no such group, or "max"
                continue
            yield limit - used + _table(folder / "memory.stat").get(names[2], 0)


def _table(file: Path) -> dict[str, int]:
    """`MemFree: 12 kB`, or `inactive_file 12`, line by line; empty if there is no such file."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    rows = (line.replace(":", " ").split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
