"""NVRTC and the driver, through cuda-bindings: source in, running kernel out.

Both come with PyTorch's CUDA builds (NVRTC and cuda-bindings) and with the GPU (the driver); no
toolkit is needed.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import metadata
from typing import Any

import torch


class Unavailable(Exception):
    """Why no kernel can be built or run here, and what to do about it."""


class BuildError(Exception):
    """What the compiler said."""


class Cuda:
    """How kernels come about on NVIDIA's GPUs."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def compiler(self) -> str:
        """The compiler and its version, without loading it where that can be avoided."""
        with suppress(metadata.PackageNotFoundError):
            return f"NVRTC {metadata.version(_package('nvidia-cuda-nvrtc'))}"
        major, minor = _called("nvrtcVersion", _nvrtc().nvrtcVersion())
        return f"NVRTC {major}.{minor}"

    def check(self) -> None:
        """Raise `Unavailable` when there is no compiler."""
        _nvrtc()

    def architecture(self, device: torch.device) -> str:
        """What to compile for: `sm_90`, say."""
        if torch.version.cuda is None:
            raise Unavailable("kernels in CUDA are for NVIDIA's GPUs")
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}"

    def compile(
        self,
        source: str,
        name: str,
        headers: Mapping[str, str],
        architecture: str,
        options: list[str],
    ) -> bytes:
        """Machine code for the architecture; PTX where the compiler is older than the GPU.

        Raises `BuildError`, or `Unavailable` if there is no compiler for it.
        """
        nvrtc = _nvrtc()
        (known,) = _called("nvrtcGetSupportedArchs", nvrtc.nvrtcGetSupportedArchs())
        number = int(architecture.removeprefix("sm_"))
        if number < min(known):
            raise Unavailable(
                f"{self.compiler()} compiles for sm_{min(known)} and newer, not for "
                f"{architecture}: install a PyTorch for an older CUDA"
            )
        exact = number in known
        target = architecture if exact else f"compute_{max(n for n in known if n < number)}"
        texts = [text.encode() for text in headers.values()]
        names = [name.encode() for name in headers]
        (program,) = _called(
            "nvrtcCreateProgram",
            nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), len(names), texts, names),
        )
        try:
            arguments = [f"--gpu-architecture={target}".encode(), b"--std=c++17"]
            arguments += [option.encode() for option in options]
            (status,) = nvrtc.nvrtcCompileProgram(program, len(arguments), arguments)
            if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
                log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
                raise BuildError(log.rstrip(b"\0 \n").decode(errors="replace") or status.name)
            if exact:
                return _text(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
            return _text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        finally:
            nvrtc.nvrtcDestroyProgram(program)

    def load(self, code: bytes, function: str, device: torch.device) -> Any:
        """The function in compiled code, ready to be launched. Raises `Unavailable`."""
        driver = _driver()
        with self.current(device):
            self._enter(device)
            (library,) = _called(
                "cuLibraryLoadData", driver.cuLibraryLoadData(code, [], [], 0, [], [], 0)
            )
        (kernel,) = _called(
            "cuLibraryGetKernel", driver.cuLibraryGetKernel(library, function.encode())
        )
        return kernel

    def launch(
        self, kernel: Any, device: torch.device, blocks: int, threads: int, arguments: bytes
    ) -> None:
        """Queue it on PyTorch's current stream; `arguments` is its struct, copied here."""
        if not blocks:
            return
        struct = ctypes.create_string_buffer(arguments, len(arguments))
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(struct))
        with self.current(device):
            self._enter(device)
            (status,) = _driver().cuLaunchKernel(
                *(kernel, blocks, 1, 1, threads, 1, 1, 0),
                *(self.stream(device), ctypes.addressof(pointers), 0),
            )
        if status:
            raise RuntimeError(f"a kernel could not be launched: {status.name}")

    def current(self, device: torch.device) -> AbstractContextManager[object]:
        """Within, the device is this thread's own."""
        if torch.cuda.current_device() == device.index:
            return nullcontext()
        return torch.cuda.device(device)

    def stream(self, device: torch.device) -> int:
        """PyTorch's, as a handle."""
        return torch.cuda.current_stream(device).cuda_stream

    def _enter(self, device: torch.device) -> None:
        """See that this thread has a context: autograd's own may have none yet."""
        if getattr(self._threads, "entered", False):
            return
        driver = _driver()
        _called("cuInit", driver.cuInit(0))
        (context,) = _called("cuCtxGetCurrent", driver.cuCtxGetCurrent())
        if not int(context):
            (number,) = _called("cuDeviceGet", driver.cuDeviceGet(device.index or 0))
            (context,) = _called(
                "cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(number)
            )
            _called("cuCtxSetCurrent", driver.cuCtxSetCurrent(context))
        self._threads.entered = True


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except ImportError:
        raise Unavailable(
            f"the package cuda-bindings is missing: {_advice('cuda-bindings')}"
        ) from None
    except RuntimeError as error:  # the library is not there
        raise Unavailable(
            f"NVRTC, CUDA's compiler, is missing ({_first_line(error)}): "
            f"{_advice('nvidia-cuda-nvrtc')}"
        ) from None
    return nvrtc


def _driver() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError:
        raise Unavailable(
            f"the package cuda-bindings is missing: {_advice('cuda-bindings')}"
        ) from None
    if not hasattr(driver, "cuLibraryLoadData"):
        raise Unavailable(f"cuda-bindings is older than 12: {_advice('cuda-bindings')}")
    return driver


def _major() -> int:
    """Of the CUDA that PyTorch is built for; else the newest that is known."""
    return int((torch.version.cuda or "13").partition(".")[0])


def _package(name: str) -> str:
    """As it is called for this CUDA."""
    return f"{name}-cu12" if name == "nvidia-cuda-nvrtc" and _major() == 12 else name


def _advice(name: str) -> str:
    if _major() < 12:
        return "kernels need a PyTorch for CUDA 12 or newer"
    return f'pip install "{_package(name)}=={_major()}.*"'


def _called(name: str, answer: Sequence[Any]) -> Sequence[Any]:
    """What a call gave beside its status. Raises `Unavailable` when that is an error."""
    status, *rest = answer
    if status:
        raise Unavailable(f"{name} answers {status.name}")
    return rest


def _text(program: Any, size: Callable[..., Any], content: Callable[..., Any]) -> bytes:
    (length,) = _called(size.__name__, size(program))
    text = bytes(length)
    _called(content.__name__, content(program, text))
    return text


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
