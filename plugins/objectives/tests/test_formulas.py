"""Every objective's gradients, in double precision, against derivatives taken by hand.

D is linear, l(x) = w·x, and G gives θ whatever z is. With a_i = l(x_i) and b = l(θ), each
expected gradient below is the formula's own derivative written out.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganctl import Batch, Discriminator, Generator, Phase, Players, Progress, UserError, random
from ganctl.options import load
from ganctl.registry import find
from ganctl_objectives.clipping import clip_weights

W, THETA = torch.tensor([0.6, -1.1]).double(), torch.tensor([0.5, 0.3]).double()
REALS = torch.tensor([[0.2, -0.7], [0.9, 0.1], [-0.4, 0.6]]).double()


class Constant(Generator):
    z_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(THETA.clone())

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 2).reshape(-1, 2, 1, 1)


class Linear(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(W.clone())

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return (x.flatten(1) * self.w).sum(dim=1, keepdim=True)


class RowwiseLinear(Linear):
    rowwise = True


def phases_of(name: str, options: dict[str, Any], d: Linear) -> tuple[Players, list[Phase]]:
    plugin = find("objective", name).load()
    players = Players(Constant(), d)
    return players, plugin.phases(players, load(plugin.options_class, options))  # type: ignore


def gradients(name: str, options: dict[str, Any], d: Linear) -> dict[str, Tensor]:
    """By phase: the gradient with respect to θ for G, to w for the others."""
    players, phases = phases_of(name, options, d)
    batch = Batch(
        torch.zeros(3, 2, 1, 1, dtype=torch.uint8),
        None,
        Progress(0, 0, 100),
        _images=REALS.view(3, 2, 1, 1),
    )
    found = {}
    for phase in phases:
        random.seed_everything(1)
        parameter = players.generator.theta if phase.name == "G" else players.discriminator.w
        (found[phase.name],) = torch.autograd.grad(phase.loss(batch), parameter)
    return found


a, b, s = REALS @ W, THETA @ W, torch.sigmoid


def over_rows(weights: Tensor, rows: Tensor = REALS) -> Tensor:
    return (weights.view(-1, 1) * rows).mean(dim=0)


LOGISTIC_D = over_rows(-s(-a)) + s(b) * THETA
LOGISTIC_G = -s(-b) * W
ONE_CENTRED = 2 * 10 * (W.norm() - 1) * W / W.norm()
SMOOTHED_D = (over_rows(s(a) - 0.9) + s(b) * THETA) / 2
HINGE_D = over_rows(-(1 - a > 0).double()) + (1 + b > 0).double() * THETA
SQUARES_D = over_rows(a - 1) + b * THETA
RELATIVISTIC_D = over_rows(s(b - a), THETA - REALS)
RELATIVISTIC_G = -s(a - b).mean() * W

CASES = {
    "bce": ("bce", {}, LOGISTIC_G, LOGISTIC_D / 2),
    "bce, smoothed": ("bce", {"label_smoothing": 0.1}, LOGISTIC_G, SMOOTHED_D),
    "nonsaturating": ("nonsaturating", {}, LOGISTIC_G, LOGISTIC_D),
    "nonsaturating, R1": ("nonsaturating", {"r1_gamma": 3}, LOGISTIC_G, LOGISTIC_D + 3 * W),
    "nonsaturating, R2": ("nonsaturating", {"r2_gamma": 2}, LOGISTIC_G, LOGISTIC_D + 2 * W),
    "bce, R1 + R2": ("bce", {"r1_gamma": 1, "r2_gamma": 4}, LOGISTIC_G, LOGISTIC_D / 2 + 5 * W),
    "hinge": ("hinge", {}, -W, HINGE_D),
    "lsgan": ("lsgan", {}, (b - 1) * W, SQUARES_D),
    "wgan": ("wgan", {"clip": 2.0}, -W, THETA - REALS.mean(dim=0)),
    "wgan-gp": ("wgan-gp", {}, -W, THETA - REALS.mean(dim=0) + ONE_CENTRED),
    "dragan": ("dragan", {}, LOGISTIC_G, LOGISTIC_D + ONE_CENTRED),
    "relativistic": (
        "relativistic",
        {"r1_gamma": 2, "r2_gamma": 1},
        RELATIVISTIC_G,
        RELATIVISTIC_D + 3 * W,
    ),
}


@pytest.mark.parametrize("make", [Linear, RowwiseLinear])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_derived_by_hand(case: str, make: Callable[[], Linear]) -> None:
    name, options, expected_g, expected_d = CASES[case]
    found = gradients(name, options, make())
    assert found.keys() == {"G", "D"}
    torch.testing.assert_close(found["G"], expected_g, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["D"], expected_d, rtol=1e-9, atol=1e-12)


def test_a_lazy_penalty_is_a_phase_of_its_own() -> None:
    options = {"r1_gamma": 3, "r2_gamma": 2, "penalty_every": 16}
    _, phases = phases_of("nonsaturating", options, Linear())
    assert [(p.name, p.every, p.lazy) for p in phases[2:]] == [("R", 16, True)]
    found = gradients("nonsaturating", options, Linear())
    torch.testing.assert_close(found["D"], LOGISTIC_D)
    torch.testing.assert_close(found["R"], 5 * W)


def test_wrong_labels_turn_the_gradient_around() -> None:
    """With every label wrong D would learn the opposite: the mean over draws lies between."""
    players, phases = phases_of("bce", {"label_noise": 0.25}, Linear())
    batch = Batch(
        torch.zeros(3, 2, 1, 1, dtype=torch.uint8),
        None,
        Progress(0, 0, 100),
        _images=REALS.view(3, 2, 1, 1),
    )
    draws = []
    for seed in range(4000):
        random.seed_everything(seed)
        draws.append(torch.autograd.grad(phases[1].loss(batch), players.discriminator.w)[0])
    expected = (over_rows(s(a) - 0.75) + (s(b) - 0.25) * THETA) / 2
    torch.testing.assert_close(torch.stack(draws).mean(dim=0), expected, rtol=0, atol=0.01)


def test_instance_noise_has_its_deviation_and_falls_to_nothing() -> None:
    seen: list[Tensor] = []

    class Watching(RowwiseLinear):
        def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
            seen.append(x.detach())
            return super().forward(x.double(), c)

    for images, deviation in ((0, 0.5), (500, 0.25), (1000, 0.0)):
        seen.clear()
        _, phases = phases_of("bce", {"instance_noise": 0.5}, Watching())
        pixels = torch.full((2000, 2, 1, 1), 255, dtype=torch.uint8)
        phases[1].loss(Batch(pixels, None, Progress(0, images, 1000)))
        noise = seen[0] - torch.cat([torch.ones(2000, 2), THETA.expand(2000, 2)]).view(-1, 2, 1, 1)
        assert abs(float(noise.std()) - deviation) < 0.02, images


def test_wgan_keeps_the_weights_within_the_clip() -> None:
    players, phases = phases_of("wgan", {"clip": 0.05}, Linear())
    assert phases[0].every == 5
    weights = players.discriminator.w
    assert weights.tolist() == pytest.approx([0.05, -0.05])  # from the first step of G on
    assert phases[1].after is not None
    with torch.no_grad():
        weights.add_(torch.tensor([1.0, 0.08]).double())
        phases[1].after()
    assert weights.tolist() == pytest.approx([0.05, 0.03])


def test_wgan_leaves_frozen_weights_alone() -> None:
    discriminator = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    discriminator[0].requires_grad_(False).weight.fill_(3.0)
    clip_weights(discriminator, 0.05)
    assert (discriminator[0].weight == 3).all()
    assert discriminator[1].weight.abs().max() <= 0.05


def test_wgan_refuses_weights_that_are_scaled_after_clipping() -> None:
    class Normed(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))

    with pytest.raises(UserError, match="spectral normalisation scales up again"):
        phases_of("wgan", {}, Normed())


def test_penalties_are_taken_where_the_papers_say() -> None:
    points: list[Tensor] = []

    class Watching(Linear):
        def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
            points.append(x.detach().flatten(1))
            return super().forward(x, c)

    gradients("wgan-gp", {}, Watching())
    between = (points[-1] - THETA) / (REALS - THETA)  # ε, the same for both pixels of a row
    torch.testing.assert_close(between[:, 0], between[:, 1])
    assert ((between > 0) & (between < 1)).all()

    gradients("dragan", {"gp_noise": 0.5}, Watching())
    moved = (points[-1] - REALS) / REALS.std(dim=1, keepdim=True)
    assert ((moved >= 0) & (moved < 0.5)).all()
    assert moved.abs().sum() > 0
