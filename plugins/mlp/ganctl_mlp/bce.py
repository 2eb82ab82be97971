"""Binary cross-entropy on logits, for both players.

With D's logit l = logit of "real": D minimises −log σ(l(x)) − log(1 − σ(l(G(z)))), averaged
over both halves, and G minimises −log σ(l(G(z))). Written with softplus(−l) = −log σ(l),
which neither overflows nor needs a sigmoid.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganctl import Batch, Phase, Players


def phases(players: Players, n_critic: int) -> list[Phase]:
    """G's phase, every `n_critic` steps, then D's, which judges the same fakes again."""

    def generator_loss(batch: Batch) -> Tensor:
        fakes = players.generate(batch)
        batch.memo["fakes"] = fakes.detach()
        return softplus(-players.critic(fakes, batch.labels)).mean()

    def discriminator_loss(batch: Batch) -> Tensor:
        fakes = batch.memo.pop("fakes", None)
        if fakes is None:
            with torch.no_grad():
                fakes = players.generate(batch)
        real, fake = players.judge(batch, fakes)
        batch.report("logits/real", real)
        batch.report("logits/fake", fake)
        return (softplus(-real).mean() + softplus(fake).mean()) / 2

    return [
        Phase("G", "generator", generator_loss, every=n_critic),
        Phase("D", "discriminator", discriminator_loss),
    ]
