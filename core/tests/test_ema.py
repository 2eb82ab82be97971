"""The generator's moving average against its formula."""

import pytest
import torch
from torch import Tensor, nn

from ganctl.interfaces import Generator
from ganctl.training.ema import EMA


class Small(Generator):
    z_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z * self.weight + self.mean


def move(live: Small, step: int) -> None:
    with torch.no_grad():
        live.weight.copy_(torch.tensor([1.0, -2.0]) * (step + 2))
        live.mean.fill_(step)
        live.count.fill_(step)


def averaged(kimg: float, rampup: float | None, batch: int, steps: int) -> tuple[float, float]:
    """The first weight by the class, and by β = 0.5^(batch / half-life) in double precision."""
    live = Small()
    ema = EMA(live, kimg, rampup)
    expected = 1.0
    for step in range(steps):
        move(live, step)
        images = step * batch
        half_life = kimg * 1000 if rampup is None else min(kimg * 1000, images * rampup)
        beta = 0.5 ** (batch / half_life) if half_life else 0.0
        expected = beta * expected + (1 - beta) * (step + 2)
        ema.update(live, batch, images)
    return ema.generator.weight[0].item(), expected


@pytest.mark.parametrize("rampup", [None, 0.05, 0.5])
@pytest.mark.parametrize("kimg", [0.01, 0.5, 10])
def test_the_average_follows_the_formula(kimg: float, rampup: float | None) -> None:
    got, expected = averaged(kimg, rampup, batch=32, steps=20)
    assert got == pytest.approx(expected, rel=1e-5)


def test_after_a_half_life_half_of_the_start_is_left() -> None:
    live = Small()
    ema = EMA(live, kimg=0.64, rampup=None)
    with torch.no_grad():
        live.weight.zero_()
    for step in range(10):
        ema.update(live, 64, step * 64)
    assert torch.allclose(ema.generator.weight, torch.tensor([0.5, -1.0]))


def test_with_a_ramp_up_the_first_step_forgets_the_start() -> None:
    live = Small()
    ema = EMA(live, kimg=10, rampup=0.05)
    move(live, 3)
    ema.update(live, 64, 0)
    assert torch.equal(ema.generator.weight, live.weight)


def test_buffers_are_copied() -> None:
    live = Small()
    ema = EMA(live, kimg=10, rampup=None)
    move(live, 4)
    ema.update(live, 64, 0)
    assert torch.equal(ema.generator.mean, torch.full((2,), 4.0))
    assert ema.generator.count.item() == 4


def test_the_average_is_a_network_of_its_own_that_is_not_trained() -> None:
    live = Small().train()
    ema = EMA(live, kimg=10, rampup=None)
    assert not ema.generator.training
    assert live.training
    assert live.weight.requires_grad
    assert not ema.generator.weight.requires_grad
    before = live.weight.clone()
    move(ema.generator, 9)
    assert torch.equal(live.weight, before)
