"""Evaluators: how near generated images are to a set's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ganctl import Evaluation, ImageSpec, Opt

if TYPE_CHECKING:
    from ganctl import Evaluator


@dataclass(frozen=True)
class SWDOptions:
    """How finely is looked; published figures took 128 patches and 512 directions."""

    patches: Annotated[int, Opt("Patches per image and level of the pyramid.", ge=1)] = 32
    directions: Annotated[int, Opt("Random directions that patches are projected on.", ge=1)] = 256


class SWD(Evaluation[SWDOptions], api=1):
    """Sliced Wasserstein distance of Laplacian pyramid patches: needs no pretrained network."""

    references = (
        "Karras et al. 2018, Progressive Growing of GANs, arXiv:1710.10196, section 5",
        "Rabin et al. 2011, Wasserstein barycenter and its application to texture mixing",
    )

    def build(self, options: SWDOptions, spec: ImageSpec) -> Evaluator:
        from .swd import SlicedWasserstein

        return SlicedWasserstein(options)
