"""Features of a set's pictures, kept in the user's cache: extracting them takes long."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import GanctlError
from ..files import write_atomically

CHUNK = 1024
"""Rows in a file: an evaluation that is killed begins again after the last whole one."""


class FeatureCache:
    """`EXTRACTOR/000000.npy`, … in a set's folder of the cache: float32, in the set's order.

    Files may be deleted at any time; one that is damaged is computed anew.
    """

    def __init__(self, folder: Path, about: str, count: int) -> None:
        """`about` the set: for people who look into the folder."""
        self.folder, self._about, self._count = folder, about, count
        self._pending: dict[tuple[str, int], list[Tensor]] = {}
        self._open: dict[str, tuple[int, Tensor | None]] = {}
        self._refused = False

    def find(self, key: str, rows: Tensor) -> Tensor | None:
        """The features of consecutive rows, or None."""
        number = int(rows[0]) // CHUNK
        opened, features = self._open.get(key, (-1, None))
        if opened != number:
            features = self._read(key, number)
            self._open[key] = number, features
        return None if features is None else features[rows - number * CHUNK]

    def keep(self, key: str, rows: Tensor, features: Tensor) -> None:
        """Take rows in their order; a file is written when it is whole."""
        number = int(rows[0]) // CHUNK
        pending = self._pending.setdefault((key, number), [])
        if int(rows[0]) != number * CHUNK + sum(map(len, pending)):
            return  # a pass that did not begin at the file's first row
        pending.append(features)
        if int(rows[-1]) + 1 in (self._count, (number + 1) * CHUNK):
            self._write(key, number, torch.cat(self._pending.pop((key, number))))
            self._open.pop(key, None)

    def _file(self, key: str, number: int) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        return self.folder / name / f"{number:06d}.npy"

    def _read(self, key: str, number: int) -> Tensor | None:
        wanted = min(CHUNK, self._count - number * CHUNK)
        try:
            features = np.load(self._file(key, number), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if features.dtype != np.float32 or features.ndim != 2 or len(features) != wanted:
            return None
        return torch.from_numpy(features)

    def _write(self, key: str, number: int, features: Tensor) -> None:
        data = io.BytesIO()
        np.save(data, features.numpy(), allow_pickle=False)
        file = self._file(key, number)
        about = {"set": self._about, "images": self._count, "extractor": key}
        try:
            if number == 0:
                text = json.dumps(about, indent=2) + "\n"
                write_atomically(file.with_name("about.json"), text.encode())
            write_atomically(file, data.getvalue())
        except GanctlError as error:
            if not self._refused:
                print(f"ganctl: warning: features are not kept: {error}", file=sys.stderr)
            self._refused = True


def folder_for_set(fingerprint: str) -> Path:
    """Where what is made from a set is kept: `$XDG_CACHE_HOME` or `~/.cache`, `/ganctl/sets/…`."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "ganctl" / "sets" / hashlib.sha256(fingerprint.encode()).hexdigest()[:24]
