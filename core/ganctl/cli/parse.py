"""Command lines from declarations: Typer on the outside, `options` on the inside.

Parsing takes two passes. The first finds which plugins are named, without understanding the
rest; the second parses everything, those plugins' options included, each in a help panel of
its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from ..options import OptionInfo, describe


@dataclass(frozen=True)
class Group:
    """Options that belong together: `--prefix.name` flags in one help panel."""

    prefix: str
    options_class: type[Any]
    panel: str


def run_command(
    function: Callable[..., Any], name: str, argv: Sequence[str], text: str | None = None
) -> int:
    """Parse `argv` for `function`'s signature and call it. Usage errors are `UserError`s.

    `text` is what the help begins with, if not the function's docstring.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(help=text)(function)
    try:
        status = app(args=list(argv), prog_name=f"ganctl {name}", standalone_mode=False)
    except Exception as error:
        # Typer's own copy of click raises these; they are known by what they can do.
        message = getattr(error, "format_message", None)
        if message is None:
            if type(error).__name__ == "Abort":
                raise KeyboardInterrupt from None
            raise
        text = " ".join(message().split())
        raise UserError(f"{name}: {text} (see `ganctl {name} --help`)") from None
    if status == 130:  # Typer turns Ctrl-C into this status without a word
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def first_pass(argv: Sequence[str], flags: Sequence[str]) -> dict[str, str]:
    """The values of a few flags, found without knowing the others: `--arch X`, `--arch=X`."""
    values = {}
    for index, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag.removeprefix("--") in flags and flag.startswith("--"):
            if not equals:
                if index + 1 == len(argv):
                    break  # the second pass will complain
                value = argv[index + 1]
            values[flag.removeprefix("--")] = value
    return values


def with_options(function: Callable[..., Any], groups: Sequence[Group]) -> Callable[..., Any]:
    """`function(…, given)` with a flag for every option of the groups.

    `given` maps each group's prefix to what stood on the command line, as texts.
    """
    infos = {
        f"{group.prefix}__{info.name}".lstrip("_"): (group, info)
        for group in groups
        for info in describe(group.options_class)
    }
    own = {k: p for k, p in inspect.signature(function).parameters.items() if k != "given"}

    def wrapper(**values: Any) -> Any:
        given: dict[str, dict[str, Any]] = {group.prefix: {} for group in groups}
        for key, (group, info) in infos.items():
            if (value := values.pop(key)) is not None:
                given[group.prefix][info.name] = value
        return function(**values, given=given)

    parameters = list(own.values())
    for key, (group, info) in infos.items():
        parameters.append(
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(group, info),
            )
        )
    hints = inspect.get_annotations(function, eval_str=True)
    parameters = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapper.__doc__ = function.__doc__
    wrapper.__name__ = function.__name__
    return wrapper


def _annotation(group: Group, info: OptionInfo) -> Any:
    dot = f"{group.prefix}." if group.prefix else ""
    names = [f"--{dot}{info.flag}"]
    values = info.default if isinstance(info.default, tuple) else (info.default,)
    default = ",".join(str(value) for value in values if value is not None)
    if info.type is bool:
        names = [f"--{dot}{info.flag}/--{dot}no-{info.flag}"]
        default = "on" if info.default else "off"
    notes = [info.opt.bounds, f"default: {default}" if default else ""]
    text = info.opt.help + "".join(f" [{note}]" for note in notes if note)
    return Annotated[
        bool | None if info.type is bool else str | None,
        typer.Option(
            *names,
            help=escape(text),
            metavar=None if info.type is bool else info.metavar,
            rich_help_panel=group.panel,
            show_default=False,
        ),
    ]


def escape(text: str) -> str:
    """Help text whose square brackets are meant as such."""
    return text.replace("[", r"\[")


def existing(path: str) -> Path:
    """The path, which must exist."""
    if not Path(path).exists():
        raise UserError(f"{path}: no such file or folder")
    return Path(path)
