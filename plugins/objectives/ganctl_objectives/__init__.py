"""Objectives for every architecture. (`bce`, the first one, comes with `ganctl-mlp`.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ganctl import AdversarialOptions, Objective, Opt, adversarial_phases

if TYPE_CHECKING:
    from ganctl import Phase, Players


class NonSaturating(Objective[AdversarialOptions], api=1):
    """Non-saturating logistic loss, as StyleGAN uses it; add R1 to make it converge."""

    references = (
        "Goodfellow et al. 2014, arXiv:1406.2661, section 3",
        "Mescheder et al. 2018, arXiv:1801.04406 (R1, R2)",
    )

    def phases(self, players: Players, options: AdversarialOptions) -> list[Phase]:
        from . import losses as loss

        return adversarial_phases(
            players, options, generator=loss.logistic_g, discriminator=loss.logistic_d
        )


class Hinge(Objective[AdversarialOptions], api=1):
    """Hinge loss: D stops pushing what is beyond a margin of 1."""

    references = (
        "Lim & Ye 2017, Geometric GAN, arXiv:1705.02894",
        "Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17",
    )

    def phases(self, players: Players, options: AdversarialOptions) -> list[Phase]:
        from . import losses as loss

        return adversarial_phases(
            players, options, generator=loss.critic_g, discriminator=loss.hinge_d
        )


class LSGAN(Objective[AdversarialOptions], api=1):
    """Least squares: logits are drawn to 1 for reals and 0 for fakes."""

    references = ("Mao et al. 2017, Least Squares GANs, arXiv:1611.04076, equation 9",)

    def phases(self, players: Players, options: AdversarialOptions) -> list[Phase]:
        from . import losses as loss

        return adversarial_phases(
            players, options, generator=loss.squares_g, discriminator=loss.squares_d
        )


@dataclass(frozen=True)
class WGANOptions(AdversarialOptions):
    """The Wasserstein GAN with clipped weights."""

    n_critic: Annotated[int, Opt("Discriminator steps per generator step.", ge=1)] = 5
    clip: Annotated[float, Opt("D's weights are kept within ± this.", gt=0)] = 0.01


class WGAN(Objective[WGANOptions], api=1):
    """Wasserstein distance with a critic whose weights are clipped."""

    references = ("Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875, algorithm 1",)

    def phases(self, players: Players, options: WGANOptions) -> list[Phase]:
        from . import losses as loss
        from .clipping import clip_weights, refuse_parametrized

        refuse_parametrized(players.discriminator)
        clip_weights(players.discriminator, options.clip)  # G's first step comes before D's
        return adversarial_phases(
            players,
            options,
            generator=loss.critic_g,
            discriminator=loss.critic_d,
            after=lambda: clip_weights(players.discriminator, options.clip),
        )


@dataclass(frozen=True)
class WGANGPOptions(AdversarialOptions):
    """The Wasserstein GAN with a gradient penalty."""

    n_critic: Annotated[int, Opt("Discriminator steps per generator step.", ge=1)] = 5
    gp_lambda: Annotated[float, Opt("Weight of the gradient penalty, λ.", ge=0)] = 10.0


class WGANGP(Objective[WGANGPOptions], api=1):
    """Wasserstein distance with a gradient penalty between reals and fakes."""

    references = (
        "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028, eq. 3",
    )

    def phases(self, players: Players, options: WGANGPOptions) -> list[Phase]:
        from . import losses as loss
        from .penalties import Interpolated

        return adversarial_phases(
            players,
            options,
            generator=loss.critic_g,
            discriminator=loss.critic_d,
            penalty=Interpolated(players, options.gp_lambda),
        )


@dataclass(frozen=True)
class DRAGANOptions(AdversarialOptions):
    """The original loss with a gradient penalty around the reals."""

    gp_lambda: Annotated[float, Opt("Weight of the gradient penalty, λ.", ge=0)] = 10.0
    gp_noise: Annotated[
        float, Opt("Reach of the noise around a real, in its pixels' own deviations.", gt=0)
    ] = 0.5


class DRAGAN(Objective[DRAGANOptions], api=1):
    """Logistic loss with a gradient penalty at noisy reals."""

    references = ("Kodali et al. 2017, On Convergence and Stability of GANs, arXiv:1705.07215",)

    def phases(self, players: Players, options: DRAGANOptions) -> list[Phase]:
        from . import losses as loss
        from .penalties import Perturbed

        return adversarial_phases(
            players,
            options,
            generator=loss.logistic_g,
            discriminator=loss.logistic_d,
            penalty=Perturbed(players, options.gp_lambda, options.gp_noise),
        )


@dataclass(frozen=True)
class RelativisticOptions(AdversarialOptions):
    """RpGAN with both zero-centred penalties: the objective of R3GAN."""

    r1_gamma: Annotated[
        float, Opt("R1: penalty on D's gradient at the reals, γ/2·‖∇D‖²; 0: none.", ge=0)
    ] = 0.1
    r2_gamma: Annotated[float, Opt("R2: the same at the generator's images; 0: none.", ge=0)] = 0.1


class Relativistic(Objective[RelativisticOptions], api=1):
    """Relativistic pairing with R1 and R2: fakes are judged against reals (R3GAN)."""

    references = (
        "Huang et al. 2024, The GAN is dead; long live the GAN! arXiv:2501.05441, section 2",
        "Jolicoeur-Martineau 2019, The relativistic discriminator, arXiv:1807.00734",
    )

    def phases(self, players: Players, options: RelativisticOptions) -> list[Phase]:
        from . import losses as loss

        return adversarial_phases(
            players,
            options,
            generator=loss.relativistic_g,
            discriminator=loss.relativistic_d,
            relativistic=True,
        )
