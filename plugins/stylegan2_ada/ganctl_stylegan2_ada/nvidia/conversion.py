"""From what a file holds to networks of ours, and what is to be said about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PureWindowsPath
from typing import Any

import torch

from ganctl import Discriminator, Generator, ImageSpec, UserError

from .. import StyleGAN2Options
from ..discriminator import StyleGAN2Discriminator
from ..filters import setup_filter
from ..generator import StyleGAN2Generator
from ..layers import RESAMPLE
from ..snapshot import Snapshot
from . import pytorch, tensorflow
from .found import Found

GENERATORS = ("G_ema", "Gs", "G")
"""The averages first: they make the better images."""

FILTER = "resample_filter"


@dataclass(frozen=True)
class Imported:
    """The networks of a file."""

    options: StyleGAN2Options
    spec: ImageSpec
    generator: Generator
    """The average, where the file has one."""
    players: tuple[Generator, Discriminator] | None
    """What training can go on from; None: there is none, or it cannot be represented."""
    found: list[str]
    """What is in the file, a line each."""
    left_out: str | None
    """Why there are no players."""


def convert(snapshot: Snapshot) -> Imported:
    """Raises `UserError` if there is no generator, or one that ours cannot be."""
    readers = _readers(snapshot)
    best = next((name for name in GENERATORS if name in readers), None)
    if best is None:
        raise UserError(f"no generator in it, but only {', '.join(readers)}")
    average = readers[best]()
    options, players, left_out = StyleGAN2Options(**average.options), None, None
    try:
        live, discriminator = _players(readers, average)
        both = StyleGAN2Options(**{**average.options, **discriminator.options})
        players = _generator(both, live), _discriminator(both, discriminator)
        options = both
    except UserError as error:
        left_out = str(error)
    generator = _generator(options, average)
    found = [
        _kind(snapshot) + ": " + ", ".join(readers),
        _about(best, generator, average.spec),
        *([] if players is None else [f"D: {_parameters(players[1])}"]),
        *_rest(snapshot),
    ]
    return Imported(options, average.spec, generator, players, found, left_out)


def _readers(snapshot: Snapshot) -> dict[str, Callable[[], Found]]:
    """What reads each network, by its name in the file."""
    readers: dict[str, Callable[[], Found]] = {}
    records = snapshot.networks
    first = next((records[name] for name in GENERATORS if name in records), None)
    defaults = pytorch.ADA if first is None else pytorch.defaults_of(first)
    for name, record in records.items():
        read = pytorch.discriminator if name == "D" else pytorch.generator
        readers[name] = partial(read, name, record, defaults)
    for name, older in snapshot.tensorflow.items():
        reader = tensorflow.discriminator if name == "D" else tensorflow.generator
        readers[name] = partial(reader, name, older)
    return readers


def _players(readers: dict[str, Callable[[], Found]], average: Found) -> tuple[Found, Found]:
    """The generator and the discriminator as they were trained together."""
    if "D" not in readers:
        raise UserError("no discriminator (D) is in it")
    live = readers["G"]() if "G" in readers else average
    discriminator = readers["D"]()
    for one in (live, discriminator):
        if one.spec != average.spec:
            raise UserError(f"{one.name}: is for other images than {average.name}")
        for name, value in one.options.items():
            if average.options.get(name, value) != value:
                raise UserError(
                    f"{one.name}: {name} is {value}, and {average.options[name]} in "
                    f"{average.name}: one model has one"
                )
    return live, discriminator


def _generator(options: StyleGAN2Options, found: Found) -> StyleGAN2Generator:
    with torch.device("meta"):  # nothing is allocated for what the file only says
        network = StyleGAN2Generator(options, found.spec)
    _fill(network, found)
    return network


def _discriminator(options: StyleGAN2Options, found: Found) -> StyleGAN2Discriminator:
    with torch.device("meta"):
        network = StyleGAN2Discriminator(options, found.spec)
    _fill(network, found)
    return network


def _fill(network: torch.nn.Module, found: Found) -> None:
    """Give it the file's tensors, one for each place that it has."""
    places = network.state_dict()
    taps = setup_filter(RESAMPLE)
    tensors = {name: tensor.float().contiguous() for name, tensor in found.tensors.items()}
    for name in places:
        if name.rpartition(".")[2] == FILTER:
            given = tensors.setdefault(name, taps.clone())  # TensorFlow's files have none
            if given.shape != taps.shape or not torch.allclose(given, taps, atol=1e-6):
                raise UserError(f"{found.name}: {name} is another filter than [1, 3, 3, 1]")
    _check(found.name, _shapes(places), _shapes(tensors))
    network.load_state_dict(tensors, assign=True)


def _check(name: str, wanted: dict[str, str], given: dict[str, str]) -> None:
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    other = sorted(key for key in wanted.keys() & given.keys() if wanted[key] != given[key])
    faults = []
    if missing:
        faults.append(f"{_some(missing)} not there")
    if extra:
        faults.append(f"{_some(extra)} not known here")
    if other:
        first = other[0]
        faults.append(f"{_some(other)} of another size ({given[first]}, not {wanted[first]})")
    if faults:
        raise UserError(f"{name}: does not fit its own arguments: {'; '.join(faults)}")


def _some(names: list[str]) -> str:
    """`3 tensors such as b4.conv.weight are`."""
    first = ascii(names[0])[1:-1][:80]
    return f"{first} is" if len(names) == 1 else f"{len(names):,} tensors such as {first} are"


def _shapes(tensors: dict[str, Any]) -> dict[str, str]:
    return {
        name: "x".join(map(str, tensor.shape)) or "one number" for name, tensor in tensors.items()
    }


def _kind(snapshot: Snapshot) -> str:
    return "networks of PyTorch" if snapshot.networks else "networks of TensorFlow"


def _about(name: str, generator: Generator, spec: ImageSpec) -> str:
    classes = f"{spec.classes} classes" if spec.classes else "no classes"
    return f"{name}: {spec.size}, {classes}, {_parameters(generator)}"


def _parameters(network: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"


def _rest(snapshot: Snapshot) -> Iterator[str]:
    """What is not taken over."""
    rest = ["Python source, which was not run"]
    if snapshot.augment_pipe is not None:
        rest.append("augment_pipe")
    if snapshot.training_set_kwargs is not None:
        path = snapshot.training_set_kwargs.get("path")
        name = ascii(PureWindowsPath(path).name)[1:-1] if isinstance(path, str) else ""
        rest.append(f"training_set_kwargs ({name[:80]})" if name else "training_set_kwargs")
    yield f"left out: {', '.join(rest)}"
