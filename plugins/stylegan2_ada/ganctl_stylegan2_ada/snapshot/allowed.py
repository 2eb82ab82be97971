"""The names that may occur in a snapshot, and what each stands for here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from torch import Tensor

from . import storages, tensors
from .limits import MAX_NAME, Budget, Refused
from .values import Array, Dtype, Global, Object, Storage, kind, shown, wholes

EASY_DICT = "dnnlib.util.EasyDict"
NETWORK = "dnnlib.tflib.network.Network"
NDARRAY = "numpy.ndarray"

PERSISTENCE_VERSION = 6
"""Of the records that `_reconstruct_persistent_obj` takes: there is no other in public."""

_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"}
_ORDERS: dict[str, Literal["<", ">"]] = {"<": "<", ">": ">", "=": "<", "|": "<"}
"""A state's byte order; "=" and none are as on the machines that write snapshots."""


class Allowed:
    """The policy for a snapshot's own pickle."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._functions: dict[str, tuple[Callable[..., object], range]] = {
            "collections.OrderedDict": (_ordered_dict, range(1)),
            "numpy.dtype": (_dtype, range(1, 4)),
            "torch.storage._load_from_bytes": (self._load_from_bytes, range(1, 2)),
            "torch._utils._rebuild_parameter": (_rebuild_parameter, range(3, 4)),
            "torch._utils._rebuild_tensor_v2": (self._rebuild_tensor, range(6, 8)),
            "torch_utils.persistence._reconstruct_persistent_obj": (
                _reconstruct_object,
                range(1, 2),
            ),
        }
        """What REDUCE may call, and with how many arguments."""
        for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
            self._functions[f"{module}.scalar"] = _scalar, range(2, 3)
            self._functions[f"{module}._reconstruct"] = _reconstruct_array, range(3, 4)
        self._names = {*self._functions, EASY_DICT, NETWORK, NDARRAY}

    def find(self, name: str) -> Global:
        if name not in self._names:
            raise Refused(f"it asks for {shown(name)}, which no snapshot needs; nothing was run")
        return Global(name)

    def persistent(self, key: object) -> object:
        raise Refused("it has a persistent id, which no snapshot needs")

    def call(self, function: Global, arguments: tuple[Any, ...]) -> object:
        if function.name not in self._functions:
            raise Refused(f"{function.name} is called, which no snapshot needs")
        function_here, counts = self._functions[function.name]
        if len(arguments) not in counts:
            raise Refused(f"{function.name} is called with {len(arguments)} arguments")
        return function_here(*arguments)

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> object:
        if arguments or cls.name not in {EASY_DICT, NETWORK}:
            raise Refused(f"a new {cls.name} with {len(arguments)} arguments")
        return {} if cls.name == EASY_DICT else Object(NETWORK)

    def build(self, instance: object, state: object) -> None:
        match instance, state:
            case Object(type_name="dnnlib.tflib.network.Network", state=None), dict():
                instance.state = state
            case Dtype(), (int(), str(order), *rest) if _is_plain_number(rest):
                if order not in _ORDERS:
                    raise Refused(f"numbers in byte order {shown(order)}")
                instance.numpy = instance.numpy.newbyteorder(_ORDERS[order])
            case (
                Array(tensor=None),
                (int(), shape, Dtype(numpy=dtype), bool(fortran), memoryview() as data),
            ):
                sizes = wholes(shape, "an array's shape")
                instance.tensor = tensors.packed(data, dtype, sizes, fortran, self._budget)
            case _:
                raise Refused(f"the state of {kind(instance)} is set to {kind(state)}")

    def _load_from_bytes(self, data: object, /) -> Storage:
        return storages.load(data, self._budget)

    def _rebuild_tensor(
        self,
        storage: object,
        offset: object,
        size: object,
        stride: object,
        _requires_grad: object,
        _backward_hooks: object,
        _metadata: object = None,
        /,
    ) -> Tensor:
        return tensors.strided(storage, offset, size, stride, self._budget)


def _rebuild_parameter(data: object, _requires_grad: object, _backward_hooks: object, /) -> Tensor:
    if not isinstance(data, Tensor):
        raise Refused(f"a parameter that is {kind(data)}")
    return data


def _ordered_dict() -> dict[Any, Any]:
    return {}


def _reconstruct_object(meta: object, /) -> Object:
    """Whatever is in `module_src` is left there."""
    match meta:
        case {"type": "class", "version": version, "class_name": str(name), "state": dict(state)}:
            if type(version) is not int or version != PERSISTENCE_VERSION:
                raise Refused(f"a persistent object of another version than {PERSISTENCE_VERSION}")
            if len(name) > MAX_NAME:
                raise Refused(f"a class name of {len(name):,} characters")
            return Object(name, state)
    raise Refused("a persistent object without type, class name or state")


def _is_plain_number(state: list[Any]) -> bool:
    """Of a dtype's state, after the byte order: no part of it has fields, a shape or a name."""
    # By type first: a tensor compares with a number to a tensor.
    types = [type(each) for each in state]
    return types == [type(None)] * 3 + [int] * 3 and state[3:] == [-1, -1, 0]


def _dtype(code: object, _align: object = False, _copy: object = False, /) -> Dtype:
    if not isinstance(code, str) or code not in _NUMBERS:
        raise Refused(f"numbers of type {shown(code) if isinstance(code, str) else kind(code)}")
    return Dtype(np.dtype(code))


def _scalar(dtype: object, data: object, /) -> int | float | bool:
    if not (isinstance(dtype, Dtype) and isinstance(data, memoryview)):
        raise Refused("a number without type or bytes")
    if len(data) != dtype.numpy.itemsize:
        raise Refused(f"a number of {len(data):,} bytes")
    number: int | float | bool = np.frombuffer(data, dtype.numpy)[0].item()
    return number


def _reconstruct_array(cls: object, _shape: object, _code: object, /) -> Array:
    if not (isinstance(cls, Global) and cls.name == NDARRAY):
        raise Refused(f"an array of class {kind(cls)}")
    return Array()
