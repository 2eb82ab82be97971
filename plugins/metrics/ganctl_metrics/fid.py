"""Fréchet Inception distance (Heusel et al. 2017), over all images and by class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganctl import ImageBatch, ImageSpec, UserError

from . import FIDOptions
from .feature_evaluator import FeatureEvaluator, few
from .frechet import Gaussian, Moments, frechet_distance, frechet_of_few, gaussian_of


class FID(FeatureEvaluator):
    """fid; in other spaces, or with other weights, under other names."""

    def __init__(self, options: FIDOptions, spec: ImageSpec) -> None:
        if options.engine == "pytorch-fid":
            from .library import LibrarySpace, library_distance

            self.space, self._distance = LibrarySpace(options), library_distance
        else:
            super().__init__(options)
            self._distance = frechet_distance
        self._moments = {True: Moments(), False: Moments()}
        self._reals: Gaussian | None = None
        self._classes = ByClass(spec) if options.per_class else None
        self._notes: list[str] = []
        self._about_reference: list[str] = []

    def update(self, batch: ImageBatch, real: bool) -> None:
        features = batch.features(self.space)
        if self._reals is not None and features.shape[1] != len(self._reals.mean):
            raise UserError(
                f"{self.space.fid}: the statistics are of {len(self._reals.mean):,} features and "
                f"this extractor gives {features.shape[1]:,}"
            )
        self._moments[real].add(features)
        if self._classes is not None:
            self._classes.update(features, batch.labels, real)

    def compute(self) -> dict[str, float]:
        reals, fakes = self._reference(), self._moments[False]
        if fakes.count < 2:
            raise UserError(f"{self.space.fid}: needs two images at least")
        self._notes = [*self._about_reference, *few(fakes.count, reals.count)]
        figures = {self.space.fid: self._distance(reals, fakes.gaussian())}
        if self._classes is not None:
            by_class, notes = self._classes.compute(self.space.fid)
            figures |= by_class
            self._notes += notes
        return figures

    def notes(self) -> list[str]:
        return self._notes

    def forget_fakes(self) -> None:
        self._moments[False] = Moments()
        if self._classes is not None:
            self._classes.forget_fakes()

    def reference(self) -> dict[str, np.ndarray[Any, Any]]:
        """`mu` and `sigma`, as pytorch-fid and TTUR keep them, and of which space they are."""
        gaussian = self._reference()
        return {
            "mu": gaussian.mean.numpy(),
            "sigma": gaussian.covariance.numpy(),
            "space": np.array(self.space.key),
            "images": np.array(gaussian.count),
        }

    def adopt(self, reference: dict[str, np.ndarray[Any, Any]]) -> None:
        if self._classes is not None:
            raise UserError("per_class: statistics know no classes: name the set itself")
        mean, covariance = reference.get("mu"), reference.get("sigma")
        if mean is None or covariance is None:
            raise UserError("should hold mu and sigma, as pytorch-fid and TTUR write them")
        if mean.dtype.kind not in "fiu" or covariance.dtype.kind not in "fiu":
            raise UserError("mu and sigma should be real numbers")
        mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise UserError(f"mu {mean.shape} and sigma {covariance.shape} do not belong together")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise UserError("mu or sigma is not finite")
        values = np.linalg.eigvalsh(covariance)
        if not np.allclose(covariance, covariance.T, rtol=1e-6) or values[0] < -1e-6 * values[-1]:
            raise UserError("sigma is no covariance: it should be symmetric and not negative")
        space, count = reference.get("space"), reference.get("images")
        if space is None:
            self._about_reference = ["the statistics do not say which extractor they are of"]
        elif str(space) != self.space.key:
            raise UserError(f"it is of the features {space}, and these are {self.space.key}")
        known = int(count) if count is not None and count.dtype.kind in "iu" else 0
        self._reals = Gaussian(torch.from_numpy(mean), torch.from_numpy(covariance), known)

    def _reference(self) -> Gaussian:
        if self._reals is None:
            if self._moments[True].count < 2:
                raise UserError(f"{self.space.fid}: needs two images of the set at least")
            self._reals = self._moments[True].gaussian()
        return self._reals


class ByClass:
    """fid/CLASS for each class; the features are kept, as there may be many classes."""

    def __init__(self, spec: ImageSpec) -> None:
        if not spec.classes:
            raise UserError("per_class: the set has no labels")
        self._spec = spec
        self._features: dict[bool, list[Tensor]] = {True: [], False: []}
        self._labels: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, features: Tensor, labels: Tensor | None, real: bool) -> None:
        if labels is None:
            raise UserError("per_class: the images evaluated have no labels")
        self._features[real].append(features)
        self._labels[real].append(labels)

    def compute(self, figure: str) -> tuple[dict[str, float], list[str]]:
        figures: dict[str, float] = {}
        empty = []
        sides = [
            (torch.cat(self._features[real]), torch.cat(self._labels[real]))
            for real in (True, False)
        ]
        for number in range(self._spec.classes):
            names = self._spec.class_names
            name = names[number] if number < len(names) else str(number)
            rows = [features[labels == number] for features, labels in sides]
            if min(map(len, rows)) < 2:
                empty.append(name)
                figures[f"{figure}/{name}"] = math.nan
            elif max(map(len, rows)) <= rows[0].shape[1]:
                figures[f"{figure}/{name}"] = frechet_of_few(*rows)
            else:
                figures[f"{figure}/{name}"] = frechet_distance(*map(gaussian_of, rows))
        if empty:
            return figures, [f"{figure}: fewer than two images of the class {', '.join(empty)}"]
        return figures, []

    def forget_fakes(self) -> None:
        self._features[False].clear()
        self._labels[False].clear()
