"""Penalties on how far D's gradient norm is from 1, at points beside the images.

D must judge row by row for them: in a batch norm an image's gradient is also its
neighbours'. They run with it all the same, as people do.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ganctl import Batch, Players, random, squared_gradient


@dataclass(frozen=True)
class Interpolated:
    """λ (‖∇D(x̂)‖ − 1)², x̂ = ε x + (1 − ε) G(z), ε uniform per row: WGAN-GP."""

    players: Players
    weight: float

    def __call__(self, batch: Batch, fakes: Tensor) -> Tensor:
        reals = batch.images
        epsilon = random.rand(len(reals), 1, 1, 1, device=reals.device)
        return _one_centred(
            self.players, batch, epsilon * reals + (1 - epsilon) * fakes, self.weight
        )


@dataclass(frozen=True)
class Perturbed:
    """λ (‖∇D(x + δ)‖ − 1)²: DRAGAN.

    The paper's algorithm draws δ from a normal distribution; its authors' code, followed here,
    takes x̂ = x + α δ with α uniform per row and δ uniform in [0, noise·deviation) per pixel.
    Their deviation is the batch's, this one the row's, so that micro-batches come out the same.
    """

    players: Players
    weight: float
    noise: float

    def __call__(self, batch: Batch, fakes: Tensor) -> Tensor:
        reals = batch.images
        reach = self.noise * reals.flatten(1).std(dim=1).view(-1, 1, 1, 1)
        alpha = random.rand(len(reals), 1, 1, 1, device=reals.device)
        delta = random.rand(*reals.shape, device=reals.device)
        return _one_centred(self.players, batch, reals + alpha * reach * delta, self.weight)


def _one_centred(players: Players, batch: Batch, points: Tensor, weight: float) -> Tensor:
    points = points.detach().requires_grad_()
    squared = squared_gradient(players.critic(points, batch.labels), points)
    norm = (squared + 1e-24).sqrt()  # a square root has no gradient at 0, where a flat D is
    batch.report("penalty/gp", norm)
    return weight * (norm - 1).square()
