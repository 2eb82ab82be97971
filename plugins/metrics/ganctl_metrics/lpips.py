"""LPIPS, the learnt perceptual distance of two images (Zhang et al. 2018, arXiv:1801.03924).

Version 0.1 with VGG16 (Simonyan and Zisserman 2014, arXiv:1409.1556, configuration D), the
variant that StyleGAN measures path lengths in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
HEADS_URL = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master"
    "/lpips/weights/v0.1/vgg.pth"
)
HEADS_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
HEADS_BYTES = 7289

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of VGG16's five stages; a layer is taken from the end of each."""
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""3×3 convolutions per stage; stages but the last are followed by pooling to half the size."""
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""What LPIPS brings red, green and blue in [-1, 1] to VGG16's input with: (x − shift) / scale."""
EPS = 1e-10
"""Added to the length that features are divided by."""


class LPIPS(nn.Module):
    """Distances of images, and embeddings whose squared Euclidean distances these are.

    Images are (N, 3, H, W) float in [-1, 1], H and W at least 16. `from_files` makes it of the
    published weights; `widths` is for tests.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._taps: list[int] = []
        channels = 3
        for width, count in zip(widths, CONVOLUTIONS, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self._taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)  # numbered as torchvision's
        self.heads = nn.ParameterList(torch.ones(width) / width for width in widths)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, 3, H, W) → (N,): how far apart, pair by pair (equation 1 of the paper)."""
        parts = [
            torch.einsum("nchw,c->n", (first - second).square(), head) / first[0, 0].numel()
            for first, second, head in zip(self._units(a), self._units(b), self.heads, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    def embed(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, D): |embed(a) − embed(b)|² is the distance of a and b.

        Unit features times √weight / √(H·W), layer after layer. D grows with the image: 499,712
        at 64×64.
        """
        parts = []
        for units, head in zip(self._units(x), self.heads, strict=True):
            factor = (head / units[0, 0].numel()).sqrt()
            parts.append((units * factor.view(-1, 1, 1)).flatten(1))
        return torch.cat(parts, dim=1)

    def _units(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → per stage (N, C, h, w) with vectors of length 1 along C, or 0."""
        shift, scale = (x.new_tensor(values).view(3, 1, 1) for values in (SHIFT, SCALE))
        x = (x - shift) / scale
        taken = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._taps:
                taken.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPS))
        return taken


def from_files(vgg: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> LPIPS:
    """The network of torchvision's VGG16 weights, whose classifier is left out, and LPIPS' heads.

    Raises `ValueError` naming what does not fit.
    """
    with torch.device("meta"):
        network = LPIPS()
    state: dict[str, Tensor] = {}
    for name, wanted in network.state_dict().items():
        if name.startswith("heads."):
            number = name.removeprefix("heads.")
            source, shape, file = f"lin{number}.model.1.weight", (1, len(wanted), 1, 1), heads
        else:
            source, shape, file = name, tuple(wanted.shape), vgg
        found = tuple(file[source].shape) if source in file else None
        if found != shape:
            raise ValueError(f"{source} should be of shape {shape} and is {found or 'not there'}")
        state[name] = file[source].float().view_as(wanted)
        if name.startswith("heads.") and (state[name] < 0).any():
            raise ValueError(f"{source} holds negative weights: no distance comes of these")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
