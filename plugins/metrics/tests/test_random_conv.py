"""Features of random convolutions: the same everywhere, and what they can tell apart."""

import time

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ganctl_metrics.random_conv import RandomConv
from ganctl_mlp.digits import read


def noise(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)


def frechet(a: Tensor, b: Tensor) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½) of two sets of features (N, D)."""
    a, b = a.double(), b.double()
    (one, two), gap = (x.T.cov() for x in (a, b)), a.mean(0) - b.mean(0)
    values, vectors = torch.linalg.eigh(one)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()
    return float(gap.square().sum() + one.trace() + two.trace() - 2 * cross)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (4, 64, 64), (3, 50, 300)])
def test_every_kind_of_image_has_512_features(shape: tuple[int, int, int]) -> None:
    features = RandomConv()(noise(3, *shape))
    assert features.shape == (3, 512) == (3, RandomConv.dim)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert (features[0] - features[1]).abs().max() > 1e-3


def test_gray_is_as_rgb_and_alpha_is_not_looked_at() -> None:
    network, gray, rgba = RandomConv(), noise(2, 1, 20, 30), noise(2, 4, 20, 30)
    same = torch.testing.assert_close
    same(network(gray), network(gray.expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-6)
    same(network(rgba), network(rgba[:, :3]), rtol=1e-5, atol=1e-6)


def test_the_weights_do_not_depend_on_the_random_state_and_leave_it_alone() -> None:
    torch.manual_seed(1)
    first, state = RandomConv().state_dict(), torch.get_rng_state()
    torch.manual_seed(2)
    second = RandomConv().state_dict()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_weights_are_those_of_every_other_machine() -> None:
    # MT19937 with seed 0 begins with 0.5488135039273248 (NumPy's own documentation).
    network = RandomConv()
    weight = network.get_parameter("levels.0.weight")
    bound = (6 / (1.04 * 27)) ** 0.5
    assert float(weight.flatten()[0]) == pytest.approx((2 * 0.5488135039273248 - 1) * bound)
    drawn = sum(float(p.double().abs().sum()) for p in network.parameters())
    assert drawn == pytest.approx(6029.085832506984, rel=1e-9)


def test_a_feature_does_not_depend_on_the_batch() -> None:
    network, images = RandomConv(), noise(9, 3, 40, 40)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


def test_blur_and_lost_classes_are_further_away_than_the_held_out_half() -> None:
    levels, labels = read()
    images = interpolate(torch.from_numpy(levels)[:, None], size=32, mode="nearest")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    half, other = order[:898], order[898:]
    blurred = avg_pool2d(images.float(), 5, 1, 2, count_include_pad=False).to(torch.uint8)
    few = other[torch.from_numpy(labels)[other] < 5]
    network = RandomConv()
    reals, held_out, dropped, soft = (
        network(x) for x in (images[half], images[other], images[few], blurred[other])
    )
    near = frechet(reals, held_out)
    assert frechet(reals, soft) > 10 * near
    # As many fakes, as the distance of fewer is larger by itself.
    assert frechet(reals, dropped) > 2 * frechet(reals, held_out[: len(few)])


def test_an_image_takes_less_than_three_milliseconds() -> None:
    network, images, threads = RandomConv(), noise(64, 3, 64, 64), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network(images)
        times = []
        for _ in range(5):
            start = time.thread_time()
            network(images)
            times.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(times) / len(images) < 0.003
