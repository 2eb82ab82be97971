"""The Inception network of FID: Szegedy et al. 2015 (v3) as TensorFlow's 2015-12-05 graph has it.

Names and shapes are those of pytorch-fid's weights file. It differs from the v3 of other
libraries: average pools leave the padding out of the count, the last block pools by maximum,
and there are 1,008 classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

SIDE = 299
FEATURES = 2048
CLASSES = 1008
EPS = 1e-3
"""Of the batch normalisations."""


class Conv(nn.Conv2d):
    """Convolution, the batch normalisation after it folded in, and ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu_()

    def of_average(self, x: Tensor) -> Tensor:
        """`forward` of the 3×3 averages, padding left out of the count, for a 1×1 kernel.

        It is averaged after the convolution, where there are fewer channels: both are linear,
        and weights that sum to one leave the bias as it is.
        """
        return avg_pool2d(super().forward(x), 3, 1, 1, count_include_pad=False).relu_()


def conv(a: int, b: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = True) -> Conv:
    """`pad`: so that stride 1 keeps the size."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if pad else 0
    return Conv(a, b, (height, width), stride, padding)


def halved(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 2)


class BlockA(nn.Module):
    """35×35 (figure 5 of the paper)."""

    def __init__(self, width: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = conv(width, 64, 1)
        self.branch5x5_1 = conv(width, 48, 1)
        self.branch5x5_2 = conv(48, 64, 5)
        self.branch3x3dbl_1 = conv(width, 64, 1)
        self.branch3x3dbl_2 = conv(64, 96, 3)
        self.branch3x3dbl_3 = conv(96, 96, 3)
        self.branch_pool = conv(width, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool.of_average(x)], 1)


class BlockB(nn.Module):
    """35×35 → 17×17."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch3x3 = conv(width, 384, 3, 2, pad=False)
        self.branch3x3dbl_1 = conv(width, 64, 1)
        self.branch3x3dbl_2 = conv(64, 96, 3)
        self.branch3x3dbl_3 = conv(96, 96, 3, 2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, halved(x)], 1)


class BlockC(nn.Module):
    """17×17 (figure 6), 7×7 kernels as 1×7 and 7×1."""

    def __init__(self, mid: int) -> None:
        super().__init__()
        self.branch1x1 = conv(768, 192, 1)
        self.branch7x7_1 = conv(768, mid, 1)
        self.branch7x7_2 = conv(mid, mid, (1, 7))
        self.branch7x7_3 = conv(mid, 192, (7, 1))
        self.branch7x7dbl_1 = conv(768, mid, 1)
        self.branch7x7dbl_2 = conv(mid, mid, (7, 1))
        self.branch7x7dbl_3 = conv(mid, mid, (1, 7))
        self.branch7x7dbl_4 = conv(mid, mid, (7, 1))
        self.branch7x7dbl_5 = conv(mid, 192, (1, 7))
        self.branch_pool = conv(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool.of_average(x)], 1)


class BlockD(nn.Module):
    """17×17 → 8×8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = conv(768, 192, 1)
        self.branch3x3_2 = conv(192, 320, 3, 2, pad=False)
        self.branch7x7x3_1 = conv(768, 192, 1)
        self.branch7x7x3_2 = conv(192, 192, (1, 7))
        self.branch7x7x3_3 = conv(192, 192, (7, 1))
        self.branch7x7x3_4 = conv(192, 192, 3, 2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), halved(x)], 1)


class BlockE(nn.Module):
    """8×8 (figure 7); the last of the network pools by maximum."""

    def __init__(self, width: int, maximum: bool) -> None:
        super().__init__()
        self._maximum = maximum
        self.branch1x1 = conv(width, 320, 1)
        self.branch3x3_1 = conv(width, 384, 1)
        self.branch3x3_2a = conv(384, 384, (1, 3))
        self.branch3x3_2b = conv(384, 384, (3, 1))
        self.branch3x3dbl_1 = conv(width, 448, 1)
        self.branch3x3dbl_2 = conv(448, 384, 3)
        self.branch3x3dbl_3a = conv(384, 384, (1, 3))
        self.branch3x3dbl_3b = conv(384, 384, (3, 1))
        self.branch_pool = conv(width, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = self.branch_pool
        parts = (
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            pool(max_pool2d(x, 3, 1, 1)) if self._maximum else pool.of_average(x),
        )
        return torch.cat(parts, 1)


class Inception(nn.Module):
    """(N, 3, 299, 299) in about [-1, 1] → pooled features (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = conv(3, 32, 3, 2, pad=False)
        self.Conv2d_2a_3x3 = conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = conv(32, 64, 3)
        self.Conv2d_3b_1x1 = conv(64, 80, 1)
        self.Conv2d_4a_3x3 = conv(80, 192, 3, pad=False)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(128)
        self.Mixed_6c = BlockC(160)
        self.Mixed_6d = BlockC(160)
        self.Mixed_6e = BlockC(192)
        self.Mixed_7a = BlockD()
        self.Mixed_7b = BlockE(1280, maximum=False)
        self.Mixed_7c = BlockE(2048, maximum=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halved(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halved(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        return self.Mixed_7c(self.Mixed_7b(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]

    def probabilities(self, features: Tensor) -> Tensor:
        """(N, 2048) → softmax over the 1,008 classes, without the bias: what IS is defined by."""
        return torch.softmax(features @ self.fc.weight.to(features).T, dim=1)


def file_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights file, in which batch normalisations are not folded in."""
    with torch.device("meta"):
        network = Inception()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        if isinstance(module, Conv):
            shapes[f"{name}.conv.weight"] = tuple(module.weight.shape)
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{name}.bn.{part}"] = (module.out_channels,)
            shapes[f"{name}.bn.num_batches_tracked"] = ()
    return shapes | {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}


def from_file(state: Mapping[str, Tensor]) -> Inception:
    """The network with the weights of such a file; batch normalisations are folded in float64.

    Raises `ValueError` naming what does not fit.
    """
    for name, shape in file_shapes().items():
        found = tuple(state[name].shape) if name in state else None
        if found != shape and not name.endswith("num_batches_tracked"):
            raise ValueError(f"{name} should be of shape {shape} and is {found or 'not there'}")
    with torch.device("meta"):
        network = Inception()
    folded = {"fc.weight": state["fc.weight"].float(), "fc.bias": state["fc.bias"].float()}
    for name, module in network.named_modules():
        if isinstance(module, Conv):
            weight, bias = _fold({k: state[f"{name}.{k}"].double() for k in _FOLDED})
            folded[f"{name}.weight"] = weight.float()
            folded[f"{name}.bias"] = bias.float()
    network.load_state_dict(folded, assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


_FOLDED = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


def _fold(part: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """γ (w∗x − μ) / √(σ² + ε) + β as one convolution with a bias."""
    factor = part["bn.weight"] / torch.sqrt(part["bn.running_var"] + EPS)
    weight = part["conv.weight"] * factor.view(-1, 1, 1, 1)
    return weight, part["bn.bias"] - part["bn.running_mean"] * factor
