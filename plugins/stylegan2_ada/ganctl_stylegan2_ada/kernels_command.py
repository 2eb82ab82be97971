"""`ganctl kernels`: which CUDA kernels there are, whether they build, and how fast they are."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ganctl import Command, GanctlError, UserError

if TYPE_CHECKING:
    from .kernels import Constant, Kernel

ARCHITECTURE = re.compile(r"sm_\d{2,3}")


class Kernels(Command, api=1):
    """Say which CUDA kernels there are, build them, and measure them.

    They are built when they are first needed, by NVRTC, which comes with PyTorch: nothing has to be
    done. `--build` does it now, for instance to see what a compiler says.
    """

    def main(
        self,
        build: Annotated[
            bool, typer.Option("--build", help="Build what training asks for.")
        ] = False,
        bench: Annotated[
            bool, typer.Option("--bench", help="Measure them beside a copy on the device.")
        ] = False,
        arch: Annotated[
            str | None,
            typer.Option(metavar="SM", help="Build for sm_90, say; else for the GPU that is here."),
        ] = None,
    ) -> int:
        if arch is not None and not ARCHITECTURE.fullmatch(arch):
            raise UserError(f"--arch: {arch!r} is no architecture; write sm_90, say")
        if bench and _off():
            raise UserError(f"--bench: {_off()}")
        if bench and not _device():
            raise UserError(f"--bench: {NO_DEVICE}")
        if build and arch is None and not _device():
            raise UserError(f"--build: {NO_DEVICE}; --arch sm_90, say, builds for another machine")
        _print_machine()
        if build:
            _build(arch or _architecture())
        if bench:
            _bench()
        if not bench:
            _print_kernels(arch or (_architecture() if _device() else None))
        return 0

    def checks(self) -> Iterable[tuple[str, bool | None, str]]:
        """That kernels build, run and agree with PyTorch's operators."""
        import torch

        from .kernels import BuildError, Cuda, KernelWarning, Unavailable

        if off := _off():
            return [("kernels", None, off)]
        if not _device():
            return [("kernels", None, f"not used: {NO_DEVICE}")]
        try:
            count = sum(1 for _ in _built(_architecture()))
            from .kernels.trial import largest_error

            error = largest_error(torch.device("cuda"))
        except BuildError as failed:
            return [("kernels", False, f"they do not compile: {_last_line(failed)}; {TELLS}")]
        except (Unavailable, KernelWarning) as failed:
            return [("kernels", False, f"{failed}; {TELLS}")]
        detail = f"{count} built for {_architecture()} by {Cuda().compiler()}"
        if not error <= 1e-5:
            return [("kernels", False, f"{detail}, but wrong by {error:.1g}; {TELLS}")]
        return [("kernels", True, detail)]


NO_DEVICE = "there is no NVIDIA GPU that PyTorch can use"
TELLS = "`ganctl kernels --build` tells more; GANCTL_KERNELS=off does without"


def _off() -> str | None:
    """That they are switched off, if so."""
    from .kernels.kernel import OFF, SWITCH

    return f"{SWITCH} switches kernels off: plain PyTorch operators run" if OFF else None


def _device() -> bool:
    import torch

    return torch.version.cuda is not None and torch.cuda.is_available()


def _architecture() -> str:
    import torch

    from .kernels import Cuda

    return Cuda().architecture(torch.device("cuda", torch.cuda.current_device()))


def _kernels() -> Iterator[tuple[Kernel, list[dict[str, Constant]]]]:
    """Each with the constants that training asks for."""
    from . import bias_act_op, upfirdn2d_op

    for module in bias_act_op, upfirdn2d_op:
        yield module.KERNEL, list(module.used_in_training())


def _bench() -> None:
    import torch

    from .kernels.bench import rows

    print(f"{'':<22} {'maps':>20} {'type':>8} {'layout':>13} {'GB/s':>7} {'of a copy':>9}")
    for row in rows(torch.device("cuda")):
        shape = "×".join(map(str, row.shape))
        tensors = f"{row.what:<22} {shape:>20} {row.dtype:>8} {row.layout:>13}"
        print(f"{tensors} {row.bytes / row.seconds / 1e9:>7,.0f} {row.share:>9.0%}", flush=True)


def _print_machine() -> None:
    import torch

    from .kernels import Cuda, Unavailable

    try:
        Cuda().check()
        compiler = Cuda().compiler()
    except Unavailable as error:
        compiler = f"none: {error}"
    device = NO_DEVICE
    if _device():
        device = f"{torch.cuda.get_device_name()}, {_architecture()}"
    print(f"compiler  {compiler}")
    print(f"device    {device}")
    if off := _off():
        print(off)


def _print_kernels(architecture: str | None) -> None:
    """What there is, and what the disk keeps of it."""
    from .kernels import Cuda, cache

    for kernel, variants in _kernels():
        found = f"{len(variants)} variants"
        if architecture is not None:
            built = sum(kernel.kept(Cuda(), architecture, constants) for constants in variants)
            found += f", {built} of them built for {architecture}"
        print(f"{kernel.name:<9} {found}")
    files = [file.stat().st_size for file in cache.folder().glob("*.cubin")]
    print(f"kept in   {cache.folder()}: {len(files)} builds, {sum(files) / 1e6:.1f} MB")


def _built(architecture: str) -> Iterator[tuple[Kernel, str]]:
    """Build all, one after the other: each, and whether it was `found` or `compiled`."""
    from .kernels import Cuda

    for kernel, variants in _kernels():
        for constants in variants:
            yield kernel, kernel.build(Cuda(), architecture, constants)[1]


def _build(architecture: str) -> None:
    from .kernels import BuildError, Unavailable

    start = time.perf_counter()
    how: list[tuple[str, str]] = []
    try:
        for kernel, found in _built(architecture):
            how.append((kernel.name, found))
    except BuildError as error:
        raise GanctlError(f"a kernel does not compile for {architecture}:\n{error}") from None
    except Unavailable as error:
        raise GanctlError(f"kernels cannot be built: {error}") from None
    seconds = time.perf_counter() - start
    for name in dict.fromkeys(name for name, _ in how):
        compiled, before = (how.count((name, word)) for word in ("compiled", "found"))
        print(f"{name:<9} {compiled} compiled for {architecture}, {before} found")
    print(f"in {seconds:.2f} s")


def _last_line(error: Exception) -> str:
    return str(error).splitlines()[-1]
