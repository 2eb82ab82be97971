"""Networks out of inert objects: their tensors by name, and the arguments they were made with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .allowed import NETWORK
from .limits import MAX_NAME, Refused, Walk
from .records import NetworkRecord, TensorFlowRecord
from .values import Array, Dict, Object, kind, shown

OLDEST_TENSORFLOW = 4
"""The version of a TensorFlow network's state since which it has static_kwargs and components."""


def network(value: object) -> NetworkRecord:
    """A PyTorch module and its children."""
    if not isinstance(value, Object) or value.type_name == NETWORK:
        raise Refused(f"a network that is {kind(value)}")
    walk = Walk("modules")
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    for prefix, state, depth in _tree(value, ".", "_modules", walk):
        for into, part in ((parameters, "_parameters"), (buffers, "_buffers")):
            for name, tensor in _entries(state, part):
                walk.step(depth)
                if tensor is None:
                    continue
                if not isinstance(tensor, Tensor):
                    raise Refused(f"{shown(prefix + name)} is {kind(tensor)}")
                into[_joined(prefix, name, ".")] = tensor
    state = value.state or {}
    arguments = plain(state.get("_init_args", ()))
    if not isinstance(arguments, tuple):
        raise Refused("_init_args is no tuple")
    kwargs = settings(state, "_init_kwargs")
    return NetworkRecord(value.type_name, arguments, kwargs, parameters, buffers)


def tensorflow_network(value: object) -> TensorFlowRecord:
    """A network of the TensorFlow implementation, and its components."""
    if not isinstance(value, Object) or value.type_name != NETWORK:
        raise Refused(f"a TensorFlow network that is {kind(value)}")
    walk = Walk("components")
    variables: dict[str, Tensor] = {}
    for prefix, state, depth in _tree(value, "/", "components", walk):
        version, listed = state.get("version"), state.get("variables")
        if type(version) is not int or version < OLDEST_TENSORFLOW:
            raise Refused(
                f"a TensorFlow network of before version {OLDEST_TENSORFLOW}, as of StyleGAN 1"
            )
        if not isinstance(listed, list):
            raise Refused("a TensorFlow network without a list of variables")
        for each in listed:
            walk.step(depth)
            match each:
                case (str(name), Array(tensor=Tensor() as tensor)):
                    variables[_joined(prefix, name)] = tensor
                case (str(name), int() | float() as number) if abs(number) < 2**63:
                    # TensorFlow gives a variable without axes as a NumPy scalar.
                    dtype = torch.float32 if isinstance(number, float) else torch.int64
                    variables[_joined(prefix, name)] = torch.tensor(number, dtype=dtype)
                case _:
                    raise Refused("a variable that is no name and array")
    return TensorFlowRecord(settings(value.state or {}, "static_kwargs"), variables)


def settings(state: Dict, part: str) -> dict[str, Any]:
    """The keyword arguments under `part`."""
    found = plain(state.get(part, {}))
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Refused(f"{part} is no dict of names")
    return found


def plain(value: object) -> Any:
    """A copy made of dicts, lists, tuples, strings and numbers, shared with nothing."""
    walk = Walk("arguments")

    def copy(value: object, depth: int) -> Any:
        walk.step(depth)
        match value:
            case None | bool() | int() | float() | str():
                return value
            case tuple():
                return tuple(copy(each, depth + 1) for each in value)
            case list():
                return [copy(each, depth + 1) for each in value]
            case dict():
                return {key: copy(each, depth + 1) for key, each in value.items()}
        raise Refused(f"an argument that is {kind(value)}")

    return copy(value, 0)


def _tree(root: Object, separator: str, part: str, walk: Walk) -> Iterator[tuple[str, Dict, int]]:
    """The state of each module, what stands before its names, and how deep it is; parents first."""
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    while waiting:
        prefix, module, depth = waiting.pop()
        if not isinstance(module, Object) or module.state is None:
            raise Refused(f"module {shown(prefix)} is {kind(module)}")
        if (module.type_name == NETWORK) != (root.type_name == NETWORK):
            raise Refused(f"module {shown(prefix)} is {kind(module)}")
        yield prefix, module.state, depth
        children: list[tuple[str, object, int]] = []
        for name, child in _entries(module.state, part):
            walk.step(depth)
            if child is not None:
                children.append((_joined(prefix, name, separator) + separator, child, depth + 1))
        waiting += reversed(children)


def _entries(state: Dict, part: str) -> Iterator[tuple[str, object]]:
    found = state.get(part)
    if not isinstance(found, dict):
        raise Refused(f"a module without {part}")
    for name, value in found.items():
        if not isinstance(name, str):
            raise Refused(f"a name in {part} that is {kind(name)}")
        yield name, value


def _joined(prefix: str, name: str, separator: str = "") -> str:
    """The full name; `separator` is what the name itself may not contain."""
    if not name or (separator and separator in name) or len(prefix) + len(name) > MAX_NAME:
        raise Refused(f"the name {shown(name)} in {shown(prefix) or 'a network'}")
    return prefix + name
