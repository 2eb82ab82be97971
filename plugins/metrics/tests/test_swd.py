"""The sliced Wasserstein distance against cases that can be worked out."""

import pytest
import torch
from torch import Tensor

from ganctl import ImageBatch
from ganctl_metrics import SWDOptions
from ganctl_metrics.swd import SlicedWasserstein, at_quantiles, laplacian_pyramid, projected


def pictures(count: int, seed: int, smooth: bool = False, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, size // (8 if smooth else 1), size // (8 if smooth else 1))
    drawn = torch.rand(shape, generator=generator)
    if smooth:
        drawn = torch.nn.functional.interpolate(drawn, size=size, mode="bilinear")
    return (drawn * 255).to(torch.uint8)


def distance(reals: list[Tensor], fakes: list[Tensor]) -> dict[str, float]:
    evaluator = SlicedWasserstein(SWDOptions(patches=32, directions=64))
    for real, batches in ((True, reals), (False, fakes)):
        for batch in batches:
            evaluator.update(ImageBatch(batch), real)
    return evaluator.compute()


def test_a_set_is_no_distance_from_itself() -> None:
    images = pictures(50, 0)
    assert distance([images], [images]) == {"swd": 0, "swd-32": 0, "swd-16": 0}


def test_neither_order_nor_batch_size_matters() -> None:
    reals, fakes = pictures(40, 0), pictures(30, 1, smooth=True)
    whole = distance([reals], [fakes])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    parts = distance(list(reals.split(7)), list(fakes[order].split(11)))
    assert parts == pytest.approx(whole, rel=1e-4)


def test_other_textures_are_further_away_than_other_pictures() -> None:
    reals = pictures(100, 0)
    near, far = distance([reals], [pictures(100, 1)]), distance([reals], [pictures(100, 1, True)])
    assert all(far[name] > 2 * near[name] for name in near)


def test_forgetting_fakes_keeps_the_reals() -> None:
    evaluator = SlicedWasserstein(SWDOptions(patches=16))
    evaluator.update(ImageBatch(pictures(20, 0)), real=True)
    figures = []
    for seed in (1, 2, 1):
        evaluator.update(ImageBatch(pictures(20, seed)), real=False)
        figures.append(evaluator.compute())
        evaluator.forget_fakes()
    assert figures[0] == figures[2] != figures[1]


@pytest.mark.parametrize(("size", "levels"), [(28, 1), (32, 2), (64, 3), (96, 3)])
def test_the_pyramid_adds_up_to_the_images(size: int, levels: int) -> None:
    images = torch.rand(2, 3, size, size)
    pyramid = laplacian_pyramid(images)
    assert len(pyramid) == levels
    constant = laplacian_pyramid(torch.full((1, 3, size, size), 7.0))
    for band in constant[:-1]:
        assert band.abs().max() < 1e-4  # band-pass: nothing of a constant
    torch.testing.assert_close(constant[-1], torch.full_like(constant[-1], 7.0))


def test_quantiles_of_equal_shares() -> None:
    line = torch.arange(8.0).view(8, 1)
    assert at_quantiles(line, 4).flatten().tolist() == [0.5, 2.5, 4.5, 6.5]
    assert at_quantiles(line, 8) is line


def test_the_distance_of_shifted_normals() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(6000, 1, generator=generator) for _ in range(2))
    near, far = projected(a, 8) - projected(b, 8), projected(a, 8) - projected(a + 1, 8)
    assert near.abs().mean() < 0.05
    assert float(far.abs().mean()) == pytest.approx(1, abs=1e-4)
