"""`ganctl describe`: a plugin's options, and the layers of an architecture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UserError
from ..options import describe as describe_options
from ..plugin import Architecture, Plugin
from ..registry import Entry, entries, find
from ..spec import ImageSpec, parse_resolution
from ..training.plan import TABLES
from . import commands
from .parse import run_command

if TYPE_CHECKING:
    from torch import nn

    from ..summary import Row


def run(argv: list[str]) -> int:
    return run_command(describe, "describe", argv)


def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin's name.")],
    kind: Annotated[
        str | None, typer.Option(help="Its kind, where two kinds share a name.")
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Size of the images for the layer table: 64, 96x128.")
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels for the layer table.", min=1, max=4)] = 3,
    classes: Annotated[int, typer.Option(help="Classes for the layer table.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show a plugin's options with defaults and bounds; an architecture's layer tables too."""
    entry = _find(name, kind)
    plugin = entry.load()
    document = _document(entry, plugin)
    tables: dict[str, list[Row]] = {}
    networks: dict[str, nn.Module] = {}
    if isinstance(plugin, Architecture):
        height, width = parse_resolution(resolution or str(plugin.resolution))
        spec = ImageSpec(height, width, channels, classes)
        tables, networks = network_tables(entry, plugin, plugin.options_class(), spec)
    if as_json:
        from ..summary import totals

        for network, rows in tables.items():
            parameters, buffers = totals(networks[network])
            document.setdefault("networks", {})[network] = {
                "parameters": parameters,
                "buffers": buffers,
                "layers": [vars(row) for row in rows],
            }
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    _print(document)
    if entry.kind == "command":
        print(f"\n`ganctl {commands.typed(entry)} --help` shows its arguments and options.")
    print_tables(tables, networks)
    return 0


def _find(name: str, kind: str | None) -> Entry:
    if kind is not None:
        return find(kind, name)
    kinds = {e.kind for e in entries() if e.name == name.rpartition(":")[2]}
    if len(kinds) > 1:
        raise UserError(f"{name!r} is the name of a {' and a '.join(sorted(kinds))}: add --kind")
    if not kinds:
        from ..options import did_you_mean

        raise UserError(
            f"no plugin named {name!r}" + did_you_mean(name, {e.name for e in entries()})
        )
    return find(kinds.pop(), name)


def _document(entry: Entry, plugin: Plugin[Any]) -> dict[str, Any]:
    tables = {kind: table for table, kind in TABLES.items()}
    return {
        "name": entry.name,
        "kind": entry.kind,
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "references": list(plugin.references),
        "options": [
            {
                "name": info.name,
                "flag": f"--{tables[entry.kind]}.{info.flag}" if entry.kind in tables else None,
                "type": info.type_text,
                "default": list(info.default) if isinstance(info.default, tuple) else info.default,
                "bounds": info.opt.bounds,
                "help": info.opt.help,
            }
            for info in describe_options(plugin.options_class)
        ],
    }


def network_tables(
    entry: Entry, architecture: Architecture[Any], options: Any, spec: ImageSpec
) -> tuple[dict[str, list[Row]], dict[str, nn.Module]]:
    """Layer tables of both networks for one image; nothing is computed (meta tensors)."""
    import torch

    from ..summary import layer_table

    with entry.guard(), torch.device("meta"):
        generator, discriminator = architecture.build(options, spec)
        generator.eval()
        discriminator.eval()
        labels = torch.zeros(1, spec.classes) if spec.classes else None
        images = torch.zeros(1, spec.channels, spec.height, spec.width)
        tables = {
            "generator": layer_table(generator, torch.zeros(1, generator.z_dim), labels),
            "discriminator": layer_table(discriminator, images, labels),
        }
    return tables, {"generator": generator, "discriminator": discriminator}


def print_tables(tables: dict[str, list[Row]], networks: dict[str, nn.Module]) -> None:
    from ..summary import totals

    for name, rows in tables.items():
        lines = [("MODULE", "TYPE", "PARAMETERS", "BUFFERS", "OUTPUT", "DTYPE")]
        for row in rows:
            shape = "x".join(map(str, row.shape))
            lines.append(
                (row.module, row.kind, f"{row.parameters:,}", f"{row.buffers:,}", shape, row.dtype)
            )
        parameters, buffers = totals(networks[name])
        lines.append(("total", "", f"{parameters:,}", f"{buffers:,}", "", ""))
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        print(f"\n{name.capitalize()}")
        for line in lines:
            cells = [
                f"{cell:>{width}}" if i in (2, 3) else f"{cell:<{width}}"
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  " + "  ".join(cells).rstrip())
    print()


def _print(document: dict[str, Any]) -> None:
    print(f"{document['name']}: {document['summary']}")
    print(f"{document['kind']} of {document['distribution']} {document['version']}")
    for reference in document["references"]:
        print(f"  {reference}")
    if document["options"]:
        print("\nOptions")
    for option in document["options"]:
        default = option["default"]
        if isinstance(default, list):
            default = ",".join(map(str, default))
        bounds = f" [{option['bounds']}]" if option["bounds"] else ""
        print(f"  {option['flag'] or option['name']} ({option['type']}{bounds}) = {default}")
        print(f"      {option['help']}")
