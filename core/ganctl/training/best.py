"""Which of a run's checkpoints is the best, by the figure that ranks them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .. import checkpoint
from ..errors import UserError
from ..files import write_atomically

BEST = "best.json"
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Best:
    """The best checkpoint so far, as best.json in the run folder says it."""

    metric: str
    value: float
    better: Better
    images: int
    checkpoint: str

    def write(self, run: Path) -> None:
        write_atomically(run / BEST, (json.dumps(asdict(self), indent=2) + "\n").encode())


def beats(value: float, best: Best | None, better: Better) -> bool:
    """Whether a figure betters the best; one that is not finite betters nothing."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value < best.value if better == "lower" else value > best.value


def find_best(run: Path, records: Iterable[dict[str, Any]], better: Better) -> Best | None:
    """The best of the records of metrics.jsonl, by their first figure, whose checkpoint is there.

    Found anew when a run goes on: a kill may have come between a checkpoint and its mention.
    """
    records, best = list(records), None
    names = [name for name in (records[-1] if records else ()) if name not in ("images", "step")]
    for record in records if names else ():
        metric = names[0]
        value, name = record.get(metric), checkpoint.name_of(record["images"])
        there = (run / "checkpoints" / name).is_dir()
        if there and isinstance(value, int | float) and beats(value, best, better):
            best = Best(metric, value, better, record["images"], name)
    return best


def which_file(model: Path, which: str) -> Path:
    """The generator file of a MODEL: of a run, its `newest`, `best` or named checkpoint.

    Raises `UserError`.
    """
    if which == "newest":
        return checkpoint.find_generator(model)
    if model.is_file() or not (model / "checkpoints").is_dir():
        raise UserError(f"{model}: not a run folder: --which chooses among a run's checkpoints")
    if which == "best":
        best = read_best(model)
        if best is None:
            raise UserError(f"{model}: has no best checkpoint: it was trained without --evaluate")
        which = best.checkpoint
    return checkpoint.find_generator(model, which)


def read_best(run: Path) -> Best | None:
    """What best.json says; None when there is none. Raises `UserError` when it is damaged."""
    try:
        best = Best(**json.loads((run / BEST).read_text(encoding="utf-8")))
        best.images + best.value  # are numbers
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError):
        raise UserError(f"{run / BEST}: damaged: it does not tell the best checkpoint") from None
    return best
