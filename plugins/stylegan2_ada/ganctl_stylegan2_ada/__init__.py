"""StyleGAN2-ADA (Karras et al. 2020a and 2020b), and DiffAugment (Zhao et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ganctl import Architecture, Augmentation, ImageSpec, Objective, Opt, Recipe, UserError

from . import recipes

if TYPE_CHECKING:
    from ganctl import Augmenter, Discriminator, Generator, Phase, Players


@dataclass(frozen=True)
class StyleGAN2Options:
    """What is none is taken from the recipe."""

    recipe: Annotated[
        recipes.Name,
        Opt("Published settings of networks and training; auto goes by the images and the batch."),
    ] = "auto"
    z_dim: Annotated[int, Opt("Length of the latent vector.", ge=1)] = 512
    w_dim: Annotated[int, Opt("Length of a style vector.", ge=1)] = 512
    mapping_layers: Annotated[
        int | None, Opt("Layers from latents to styles; none: as the recipe has it.", ge=1)
    ] = None
    channel_base: Annotated[
        int | None,
        Opt("Channels times resolution, up to channel_max; none: as the recipe has it.", ge=1),
    ] = None
    channel_max: Annotated[int, Opt("The most channels of a layer.", ge=1)] = 512
    g_arch: Annotated[
        recipes.Blocks, Opt("G: images summed up over resolutions, residual, or neither.")
    ] = "skip"
    d_arch: Annotated[
        recipes.Blocks | None,
        Opt("D: fed images at every resolution, residual, or neither; none: by the recipe."),
    ] = None
    d_mapping_layers: Annotated[int, Opt("Layers from labels to what D projects on.", ge=0)] = 8
    mbstd_group: Annotated[
        int | None,
        Opt("Images whose spread D sees; the batch is cut up so; none: by the recipe.", ge=1),
    ] = None
    mbstd_features: Annotated[int, Opt("How many such features.", ge=1)] = 1
    half_resolutions: Annotated[
        int, Opt("So many of the highest resolutions are in float16 (on GPUs).", ge=0)
    ] = 4
    conv_clamp: Annotated[
        float | None, Opt("Limit of what layers give out, so that float16 can hold it.", gt=0)
    ] = 256.0


class StyleGAN2ADA(Architecture[StyleGAN2Options], api=1):
    """Style-based networks for photographs, with the training settings of StyleGAN2-ADA."""

    resolution = 256
    references = (
        "Karras et al. 2020, Analyzing and improving the image quality of StyleGAN, "
        "arXiv:1912.04958",
        "Karras et al. 2020, Training generative adversarial networks with limited data, "
        "arXiv:2006.06676",
    )

    def build(self, options: StyleGAN2Options, spec: ImageSpec) -> tuple[Generator, Discriminator]:
        from .discriminator import StyleGAN2Discriminator
        from .generator import StyleGAN2Generator

        return StyleGAN2Generator(options, spec), StyleGAN2Discriminator(options, spec)

    def recipe(self, options: StyleGAN2Options, spec: ImageSpec, batch: int | None) -> Recipe:
        row = recipes.settings(options.recipe, spec, batch)
        return Recipe(
            objective="stylegan2",
            batch=row.batch,
            kimg=row.kimg,
            lr=row.lr,
            betas=recipes.BETAS,
            ema_kimg=row.ema_kimg,
            ema_rampup=row.ema_rampup,
            augment="ada",
            objective_options={
                "r1_gamma": row.r1_gamma,
                "pl_weight": row.pl_weight,
                "style_mixing": row.style_mixing,
            },
            nonfinite="clip",
            # Karras et al. 2020b, appendix: a trained network needs no ramp-up of its average,
            # and its discriminator overfits sooner, so that p may rise faster.
            transfer={"ema_rampup": None, "augment_options": {"ramp_kimg": 100.0}},
        )


@dataclass(frozen=True)
class StyleGAN2ObjectiveOptions:
    """Defaults are those of StyleGAN2; its recipes bring γ with them."""

    r1_gamma: Annotated[
        float, Opt("R1: penalty on D's gradient at the reals, γ/2·‖∇D‖²; 0: none.", ge=0)
    ] = 10.0
    r1_every: Annotated[
        int, Opt("R1 at every so many steps, in a step of its own if over 1.", ge=1)
    ] = 16
    pl_weight: Annotated[
        float, Opt("Weight of the path length's deviation from its mean; 0: none.", ge=0)
    ] = 2.0
    pl_every: Annotated[
        int, Opt("Path length at every so many steps, in a step of its own if over 1.", ge=1)
    ] = 4
    pl_decay: Annotated[float, Opt("How fast the mean path length follows.", gt=0, le=1)] = 0.01
    pl_batch_shrink: Annotated[
        int, Opt("Path length is taken of the batch divided by this.", ge=1)
    ] = 2
    style_mixing: Annotated[
        float, Opt("Probability that an image is made of two latents.", ge=0, le=1)
    ] = 0.9


class StyleGAN2(Objective[StyleGAN2ObjectiveOptions], api=1):
    """Non-saturating logistic loss, R1, path lengths, style mixing: for style generators."""

    references = (
        "Karras et al. 2020, Analyzing and improving the image quality of StyleGAN, "
        "arXiv:1912.04958",
        "Karras et al. 2019, A style-based generator architecture for GANs, arXiv:1812.04948 "
        "(style mixing)",
        "Mescheder et al. 2018, Which training methods for GANs do actually converge?, "
        "arXiv:1801.04406 (R1)",
    )

    def phases(self, players: Players, options: StyleGAN2ObjectiveOptions) -> list[Phase]:
        from .objective import stylegan2_phases

        return stylegan2_phases(players, options)


@dataclass(frozen=True)
class ADAOptions:
    """Defaults are those of the paper; the ceiling is ours."""

    pipe: Annotated[
        Literal[
            "bgc",
            "bg",
            "bgcf",
            "bgcfn",
            "bgcfnc",
            "blit",
            "geom",
            "color",
            "filter",
            "noise",
            "cutout",
        ],
        Opt("Which transformations: a group, or several, by their initials."),
    ] = "bgc"
    p: Annotated[
        float | None, Opt("Probability of each, as it stays; if none, it adapts.", ge=0, le=1)
    ] = None
    target: Annotated[
        float, Opt("Mean sign of D's logits of reals that p is to bring about.", gt=-1, lt=1)
    ] = 0.6
    interval: Annotated[int, Opt("Steps after which p moves.", ge=1)] = 4
    ramp_kimg: Annotated[float, Opt("Thousands of images in which p can go from 0 to 1.", gt=0)] = (
        500.0
    )
    ceiling: Annotated[
        float, Opt("The most that p adapts to: above, transformations leak into G.", ge=0, le=1)
    ] = 0.8


class ADA(Augmentation[ADAOptions], api=1):
    """Adaptive discriminator augmentation: for sets of a few thousand images and less."""

    references = (
        "Karras et al. 2020, Training generative adversarial networks with limited data, "
        "arXiv:2006.06676",
    )

    def build(self, options: ADAOptions, spec: ImageSpec) -> Augmenter:
        from .adaptive import AdaptiveAugmenter
        from .augment.presets import PRESETS

        if spec.channels not in (1, 3):
            raise UserError(
                f"augment: ada knows gray and RGB images, not {spec.channels} channels: "
                "--augment none, or another augmenter"
            )
        return AdaptiveAugmenter(
            PRESETS[options.pipe],
            p=0.0 if options.p is None else options.p,
            target=options.target if options.p is None else None,
            interval=options.interval,
            ramp_kimg=options.ramp_kimg,
            ceiling=options.ceiling,
        )


@dataclass(frozen=True)
class DiffAugmentOptions:
    """The default is the paper's for small sets."""

    policy: Annotated[
        tuple[Literal["color", "translation", "cutout"], ...],
        Opt("Which transformations, in this order."),
    ] = ("color", "translation", "cutout")

    def __post_init__(self) -> None:
        if not self.policy:
            raise UserError("policy names no transformation")
        if len(set(self.policy)) < len(self.policy):
            raise UserError(f"policy names a transformation twice: {', '.join(self.policy)}")


class DiffAugment(Augmentation[DiffAugmentOptions], api=1):
    """Differentiable augmentation: every image recoloured, shifted and masked, without adapting."""

    references = (
        "Zhao et al. 2020, Differentiable augmentation for data-efficient GAN training, "
        "arXiv:2006.10738",
    )

    def build(self, options: DiffAugmentOptions, spec: ImageSpec) -> Augmenter:
        from .diffaugment import DiffAugmenter

        return DiffAugmenter(options.policy)
