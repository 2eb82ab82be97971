"""Perceptual path length (Karras et al. 2019, section 4.1): how far images move per latent step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ganctl import Evaluator, Generator, ImageBatch, StyleGenerator, UserError, random

from . import PPLOptions, lpips, weights
from .resize import as_rgb

EPSILON = 1e-4
"""Of the way from one latent to another."""
LARGEST = 256
"""Larger images are averaged down to this, as VGG16 was trained at 224."""
_AT_A_TIME = 8


class PathLength(Evaluator):
    """ppl, measured at the ends of paths (t = 0) in W; ppl-z: in Z."""

    def __init__(self, options: PPLOptions) -> None:
        self._space = options.space
        files = {
            name: weights.find(published, path, options.weights_unverified)
            for name, published, path in (
                ("vgg", VGG, options.vgg),
                ("heads", HEADS, options.heads),
            )
        }
        self._found = files
        try:
            state = {name: weights.read(found.path) for name, found in files.items()}
            self._lpips = lpips.from_files(**state)
        except ValueError as error:
            raise UserError(f"ppl: not LPIPS' weights: {error}") from None
        self._distances: list[Tensor] = []

    def update(self, batch: ImageBatch, real: bool) -> None:
        pass  # it looks at the generator

    @torch.no_grad()
    def probe(
        self, generator: Generator, samples: int, label: Callable[[int], Tensor | None]
    ) -> None:
        device = next(generator.parameters()).device
        distance = self._lpips.to(device)
        for start in range(0, samples, _AT_A_TIME):
            count = min(_AT_A_TIME, samples - start)
            z = random.randn(2 * count, generator.z_dim, device=device)
            images = self._along(generator, z, label(count))
            a, b = for_lpips(images).chunk(2)
            self._distances.append((distance(a, b) / EPSILON**2).cpu())

    def _along(self, generator: Generator, z: Tensor, c: Tensor | None) -> Tensor:
        """Images at t = 0 and t = ε of paths between the halves of z, with the same noise."""
        z0, z1 = z.chunk(2)
        labels = None if c is None else torch.cat([c, c])
        if self._space == "z":
            images: Tensor = generator(torch.cat([z0, slerp(z0, z1, EPSILON)]), labels)
            return images
        if not isinstance(generator, StyleGenerator):
            raise UserError("ppl: this generator has no styles (W): --space z measures it in Z")
        w0, w1 = generator.mapping(torch.cat([z0, z1]), labels).chunk(2)
        return generator.synthesis(torch.cat([w0, w0.lerp(w1, EPSILON)]), noise="const")

    def compute(self) -> dict[str, float]:
        name = "ppl" if self._space == "w" else "ppl-z"
        if not all(found.genuine for found in self._found.values()):
            name += "-custom"
        return {name: path_length(torch.cat(self._distances).double().numpy())}

    def forget_fakes(self) -> None:
        self._distances.clear()

    def about(self) -> dict[str, str]:
        return {
            "extractor": "vgg16-lpips",
            "weights": self._found["vgg"].sha256,
            "heads": self._found["heads"].sha256,
            "space": self._space,
        }


VGG = weights.Published(
    name="vgg16-397923af.pth",
    url=lpips.VGG_URL,
    size=553_433_881,
    sha256="397923af",  # torch hub publishes the first eight digits, as part of the name
    variable="GANCTL_VGG16",
    option="--vgg",
)
HEADS = weights.Published(
    name="lpips-v0.1-vgg.pth",
    url=lpips.HEADS_URL,
    size=lpips.HEADS_BYTES,
    sha256=lpips.HEADS_SHA256,
    variable="GANCTL_LPIPS",
    option="--heads",
)


def path_length(distances: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The mean without the smallest and the largest hundredth."""
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return float(distances[(low <= distances) & (distances <= high)].mean())


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Along the great circle from a / |a| to b / |b|, (N, D) each; t in [0, 1] or (N, 1)."""
    a, b = normalize(a, dim=-1), normalize(b, dim=-1)
    cosine = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = t * torch.acos(cosine)
    across = normalize(b - cosine * a, dim=-1)
    return normalize(a * torch.cos(angle) + across * torch.sin(angle), dim=-1)


def for_lpips(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] → (N, 3, h, w), no side over 256 where whole factors allow it."""
    x = as_rgb(images)
    factor = x.shape[2] // LARGEST
    if factor > 1:
        x = torch.nn.functional.avg_pool2d(x, factor)
    return x
