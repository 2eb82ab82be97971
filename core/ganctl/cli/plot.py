"""`ganctl plot`: a run's losses and figures over the images shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from .parse import existing, run_command

PANELS = {
    "loss": "loss",
    "logits": "logits of D (mean)",
    "grad_norm": "gradient norm",
    "images_per_second": "images per second",
}
"""Name prefixes in log.jsonl that are drawn together, and what their axis says."""


def run(argv: list[str]) -> int:
    return run_command(plot, "plot", argv)


def plot(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="The run folder.")],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="The PNG to write [RUN/plot.png].")
    ] = None,
) -> int:
    """Draw a run's losses, logits, gradient norms and metrics as one PNG."""
    from ..files import write_atomically
    from ..training.run import read_log

    records = read_log(existing(folder))
    if not records:
        raise UserError(f"{folder}: nothing logged yet (no log.jsonl, or an empty one)")
    file = Path(out) if out else Path(folder) / "plot.png"
    write_atomically(
        file, draw(records, read_log(Path(folder), "metrics.jsonl"), Path(folder).name)
    )
    print(file)
    return 0


def draw(records: list[dict[str, Any]], metrics: list[dict[str, Any]], title: str) -> bytes:
    """The PNG: one panel per group of figures and one per metric."""
    import io

    from matplotlib.figure import Figure

    curves = _curves(records)
    panels = [
        (label, {n: c for n, c in curves.items() if n.partition("/")[0] == prefix})
        for prefix, label in PANELS.items()
    ]
    panels += [(name, {name: curve}) for name, curve in _curves(metrics).items()]
    panels = [(label, lines) for label, lines in panels if lines]
    figure = Figure(figsize=(8, 2.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, lines) in zip(axes, panels, strict=True):
        for name, (kimg, values) in lines.items():
            axis.plot(kimg, values, label=name.partition("/")[2] or name, linewidth=1.2)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend(fontsize="small")
    axes[-1].set_xlabel("images shown to D (thousands)")
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _curves(records: list[dict[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        for name, value in record.items():
            if name not in ("images", "step") and isinstance(value, int | float):
                kimg, values = curves.setdefault(name, ([], []))
                kimg.append(record["images"] / 1000)
                values.append(value)
    return curves
