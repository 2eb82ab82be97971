"""One player's Adam: as torch's own, slower where lazy, deaf to gradients that are not finite."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganctl.interfaces import Batch, Phase, Progress
from ganctl.training.optim import AdamSettings, PlayerOptimizer

NOW = Progress(0, 0, 1000)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))


def settings(lr: float = 0.01, betas: tuple[float, float] = (0.5, 0.99)) -> AdamSettings:
    return AdamSettings(lr, betas, 1e-8, lambda progress: 1.0)


def loss(batch: Batch) -> Tensor:
    raise AssertionError("phases are only counted here")


def phase(every: int = 1, lazy: bool = False) -> Phase:
    return Phase("D", "discriminator", loss, every=every, lazy=lazy)


def backward(net: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 5, generator=generator)
    (net(x) - x.sum(dim=1, keepdim=True)).square().mean().backward()


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def moments(optimizer: PlayerOptimizer) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in optimizer.tensors().items() if ".exp_avg" in k}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def against_torch(
    phases: list[Phase], lr: float, betas: tuple[float, float], steps: int = 50
) -> float:
    """The largest difference to torch's plain Adam with these constants."""
    ours, theirs = network(), network()
    optimizer = PlayerOptimizer(ours, settings(), phases)
    adam = torch.optim.Adam(theirs.parameters(), lr, betas, 1e-8, foreach=False, fused=False)
    for step in range(steps):
        backward(ours, step)
        optimizer.step(NOW, "D")
        adam.zero_grad()
        backward(theirs, step)
        adam.step()
    assert not torch.equal(weights(ours), weights(network()))
    return (weights(ours) - weights(theirs)).abs().max().item()


def test_it_steps_as_torchs_adam_does() -> None:
    assert against_torch([phase()], 0.01, (0.5, 0.99)) < 1e-6


def test_a_lazy_phase_keeps_the_pace_of_the_others() -> None:
    # Karras et al. 2020a, appendix B: c = k / (k + 1), lr·c, β^c.
    c = 16 / 17
    difference = against_torch([phase(), phase(16, lazy=True)], 0.01 * c, (0.5**c, 0.99**c))
    assert difference < 1e-6
    assert against_torch([phase(), phase(16, lazy=True)], 0.01, (0.5, 0.99)) > 1e-4


def test_two_lazy_phases_add_up() -> None:
    c = 1 / (1 + 1 / 16 + 1 / 4)
    phases = [phase(), phase(16, lazy=True), phase(4, lazy=True)]
    assert against_torch(phases, 0.01 * c, (0.5**c, 0.99**c)) < 1e-6


def test_a_rare_phase_that_is_not_lazy_changes_nothing() -> None:
    assert against_torch([phase(every=5)], 0.01, (0.5, 0.99)) < 1e-6


def test_the_schedule_is_a_factor_on_the_rate() -> None:
    net = network()
    optimizer = PlayerOptimizer(
        net, AdamSettings(0.01, (0.0, 0.0), 1e-12, lambda p: 1 - p.fraction), [phase()]
    )
    for images, change in ((0, 0.01), (500, 0.005), (1000, 0.0)):
        before = weights(net)
        backward(net, 0)
        optimizer.step(Progress(0, images, 1000), "D")
        moved = (weights(net) - before).abs()  # without memory, Adam moves by lr, up or down
        assert torch.allclose(moved, torch.full_like(moved, change), atol=1e-6)


def test_the_step_returns_the_norm_and_drops_the_gradients() -> None:
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()])
    backward(net, 0)
    wanted = math.sqrt(sum(p.grad.square().sum().item() for p in net.parameters()))
    assert optimizer.step(NOW, "D").item() == pytest.approx(wanted, rel=1e-5)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("warm", [False, True])
def test_a_step_with_one_bad_gradient_is_skipped_and_counted(value: float, warm: bool) -> None:
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()])
    if warm:
        backward(net, 0)
        optimizer.step(NOW, "D")
    else:  # Adam makes its moments at the first step, even a skipped one
        backward(net, 0)
        net[2].bias.grad.fill_(value)
        optimizer.step(NOW, "D")
        optimizer.skipped.zero_()
        optimizer.streaks["D"].zero_()
        assert torch.equal(weights(net), weights(network()))
    before, kept = weights(net), moments(optimizer)
    backward(net, 1)
    net[0].weight.grad[3, 2] = value
    norm = optimizer.step(NOW, "D")
    assert not norm.isfinite()
    assert torch.equal(weights(net), before)
    assert same(moments(optimizer), kept)
    assert optimizer.skipped.item() == optimizer.streaks["D"].item() == 1


def test_after_a_skipped_step_training_goes_on_as_if_it_had_not_been() -> None:
    one, other = network(), network()
    first, second = (PlayerOptimizer(net, settings(), [phase()]) for net in (one, other))
    for step in range(10):
        backward(one, step)
        first.step(NOW, "D")
        backward(other, step)
        second.step(NOW, "D")
        if step % 3 == 0:
            backward(other, 99)
            other[0].weight.grad.mul_(math.nan)
            second.step(NOW, "D")
    assert torch.equal(weights(one), weights(other))
    assert second.skipped.item() == 4


def test_a_streak_ends_with_a_good_step_and_the_count_stays() -> None:
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()])
    streaks = []
    for good in (True, False, False, True, False):
        backward(net, 0)
        if not good:
            net[0].weight.grad.mul_(math.nan)
        optimizer.step(NOW, "D")
        streaks.append(optimizer.streaks["D"].item())
    assert streaks == [0, 1, 2, 0, 1]
    assert optimizer.skipped.item() == 3


def test_the_state_taken_back_continues_as_if_nothing_had_happened() -> None:
    one, other = network(), network()
    first = PlayerOptimizer(one, settings(), [phase()])
    for step in range(5):
        backward(one, step)
        if step == 2:
            one[0].bias.grad.fill_(math.inf)
        first.step(NOW, "D")
    other.load_state_dict(one.state_dict())
    second = PlayerOptimizer(other, settings(), [phase()])
    second.load({k: v.clone() for k, v in first.tensors().items()})
    assert second.skipped.item() == 1
    for step in range(5, 10):
        backward(one, step)
        first.step(NOW, "D")
        backward(other, step)
        second.step(NOW, "D")
    assert torch.equal(weights(one), weights(other))
    assert same(first.tensors(), second.tensors())


def clipped(value: float) -> tuple[nn.Sequential, PlayerOptimizer, Tensor]:
    """A network after a step in which one gradient had this value, and the norm of that step."""
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()], "clip")
    backward(net, 0)
    net[0].weight.grad[3, 2] = value
    return net, optimizer, optimizer.step(NOW, "D")


@pytest.mark.parametrize(("value", "taken"), [(math.nan, 0.0), (math.inf, 1e5), (-math.inf, -1e5)])
def test_clipped_gradients_move_the_weights_as_finite_ones_would(
    value: float, taken: float
) -> None:
    net, optimizer, norm = clipped(value)
    other, reference, _ = clipped(taken)
    assert not norm.isfinite()
    assert torch.equal(weights(net), weights(other))
    assert same(moments(optimizer), moments(reference))
    assert not torch.equal(weights(net), weights(network()))
    assert optimizer.skipped.item() == optimizer.streaks["D"].item() == 1
    assert reference.skipped.item() == reference.streaks["D"].item() == 0


def test_clipping_changes_no_step_whose_gradients_are_finite() -> None:
    one, other = network(), network()
    for net, nonfinite in ((one, "skip"), (other, "clip")):
        optimizer = PlayerOptimizer(net, settings(), [phase()], nonfinite)
        for step in range(5):
            backward(net, step)
            net[0].bias.grad[0] = 1e9  # large, but a number
            optimizer.step(NOW, "D")
        assert optimizer.skipped.item() == 0
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("nonfinite", ["skip", "clip"])
def test_the_limit_sees_a_streak_however_it_is_met(nonfinite: Any) -> None:
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()], nonfinite)
    for _ in range(3):
        backward(net, 0)
        net[0].weight.grad.mul_(math.nan)
        optimizer.step(NOW, "D")
    assert optimizer.streaks["D"].item() == 3
    assert weights(net).isfinite().all()


def test_parameters_that_were_frozen_stay_frozen() -> None:
    net = network()
    net[0].requires_grad_(False)
    optimizer = PlayerOptimizer(net, settings(), [phase()])
    optimizer.train(False)
    optimizer.train(True)
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    before = net[0].weight.clone()
    backward(net, 0)
    optimizer.step(NOW, "D")
    assert torch.equal(net[0].weight, before)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    net = network()
    optimizer = PlayerOptimizer(net, settings(), [phase()])
    net[2].bias.square().sum().backward()
    net[2].bias.grad.fill_(1.0)
    before = net[0].weight.clone()
    optimizer.step(NOW, "D")
    assert torch.equal(net[0].weight, before)
    assert net[2].bias.item() != 0


def test_moments_return_in_the_layout_of_their_parameter() -> None:
    def convolution() -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

    one, other = convolution(), convolution()
    first = PlayerOptimizer(one, settings(), [phase()])
    for _ in range(2):
        one(torch.ones(2, 3, 5, 5)).square().sum().backward()
        first.step(NOW, "D")
    other.load_state_dict(one.state_dict())
    second = PlayerOptimizer(other, settings(), [phase()])
    second.load(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in first.tensors().items()}
    )
    for net, optimizer in ((one, first), (other, second)):
        net(torch.ones(2, 3, 5, 5)).square().sum().backward()
        optimizer.step(NOW, "D")
    assert torch.equal(one.weight, other.weight)
