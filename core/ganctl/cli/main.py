"""The front door: picks the command, turns errors into one line and an exit status.

`--help`, `--version` and `list-plugins` are answered before Typer, rich or torch is
imported, so that they take a fraction of a second.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from .. import __version__
from ..errors import GanctlError, Interrupted, UserError
from ..options import did_you_mean
from . import commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may know no ≥, a name may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.showwarning = _in_one_line
    try:
        return _dispatch(arguments)
    except Interrupted as stopped:
        print(f"ganctl: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except GanctlError as error:
        if error.__cause__ is not None and os.environ.get("GANCTL_TRACEBACK"):
            traceback.print_exception(error.__cause__)
        for line in str(error).splitlines():
            print(f"ganctl: error: {line}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("ganctl: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ganctl … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _in_one_line(message: Warning | str, *_: object, **__: object) -> None:
    print(f"ganctl: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _dispatch(arguments: list[str]) -> int:
    if len(arguments) > 1 and arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    name, *rest = ("--help" if word == "-h" else word for word in arguments)
    if name == "--version":
        print(f"ganctl {__version__}")
        return 0
    if name.startswith("-"):
        hint = did_you_mean(name, ("--help", "--version"))
        raise UserError(f"{name}: no such option before a command{hint}")
    status = commands.run(name, rest)
    sys.stdout.flush()
    return status


def _help() -> str:
    known = commands.summaries()
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in known.items()]
    return "\n".join(
        [
            "Usage: ganctl COMMAND [OPTIONS]",
            "",
            "Train GANs: architectures, objectives, data sources and hooks are plugins.",
            "",
            "Commands:",
            *lines,
            "",
            "`ganctl COMMAND --help` tells more; `ganctl --version` prints the version.",
        ]
    )
