"""One kernel: found in memory, on the disk or compiled, and what happens when it is not."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as memoised
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from . import cache
from .cuda import BuildError, Cuda, Unavailable

Launch = Callable[[int, int, bytes], None]
"""Blocks, threads in each, and the struct that the kernel takes."""

Constant = str | int | bool

SWITCH = "GANCTL_KERNELS"
"""Environment variable: `off` for plain PyTorch operators everywhere."""

OFF = os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false")

BACKENDS: dict[str, Cuda] = {} if OFF else {"cuda": Cuda()}
"""Who compiles and launches, by the type of device."""

LINES = 3
"""So much of what a compiler said is repeated."""


class KernelWarning(UserWarning):
    """A kernel cannot be used, and plain PyTorch operators take its place."""


@contextmanager
def plain_operators() -> Iterator[None]:
    """Within, no kernel is used: to compare with."""
    backends = dict(BACKENDS)
    BACKENDS.clear()
    try:
        yield
    finally:
        BACKENDS.update(backends)


def written_for(device: torch.device) -> bool:
    """Whether kernels are used on such a device, if they build."""
    return device.type in BACKENDS


class Kernel:
    """A `.cu` file with an `extern "C"` function of its name that takes one struct.

    It is compiled for the device at hand and the constants asked for, `-D` options to the
    compiler, and kept on the disk for later processes.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.name = file, file.stem
        self._lock = threading.Lock()
        self._launches: dict[tuple[object, ...], Launch | None] = {}

    def on(self, device: torch.device, **constants: Constant) -> Launch | None:
        """What launches it, or None, of which the user is warned once, if that cannot be."""
        if not written_for(device):
            return None
        key = device, *constants.items()
        try:
            return self._launches[key]
        except KeyError:
            pass
        with self._lock:
            if key not in self._launches:
                self._launches[key] = self._made(device, constants)
            return self._launches[key]

    def build(
        self, backend: Cuda, architecture: str, constants: dict[str, Constant]
    ) -> tuple[bytes, Literal["found", "compiled"]]:
        """Its machine code. Raises `BuildError` or `Unavailable`."""
        name, options = self._identity(backend, architecture, constants)
        if (code := cache.read(name)) is not None:
            return code, "found"
        headers = _headers(self.file.parent)
        code = backend.compile(_text(self.file), self.file.name, headers, architecture, options)
        cache.write(name, code)
        return code, "compiled"

    def kept(self, backend: Cuda, architecture: str, constants: dict[str, Constant]) -> bool:
        """Whether it is on the disk, compiled."""
        return cache.read(self._identity(backend, architecture, constants)[0]) is not None

    def _identity(
        self, backend: Cuda, architecture: str, constants: dict[str, Constant]
    ) -> tuple[str, list[str]]:
        """The name of the file with all that its content depends on; the compiler's options."""
        options = [f"-D{name}={_spelled(value)}" for name, value in sorted(constants.items())]
        source, headers = _text(self.file), _headers(self.file.parent)
        facts = [source, headers, options, architecture, backend.compiler()]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        return f"{self.name}-{architecture}-{digest}.cubin", options

    def _made(self, device: torch.device, constants: dict[str, Constant]) -> Launch | None:
        backend = BACKENDS[device.type]
        try:
            code, _ = self.build(backend, backend.architecture(device), constants)
            kernel = backend.load(code, self.name, device)
        except BuildError as error:
            said = " | ".join(str(error).splitlines()[-LINES:])
            _warn(f"the kernel {self.name} does not compile: {said}", self.name)
            return None
        except Unavailable as error:
            _warn(str(error), "kernels")
            return None
        except Exception as error:  # of cuda-bindings, the driver, the disk: training has to go on
            _warn(f"no kernel can be had: {type(error).__name__}: {error}", "kernels")
            return None
        return partial(backend.launch, kernel, device)


@memoised
def _warn(why: str, what: str) -> None:
    """Once per reason."""
    warnings.warn(
        f"{why}. Plain PyTorch operators take the place of {what}: the same results, slower and "
        "with more memory. `ganctl kernels` tells more",
        KernelWarning,
        stacklevel=2,
    )


@memoised
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@memoised
def _headers(folder: Path) -> dict[str, str]:
    """By name: a file's own, and those that are offered to all."""
    files = [*Path(__file__).parent.glob("*.cuh"), *folder.glob("*.cuh")]
    return {file.name: _text(file) for file in sorted(files)}


def _spelled(value: Constant) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
