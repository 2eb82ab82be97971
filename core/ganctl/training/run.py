"""The run folder: config.toml, log.jsonl, samples/, checkpoints/."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from .. import checkpoint
from ..errors import GanctlError, UserError
from ..files import read_toml, write_atomically

LOG, METRICS, WARNINGS = "log.jsonl", "metrics.jsonl", "warnings.jsonl"


class Run:
    """A run folder, opened for writing by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises `UserError` when there is no run, or another process trains it."""
        self.folder = folder
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"
        self.config_file = folder / "config.toml"
        if not self.config_file.is_file():
            raise UserError(f"{folder}: not a run folder (no config.toml in it)")
        self._lock = FileLock(folder / ".lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(f"{folder}: another process is training this run") from None
        except OSError as error:
            raise GanctlError(f"cannot write in {folder}: {error.strerror}") from None

    def close(self) -> None:
        self._lock.release()

    @classmethod
    def create(cls, folder: str | None, name: str, config: dict[str, Any]) -> Run:
        """A new run at `folder`, or at runs/NUMBER-name. It appears with its config inside."""
        parent = Path(folder).parent if folder else Path("runs")
        draft = parent / f".new-{os.getpid()}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            for part in ("samples", "checkpoints"):
                (draft / part).mkdir(parents=True)
            (draft / "config.toml").write_bytes(tomli_w.dumps(config).encode())
            if folder:
                target = Path(folder)
                refuse_existing(target)
                draft.rename(target)
            else:
                target = _rename_to_next(draft, parent, name)
        except OSError as error:
            raise GanctlError(f"cannot create a run in {parent}: {error.strerror}") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return cls(target)

    def config(self) -> dict[str, Any]:
        return read_toml(self.config_file)

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace config.toml, whole or not at all."""
        write_atomically(self.config_file, tomli_w.dumps(config).encode())

    def latest(self) -> Path | None:
        """The newest checkpoint."""
        folders = checkpoint.list_all(self.checkpoints)
        return folders[-1] if folders else None

    def rewind(self, images: int) -> None:
        """Drop what was logged and sampled after a checkpoint at so many images."""
        for name in (LOG, METRICS, WARNINGS):
            if (log := self.folder / name).exists():
                kept = [r for r in read_log(self.folder, name) if r["images"] <= images]
                write_atomically(log, "".join(json.dumps(r) + "\n" for r in kept).encode())
        for picture in self.samples.glob("*.png"):
            if re.fullmatch(r"\d+\.\d+", picture.stem) and picture.stem > checkpoint.name_of(
                images
            ):
                picture.unlink()
        checkpoint.clean(self.checkpoints)

    def log(self, record: dict[str, Any], name: str = LOG) -> None:
        """Append a line to log.jsonl, or to another of the run's logs."""
        try:
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise GanctlError(f"cannot write {self.folder / name}: {error.strerror}") from None


def refuse_existing(folder: Path) -> None:
    """Raise `UserError` if there is something at `folder` already (an empty folder will do)."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder}: exists already; choose another --run, "
            f"or continue it: ganctl resume {folder}"
        )


def read_log(folder: Path, name: str = LOG, *, warn: bool = True) -> list[dict[str, Any]]:
    """The records of a run's log; lines that are none, as when one was cut off, are left out.

    `warn`: say on standard error how many those were.
    """
    file = folder / name
    lines = file.read_bytes().splitlines() if file.exists() else []
    lines = [line for line in lines if line.strip()]
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("images"), int):
            records.append(record)
    if warn and (damaged := len(lines) - len(records)):
        what = "1 damaged line is" if damaged == 1 else f"{damaged:,} damaged lines are"
        print(f"ganctl: warning: {file}: {what} left out", file=sys.stderr)
    return records


def _rename_to_next(draft: Path, parent: Path, name: str) -> Path:
    numbers = [int(p.name[:5]) for p in parent.iterdir() if re.match(r"\d{5}-", p.name)]
    number = max(numbers, default=-1) + 1
    while True:
        target = parent / f"{number:05d}-{name}"
        try:
            target.mkdir()  # claims the number; two starts at once get two numbers
        except FileExistsError:
            number += 1
            continue
        draft.rename(target)
        return target
