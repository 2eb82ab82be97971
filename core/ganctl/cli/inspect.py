"""`ganctl inspect`: what is in a prepared set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.dataset import Dataset
from ..data.prepare import shown
from ..data.sheet import class_name, contact_sheet
from ..data.statistics import compute_statistics, read_account
from ..errors import UserError
from ..images import save_png
from .console import progress, quiet_libraries
from .parse import run_command

PAIRS = 5
"""So many duplicates are named."""

_SHOWN_CLASSES = 40
"""So many classes are listed in the table for people."""


def run(argv: list[str]) -> int:
    return run_command(inspect, "inspect", argv)


def inspect(
    path: Annotated[str, typer.Argument(metavar="SET", help="A prepared set: a zip or a folder.")],
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE.png", help="Where to draw the images [SET-sheet.png, here]."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Draw lots for the images of the sheet [taken evenly]."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output.")
    ] = False,
) -> int:
    """Say what is in a prepared set, and draw a sheet of its images."""
    file = Path(sheet) if sheet else Path(f"{Path(path).resolve().stem}-sheet.png")
    if file.suffix.lower() != ".png":
        raise UserError(f"inspect: --sheet {file}: the sheet is a .png")
    dataset = Dataset(path)
    with quiet_libraries(), progress("reading the set", len(dataset), "images") as advance:
        facts = look_at(dataset, advance)
    save_png(contact_sheet(dataset, seed), file)
    facts["sheet"] = str(file)
    if as_json:
        print(json.dumps(facts, indent=2))  # in ASCII: names may hold anything
    else:
        print(table(facts))
    return 0


def look_at(dataset: Dataset, advance: Any) -> dict[str, Any]:
    """All that there is to say, as JSON holds it."""
    statistics, spec = compute_statistics(dataset, advance), dataset.spec
    own_size = dataset.path.stat().st_size if dataset.path.is_file() else statistics.file_bytes
    account = read_account(dataset)
    return {
        "set": str(dataset.path),
        "images": len(dataset),
        "height": spec.height,
        "width": spec.width,
        "channels": spec.channels,
        "formats": statistics.formats,
        "bytes": own_size,
        "bytes_per_image": statistics.file_bytes / len(dataset),
        "mean": statistics.mean,
        "std": statistics.std,
        "classes": _classes(dataset),
        "unlabelled": len(dataset) if dataset.labels is None else 0,
        "duplicates": {
            "images": len(statistics.copies),
            "pairs": statistics.copies[:PAIRS],
        },
        "report": None if account is None else vars(account),
    }


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    if dataset.labels is None:
        return []
    counts = [0] * dataset.spec.classes
    for label in dataset.labels.tolist():
        counts[label] += 1
    return [
        {
            "label": label,
            "name": class_name(dataset, label),
            "images": count,
            "share": count / len(dataset),
        }
        for label, count in enumerate(counts)
    ]


def table(facts: dict[str, Any]) -> str:
    """The same for people."""
    colours = {1: "gray", 3: "RGB", 4: "RGBA"}[facts["channels"]]
    rows = [
        ("set", shown(facts["set"])),
        ("images", f"{facts['images']:,}"),
        ("size", f"{facts['height']}x{facts['width']} (height x width), {colours}"),
        ("files", ", ".join(f"{count:,} {kind}" for kind, count in facts["formats"].items())),
        ("bytes", f"{facts['bytes']:,}; {facts['bytes_per_image']:,.0f} per image"),
        ("mean", _figures(facts["mean"])),
        ("deviation", _figures(facts["std"])),
        *_label_rows(facts),
        *_duplicate_rows(facts["duplicates"]),
        *_report_rows(facts["report"]),
        ("sheet", shown(facts["sheet"])),
    ]
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"{title:<{width}}  {text}".rstrip() for title, text in rows)


def _figures(values: list[float]) -> str:
    return "  ".join(f"{value:.4f}" for value in values) + "  of 1"


def _label_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    classes = facts["classes"]
    if not classes:
        return [("labels", "none")]
    rows = [("labels", f"{len(classes):,} classes")]
    listed = classes[:_SHOWN_CLASSES]
    names = [_short(row["name"]) for row in listed]
    width = max(map(len, names))
    for name, row in zip(names, listed, strict=True):
        rows.append(("", f"{name:<{width}}  {row['images']:>9,}  {row['share']:6.1%}"))
    if len(classes) > len(listed):
        rows.append(("", f"and {len(classes) - len(listed):,} more (--json lists all)"))
    return rows


def _duplicate_rows(duplicates: dict[str, Any]) -> list[tuple[str, str]]:
    count = duplicates["images"]
    if not count:
        return [("duplicates", "none")]
    pairs = [("", f"{_short(again)} = {_short(first)}") for first, again in duplicates["pairs"]]
    more = [("", f"and {count - len(pairs):,} more")] if count > len(pairs) else []
    return [("duplicates", f"{count:,} images repeat an earlier one"), *pairs, *more]


def _report_rows(report: dict[str, Any] | None) -> list[tuple[str, str]]:
    if report is None:
        return []
    reasons = [(f"{count:,}", shown(why)) for why, count in report["left_out"].items()]
    width = max((len(count) for count, _ in reasons), default=0)
    return [
        ("report", f"made from {report['files']:,} files, of which {report['kept']:,} were kept"),
        *(("", f"{count:>{width}}  {why}") for count, why in reasons),
    ]


def _short(name: str, limit: int = 60) -> str:
    name = shown(name)
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
