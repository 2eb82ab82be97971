"""What benchmarks/stylegan2_step.py is measured beside computes the same numbers."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganctl import Batch, ImageSpec, Players, Progress, random
from ganctl_stylegan2_ada import StyleGAN2ADA, StyleGAN2ObjectiveOptions, StyleGAN2Options
from ganctl_stylegan2_ada.objective import stylegan2_phases

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
SIDE, BATCH, BASE, MOST = 16, 8, 128, 16
PHASES = {"G": "g_main", "PL": "g_path", "D": "d_main", "R1": "d_r1"}
TOLERANCE = 2e-4


def near(ours: Tensor, plain: Tensor, what: str) -> None:
    assert ours.shape == plain.shape, what
    error = (ours - plain).abs().max() / plain.abs().max().clamp(1e-30)
    assert error <= TOLERANCE, (what, error.item())


def gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> tuple[Players, Any]:
    """Our players, and the peer's training with their weights: none is 0, some are clamped."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    plain = importlib.import_module("plain_stylegan2").Training(SIDE, BASE, MOST, BATCH)
    options = StyleGAN2Options(channel_base=BASE, channel_max=MOST)
    torch.manual_seed(0)
    g, d = StyleGAN2ADA().build(options, ImageSpec(SIDE, SIDE, 3))
    with torch.no_grad():
        for parameter in (*g.parameters(), *d.parameters()):
            parameter.add_(torch.randn_like(parameter))
        for network in (g.synthesis, d):
            network.get_parameter("b8.conv1.bias")[0] = 400
    for ours, theirs in ((g, plain.g), (d, plain.d)):
        missing, more = theirs.load_state_dict(ours.state_dict(), strict=False)
        assert not missing
        assert all(name.endswith(("resample_filter", "noise_const")) for name in more)
    return Players(g.train(), d.train()), plain


def test_images_and_logits(both: tuple[Players, Any]) -> None:
    players, plain = both
    z = torch.randn(BATCH, 512)
    with torch.no_grad():
        random.seed_everything(1)
        images = players.generator(z)
        torch.manual_seed(1)
        near(images, plain.g["synthesis"](plain.g["mapping"](z)), "images")
        near(players.discriminator(images), plain.d(images.contiguous()), "logits")


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients(both: tuple[Players, Any], seed: int) -> None:
    players, plain = both
    batch = Batch(
        torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8), None, Progress(0, 0, 1)
    )
    options = StyleGAN2ObjectiveOptions(r1_gamma=plain.gamma)
    for phase in stylegan2_phases(players, options):
        theirs = plain.g if phase.player == "generator" else plain.d
        for network in (players.generator, players.discriminator, plain.g, plain.d):
            network.requires_grad_(network in (players[phase.player], theirs)).zero_grad()
        random.seed_everything(seed)
        (phase.loss(batch) * (phase.every if phase.lazy else 1)).backward()
        torch.manual_seed(seed)
        getattr(plain, PHASES[phase.name])(batch.images)
        for name, parameter in players[phase.player].named_parameters():
            near(gradient(parameter), gradient(theirs.get_parameter(name)), f"{phase.name} {name}")
    near(players.objective_state.get_buffer("pl_mean"), plain.pl_mean, "pl_mean")
    near(players.generator.mapping.w_avg, plain.g["mapping"].w_avg, "w_avg")
