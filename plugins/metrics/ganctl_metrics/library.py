"""`--engine pytorch-fid`: that library's own network and arithmetic, where it imports."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ganctl import GanctlError, UserError

from . import FIDOptions, weights
from .frechet import Gaussian
from .resize import as_rgb
from .spaces import INCEPTION, FeatureSpace, full_precision

_AT_A_TIME = 50
"""Its own batch size."""


class LibrarySpace(FeatureSpace):
    """pool3 as pytorch-fid computes it, with a weights file that ganctl found and checked."""

    def __init__(self, options: FIDOptions) -> None:
        if (options.extractor, options.resize) != ("inception-2015", "pytorch-fid"):
            raise UserError("engine: pytorch-fid knows its own extractor and resize only")
        found = weights.find(INCEPTION, options.weights, options.weights_unverified)
        self._network = _network(found)
        self._found = found
        self._version = version("pytorch-fid")
        self.suffix = "" if found.genuine else "custom"
        self.fid = "fid" if found.genuine else "fd-custom"
        self.key = f"pytorch-fid-{self._version}/{found.sha256}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        network = self._network.to(images.device)
        with full_precision(images.device):
            parts = [
                network(as_rgb(part).float() / 255)[0].flatten(1).cpu()
                for part in images.split(_AT_A_TIME)  # type: ignore[no-untyped-call]
            ]
        return torch.cat(parts)

    def about(self) -> dict[str, str]:
        return {
            "engine": f"pytorch-fid {self._version}",
            "extractor": "inception-2015",
            "weights": self._found.sha256,
            "resize": "pytorch-fid",
        }


def library_distance(a: Gaussian, b: Gaussian) -> float:
    """By SciPy's `sqrtm`. Raises `GanctlError` where that comes out complex."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = (a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's, of an argument that it will drop
        try:
            return float(calculate_frechet_distance(*moments))
        except (ValueError, TypeError) as error:
            raise GanctlError(
                f"engine: pytorch-fid cannot take the root of these covariances ({error}); "
                "--engine ganctl can"
            ) from None


def _network(found: weights.Found) -> Any:
    try:
        from pytorch_fid import inception
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"engine: pytorch-fid does not import: {reason}; install it, with the torchvision "
            "that belongs to your torch: pip install pytorch-fid; or take --engine ganctl"
        ) from None
    state = weights.read(found.path)
    its_own = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *args, **kwargs: state  # or it would download
    try:
        return inception.InceptionV3([3]).eval()
    finally:
        inception.load_state_dict_from_url = its_own
