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
