"""Binary cross-entropy on logits, for both players, and the usual remedies against a strong D."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganctl import Batch, Phase, Players, adversarial_phases, random

from . import BCEOptions


def phases(players: Players, options: BCEOptions) -> list[Phase]:
    """D minimises −log σ(l(x)) − log(1 − σ(l(G(z)))), averaged over both, G −log σ(l(G(z)))."""

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        if not (options.label_smoothing or options.label_noise):
            return (softplus(-real) + softplus(fake)) / 2
        ones = 1 - options.label_smoothing
        on_reals = flipped(real, options.label_noise)
        on_fakes = flipped(fake, options.label_noise)
        return (
            cross_entropy(real, ones * (1 - on_reals)) + cross_entropy(fake, ones * on_fakes)
        ) / 2

    def view(batch: Batch, images: Tensor) -> Tensor:
        deviation = options.instance_noise * (1 - batch.progress.fraction)
        if not deviation:
            return images
        return images + deviation * random.randn(*images.shape, device=images.device)

    return adversarial_phases(
        players,
        options,
        generator=lambda fake: softplus(-fake),
        discriminator=discriminator,
        view=view,
    )


def cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    """−t log σ(l) − (1 − t) log(1 − σ(l)), without overflow."""
    return softplus(logit) - target * logit


def flipped(logits: Tensor, share: float) -> Tensor:
    """1 for the rows (N, 1) whose label is told wrong, with this probability, else 0."""
    return (random.rand(len(logits), 1, device=logits.device) < share).to(logits.dtype)
