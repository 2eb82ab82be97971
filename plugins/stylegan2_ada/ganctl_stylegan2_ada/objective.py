"""How StyleGAN2 is trained (Karras et al. 2020a, arXiv:1912.04958, sections 3.1 and 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganctl import Batch, Phase, Players, StyleGenerator, UserError, random, squared_gradient

from . import StyleGAN2ObjectiveOptions


def stylegan2_phases(players: Players, options: StyleGAN2ObjectiveOptions) -> list[Phase]:
    """G, its path lengths, D, its R1; a regulariser that runs at every step has none of its own.

    Every phase draws latents of its own. G's loss is softplus(-D(G(z))), D's is
    softplus(D(G(z))) + softplus(-D(x)) (Goodfellow et al. 2014, the non-saturating variant).
    """
    generator = players.generator
    if not isinstance(generator, StyleGenerator):
        raise UserError(
            "objective: stylegan2 needs a generator with styles, such as that of stylegan2-ada; "
            "for others there is nonsaturating with --objective.r1-gamma"
        )
    styles: StyleGenerator = generator
    pl_mean = players.buffer("pl_mean", torch.zeros(()))

    def mixed_styles(z: Tensor, c: Tensor | None) -> Tensor:
        """ws (N, num_ws, w_dim); with some probability those from a layer on are of other latents.

        Karras et al. 2019 (arXiv:1812.04948), section 3.1. All images of the batch change over
        at the same layer.
        """
        ws = styles.mapping(z, c)
        if options.style_mixing == 0 or styles.num_ws == 1:
            return ws
        layer = torch.randint(1, styles.num_ws, ())
        mix = torch.rand(()) < options.style_mixing
        other = random.randn(len(z), styles.z_dim, device=z.device)
        if not mix:
            return ws
        others = styles.mapping(other, c, track=False)
        return torch.cat([ws[:, :layer], others[:, layer:]], 1)

    def generator_loss(batch: Batch) -> Tensor:
        fakes = styles.synthesis(mixed_styles(players.latents(batch), batch.labels))
        logits = players.critic(fakes, batch.labels)
        report(batch, "fake", logits)
        loss = softplus(-logits).mean()
        inline = options.pl_weight > 0 and options.pl_every == 1
        return loss + path_length(batch) if inline else loss

    def path_length(batch: Batch) -> Tensor:
        """Weighted (‖Jᵀy‖ - mean)², equation 4, of a part of the batch."""
        n = max(len(batch) // options.pl_batch_shrink, 1)
        c = None if batch.labels is None else batch.labels[:n]
        ws = mixed_styles(players.latents(batch)[:n], c)
        images = styles.synthesis(ws)
        y = random.randn(*images.shape, device=images.device)
        y = y / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        mean = pl_mean.lerp(lengths.mean(), options.pl_decay)
        pl_mean.copy_(mean.detach())
        penalty = (lengths - mean).square()
        batch.report("path_length/mean", mean)
        batch.report("penalty/path_length", penalty)
        return penalty.mean() * options.pl_weight + nothing(images)

    def discriminator_loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            fakes = styles.synthesis(mixed_styles(players.latents(batch), batch.labels))
        fake = players.critic(fakes, batch.labels)
        inline = options.r1_gamma > 0 and options.r1_every == 1
        reals = batch.images.detach().requires_grad_(inline)
        real = players.critic(reals, batch.labels)
        report(batch, "real", real)
        report(batch, "fake", fake)
        loss = softplus(fake).mean() + softplus(-real).mean()
        return loss + r1_of(batch, reals, real) if inline else loss

    def r1(batch: Batch) -> Tensor:
        reals = batch.images.detach().requires_grad_()
        logits = players.critic(reals, batch.labels)
        report(batch, "real", logits)
        return r1_of(batch, reals, logits) + nothing(logits)

    def r1_of(batch: Batch, reals: Tensor, logits: Tensor) -> Tensor:
        """γ/2·‖∇D‖² at the reals (Mescheder et al. 2018, equation 9)."""
        penalty = squared_gradient(logits, reals)
        batch.report("penalty/r1", penalty)
        return penalty.mean() * (options.r1_gamma / 2)

    def nothing(of: Tensor) -> Tensor:
        """0, with gradients of 0 for all parameters behind it, those of the last biases too.

        Adam counts the steps of each parameter: a lazy phase is one for all of them.
        """
        return of.sum() * 0

    def report(batch: Batch, name: str, logits: Tensor) -> None:
        """Wherever D judges: augmenters go by all of it."""
        batch.report(f"logits/{name}", logits)
        batch.report(f"sign/{name}", logits.sign())

    phases = [Phase("G", "generator", generator_loss)]
    if options.pl_every > 1:
        active = options.pl_weight > 0
        phases.append(
            Phase("PL", "generator", path_length, options.pl_every, lazy=True, active=active)
        )
    phases.append(Phase("D", "discriminator", discriminator_loss))
    if options.r1_every > 1:
        active = options.r1_gamma > 0
        phases.append(Phase("R1", "discriminator", r1, options.r1_every, lazy=True, active=active))
    return phases
