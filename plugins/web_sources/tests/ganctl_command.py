"""`ganctl` as people run it, for tests of sources: a process, and what it left in its folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Ganctl:
    """The command line in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GANCTL_")}
        self.env |= {"PYTHONUTF8": "1", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}

    def __call__(
        self,
        *words: object,
        status: int = 0,
        env: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end, which must have that exit status and print no traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "ganctl", *map(str, words)],
            cwd=self.folder,
            env=self.env | dict(env or {}),
            preexec_fn=preexec_fn,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert done.returncode == status, done.stderr
        return done

    def start(self, *words: object) -> subprocess.Popen[str]:
        """One that goes on while the test does something to it."""
        return subprocess.Popen(
            [sys.executable, "-m", "ganctl", *map(str, words)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, out: str) -> dict[str, dict[str, Any]]:
        """What the manifest of a fetch knows, by key, in the listing's order."""
        manifest = sqlite3.connect(self.folder / out / "manifest.sqlite")
        manifest.row_factory = sqlite3.Row
        found = manifest.execute("SELECT * FROM items ORDER BY number").fetchall()
        manifest.close()
        return {row["key"]: dict(row) for row in found}

    def pictures(self, out: str) -> dict[str, bytes]:
        """The pictures that are kept, by key."""
        kept = {k: r["file"] for k, r in self.rows(out).items() if r["state"] == "stored"}
        place = self.folder / out / "pictures"
        return {key: (place / file).read_bytes() for key, file in kept.items()}
