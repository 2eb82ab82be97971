"""Which commands there are, and how each one is run: the core's own, and those of plugins."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence

from ..errors import UserError
from ..options import did_you_mean
from ..registry import Entry, entries, find, is_hidden

COMMANDS = {
    "train": "Train a model; with no option, the MLP GAN on the embedded digits.",
    "fetch": "Bring pictures from the web into a folder, where a stopped fetch goes on.",
    "prepare": "Make a set of equal images from a folder, zip or list of any pictures.",
    "inspect": "Say what is in a prepared set, and draw a sheet of it.",
    "resume": "Continue a run from its newest checkpoint.",
    "sweep": "Train the same model with different options, and rank them by a figure.",
    "generate": "Make pictures with a trained model.",
    "mix": "Mix the styles of seeds: coarse traits of one, fine ones of another.",
    "export": "Write a model's generator as ONNX, for use without PyTorch.",
    "evaluate": "Measure a model's images, or any pictures, against a set: FID and others.",
    "plot": "Draw a run's losses and figures as a PNG.",
    "compare": "Draw several runs beside each other, curves and samples.",
    "montage": "Show a run's training as a film: GIF, WebP or MP4.",
    "list-plugins": "Show what is installed: architectures, objectives, sources, hooks …",
    "describe": "Show a plugin's options; for an architecture its layers too.",
    "doctor": "Check this machine: what works, what does not, what to do.",
}
"""The core's own. A plugin cannot take one of these names."""


def run(name: str, argv: Sequence[str]) -> int:
    """Run the command that was typed; raises `UserError` when there is none of that name."""
    if name in COMMANDS:
        module = importlib.import_module(f"ganctl.cli.{name.replace('-', '_')}")
        status: int = module.run(list(argv))
        return status
    return _run_plugin(_find(name), argv)


def summaries() -> dict[str, str]:
    """A line for each command, by what is to be typed; imports no plugin."""
    return COMMANDS | {typed(entry): entry.summary for entry in entries("command")}


def typed(entry: Entry) -> str:
    """What runs a plugin's command: its name, with its distribution's where that is not enough."""
    return f"{entry.distribution}:{entry.name}" if shadowed(entry) else entry.reference


def shadowed(entry: Entry) -> bool:
    """Whether the core has a command of the same name, which is the one that runs."""
    return entry.kind == "command" and entry.name in COMMANDS


def _find(name: str) -> Entry:
    short = name.rpartition(":")[2]
    offered = {entry.name for entry in entries("command")}
    if short not in offered and not is_hidden("command", short):
        raise UserError(f"{name}: no such command{did_you_mean(name, offered | COMMANDS.keys())}")
    return find("command", name)


def _run_plugin(entry: Entry, argv: Sequence[str]) -> int:
    from .parse import run_command

    command = entry.load()
    with entry.guard(prints=True):
        text = inspect.getdoc(command)
        return run_command(command.main, typed(entry), argv, text)  # type: ignore[attr-defined]
