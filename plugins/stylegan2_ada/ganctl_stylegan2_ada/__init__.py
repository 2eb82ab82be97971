"""StyleGAN2 with adaptive discriminator augmentation (Karras et al. 2020a and 2020b)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ganctl import Augmentation, ImageSpec, Opt

if TYPE_CHECKING:
    from ganctl import Augmenter


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
        Opt("Which transformations: a group, or groups by their initials."),
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

        return AdaptiveAugmenter(
            PRESETS[options.pipe],
            p=0.0 if options.p is None else options.p,
            target=options.target if options.p is None else None,
            interval=options.interval,
            ramp_kimg=options.ramp_kimg,
            ceiling=options.ceiling,
        )
