"""The arithmetic of the figures, on features that are given."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganctl_metrics.frechet import Gaussian, Moments, frechet_distance, frechet_of_few, gaussian_of
from ganctl_metrics.inception_score import inception_score
from ganctl_metrics.kernel_distance import kernel_distances
from ganctl_metrics.neighbours import density_coverage, precision_recall
from ganctl_metrics.ppl import path_length, slerp
from ganctl_metrics.rows import squared_radii


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    """Features, and what the reference implementation of StyleGAN2-ADA makes of them."""
    with np.load(shared / "vectors" / "metrics.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def radii(rows: Tensor, k: int) -> Tensor:
    return squared_radii(rows, k)[:, -1]


# The reference in float64, where its own file holds float32.
FID, KID = 0.8922151857012282, 0.24794627726078033
PRECISION, RECALL = 0.7538461685180664, 0.5899999737739563
SCORE, SCORE_DEVIATION = 2.3671011924743652, 0.19398224353790283


def biased(gaussian: Gaussian) -> Gaussian:
    """With the covariance divided by N, as the reference divides it; FID's own is unbiased."""
    count = gaussian.count
    return Gaussian(gaussian.mean, gaussian.covariance * (count - 1) / count, count)


def test_fid_of_the_reference(vectors: dict[str, Any]) -> None:
    reals, fakes = (biased(gaussian_of(vectors[name])) for name in ("real", "gen"))
    assert frechet_distance(reals, fakes) == pytest.approx(FID, rel=1e-12)
    assert frechet_distance(fakes, reals) == pytest.approx(FID, rel=1e-12)
    assert torch.allclose(reals.mean.float(), vectors["values/mu_real"], rtol=1e-6)
    assert torch.allclose(reals.covariance.float(), vectors["values/cov_real"], atol=1e-6)


def test_kid_of_the_reference(vectors: dict[str, Any]) -> None:
    reals, fakes = vectors["real"], vectors["gen"]
    values = kernel_distances(reals, fakes, subsets=20, size=100, seed=0)
    assert float(values.mean()) == pytest.approx(KID, rel=3e-6)  # it counts in float32
    exact = []
    for of_fakes, of_reals in zip(
        vectors["kid_subsets_gen"], vectors["kid_subsets_real"], strict=True
    ):
        x, y = fakes[of_fakes.long()].double(), reals[of_reals.long()].double()
        kernel = [(a @ b.T / 12 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        within = sum(k.sum() - k.trace() for k in kernel[:2]) / (100 * 99)
        exact.append(float(within - 2 * kernel[2].mean()))
    assert values.tolist() == pytest.approx(exact, rel=1e-12, abs=1e-12)


def test_is_of_the_reference(vectors: dict[str, Any]) -> None:
    score, deviation = inception_score(vectors["probs"], 10)
    assert score == pytest.approx(SCORE, rel=1e-6)  # the reference counts in float32
    assert deviation == pytest.approx(SCORE_DEVIATION, rel=1e-5)


def test_precision_and_recall_of_the_reference(vectors: dict[str, Any]) -> None:
    reals, fakes = vectors["real"], vectors["gen"]
    found = precision_recall(reals, fakes, radii(reals, 3), radii(fakes, 3))
    assert found == pytest.approx((PRECISION, RECALL), abs=1e-7)


def test_slerp_of_the_reference(vectors: dict[str, Any]) -> None:
    found = slerp(*(vectors[f"slerp_{name}"] for name in "abt"))
    assert torch.allclose(found, vectors["values/slerp"], atol=1e-6)


def test_the_distance_of_known_gaussians() -> None:
    """Diagonal covariances: Σ (m₁ − m₂)² + (s₁ − s₂)²; equal ones turned: by hand."""
    mean_a, mean_b = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 0.0]).double()
    sigma_a, sigma_b = (
        torch.tensor([1.0, 2.0, 3.0]).double(),
        torch.tensor([2.0, 2.0, 0.5]).double(),
    )
    a = Gaussian(mean_a, sigma_a.square().diag())
    b = Gaussian(mean_b, sigma_b.square().diag())
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 0 + 6.25, rel=1e-14)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(0)).double()).Q
    turned = [Gaussian(turn @ g.mean, turn @ g.covariance @ turn.T) for g in (a, b)]
    assert frechet_distance(*turned) == pytest.approx(12.25, rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_singular_covariances_are_exact() -> None:
    """Fewer vectors than dimensions, where a matrix root loses half of the digits."""
    draw = torch.Generator().manual_seed(1)
    few = torch.randn(20, 300, generator=draw).double()
    assert frechet_distance(gaussian_of(few), gaussian_of(few)) == pytest.approx(0, abs=1e-11)
    shifted = gaussian_of(few + 2)
    assert frechet_distance(gaussian_of(few), shifted) == pytest.approx(4 * 300, rel=1e-12)
    other = torch.randn(30, 300, generator=draw).double()
    a, b = few - few.mean(dim=0), other - other.mean(dim=0)
    nuclear = torch.linalg.matrix_norm(a @ b.T, ord="nuc") / math.sqrt(19 * 29)
    means = (few.mean(dim=0) - other.mean(dim=0)).square().sum()
    expected = means + a.square().sum() / 19 + b.square().sum() / 29 - 2 * nuclear
    found = frechet_distance(gaussian_of(few), gaussian_of(other))
    assert found == pytest.approx(float(expected), rel=1e-12)
    many = gaussian_of(torch.randn(900, 300, generator=draw).double())
    assert frechet_distance(many, gaussian_of(few)) == pytest.approx(
        frechet_distance(gaussian_of(few), many), rel=1e-9
    )


def test_few_vectors_take_the_short_way_to_the_same_distance() -> None:
    few, other = torch.randn(2, 40, 300, generator=torch.manual_seed(0)).double()
    whole = frechet_distance(gaussian_of(few), gaussian_of(other[:25]))
    assert frechet_of_few(few, other[:25]) == pytest.approx(whole, rel=1e-12)


def test_full_covariances_agree_with_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    draw = np.random.RandomState(0)
    sides = [torch.from_numpy(draw.randn(800, 128) @ draw.randn(128, 128)) for _ in range(2)]
    a, b = map(gaussian_of, sides)
    root = linalg.sqrtm((a.covariance @ b.covariance).numpy()).real
    means = (a.mean - b.mean).square().sum()
    expected = means + a.covariance.trace() + b.covariance.trace() - 2 * np.trace(root)
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_moments_are_those_of_numpy_in_whatever_parts_they_come() -> None:
    rows = torch.randn(1300, 40, generator=torch.manual_seed(0)) * 3 + 5
    mean, covariance = rows.double().mean(dim=0), np.cov(rows.double().numpy(), rowvar=False)
    for size in (1, 7, 600, 1300):
        moments = Moments()
        for part in rows[torch.randperm(1300)].split(size):
            moments.add(part)
        found = moments.gaussian()
        assert torch.allclose(found.mean, mean, rtol=1e-14)
        assert (
            np.abs(found.covariance.numpy() - covariance).max() < 1e-12 * np.abs(covariance).max()
        )


def test_kid_of_equal_sides_is_about_nothing_and_of_far_ones_large() -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(500, 16, generator=draw) for _ in range(2))
    near = kernel_distances(a, b, subsets=50, size=100, seed=0)
    far = kernel_distances(a, b + 3, subsets=50, size=100, seed=0)
    assert abs(float(near.mean())) < 0.05
    assert near.min() < 0 < near.max()  # unbiased: of equal sides some are negative
    assert float(far.mean()) > 100
    again = kernel_distances(a, b, subsets=50, size=100, seed=0)
    assert torch.equal(near, again)
    assert not torch.equal(near, kernel_distances(a, b, subsets=50, size=100, seed=1))


def test_kid_is_the_same_by_either_way() -> None:
    """Kernels of all with all, where there are few images; else of each subset."""
    a, b = torch.randn(2, 900, 8, generator=torch.manual_seed(0))
    for size, subsets in ((50, 7), (300, 200)):
        found = kernel_distances(a, b, subsets, size, seed=3)
        alone = [kernel_distances(a, b, n + 1, size, seed=3)[n] for n in range(3)]
        assert found[:3].tolist() == pytest.approx(torch.stack(alone).tolist(), rel=1e-11)


def test_kid_by_hand() -> None:
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a) * float(b) + 1) ** 3

    within = kernel(x[0], x[1]) + kernel(y[0], y[1])
    across = sum(kernel(a, b) for a, b in itertools.product(x, y)) / 4
    found = kernel_distances(x, y, subsets=3, size=10, seed=0)
    assert found.tolist() == pytest.approx([within - 2 * across] * 3)


def test_precision_tells_bad_samples_and_recall_missing_ones() -> None:
    """On a line: reals at 0, 1, …, 9; k = 1: each neighbourhood reaches 1 to both sides."""
    reals = torch.arange(10.0)[:, None]
    half, wild = reals[:5], torch.cat([reals[:5], 100 + 50 * torch.arange(5.0)[:, None]])
    at = precision_recall(reals, half, radii(reals, 1), radii(half, 1))
    assert at == (1.0, 0.6)  # 5 lies within 1 of the sample at 4
    astray = precision_recall(reals, wild, radii(reals, 1), radii(wild, 1))
    assert astray[0] == 0.5
    density, coverage = density_coverage(reals, half + 0.1, radii(reals, 1), 1)
    assert (density, coverage) == (10 / 5, 0.6)


def test_density_is_not_misled_by_an_outlier_in_the_set() -> None:
    draw = torch.Generator().manual_seed(0)
    reals = torch.cat([torch.randn(99, 2, generator=draw), torch.tensor([[60.0, 0.0]])])
    astray = torch.randn(100, 2, generator=draw) + torch.tensor([30.0, 0.0])
    precision, _ = precision_recall(reals, astray, radii(reals, 5), radii(astray, 5))
    density, _ = density_coverage(reals, astray, radii(reals, 5), 5)
    assert precision > 0.9  # the outlier's neighbourhood holds them all
    assert density < 0.25


def test_path_lengths_leave_the_extreme_hundredths_out() -> None:
    values = np.arange(1000, dtype=np.float64)
    values[-1] = 1e9
    assert path_length(values) == pytest.approx(np.arange(9, 991).mean(), abs=1)


def test_slerp_ends_where_it_should_and_keeps_the_length() -> None:
    a, b = torch.randn(2, 6, 32, generator=torch.manual_seed(0))
    for t in (0.0, 0.3, 1.0):
        assert torch.allclose(slerp(a, b, t).norm(dim=1), torch.ones(6))
    assert torch.allclose(slerp(a, b, 0.0), a / a.norm(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(slerp(a, b, 1.0), b / b.norm(dim=1, keepdim=True), atol=1e-6)
