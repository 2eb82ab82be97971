"""Evaluators: how near generated images are to a set's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ganctl import Evaluation, ImageSpec, Opt

if TYPE_CHECKING:
    from ganctl import Evaluator


@dataclass(frozen=True)
class FeatureOptions:
    """Where features come from. Only Inception's give the figures that papers quote."""

    extractor: Annotated[
        Literal["inception-2015", "dinov2", "classifier", "random-conv"],
        Opt("Inception; DINOv2; a CNN that learns the set's labels; or random convolutions."),
    ] = "inception-2015"
    resize: Annotated[
        Literal["pytorch-fid", "tf1", "clean"],
        Opt("Inception's resize: pytorch-fid's, TensorFlow 1's or clean-fid's."),
    ] = "pytorch-fid"
    weights: Annotated[
        str | None,
        Opt("Inception's or DINOv2's; else $GANCTL_INCEPTION, torch hub's cache, a download."),
    ] = None
    weights_unverified: Annotated[
        bool, Opt("Take a weights file of another hash, and call its figures custom.")
    ] = False


@dataclass(frozen=True)
class FIDOptions(FeatureOptions):
    per_class: Annotated[bool, Opt("Also for each class by itself.")] = False
    engine: Annotated[
        Literal["ganctl", "pytorch-fid"],
        Opt("Whose network and arithmetic; pytorch-fid: those of that library, if installed."),
    ] = "ganctl"


@dataclass(frozen=True)
class DINOv2Options:
    dinov2: Annotated[
        str | None, Opt("The weights file of ViT-L/14; else $GANCTL_DINOV2 or torch hub's cache.")
    ] = None


@dataclass(frozen=True)
class ISOptions(FeatureOptions):
    splits: Annotated[int, Opt("Parts of the images, each of which gets a score.", ge=1)] = 10


@dataclass(frozen=True)
class KIDOptions(FeatureOptions):
    subsets: Annotated[int, Opt("Pairs of subsets that are compared.", ge=1)] = 100
    subset_size: Annotated[int, Opt("Images in a subset, if there are so many.", ge=2)] = 1000
    subset_seed: Annotated[int, Opt("Of the draw of the subsets.", ge=0, le=2**32 - 1)] = 0


@dataclass(frozen=True)
class NeighbourOptions(FeatureOptions):
    k: Annotated[int, Opt("A neighbourhood reaches to the k-th nearest image.", ge=1)] = 3


@dataclass(frozen=True)
class DensityOptions(NeighbourOptions):
    k: Annotated[int, Opt("A neighbourhood reaches to the k-th nearest image.", ge=1)] = 5


@dataclass(frozen=True)
class NearestOptions(FeatureOptions):
    shown: Annotated[int, Opt("Samples in the sheet.", ge=1, le=100)] = 8
    neighbours: Annotated[int, Opt("Training images beside each.", ge=1, le=20)] = 6


@dataclass(frozen=True)
class PPLOptions:
    space: Annotated[
        Literal["w", "z"], Opt("Where paths run: W, of style generators, or Z, of all.")
    ] = "w"
    vgg: Annotated[
        str | None, Opt("VGG16's weights; else $GANCTL_VGG16, torch hub's cache, a download.")
    ] = None
    heads: Annotated[
        str | None, Opt("LPIPS' own weights; else $GANCTL_LPIPS, torch hub's cache, a download.")
    ] = None
    weights_unverified: Annotated[
        bool, Opt("Take a weights file of another hash, and call its figures custom.")
    ] = False


@dataclass(frozen=True)
class SWDOptions:
    """How finely is looked; published figures took 128 patches and 512 directions."""

    patches: Annotated[int, Opt("Patches per image and level of the pyramid.", ge=1)] = 32
    directions: Annotated[int, Opt("Random directions that patches are projected on.", ge=1)] = 256


class FrechetInceptionDistance(Evaluation[FIDOptions], api=1):
    """Fréchet Inception distance: the number that papers compare, as pytorch-fid gives it."""

    references = (
        "Heusel et al. 2017, GANs trained by a two time-scale update rule, arXiv:1706.08500",
        "Seitzer 2020, pytorch-fid, github.com/mseitzer/pytorch-fid",
    )

    def build(self, options: FIDOptions, spec: ImageSpec) -> Evaluator:
        from .fid import FID

        return FID(options, spec)


class FrechetDINOv2Distance(Evaluation[DINOv2Options], api=1):
    """Fréchet distance in DINOv2's features, which agrees better with people than FID."""

    references = (
        "Stein et al. 2023, Exposing flaws of generative model evaluation, arXiv:2306.04675",
        "Oquab et al. 2023, DINOv2, arXiv:2304.07193",
    )

    def build(self, options: DINOv2Options, spec: ImageSpec) -> Evaluator:
        from .fid import FID

        return FID(FIDOptions(extractor="dinov2", weights=options.dinov2), spec)


class InceptionScore(Evaluation[ISOptions], api=1):
    """Inception score: single images clear in their class, all together of many classes."""

    references = ("Salimans et al. 2016, Improved techniques for training GANs, arXiv:1606.03498",)
    better = "higher"
    against_set = False

    def build(self, options: ISOptions, spec: ImageSpec) -> Evaluator:
        from .inception_score import InceptionScore

        return InceptionScore(options)


class KernelInceptionDistance(Evaluation[KIDOptions], api=1):
    """Kernel Inception distance: unbiased, so that few images do."""

    references = ("Bińkowski et al. 2018, Demystifying MMD GANs, arXiv:1801.01401",)

    def build(self, options: KIDOptions, spec: ImageSpec) -> Evaluator:
        from .kernel_distance import KernelDistance

        return KernelDistance(options)


class PrecisionRecall(Evaluation[NeighbourOptions], api=1):
    """Precision: are samples like the set's images? Recall: are those all covered?"""

    references = (
        "Kynkäänniemi et al. 2019, Improved precision and recall metric, arXiv:1904.06991",
    )
    better = "higher"

    def build(self, options: NeighbourOptions, spec: ImageSpec) -> Evaluator:
        from .neighbours import PrecisionRecall

        return PrecisionRecall(options, options.k)


class DensityCoverage(Evaluation[DensityOptions], api=1):
    """Density and coverage: precision and recall that outliers do not mislead."""

    references = ("Naeem et al. 2020, Reliable fidelity and diversity metrics, arXiv:2002.09797",)
    better = "higher"

    def build(self, options: DensityOptions, spec: ImageSpec) -> Evaluator:
        from .neighbours import DensityCoverage

        return DensityCoverage(options, options.k)


class NearestNeighbours(Evaluation[NearestOptions], api=1):
    """Samples beside their nearest training images: are they nearer than chance would have it?"""

    references = ("Alaa et al. 2022, How faithful is your synthetic data?, arXiv:2102.08921",)
    better = "higher"

    def build(self, options: NearestOptions, spec: ImageSpec) -> Evaluator:
        from .nearest_neighbours import NearestNeighbours

        return NearestNeighbours(options)


class PerceptualPathLength(Evaluation[PPLOptions], api=1):
    """Perceptual path length: how evenly images change along latent paths."""

    references = (
        "Karras et al. 2019, A style-based generator architecture, arXiv:1812.04948, section 4.1",
        "Zhang et al. 2018, The unreasonable effectiveness of deep features, arXiv:1801.03924",
    )
    against_set = False
    looks_at = "generator"

    def build(self, options: PPLOptions, spec: ImageSpec) -> Evaluator:
        from .ppl import PathLength

        return PathLength(options)


class SWD(Evaluation[SWDOptions], api=1):
    """Sliced Wasserstein distance of Laplacian pyramid patches: needs no pretrained network."""

    references = (
        "Karras et al. 2018, Progressive Growing of GANs, arXiv:1710.10196, section 5",
        "Rabin et al. 2011, Wasserstein barycenter and its application to texture mixing",
    )

    def build(self, options: SWDOptions, spec: ImageSpec) -> Evaluator:
        from .swd import SlicedWasserstein

        return SlicedWasserstein(options)
