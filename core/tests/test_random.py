"""Seeds from purposes, and draws for some rows that equal those rows of the whole draw."""

import pytest
import torch

from ganctl import random


def drawn(seed: int, start: int, stop: int, total: int, *shape: int) -> torch.Tensor:
    random.seed_everything(seed)
    with random.rows(start, stop, total):
        return random.randn(stop - start, *shape)


def masked(seed: int, start: int, stop: int, total: int, width: int, copies: int) -> torch.Tensor:
    random.seed_everything(seed)
    with random.rows(start, stop, total):
        return random.dropout_mask(torch.empty((stop - start) * copies, width), 0.4)


def test_a_seed_is_a_function_of_its_purpose() -> None:
    assert random.derive(0, "step", 1, "D") == random.derive(0, "step", 1, "D")


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {
        random.derive(seed, purpose, step)
        for seed in range(10)
        for purpose in ("order", "step", "init")
        for step in range(100)
    }
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_derived_seed_is_the_same_on_every_machine() -> None:
    assert random.derive(0, "init") == 7_797_302_695_267_191_734


def test_seeding_makes_torch_repeat_itself() -> None:
    random.seed_everything(2**63 - 1)
    first = torch.randn(100), torch.rand(3), torch.randperm(10)
    random.seed_everything(2**63 - 1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first, (torch.randn(100), torch.rand(3), torch.randperm(10)), strict=True)
    )


@pytest.mark.parametrize("size", [1, 3, 5, 8, 16, 64])
def test_latents_of_micro_batches_are_those_of_the_batch(size: int) -> None:
    whole = drawn(7, 0, 64, 64, 5)
    parts = [drawn(7, i, min(i + size, 64), 64, 5) for i in range(0, 64, size)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("width", [1, 7, 32])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_dropout_of_micro_batches_is_that_of_the_batch(size: int, width: int) -> None:
    whole = masked(7, 0, 16, 16, width, copies=1)
    parts = [masked(7, i, min(i + size, 16), 16, width, copies=1) for i in range(0, 16, size)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_dropout_for_reals_and_fakes_together_is_that_of_the_batch(size: int) -> None:
    whole = masked(7, 0, 16, 16, 6, copies=2).view(2, 16, 6)
    parts = [
        masked(7, i, min(i + size, 16), 16, 6, copies=2).view(2, -1, 6) for i in range(0, 16, size)
    ]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert not torch.equal(whole[0], whole[1])


def test_a_draw_that_is_not_for_the_batch_is_left_alone() -> None:
    random.seed_everything(1)
    with random.rows(2, 5, 8):
        odd = random.randn(4, 2)
    random.seed_everything(1)
    assert torch.equal(odd, torch.randn(4, 2))


def test_rows_end_with_their_context_even_after_an_error() -> None:
    with pytest.raises(KeyError), random.rows(0, 2, 4):
        raise KeyError
    random.seed_everything(1)
    after = random.randn(2, 3)
    random.seed_everything(1)
    assert torch.equal(after, torch.randn(2, 3))


def test_rows_within_rows_come_back_to_the_outer_ones() -> None:
    with random.rows(2, 4, 8):
        with random.rows(0, 1, 1):
            pass
        random.seed_everything(3)
        inner = random.randn(2, 3)
    assert torch.equal(inner, drawn(3, 2, 4, 8, 3))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.4, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    random.seed_everything(0)
    mask = random.dropout_mask(torch.empty(1000, 400), p)
    kept = mask[mask != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)))
    assert (mask == 0).float().mean().item() == pytest.approx(p, abs=0.003)
    assert mask.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("p", [0.9999, 0.99999, 0.999999])
def test_dropout_of_nearly_everything_leaves_nearly_nothing(p: float) -> None:
    random.seed_everything(0)
    assert (random.dropout_mask(torch.empty(100, 100), p) != 0).float().mean().item() < 0.001


def test_dropout_decides_for_each_value_by_itself() -> None:
    random.seed_everything(0)
    mask = (random.dropout_mask(torch.empty(2000, 64), 0.5) != 0).float()
    correlations = torch.corrcoef(mask.T) - torch.eye(64)
    assert correlations.abs().max() < 0.12


def test_the_mask_has_the_type_and_shape_of_what_it_masks() -> None:
    like = torch.empty(3, 2, 5, dtype=torch.bfloat16)
    mask = random.dropout_mask(like, 0.5)
    assert mask.dtype == torch.bfloat16
    assert mask.shape == like.shape


def test_a_draw_for_the_first_rows_of_a_micro_batch() -> None:
    """Each micro-batch draws others: those that the whole batch has at that place."""
    torch.manual_seed(0)
    whole = random.randn(8, 3)
    torch.manual_seed(0)
    with random.rows(4, 8, 8):
        part = random.randn(2, 3)
    assert torch.equal(part, whole[4:6])
