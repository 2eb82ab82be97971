"""The augmentations without reference numbers: identities, shapes, derivatives, rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganctl import UserError, random
from ganctl_stylegan2_ada.augment.draws import RandomDraws
from ganctl_stylegan2_ada.augment.filtering import EXPECTED_POWER, band_gains
from ganctl_stylegan2_ada.augment.pipeline import AugmentationPipeline
from ganctl_stylegan2_ada.augment.presets import NAMES, PRESETS
from ganctl_stylegan2_ada.augment.wavelets import SYM2, SYM6, filter_bank


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def seeded(pipeline: AugmentationPipeline, images: Tensor, seed: int = 3) -> Tensor:
    random.seed_everything(seed)
    out: Tensor = pipeline(images)
    return out


@pytest.mark.parametrize("preset", PRESETS)
def test_at_p_0_images_are_seen_as_they_are(preset: str) -> None:
    images = pictures(2, 3, 16, 16)
    assert torch.equal(AugmentationPipeline(PRESETS[preset])(images), images)


def test_an_image_whose_gates_are_all_closed_comes_back() -> None:
    images = pictures(4, 3, 16, 12)
    out = seeded(AugmentationPipeline(NAMES, p=1e-9), images)
    torch.testing.assert_close(out, images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (12, 20), (20, 8), (5, 5), (50, 6)])
def test_gray_and_non_square_images_keep_their_shape(channels: int, size: tuple[int, int]) -> None:
    images = pictures(3, channels, *size)
    out = seeded(AugmentationPipeline(NAMES, p=1.0), images)
    assert out.shape == images.shape
    assert out.isfinite().all()
    assert not torch.allclose(out, images, atol=0.05)


def test_channels_last_images_give_the_same() -> None:
    images = pictures(3, 3, 16, 12)
    pipeline = AugmentationPipeline(NAMES, p=1.0)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(seeded(pipeline, last), seeded(pipeline, images))


def test_a_gray_image_is_augmented_as_the_gray_of_its_rgb_would_be() -> None:
    gray = pictures(1, 1, 16, 16)
    pipeline = AugmentationPipeline(PRESETS["bgcf"])
    of_rgb = pipeline(gray.expand(-1, 3, -1, -1), percentile=0.7).mean(1, keepdim=True)
    torch.testing.assert_close(pipeline(gray, percentile=0.7), of_rgb, rtol=0, atol=1e-5)


def smooth(size: int) -> Tensor:
    """(1, 3, size, size): waves, different along both axes."""
    x = torch.linspace(0, 1, size)
    waves = [torch.sin(3 * x.view(-1, 1) * (c + 1) + 2 * x * (c + 2) + c) for c in range(3)]
    return torch.stack(waves).unsqueeze(0)


def at(name: str, percentile: float, images: Tensor) -> Tensor:
    out: Tensor = AugmentationPipeline([name])(images, percentile=percentile)
    return out


def test_flips_and_quarter_turns_are_flips_and_quarter_turns() -> None:
    images = smooth(24)
    inner = (..., slice(4, -4), slice(4, -4))
    flipped, turned = images.flip(3), images.rot90(1, (2, 3))
    # sym6 is nearly symmetric: a tenth of a pixel, where neighbours differ by up to 0.5.
    torch.testing.assert_close(at("xflip", 0.8, images)[inner], flipped[inner], rtol=0, atol=0.05)
    torch.testing.assert_close(at("rotate90", 0.3, images)[inner], turned[inner], rtol=0, atol=0.05)


def test_integer_translation_moves_pixels_and_changes_none() -> None:
    images = pictures(2, 3, 16, 16)
    # round((2 · 0.9 - 1) · 0.125 · 16) = 2 pixels to the right and down; borders are reflected.
    moved = at("xint", 0.9, images)
    torch.testing.assert_close(moved[..., 2:, 2:], images[..., :-2, :-2], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[..., 2:, 1], images[..., :-2, 1], rtol=0, atol=1e-5)


def test_a_gate_opens_with_probability_p() -> None:
    images = torch.full((4000, 1, 2, 2), 0.5)
    out = seeded(AugmentationPipeline(["brightness"], p=0.3), images)
    changed = (out != images).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(0.3, abs=0.03)
    offsets = (out - images)[:, 0, 0, 0]
    assert offsets[offsets != 0].std().item() == pytest.approx(0.2, abs=0.02)


def test_cutout_and_noise_have_the_papers_size() -> None:
    half = AugmentationPipeline(["cutout"])(torch.ones(1, 3, 16, 12), percentile=0.5)
    assert half.sum().item() == 3 * 16 * 12 * 3 / 4
    assert not half[:, :, 4:12, 3:9].any()
    noise = seeded(AugmentationPipeline(["noise"], p=1.0), torch.zeros(2000, 1, 8, 8))
    assert noise.square().mean().sqrt().item() == pytest.approx(0.1, abs=0.01)


def test_a_gain_in_one_band_keeps_the_power_that_natural_images_are_expected_to_have() -> None:
    random.seed_everything(0)
    gains = band_gains(RandomDraws(1000, 0.1))
    power = (gains.square() * torch.tensor(EXPECTED_POWER, dtype=torch.float64)).sum(1)
    changed = (gains != 1).any(1)
    kept = (power - 1).abs() < 1e-9
    # One band at least: 1 - 0.9^4 = 0.34. More than one, which keep it nearly: 0.05.
    assert changed.double().mean().item() == pytest.approx(0.344, abs=0.05)
    assert (~kept).double().mean().item() == pytest.approx(0.052, abs=0.02)


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)])
def test_the_wavelets_are_orthonormal_with_all_their_vanishing_moments(
    taps: tuple[float, ...], moments: int
) -> None:
    h = torch.tensor(taps, dtype=torch.float64)
    for shift in range(0, len(h), 2):
        product = (h[shift:] * h[: len(h) - shift]).sum().item()
        assert product == pytest.approx(float(shift == 0), abs=1e-11)
    k = torch.arange(len(h), dtype=torch.float64)
    for moment in range(moments):
        assert abs(((-1) ** k * k**moment * h).sum().item()) < 1e-7 * 12**moment


def test_the_bands_add_up_to_the_image() -> None:
    bank = filter_bank()
    pulse = torch.zeros(43, dtype=torch.float64)
    pulse[21] = 1
    torch.testing.assert_close(bank.sum(0), pulse, rtol=0, atol=1e-12)
    assert torch.equal(bank.sum(1).round(), torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("channels", [1, 3])
def test_derivatives_are_right_twice(channels: int) -> None:
    images = pictures(2, channels, 6, 5).double().requires_grad_()
    pipeline = AugmentationPipeline(NAMES, p=0.8)

    def squared(x: Tensor) -> Tensor:  # whose second derivative is not zero
        return seeded(pipeline, x).square()

    assert gradcheck(squared, images, fast_mode=True)
    assert gradgradcheck(squared, images, fast_mode=True)


def test_rows_of_a_micro_batch_are_augmented_as_in_the_batch() -> None:
    images = pictures(6, 3, 16, 12)
    pipeline = AugmentationPipeline(NAMES, p=0.6)
    whole = seeded(pipeline, images)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        with random.rows(start, stop, 6):
            part = seeded(pipeline, images[start:stop])
        torch.testing.assert_close(part, whole[start:stop], rtol=0, atol=2e-5)
    assert not torch.allclose(seeded(pipeline, images, seed=4), whole, atol=0.05)


def test_autocast_and_half_precision_do_not_blur_the_augmentations() -> None:
    images = pictures(2, 3, 16, 16)
    pipeline = AugmentationPipeline(NAMES, p=0.9)
    plain = seeded(pipeline, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(seeded(pipeline, images), plain)
        assert seeded(pipeline, images.bfloat16()).dtype == torch.float32


def test_unknown_names_and_channels_are_named() -> None:
    with pytest.raises(UserError, match="unknown augmentation blur; there are xflip, "):
        AugmentationPipeline(["xflip", "blur"])
    with pytest.raises(UserError, match="4 channels"):
        AugmentationPipeline(["xflip"], p=1.0)(torch.zeros(1, 4, 8, 8))
