"""The formulas: logits (N, 1) to a loss per row. `real` is l(x), `fake` is l(G(z)).

softplus(−l) = −log σ(l) and softplus(l) = −log(1 − σ(l)), which neither overflow nor need
a sigmoid.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus


def logistic_g(fake: Tensor) -> Tensor:
    """−log σ(l(G(z))): Goodfellow et al. 2014, section 3."""
    return softplus(-fake)


def logistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """−log σ(l(x)) − log(1 − σ(l(G(z)))): Goodfellow et al. 2014, equation 1."""
    return softplus(-real) + softplus(fake)


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 − l(x)) + max(0, 1 + l(G(z))): Lim & Ye 2017."""
    return relu(1 - real) + relu(1 + fake)


def critic_g(fake: Tensor) -> Tensor:
    """−l(G(z)): G's side of the hinge and of both Wasserstein objectives."""
    return -fake


def critic_d(real: Tensor, fake: Tensor) -> Tensor:
    """l(G(z)) − l(x): Arjovsky et al. 2017, equation 3, to be minimised."""
    return fake - real


def squares_g(fake: Tensor) -> Tensor:
    """½ (l(G(z)) − 1)²: Mao et al. 2017, equation 9."""
    return (fake - 1).square() / 2


def squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """½ (l(x) − 1)² + ½ l(G(z))²: Mao et al. 2017, equation 9."""
    return ((real - 1).square() + fake.square()) / 2


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """−log σ(l(G(z)) − l(x)): Huang et al. 2024, equation 2 with f(t) = −log(1 + e⁻ᵗ)."""
    return softplus(real - fake)


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """−log σ(l(x) − l(G(z))): Huang et al. 2024, equation 2."""
    return softplus(fake - real)
