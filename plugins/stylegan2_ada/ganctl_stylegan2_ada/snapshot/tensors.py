"""Tensors from bytes that are there: no size is believed before the bytes for it are found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .limits import MAX_DIMENSIONS, Budget, Refused
from .values import Storage, whole, wholes

STORAGES: dict[str, np.dtype[Any]] = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype("<i2"),  # NumPy has none; see `strided`
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
}


def strided(
    storage: object, offset: object, size: object, stride: object, budget: Budget
) -> Tensor:
    """A contiguous copy of what a tensor sees of its storage; all but the last count elements."""
    if not isinstance(storage, Storage) or storage.data is None:
        raise Refused("a tensor without a storage")
    start = whole(offset, "a tensor's offset")
    shape, steps = wholes(size, "a tensor's size"), wholes(stride, "a tensor's stride")
    if len(shape) != len(steps):
        raise Refused("a tensor of as many sizes as strides was expected")
    dtype = STORAGES[storage.type_name]
    _check_shape(shape, dtype, budget)
    if 0 in shape:
        return _typed(np.empty(shape, dtype), storage)
    last = start + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    if last >= storage.numel:
        raise Refused(f"a tensor past the end of its storage of {storage.numel:,}")
    # Along an axis of one element the stride may be anything, even beyond what NumPy takes.
    walk = [step * dtype.itemsize if n > 1 else 0 for n, step in zip(shape, steps, strict=True)]
    return _typed(np.ndarray(shape, dtype, storage.data, start * dtype.itemsize, walk), storage)


def packed(
    data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool, budget: Budget
) -> Tensor:
    """A copy of NumPy's own layout of an array."""
    _check_shape(shape, dtype, budget)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Refused(f"an array of shape {shape} in {len(data):,} bytes")
    if not data:
        return _native(np.empty(shape, dtype))
    return _native(np.ndarray(shape, dtype, data, order="F" if fortran else "C"))


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], budget: Budget) -> None:
    """Pay for the copy. Axes of no elements may not hide large ones: those overflow."""
    if len(shape) > MAX_DIMENSIONS:
        raise Refused(f"a tensor of {len(shape)} axes")
    budget.tensor(math.prod(filter(None, shape)) * dtype.itemsize)


def _typed(view: np.ndarray[Any, Any], storage: Storage) -> Tensor:
    tensor = _native(view)
    return tensor.view(torch.bfloat16) if storage.type_name == "torch.BFloat16Storage" else tensor


def _native(view: np.ndarray[Any, Any]) -> Tensor:
    if view.dtype.kind == "b":  # any byte may be there
        return torch.from_numpy(np.array(view.view("u1") != 0, order="C"))
    # Always a copy: the file's bytes are read-only, and perhaps not aligned.
    return torch.from_numpy(np.array(view, view.dtype.newbyteorder("="), order="C"))
