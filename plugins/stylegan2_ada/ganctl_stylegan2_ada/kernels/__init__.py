"""Kernels in CUDA C++ that are compiled when they are first used; for any plugin.

A kernel is one `.cu` file with one function of its name, whose only parameter is a struct:

    SCALE = Kernel(Path(__file__).with_name("scale.cu"))

    def scale(x: Tensor, factor: float) -> Tensor:
        launch = SCALE.on(x.device, TYPE="float")
        if launch is None:  # no CUDA here, or it does not build, of which the user is told
            return x * factor
        y = torch.empty_like(x)
        blocks = -(-x.numel() // 256)
        launch(blocks, 256, struct.pack("PPqf", x.data_ptr(), y.data_ptr(), x.numel(), factor))
        return y

`ganctl_stylegan2_ada.kernels.storage` says how tensors lie in memory.

Beside its own headers (`*.cuh` in its folder) a file may include `numbers.cuh`, which has float16
and bfloat16.
"""

from .cuda import BuildError, Cuda, Unavailable
from .kernel import BACKENDS, Constant, Kernel, KernelWarning, Launch, plain_operators, written_for

__all__ = [
    "BACKENDS",
    "BuildError",
    "Constant",
    "Cuda",
    "Kernel",
    "KernelWarning",
    "Launch",
    "Unavailable",
    "plain_operators",
    "written_for",
]
