"""The augmentations beside the reference's own numbers, at fixed percentiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganctl import random
from ganctl_stylegan2_ada.augment.pipeline import AugmentationPipeline
from ganctl_stylegan2_ada.augment.wavelets import filter_bank, low_pass

pytestmark = pytest.mark.usefixtures("operators")

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"
FILE = "augment_percentile.npz"


def index() -> dict[str, Any]:
    if not VECTORS.is_dir():
        return {"cases": [], "noise_max_rel": 0.0}
    files = json.loads((VECTORS / "index.json").read_text())["files"]
    found: dict[str, Any] = next(file for file in files if file["file"] == FILE)
    return found


INDEX = index()
TOLERANCE = max(3 * INDEX["noise_max_rel"], 1e-6)
if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
    # The reference's coordinates, rounded to float32, are 2e-6 off the exact ones' images.
    # Without the vector instructions of its CPU, `grid_sample` rounds them in another way.
    TOLERANCE = max(TOLERANCE, 3e-6)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    if not VECTORS.is_dir():
        pytest.skip(f"the reference vectors are not here: {VECTORS / FILE}")
    with np.load(VECTORS / FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def run(
    case: dict[str, Any], arrays: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> dict[str, float]:
    """The relative error of every output of a case."""
    params = case["params"]
    fields = [arrays[draw["key"]] for draw in params["draws"] if draw["label"].endswith(".field")]

    def replay(*shape: int, device: torch.device | None = None) -> Tensor:
        field = fields.pop(0)
        assert field.shape == shape
        return field

    monkeypatch.setattr(random, "randn", replay)
    x = arrays[params["x"]].clone().requires_grad_()
    y = AugmentationPipeline(params["augs"])(x, percentile=params["debug_percentile"])
    assert not fields
    found = {"y": y}
    if params["dy"]:
        (found["dx"],) = torch.autograd.grad(y, x, arrays[params["dy"]])
    outputs = case["outputs"]
    assert found.keys() == outputs.keys()
    return {role: relative_error(found[role], arrays[key]) for role, key in outputs.items()}


@pytest.mark.parametrize("case", INDEX["cases"] or [None], ids=lambda c: c["id"] if c else "none")
def test_a_percentile_gives_the_reference_images_and_gradients(
    case: dict[str, Any], arrays: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = run(case, arrays, monkeypatch)
    assert max(errors.values()) <= TOLERANCE, errors


def test_all_97_cases_are_compared(arrays: dict[str, Tensor]) -> None:
    assert len(INDEX["cases"]) == 97


def test_the_filters_are_the_reference_filters(arrays: dict[str, Tensor]) -> None:
    assert relative_error(low_pass().float(), arrays["Hz_geom"]) < 1e-7
    assert relative_error(filter_bank().float(), arrays["Hz_fbank"]) < 3e-7
