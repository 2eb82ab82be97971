"""Writes the reference pages that follow from the code: `python docs/reference.py`.

The command line comes from the parsers that the commands themselves build, the plugins' options
from their declarations, the interfaces from the source of the core: signatures and docstrings.
`tests/test_docs.py` fails when the pages are not what this script would write.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import typer

from ganctl.cli.commands import COMMANDS
from ganctl.options import describe
from ganctl.plugin import GROUPS, Command, Plugin
from ganctl.training.plan import TABLES

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core/ganctl"
HERE = ROOT / "docs/reference"

NOTE = "<!-- Written by docs/reference.py from the code: change it there. -->\n"


class Captured(Exception):
    """Carries what a command parses its line with out of the command before it runs."""

    def __init__(self, declaration: Any) -> None:
        super().__init__()
        self.declaration = declaration


def declaration_of(command: str) -> Any:
    """The function whose signature declares the command's line, or argparse's parser."""
    module = importlib.import_module(f"ganctl.cli.{command.replace('-', '_')}")

    def run_command(function: Any, name: str, argv: list[str]) -> int:
        raise Captured(function)

    def parse_args(self: argparse.ArgumentParser, argv: list[str]) -> None:
        raise Captured(self)

    by_typer = hasattr(module, "run_command")
    owner, substitute = (module, run_command) if by_typer else (module._Parser, parse_args)
    name = substitute.__name__
    before = getattr(owner, name)
    setattr(owner, name, substitute)
    try:
        module.run([])
    except Captured as captured:
        return captured.declaration
    finally:
        setattr(owner, name, before)
    raise AssertionError(f"{command} parsed nothing")


Row = tuple[str, str, str]
"""A flag or an argument, its value, what it means."""


def rows_of(declaration: Any) -> tuple[str, list[Row], list[Row]]:
    """A command's description, its arguments and its options."""
    if isinstance(declaration, argparse.ArgumentParser):
        actions = [a for a in declaration._actions if a.dest != "help"]
        rows = [
            (
                code(a.option_strings[-1]),
                values("|".join(a.choices or ())),
                sentence(a.help),
            )
            for a in actions
        ]
        return declaration.description or "", [], rows
    arguments, options = [], []
    for name, parameter in inspect.signature(declaration, eval_str=True).parameters.items():
        if name == "given":
            continue
        kind, info = get_args(parameter.annotation)
        meaning = sentence(info.help)
        if isinstance(info, typer.models.ArgumentInfo):
            arguments.append((code(info.metavar), "", meaning))
            continue
        # In `Annotated[..., Option("--json")]` the flag stands where a default used to.
        given = [f for f in (info.default, *(info.param_decls or ())) if isinstance(f, str)]
        flags = "/".join(given or [f"--{name.replace('_', '-')}"]).split("/")
        is_flag = kind is bool or bool in get_args(kind)
        if not is_flag and parameter.default not in (None, parameter.empty):
            meaning += f" [default: {parameter.default}]"
        if parameter.default is parameter.empty:
            meaning += " [required]"
        value = "" if is_flag else values(info.metavar or value_name(kind))
        options.append((", ".join(map(code, flags)), value, meaning))
    return inspect.getdoc(declaration) or "", arguments, options


def value_name(kind: Any) -> str:
    """`int | None` → `INT`; a text is called so."""
    types = [t for t in get_args(kind) or (kind,) if t is not type(None)]
    return {str: "TEXT"}.get(types[0], types[0].__name__.upper())


def values(text: str) -> str:
    """`auto|cpu` → `auto`, `cpu`; other metavars as they are."""
    return ", ".join(map(code, text.split("|"))) if text else ""


def code(text: str) -> str:
    return f"`{text}`"


def sentence(help_text: str | None) -> str:
    text = (help_text or "").replace(r"\[", "[").replace("|", r"\|")
    return text if text.endswith((".", "]")) else f"{text}."


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = list(titles)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def command_line() -> str:
    lines = [
        NOTE,
        "# Command line",
        "",
        "`ganctl COMMAND [OPTIONS]`. `ganctl --help` lists the commands, `ganctl --version` prints",
        "the version, `ganctl COMMAND --help` shows a command's options. A RUN is a run folder, a",
        "MODEL a `generator.safetensors`, a checkpoint folder, or a run folder (its newest",
        "checkpoint is meant).",
        "",
        "Progress and messages go to standard error. With `--json`, standard output holds one JSON",
        "document and nothing else. The [exit statuses](exit-statuses.md) are the same for all",
        "commands.",
        "",
        *table(
            ("command", "what it does"),
            ((f"[{n}](#{n})", s) for n, s in (COMMANDS | plugin_summaries()).items()),
        ),
    ]
    declarations = {command: declaration_of(command) for command in COMMANDS}
    declarations |= {name: command.main for name, command in plugin_commands().items()}
    for command, declaration in declarations.items():
        description, arguments, options = rows_of(declaration)
        if command in plugin_commands():
            description = inspect.getdoc(plugin_commands()[command]) or ""
        words = " ".join(name.strip("`") for name, _, _ in arguments)
        lines += [f"## {command}", "", f"`ganctl {command} {words}`".replace(" `", "`"), ""]
        lines += [sentence(" ".join(description.split())), ""]
        if arguments:
            lines += table(("argument", "meaning"), ((n, m) for n, _, m in arguments))
        lines += table(("option", "value", "meaning"), options)
        if command == "train":
            lines += train_notes()
    return "\n".join([*lines, *plugin_options()]).rstrip() + "\n"


def train_notes() -> list[str]:
    return [
        "Options that have no default here are the architecture's to choose: its *recipe* says",
        "what suits it, and `--dry-run` shows what came out. `--kimg` counts thousands of images",
        "shown to the discriminator; a run ends with the first whole batch that reaches it.",
        "",
        "Each plugin that is named adds its own options, after a prefix:",
        "",
        *table(
            ("choice", "its options"),
            ((code(f"--{t} NAME"), code(f"--{t}.OPTION VALUE")) for t in TABLES),
        ),
        "`NAME` is a plugin's name, or `DISTRIBUTION:NAME` where two distributions offer one name.",
        "Of two places that set an option, the command line wins over `--config FILE`, and that",
        "over the recipe.",
        "",
        "The environment variable `GANCTL_PLUGINS` restricts what is seen to the plugins or",
        "distributions that it names, with commas between them. `GANCTL_TRACEBACK=1` shows where a",
        "plugin failed.",
        "",
    ]


@cache
def entry_points() -> dict[str, dict[str, type[Plugin[Any]]]]:
    """The plugins that come with ganctl: their classes by group and name."""

    def loaded(target: str) -> Any:
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    with (ROOT / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["project"]["entry-points"]
    return {g: {name: loaded(to) for name, to in points.items()} for g, points in groups.items()}


def plugin_commands() -> dict[str, Command]:
    return {name: command() for name, command in entry_points().get("ganctl.commands", {}).items()}


def plugin_summaries() -> dict[str, str]:
    return {n: (inspect.getdoc(c) or "").partition("\n")[0] for n, c in plugin_commands().items()}


def plugin_options() -> Iterator[str]:
    prefixes = {GROUPS[kind]: prefix for prefix, kind in TABLES.items()}
    yield "## Options of the plugins that come with ganctl"
    yield ""
    for group, prefix in prefixes.items():
        for name, plugin in entry_points().get(group, {}).items():
            yield f"### {name} ({TABLES[prefix]})"
            yield ""
            yield (inspect.getdoc(plugin) or "").partition("\n")[0]
            yield ""
            rows = []
            for info in describe(plugin.options_class):
                default = info.default
                if isinstance(default, tuple):
                    default = ",".join(map(str, default))
                elif isinstance(default, bool):
                    default = "on" if default else "off"
                flags, value = code(f"--{prefix}.{info.flag}"), info.metavar
                if info.type is bool:
                    flags, value = f"{flags}, `--{prefix}.no-{info.flag}`", ""
                notes = [info.opt.bounds, "" if default in ("", None) else f"default: {default}"]
                meaning = info.opt.help + "".join(f" [{note}]" for note in notes if note)
                rows.append((flags, values(value), sentence(meaning)))
            yield from table(("option", "value", "meaning"), rows) if rows else ["No options.", ""]


INTERFACES = {
    "Plugins": (
        "One descriptor class per thing that a distribution offers, found through an entry point.",
        "plugin.py",
        (
            *("Plugin", "Architecture", "Recipe", "Objective", "Augmentation", "Evaluation"),
            *("Source", "Item", "Hook", "Command", "NoOptions"),
        ),
    ),
    "Options": (
        "One declaration feeds the command line, TOML files, validation and checkpoints.",
        "options.py",
        ("Opt",),
    ),
    "Sources on the web": (
        "[Write a source on the web](../how-to/web-source.md) shows one.",
        "fetch/source.py",
        ("WebSource", "Page", "Request", "Plan", "Terms", "Withheld"),
    ),
    "Questions to servers": ("", "fetch/client.py", ("Web",)),
    "Answers": ("", "fetch/answers.py", ("Response", "Refused", "TooLarge")),
    "Secrets": ("", "fetch/secret.py", ("Secret",)),
    "Image sizes": ("", "spec.py", ("ImageSpec",)),
    "Networks and the training step": (
        "What a plugin builds, and what it is given. N is the number of images, C, H and W are "
        "channels, height and width.",
        "interfaces.py",
        (
            *("Network", "Generator", "StyleGenerator", "StyleMapping", "StyleSynthesis"),
            *("Discriminator", "Augmenter"),
            *("Progress", "Batch", "Players", "Phase"),
        ),
    ),
    "Evaluators": (
        "",
        "evaluator.py",
        ("Evaluator", "ImageBatch", "Extractor", "ImageSet"),
    ),
    "Hook events": (
        "A method of a hook that is marked `@hookimpl` and has one of these names is called then, "
        "with those of the arguments that it names.",
        "hooks.py",
        ("HookSpecs",),
    ),
    "Random numbers": (
        "`from ganctl import random`. Draws for the rows of a batch that are made through these "
        "come out the same whatever the micro-batch.",
        "random.py",
        ("randn", "dropout_mask"),
    ),
    "Trained models": ("", "model.py", ("load", "save", "Model")),
    "Pictures": ("", "images.py", ("Images",)),
    "Files from the web": ("", "web.py", ("download", "Unreachable")),
    "Errors": ("", "errors.py", ("GanctlError", "UserError")),
    "Reading pictures": ("", "data/pixels.py", ("Unreadable",)),
    "": ("", "data/dataset.py", ("is_image_name",)),
}
"""Heading: (a sentence, the module, the names in it), in the order of the page."""


def interfaces() -> str:
    lines = [
        NOTE,
        "# Plugin interfaces",
        "",
        "What a plugin imports, from the source of this version. Everything here but the names",
        "of `HookSpecs`, `Network` and `Images`, which are never written, comes with",
        "`from ganctl import …`. The entry-point groups are:",
        "",
        *table(("kind", "group", "class"), entry_point_rows()),
    ]
    for heading, (sentence_, module, names) in INTERFACES.items():
        if heading:
            lines += [f"## {heading}", ""]
        if sentence_:
            lines += [sentence_, ""]
        tree = ast.parse((CORE / module).read_text(encoding="utf-8"))
        found = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
        for name in names:
            lines += definition(found[name])
    return "\n".join(lines).rstrip() + "\n"


def entry_point_rows() -> Iterator[Row]:
    from ganctl.plugin import KINDS

    for kind, base in KINDS.items():
        yield kind, code(GROUPS[kind]), code(base.__name__)


def definition(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [f"### {node.name}", "", *fenced(signature(node)), *doc(node)]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    head = f"class {node.name}({bases})" if bases else f"class {node.name}"
    decorators = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    lines = [f"### {node.name}", "", *fenced("\n".join([*decorators, head])), *doc(node)]
    for index, member in enumerate(node.body):
        if isinstance(member, ast.AnnAssign | ast.Assign):
            target = member.target if isinstance(member, ast.AnnAssign) else member.targets[0]
            if ast.unparse(target).startswith("_"):
                continue
            after = node.body[index + 1] if index + 1 < len(node.body) else None
            lines += [f"- `{ast.unparse(member)}`" + attribute_doc(after)]
        elif isinstance(member, ast.FunctionDef) and not hidden(member):
            text = " ".join((ast.get_docstring(member) or "").split())
            lines += [f"- `{signature(member)}`" + (f": {text}" if text else "")]
    return [*lines, ""] if lines[-1] else lines


def hidden(function: ast.FunctionDef) -> bool:
    return function.name.startswith("_") and function.name not in (
        "__init__",
        "__getitem__",
        "__call__",
    )


def attribute_doc(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return ": " + " ".join(str(node.value.value).split())
    return ""


def signature(function: ast.FunctionDef) -> str:
    words = [w for w in ast.unparse(function.args).split(", ") if w != "self"]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    if any(ast.unparse(d) == "property" for d in function.decorator_list):
        return f"{function.name}{returns}".replace(" -> ", ": ")
    return f"{function.name}({', '.join(words)}){returns}"


def doc(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    text = ast.get_docstring(node)
    return [text, ""] if text else []


def fenced(text: str) -> list[str]:
    return ["```text", text, "```", ""]


def pages() -> dict[Path, str]:
    """Every page that follows from the code, with the text that it should have."""
    return {
        HERE / "command-line.md": command_line(),
        HERE / "plugin-interfaces.md": interfaces(),
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
