"""Starting from a trained model: what of it fits, tensor by tensor, and what came of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from .. import checkpoint
from ..errors import UserError
from .state import State

FILE = "init-from.txt"
"""Where a run folder keeps the whole report."""

SHOWN = 4
"""So many layers are named in a line of the summary."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Origin:
    """A trained model's tensors, by the network that takes them over."""

    file: Path
    """Its generator.safetensors."""
    generator: dict[str, Tensor]
    """The generator as it is sampled: the moving average, where the model has one."""
    live: dict[str, Tensor]
    """The generator that the discriminator was trained with."""
    discriminator: dict[str, Tensor] | None
    """None where there is no training.safetensors beside the generator."""

    @classmethod
    def read(cls, path: str, architecture: str) -> Origin:
        """A generator.safetensors, a checkpoint folder, or a run's newest checkpoint.

        Raises `UserError` when it is none of these, damaged, or of another architecture.
        """
        file = find(path, architecture)
        generator, _ = checkpoint.read(file)
        rest = file.with_name(checkpoint.TRAINING)
        training = checkpoint.read(rest)[0] if rest.is_file() else {}

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in training.items() if k.startswith(prefix)}

        return cls(file, generator, part("generator.") or generator, part("discriminator.") or None)


def find(path: str, architecture: str) -> Path:
    """The generator file that `path` means, by its header one of this architecture.

    Raises `UserError`.
    """
    file = checkpoint.find_generator(Path(path))
    header = checkpoint.read_header(file)
    try:
        name = header["architecture"]["name"]
    except (KeyError, TypeError):
        raise UserError(f"{file}: holds no generator (is it a training.safetensors?)") from None
    if name != architecture:
        raise UserError(f"init_from: {file} is a {name}, not a {architecture}")
    return file


@dataclass(frozen=True)
class Layer:
    """A module with tensors of its own: their shapes in this run's network and in the model's."""

    name: str
    here: Shapes
    there: Shapes
    parameters: frozenset[str]
    """Which of the tensors here are learned; the others are buffers."""
    frozen: bool

    @property
    def fits(self) -> bool:
        """Whether all that it has here is taken over."""
        return all(self.there.get(name) == shape for name, shape in self.here.items())

    @property
    def learned(self) -> bool:
        """Whether it has parameters, and the model's are taken over."""
        return bool(self.parameters) and all(
            self.there.get(name) == self.here[name] for name in self.parameters
        )

    @property
    def why(self) -> str:
        """What of it stays as it starts, and why."""
        if not self.there:
            return "not in the model"
        return ", ".join(
            f"{name} ({_size(shape)} here, {_size(self.there[name])} there)"
            if name in self.there
            else f"{name} (not in the model)"
            for name, shape in self.here.items()
            if self.there.get(name) != shape
        )

    @property
    def outcome(self) -> str:
        """A line of the report, but for the name."""
        if not self.here:
            return "in the model alone"
        parts = ["taken over" if self.fits else f"left as it starts: {self.why}"]
        taken = [name for name, shape in self.here.items() if self.there.get(name) == shape]
        if taken and not self.fits:
            parts.append(f"taken over: {', '.join(taken)}")
        if alone := [name for name in self.there if name not in self.here]:
            parts.append(f"in the model alone: {', '.join(alone)}")
        if self.frozen:
            parts.append("frozen")
        return "; ".join(parts)


@dataclass(frozen=True)
class Report:
    """What is taken over from a model, network by network and layer by layer."""

    file: Path
    networks: dict[str, list[Layer]]
    alone: bool
    """Whether the model is a generator without its discriminator."""

    def summary(self) -> Iterator[str]:
        """A few lines for the person at the terminal."""
        yield f"starting from {self.file}"
        if self.alone:
            yield (
                "the discriminator starts anew: "
                f"there is no {checkpoint.TRAINING} beside the generator"
            )
        for network, layers in self.networks.items():
            if self.alone and network == "discriminator":
                continue
            ours = [layer for layer in layers if layer.parameters]
            line = f"taken over: {sum(x.fits for x in ours)} of {len(ours)} layers of the {network}"
            left = [
                f"{layer.name} {layer.why}" if layer.there else f"{layer.name} ({layer.why})"
                for layer in _topmost(layers, lambda layer: not layer.there)
                if not layer.fits
            ]
            extra = [x.name for x in _topmost(layers, lambda x: not x.here) if not x.here]
            line += _named("; left as they start: ", left)
            yield line + _named("; in the model alone: ", extra)
        frozen = [layer for layers in self.networks.values() for layer in layers if layer.frozen]
        if frozen:
            yield f"frozen: {', '.join(layer.name for layer in frozen)}"
        if fresh := [layer.name for layer in frozen if not layer.learned]:
            yield f"warning: frozen although they are not the model's: {', '.join(fresh)}"

    def text(self) -> str:
        """All of it, a line for each layer."""
        lines = [f"model: {self.file.absolute()}"]
        for network, layers in self.networks.items():
            lines += [f"{network}.{layer.name}: {layer.outcome}" for layer in layers]
        return "\n".join(lines) + "\n"


def compare(origin: Origin, generator: nn.Module, discriminator: nn.Module) -> Report:
    """What of the model fits these networks; nothing is copied.

    Raises `UserError` where no layer does.
    """
    networks = {
        "generator": _layers(generator, origin.generator),
        "discriminator": _layers(discriminator, origin.discriminator or {}),
    }
    if not any(layer.learned for layers in networks.values() for layer in layers):
        raise UserError(
            f"init_from: nothing of {origin.file} fits: "
            "no layer of these networks has the name and the shapes of one there"
        )
    return Report(origin.file, networks, origin.discriminator is None)


def take_over(origin: Origin, state: State) -> Report:
    """Copy what fits into the networks of a run that has not begun.

    Raises `UserError` where nothing does.
    """
    players = state.players
    report = compare(origin, players.generator, players.discriminator)
    _copy(origin.live, players.generator)
    if state.ema is not None:
        _copy(origin.generator, state.ema.generator)
    _copy(origin.discriminator or {}, players.discriminator)
    return report


def freeze(discriminator: nn.Module, count: int) -> None:
    """Take the first `count` layers out of training (Mo et al. 2020, arXiv:2002.10964).

    Layers are modules with parameters of their own, in the order in which they were registered.
    Raises `UserError` if none would be left to learn.
    """
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in discriminator.named_parameters():
        if parameter.requires_grad:
            layers.setdefault(_split(name)[0], []).append(parameter)
    if count and count >= len(layers):
        raise UserError(
            f"freeze_d: {count} is too many: the discriminator has {len(layers)} layers, "
            "and at least one has to learn"
        )
    for parameters in list(layers.values())[:count]:
        for parameter in parameters:
            parameter.requires_grad_(False)


def _layers(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The network's layers in its own order, then those that the model alone has."""
    here = _by_layer({k: tuple(v.shape) for k, v in network.state_dict().items()})
    there = _by_layer({k: tuple(v.shape) for k, v in tensors.items()})
    learning: dict[str, dict[str, bool]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        layer, own = _split(name)
        learning.setdefault(layer, {})[own] = parameter.requires_grad
    return [
        Layer(
            name,
            here.get(name, {}),
            there.get(name, {}),
            frozenset(learning.get(name, ())),
            name in learning and not any(learning[name].values()),
        )
        for name in {**here, **there}
    ]


def _by_layer(shapes: Shapes) -> dict[str, dict[str, tuple[int, ...]]]:
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        layer, own = _split(name)
        layers.setdefault(layer, {})[own] = shape
    return layers


def _split(tensor: str) -> tuple[str, str]:
    """Its layer and its name there; what parametrises a weight belongs to the weight's layer."""
    layer, parametrised, name = tensor.partition(".parametrizations.")
    if not parametrised:
        layer, _, name = tensor.rpartition(".")
    return layer or "(itself)", name


def _copy(tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    own = network.state_dict()
    fitting = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)


def _topmost(layers: Sequence[Layer], absent: Callable[[Layer], bool]) -> list[Layer]:
    """All layers but those absent ones that lie within another absent one."""
    gone = tuple(f"{layer.name}." for layer in layers if absent(layer))
    return [x for x in layers if not (absent(x) and x.name.startswith(gone))]


def _named(title: str, names: Sequence[str]) -> str:
    """The first of the names after the title, and how many more; nothing for no names."""
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{title}{', '.join(names[:SHOWN])}{more}"


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
