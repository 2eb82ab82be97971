"""Feature spaces: what extracts features, what it is called, and what figures in it are called."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ganctl import GanctlError, ImageSet, UserError

from . import FeatureOptions, classifier, dinov2, inception, weights
from .resize import Resize, for_inception

INCEPTION = weights.Published(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable="GANCTL_INCEPTION",
)
DINOV2 = weights.Published(
    name="dinov2_vitl14_pretrain.pth",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    size=0,
    sha256="",
    variable="GANCTL_DINOV2",
)
_AT_A_TIME = 8
"""Images through a large network: more need memory and are no faster."""


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within: GPUs convolve in float32, not in the TF32 that they take by default."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


class FeatureSpace:
    """An `Extractor` that also names itself."""

    key: str
    suffix = ""
    """Of the names of figures in this space; empty: the space that they are defined in."""
    fid = "fid"
    """What the Fréchet distance in this space may be called."""

    def fitted(self, reals: ImageSet) -> FeatureSpace:
        """The space for figures about this set. Raises `UserError` if it has none for it."""
        return self

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → (N, D) float32 on the CPU."""
        raise NotImplementedError

    def probabilities(self, features: Tensor) -> Tensor:
        """(N, D) → (N, classes). Raises `UserError` where there are no classes."""
        raise UserError("is: this extractor has no classes; take inception-2015 or classifier")

    def about(self) -> dict[str, str]:
        raise NotImplementedError

    def named(self, figure: str) -> str:
        """`kid`, or in another space `kid-classifier`."""
        return f"{figure}-{self.suffix}" if self.suffix else figure


class InceptionSpace(FeatureSpace):
    """pool3 of the 2015-12-05 Inception network: 2,048 features."""

    def __init__(self, found: weights.Found, resize: Resize) -> None:
        self._found, self._resize = found, resize
        self._network = _inception(found)
        suffixes = [*([] if found.genuine else ["custom"]), *_SUFFIX[resize]]
        self.suffix = "-".join(suffixes)
        self.fid = "-".join(["fid" if found.genuine else "fd", *suffixes])
        self.key = f"inception-2015/{found.sha256}/{resize}/1"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        network = self._network.to(images.device)
        with full_precision(images.device):
            parts = [
                network(for_inception(part, self._resize)).cpu()
                for part in images.split(_AT_A_TIME)  # type: ignore[no-untyped-call]
            ]
        return torch.cat(parts)

    def probabilities(self, features: Tensor) -> Tensor:
        return self._network.cpu().probabilities(features)

    def about(self) -> dict[str, str]:
        return {
            "extractor": "inception-2015",
            "weights": self._found.sha256,
            "resize": self._resize,
        }


_SUFFIX: dict[Resize, list[str]] = {"pytorch-fid": [], "tf1": ["tf1"], "clean": ["clean"]}


class DINOv2Space(FeatureSpace):
    """The class token of DINOv2's ViT-L/14: 1,024 features (Stein et al. 2023)."""

    suffix = "dinov2"
    fid = "fd-dinov2"

    def __init__(self, found: weights.Found) -> None:
        self._found = found
        with torch.device("meta"):
            self._network = dinov2.DINOv2()
        try:
            self._network.load_state_dict(weights.read(self._found.path), assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self._found.path}: not DINOv2's ViT-L/14: {reason}") from None
        self._network.eval().requires_grad_(False)
        self.key = f"dinov2/{self._found.sha256}/1"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        network = self._network.to(images.device)
        parts = [
            network(dinov2.preprocess(part)).cpu()
            for part in images.split(_AT_A_TIME)  # type: ignore[no-untyped-call]
        ]
        return torch.cat(parts)

    def about(self) -> dict[str, str]:
        return {"extractor": "dinov2-vitl14", "weights": self._found.sha256}


class RandomSpace(FeatureSpace):
    """Random convolutions (Naeem et al. 2020): nothing to download, nothing learned."""

    key = "random-conv/1"
    suffix = "random-conv"
    fid = "fd-random-conv"

    def __init__(self) -> None:
        from .random_conv import RandomConv

        self._network = RandomConv().eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        features: Tensor = self._network.to(images.device)(images)
        return features.cpu()

    def about(self) -> dict[str, str]:
        return {"extractor": "random-conv"}


class UnfittedClassifier(FeatureSpace):
    """A classifier that waits for the set whose labels it learns."""

    suffix = "classifier"
    fid = "fd-classifier"

    def __init__(self) -> None:
        self._spaces: WeakKeyDictionary[ImageSet, ClassifierSpace] = WeakKeyDictionary()

    def fitted(self, reals: ImageSet) -> FeatureSpace:
        if reals.labels is None or reals.classes < 2:
            raise UserError(
                "classifier: the set has no labels to learn (`ganctl prepare` makes them of "
                "subfolders); take --extractor inception-2015 or random-conv"
            )
        if reals not in self._spaces:
            self._spaces[reals] = ClassifierSpace.of(reals)
        return self._spaces[reals]

    @property
    def key(self) -> str:  # type: ignore[override]
        raise UserError("classifier: needs a set with labels (--data SET) to learn from")

    def __call__(self, images: Tensor) -> Tensor:
        raise UserError(self.key)

    def about(self) -> dict[str, str]:
        return {"extractor": "classifier"}


class ClassifierSpace(FeatureSpace):
    """The features of a CNN that was trained on a set's labels: 128 of them."""

    suffix = "classifier"
    fid = "fd-classifier"

    def __init__(self, network: classifier.Classifier, digest: str) -> None:
        self._network, self._digest = network.eval().requires_grad_(False), digest
        self.key = f"classifier/{digest}"

    @classmethod
    def of(cls, reals: ImageSet) -> ClassifierSpace:
        """Trained on the set now, or earlier and kept in its folder. Raises `UserError`."""
        file = reals.folder / "classifier.safetensors"
        try:
            return cls(classifier.load(file), weights.digest(file))
        except UserError:  # none yet, or damaged
            pass
        assert reals.labels is not None
        print("training a classifier of the set's labels", file=sys.stderr)
        labels = torch.from_numpy(reals.labels)
        network = classifier.train_classifier(reals.gather, labels, reals.classes)
        try:
            classifier.save(network, file)
        except GanctlError as error:
            print(f"ganctl: warning: the classifier is not kept: {error}", file=sys.stderr)
        return cls(network, hashlib.sha256(classifier.to_file(network)).hexdigest())

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        return self._network.to(images.device).features(images).cpu()

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        return torch.softmax(self._network.cpu().fc(features), dim=1)

    def about(self) -> dict[str, str]:
        return {
            "extractor": "classifier",
            "held_out_accuracy": f"{self._network.accuracy:.4f}",
            "weights": self._digest,
        }


def open_space(options: FeatureOptions) -> FeatureSpace:
    """The same object for the same options, so that evaluators share what it extracts.

    Raises `UserError` and `GanctlError` when its weights are not to be had.
    """
    if options.extractor == "inception-2015":
        found = weights.find(INCEPTION, options.weights, options.weights_unverified)
        return _inception_space(found, options.resize)
    if options.extractor == "dinov2":
        return _dinov2_space(weights.find(DINOV2, options.weights))
    return _space_without_weights(options.extractor)


@lru_cache(maxsize=3)
def _inception_space(found: weights.Found, resize: Resize) -> FeatureSpace:
    return InceptionSpace(found, resize)


@lru_cache(maxsize=1)
def _dinov2_space(found: weights.Found) -> FeatureSpace:
    return DINOv2Space(found)


@lru_cache
def _space_without_weights(extractor: str) -> FeatureSpace:
    return RandomSpace() if extractor == "random-conv" else UnfittedClassifier()


@lru_cache(maxsize=1)
def _inception(found: weights.Found) -> inception.Inception:
    try:
        return inception.from_file(weights.read(found.path))
    except ValueError as error:
        raise UserError(f"{found.path}: not Inception's weights: {error}") from None
