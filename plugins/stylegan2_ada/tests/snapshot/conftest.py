"""Fixtures: pickles with the names that snapshots have, which Python and torch write."""

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganctl import ImageSpec
from ganctl_stylegan2_ada import StyleGAN2Options
from ganctl_stylegan2_ada.discriminator import StyleGAN2Discriminator
from ganctl_stylegan2_ada.generator import StyleGAN2Generator

SHARED = Path(__file__).resolve().parents[5] / "shared"

Write = Callable[[bytes], Path]


def module(state: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A module's state, with what torch keeps in it beside tensors."""
    empty = {part: {} for part in ("_parameters", "_buffers", "_modules", "_init_kwargs")}
    hooks = {"_backward_hooks": OrderedDict(), "_non_persistent_buffers_set": set()}
    return {"training": False, **empty, "_init_args": (), **hooks, **parts, **state}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file; the folder that it is in is also the current one."""
    monkeypatch.chdir(tmp_path)

    def write(content: bytes) -> Path:
        file = tmp_path / "network.pkl"
        file.write_bytes(content)
        return file

    return write


@pytest.fixture
def names() -> Iterator[SimpleNamespace]:
    """Stand-ins for the classes and functions of the reference, for pickle to name."""
    made: list[str] = []

    def home(name: str) -> ModuleType:
        for end in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:end])
            if part not in sys.modules:
                sys.modules[part] = ModuleType(part)
                made.append(part)
        return sys.modules[name]

    def reconstruct(meta: dict[str, Any]) -> None:
        raise AssertionError("unpickled")

    class Persistent:
        def __init__(self, name: str, state: dict[str, Any], **changes: Any) -> None:
            meta = {"type": "class", "version": 6, "module_src": "raise", "class_name": name}
            self.meta = {**meta, "state": module(state), **changes}

        def __reduce__(self) -> Any:
            return reconstruct, (self.meta,)

    class EasyDict(dict[str, Any]):
        pass

    class Network:
        def __init__(self, **state: Any) -> None:
            self.__dict__.update(state)

    places = {
        "torch_utils.persistence": (reconstruct, "_reconstruct_persistent_obj"),
        "dnnlib.util": (EasyDict, "EasyDict"),
        "dnnlib.tflib.network": (Network, "Network"),
    }
    for place, (value, name) in places.items():
        value.__module__, value.__qualname__ = place, name
        setattr(home(place), name, value)
    yield SimpleNamespace(Persistent=Persistent, EasyDict=EasyDict, Network=Network)
    for name in made:
        del sys.modules[name]


@pytest.fixture
def torch_snapshot(names: SimpleNamespace) -> dict[str, Any]:
    """A small one in the reference's layout."""
    torch.manual_seed(0)
    layer = names.Persistent(
        "Layer",
        {
            "_parameters": {"weight": torch.nn.Parameter(torch.randn(3, 2)), "bias": None},
            "_buffers": {"half": torch.randn(4).half(), "count": torch.arange(3)},
            "gain": np.float64(0.125),
        },
    )
    generator = names.Persistent(
        "Generator",
        {
            "_parameters": {"const": torch.nn.Parameter(torch.randn(5))},
            "_modules": {"mapping": layer},
            "_init_args": (64,),
            "_init_kwargs": names.EasyDict(z_dim=8, layers=[1, 2], deep={"x": (None, 1.5)}),
        },
    )
    settings = names.EasyDict(path="data.zip", use_labels=False)
    return {"training_set_kwargs": settings, "G_ema": generator, "D": layer, "augment_pipe": None}


@pytest.fixture
def tensorflow_snapshot(names: SimpleNamespace) -> tuple[Any, ...]:
    """A small one of before PyTorch."""

    def network(scale: float) -> Any:
        weight = np.arange(6, dtype=np.float32).reshape(2, 3) * scale
        synthesis = names.Network(
            version=5,
            static_kwargs=names.EasyDict(),
            components={},
            variables=[("4x4/Conv/weight", np.asfortranarray(weight)), ("noise0", weight[:1])],
        )
        return names.Network(
            version=5,
            name="G",
            build_module_src="raise",
            static_kwargs=names.EasyDict(resolution=8, fmap_base=np.int64(16384)),
            components=names.EasyDict(synthesis=synthesis),
            variables=[
                ("lod", np.float32(scale)),
                ("steps", np.int64(7)),
                ("dlatent_avg", weight[0]),
            ],
        )

    return network(1), network(2), network(3)


@pytest.fixture
def dumps() -> Callable[..., bytes]:
    """Pickles, at the reference's protocol if no other is given."""

    def dumps(value: object, protocol: int = 4) -> bytes:
        return pickle.dumps(value, protocol)

    return dumps


@pytest.fixture
def shared_snapshot() -> Path:
    file = SHARED / "vectors/snapshot-uncond32.pkl"
    if not file.is_file():
        pytest.skip("shared/vectors/snapshot-uncond32.pkl is not here")
    return file


@pytest.fixture
def persistent(names: SimpleNamespace) -> Callable[..., Any]:
    """`persistent(network, "Generator", kwargs)`: a network of ours in the reference's layout."""

    def tree(class_name: str, network: torch.nn.Module, init: dict[str, Any]) -> Any:
        children = {name: tree("Module", child, {}) for name, child in network.named_children()}
        state = {
            "_parameters": dict(network.named_parameters(recurse=False)),
            "_buffers": dict(network.named_buffers(recurse=False)),
            "_modules": children,
            **init,
        }
        return names.Persistent(class_name, state)

    def persistent(
        network: torch.nn.Module,
        class_name: str,
        kwargs: dict[str, Any],
        args: tuple[Any, ...] = (),
    ) -> Any:
        init = {"_init_kwargs": names.EasyDict(kwargs), "_init_args": args}
        return tree(class_name, network, init)

    return persistent


@pytest.fixture
def networks() -> Callable[..., Any]:
    """`networks(spec, d_arch="skip")`: options, and both networks with all numbers drawn."""

    def networks(spec: ImageSpec, **others: Any) -> Any:
        small = {"z_dim": 16, "w_dim": 24, "mapping_layers": 2, "channel_base": 128}
        more = {"channel_max": 12, "half_resolutions": 0, "conv_clamp": None, "mbstd_group": 4}
        options = StyleGAN2Options(**{**small, **more, "d_arch": "resnet", **others})
        torch.manual_seed(1)
        made = StyleGAN2Generator(options, spec), StyleGAN2Discriminator(options, spec)
        for network in made:
            for parameter in network.parameters():
                parameter.data += 0.2 * torch.randn_like(parameter)
            network.eval().requires_grad_(False)
        made[0].mapping.w_avg += torch.randn(options.w_dim)
        return options, *made

    return networks


def close(one: Tensor, other: Tensor) -> bool:
    """But for the order of sums, which depends on how tensors lie in memory."""
    return bool((one - other).abs().max() <= 1e-5 * other.abs().max())


def labels(spec: ImageSpec) -> Tensor | None:
    return torch.eye(spec.classes)[torch.arange(4) % spec.classes] if spec.classes else None


@pytest.fixture
def same_pictures() -> Callable[[Any, Any, ImageSpec], bool]:
    """Whether two generators make the same images: truncated styles, constant noise."""

    def pictures(g: Any, spec: ImageSpec) -> Tensor:
        torch.manual_seed(5)
        ws = g.eval().mapping(torch.randn(4, g.z_dim), labels(spec), 0.6, 3)
        images: Tensor = g.synthesis(ws, noise="const")
        return images

    return lambda one, other, spec: close(pictures(one, spec), pictures(other, spec))


@pytest.fixture
def same_logits() -> Callable[[Any, Any, ImageSpec], bool]:
    """Whether two discriminators say the same of some images."""

    def logits(d: Any, spec: ImageSpec) -> Tensor:
        torch.manual_seed(6)
        found: Tensor = d(torch.randn(4, spec.channels, spec.height, spec.width), labels(spec))
        return found

    return lambda one, other, spec: close(logits(one, spec), logits(other, spec))
