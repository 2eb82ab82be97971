"""Feature spaces are shared, and name their figures."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganctl import ImageBatch, ImageSpec, UserError
from ganctl_metrics import (
    FeatureOptions,
    FIDOptions,
    FrechetInceptionDistance,
    ISOptions,
    KernelInceptionDistance,
    KIDOptions,
)
from ganctl_metrics.dinov2 import DINOv2
from ganctl_metrics.spaces import FeatureSpace, open_space


def test_evaluators_with_the_same_options_share_a_space() -> None:
    first = open_space(FIDOptions(extractor="random-conv"))
    assert open_space(KIDOptions(extractor="random-conv", subsets=3)) is first
    assert open_space(ISOptions(extractor="classifier")) is not first


def test_images_pass_once_however_many_evaluators_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_space(FeatureOptions(extractor="random-conv"))
    seen: list[int] = []
    extract = type(space).__call__

    def counting(self: FeatureSpace, images: Tensor) -> Tensor:
        seen.append(len(images))
        return extract(self, images)

    monkeypatch.setattr(type(space), "__call__", counting)
    evaluators = [
        FrechetInceptionDistance().build(FIDOptions(extractor="random-conv"), ImageSpec(8, 8, 3)),
        KernelInceptionDistance().build(KIDOptions(extractor="random-conv"), ImageSpec(8, 8, 3)),
    ]
    batch = ImageBatch(torch.zeros(5, 3, 8, 8, dtype=torch.uint8))
    for evaluator in evaluators:
        evaluator.update(batch, real=True)
        evaluator.update(batch, real=False)
    assert seen == [5]


def test_names_say_what_is_not_inception_as_published(weights_file: Path) -> None:
    names = {}
    for resize in ("pytorch-fid", "tf1", "clean"):
        space = open_space(
            FeatureOptions(weights=str(weights_file), weights_unverified=True, resize=resize)
        )
        names[resize] = (space.fid, space.named("kid"))
    assert names == {
        "pytorch-fid": ("fd-custom", "kid-custom"),
        "tf1": ("fd-custom-tf1", "kid-custom-tf1"),
        "clean": ("fd-custom-clean", "kid-custom-clean"),
    }
    random = open_space(FeatureOptions(extractor="random-conv"))
    assert (random.fid, random.named("precision")) == ("fd-random-conv", "precision-random-conv")


def test_a_row_does_not_depend_on_its_batch(weights_file: Path) -> None:
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    space = open_space(FeatureOptions(weights=str(weights_file), weights_unverified=True))
    together, alone = space(images), space(images[2:])
    assert together.shape == (3, 2048)
    assert torch.allclose(together[2:], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))
    probabilities = space.probabilities(together)
    assert probabilities.shape == (3, 1008)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(3))


def test_dinov2_is_not_downloaded_and_must_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("GANCTL_DINOV2", raising=False)
    with pytest.raises(UserError, match="no hash of it is published: fetch https://dl"):
        open_space(FeatureOptions(extractor="dinov2"))
    small: dict[str, Tensor] = DINOv2(depth=1, width=32, heads=2, grid=4).state_dict()
    torch.save(small, tmp_path / "small.pth")
    with pytest.raises(UserError, match="not DINOv2's ViT-L/14"):
        open_space(FeatureOptions(extractor="dinov2", weights=str(tmp_path / "small.pth")))
