"""Two formulas on D's logits, made into phases: what most objectives consist of.

Importing this module imports no torch, so that descriptors can take their options from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from .options import Opt

if TYPE_CHECKING:
    from torch import Tensor

    from .interfaces import Batch, Phase, Players


@dataclass(frozen=True)
class AdversarialOptions:
    """What every objective of two formulas can be given beside them."""

    n_critic: Annotated[int, Opt("Discriminator steps per generator step.", ge=1)] = 1
    r1_gamma: Annotated[
        float, Opt("R1: penalty on D's gradient at the reals, γ/2·‖∇D‖²; 0: none.", ge=0)
    ] = 0.0
    r2_gamma: Annotated[float, Opt("R2: the same at the generator's images; 0: none.", ge=0)] = 0.0
    penalty_every: Annotated[
        int, Opt("R1 and R2 at every so many steps, in a step of their own if over 1.", ge=1)
    ] = 1


def adversarial_phases(
    players: Players,
    options: AdversarialOptions,
    *,
    generator: Callable[..., Tensor],
    discriminator: Callable[[Tensor, Tensor], Tensor],
    relativistic: bool = False,
    penalty: Callable[[Batch, Tensor], Tensor] | None = None,
    view: Callable[[Batch, Tensor], Tensor] = lambda batch, images: images,
    after: Callable[[], None] | None = None,
) -> list[Phase]:
    """G's phase, every `n_critic` steps, then D's, which judges the same fakes again.

    The formulas take logits (N, 1) and return one loss per row, of any shape: `generator(fake)`, or
    `generator(real, fake)` where the objective is `relativistic`; `discriminator(real, fake)`.
    `penalty(batch, fakes)`, per row too, is added to D's loss. `view(batch, images)` is what
    D sees of images, before the augmenter. `after` ends D's step.

    R1 and R2 (Mescheder et al. 2018, arXiv:1801.04406, equations 9 and 10) are added to D's
    loss, or are a lazy phase of their own (Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """
    import torch

    from .interfaces import Phase

    gammas = {"r1": options.r1_gamma, "r2": options.r2_gamma}
    lazy = options.penalty_every > 1
    inline = dict.fromkeys(gammas, 0.0) if lazy else gammas

    def generator_loss(batch: Batch) -> Tensor:
        fakes = players.generate(batch)
        batch.memo["fakes"] = fakes.detach()
        fakes = view(batch, fakes)
        if relativistic:
            return generator(*players.judge(batch, fakes, reals=view(batch, batch.images))).mean()
        return generator(players.critic(fakes, batch.labels)).mean()

    def discriminator_loss(batch: Batch) -> Tensor:
        reals, fakes = batch.images, fakes_of(batch)
        if inline["r1"]:
            reals = reals.detach().requires_grad_()
        if inline["r2"]:
            fakes = fakes.detach().requires_grad_()
        real, fake = players.judge(batch, view(batch, fakes), reals=view(batch, reals))
        batch.report("logits/real", real)
        batch.report("logits/fake", fake)
        batch.report("sign/real", real.sign())
        batch.report("sign/fake", fake.sign())
        loss = discriminator(real, fake).mean()
        images = {"r1": reals, "r2": fakes}
        if wanted := {name: images[name] for name, gamma in inline.items() if gamma}:
            loss = loss + zero_centred(batch, real.sum() + fake.sum(), wanted)
        if penalty is not None:
            loss = loss + penalty(batch, fakes.detach()).mean()
        return loss

    def lazy_loss(batch: Batch) -> Tensor:
        total, images = torch.zeros((), device=batch.pixels.device), {}
        for name in (name for name, gamma in gammas.items() if gamma):
            seen = batch.images if name == "r1" else fakes_of(batch)
            images[name] = seen.detach().requires_grad_()
            total = total + players.critic(view(batch, images[name]), batch.labels).sum()
        return zero_centred(batch, total, images)

    def fakes_of(batch: Batch) -> Tensor:
        fakes: Tensor | None = batch.memo.pop("fakes", None)
        if fakes is None:
            with torch.no_grad():
                fakes = players.generate(batch)
        return fakes

    def zero_centred(batch: Batch, logits: Tensor, images: dict[str, Tensor]) -> Tensor:
        """One backward pass for both penalties; a row's logit moves with its own image alone."""
        gradients = torch.autograd.grad(logits, list(images.values()), create_graph=True)
        terms = []
        for name, gradient in zip(images, gradients, strict=True):
            squared = gradient.flatten(1).square().sum(dim=1)
            batch.report(f"penalty/{name}", squared)
            terms.append(squared.mean() * (gammas[name] / 2))
        return torch.stack(terms).sum()

    phases = [
        Phase("G", "generator", generator_loss, every=options.n_critic),
        Phase("D", "discriminator", discriminator_loss, after=after),
    ]
    if lazy and any(gammas.values()):
        phases.append(
            Phase("R", "discriminator", lazy_loss, options.penalty_every, lazy=True, after=after)
        )
    return phases


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² per row, (N,), differentiable; `images` (N, …) must take gradients."""
    import torch

    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1)
