"""Kernels on a CPU: the same source compiled by g++, the same calls to a driver of our own.

What is not shown by this is what NVRTC makes of the source, and how fast it is.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from ganctl_stylegan2_ada.kernels import BACKENDS, BuildError, Cuda

HERE = Path(__file__).parent
GCC = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC"]


class Emulation(Cuda):
    """One thread runs after the other, on the process's own memory."""

    def compiler(self) -> str:
        return "g++"

    def architecture(self, device: torch.device) -> str:
        return "cpu"

    def compile(
        self,
        source: str,
        name: str,
        headers: Mapping[str, str],
        architecture: str,
        options: list[str],
    ) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            for header, text in headers.items():
                Path(folder, header).write_text(text)
            file, library = Path(folder, f"{name}.cpp"), Path(folder, "kernel.so")
            file.write_text(f'#include "device.h"\n{source}\n#include "run.h"\n')
            options = [*options, f"-DNAME={Path(name).stem}", f"-I{HERE}", "-o", str(library)]
            try:
                subprocess.run([*GCC, *options, file], check=True, capture_output=True, text=True)
            except subprocess.CalledProcessError as error:
                raise BuildError(error.stderr) from None
            return library.read_bytes()

    def current(self, device: torch.device) -> AbstractContextManager[object]:
        return nullcontext()

    def stream(self, device: torch.device) -> int:
        return 0


def load_driver(folder: Path) -> None:
    """Build the driver and load it into this process, where cuda-bindings will find it."""
    library = folder / "libcuda.so.1"
    source = str(HERE / "libcuda.cpp")
    subprocess.run(
        [*GCC, "-Wl,-soname,libcuda.so.1", "-o", str(library), source, "-ldl"], check=True
    )
    ctypes.CDLL(str(library))


@contextmanager
def emulated(backend: Cuda | None = None) -> Iterator[None]:
    """Within, kernels are used on the CPU."""
    BACKENDS["cpu"] = backend or Emulation()
    try:
        yield
    finally:
        del BACKENDS["cpu"]


def possible() -> bool:
    return bool(shutil.which("g++"))
