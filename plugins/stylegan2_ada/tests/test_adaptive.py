"""The adaptive augmenter: which way p goes, how fast, how far, and that it resumes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ganctl import Progress, UserError
from ganctl_stylegan2_ada.adaptive import AdaptiveAugmenter
from ganctl_stylegan2_ada.augment.presets import PRESETS

BATCH = 64
OVERFITTING = torch.ones(BATCH, 1)
UNSURE = torch.linspace(-1, 1, BATCH).view(-1, 1)


def make(**options: Any) -> AdaptiveAugmenter:
    return AdaptiveAugmenter(PRESETS["bgc"], **options)


def steps(augmenter: AdaptiveAugmenter, logits: Tensor, start: int, stop: int) -> float:
    """p after these steps of a run."""
    for step in range(start, stop):
        augmenter.adapt(logits, Progress(step, step * BATCH, 10**7))
    return augmenter.p.item()


def test_p_rises_from_0_to_1_in_500000_images_when_d_overfits() -> None:
    assert steps(make(), OVERFITTING, 0, 400) == pytest.approx(400 * BATCH / 500_000)


def test_p_falls_as_fast_otherwise() -> None:
    assert steps(make(p=0.5), UNSURE, 0, 400) == pytest.approx(0.5 - 400 * BATCH / 500_000)


def test_p_moves_every_fourth_step() -> None:
    augmenter = make()
    assert steps(augmenter, OVERFITTING, 0, 3) == 0
    assert steps(augmenter, OVERFITTING, 3, 4) == pytest.approx(4 * BATCH / 500_000)
    assert steps(augmenter, OVERFITTING, 4, 7) == pytest.approx(4 * BATCH / 500_000)


def test_all_logits_since_p_last_moved_count() -> None:
    augmenter = make(p=0.5)
    steps(augmenter, OVERFITTING, 0, 3)
    assert steps(augmenter, -OVERFITTING, 3, 4) < 0.5  # a mean sign of 0.5
    augmenter = make(p=0.5, interval=6)
    steps(augmenter, OVERFITTING, 0, 5)
    assert steps(augmenter, -OVERFITTING, 5, 6) > 0.5  # 0.667


def test_images_judged_twice_in_a_step_count_once() -> None:
    twice = torch.cat([OVERFITTING, OVERFITTING])
    assert steps(make(), twice, 0, 4) == pytest.approx(4 * BATCH / 500_000)


def test_p_stays_between_0_and_the_ceiling() -> None:
    assert steps(make(ramp_kimg=1), OVERFITTING, 0, 40) == pytest.approx(0.8)
    assert steps(make(ramp_kimg=1, ceiling=1.0), OVERFITTING, 0, 40) == 1
    assert steps(make(p=0.3, ramp_kimg=1), UNSURE, 0, 40) == 0


def test_a_fixed_p_stays() -> None:
    assert steps(make(p=0.9, target=None), OVERFITTING, 0, 40) == pytest.approx(0.9)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped() -> None:
    first = make()
    steps(first, OVERFITTING, 0, 6)
    second = make()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert steps(first, UNSURE, 6, 30) == steps(second, UNSURE, 6, 30)


def test_a_new_run_may_start_from_anothers_p() -> None:
    augmenter = make()
    before = steps(augmenter, OVERFITTING, 0, 40)
    after = steps(augmenter, OVERFITTING, 0, 4)
    assert after - before == pytest.approx(4 * BATCH / 500_000, rel=1e-4)


def test_logits_that_are_not_numbers_leave_p_a_number() -> None:
    p = steps(make(p=0.5), torch.full((BATCH, 1), torch.nan), 0, 8)
    assert 0 <= p <= 1


def test_images_pass_through_the_pipeline() -> None:
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(make()(images), images)
    assert not torch.equal(make(p=0.8)(images), images)


@pytest.mark.parametrize("options", [{"p": 0.9}, {"ceiling": 1.1}, {"interval": 0}, {"p": -0.1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        make(**options)


def test_the_device_is_asked_only_when_p_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    augmenter = make(p=0.5)
    buffers = dict(augmenter.named_buffers())
    asked: list[str] = []

    def listening(read: Any) -> Any:
        def asking(tensor: Tensor) -> Any:
            asked.extend(name for name, buffer in buffers.items() if buffer is tensor)
            return read(tensor)

        return asking

    for how in "item", "cpu", "__float__", "__bool__", "__int__", "tolist":
        monkeypatch.setattr(Tensor, how, listening(getattr(Tensor, how)))
    images = torch.zeros(2, 3, 8, 8)
    for step in range(9):
        augmenter(images)
        augmenter.adapt(OVERFITTING, Progress(step, step * BATCH, 10**7))
        if step == 0:
            asked.clear()  # what was in a checkpoint has to be read once
    assert asked == ["signs"] * 2  # at steps 3 and 7


def test_another_p_from_elsewhere_is_seen() -> None:
    augmenter = make(p=0.5)
    assert augmenter.pipeline.strength() == 0.5
    augmenter.load_state_dict(make(p=0.25).state_dict())
    assert augmenter.pipeline.strength() == 0.25
    augmenter.double()
    augmenter.p.fill_(0.75)
    assert augmenter.pipeline.strength() == 0.75
    assert copy.deepcopy(augmenter).pipeline.strength() == 0.75
