"""Sizes of the networks, images of every shape, and what cannot be built."""

import pytest
import torch

from ganctl import ImageSpec, UserError
from ganctl_stylegan2_ada import StyleGAN2ADA, StyleGAN2Options
from ganctl_stylegan2_ada.recipes import PUBLISHED, Blocks, Name, settings

SMALL = StyleGAN2Options(z_dim=16, w_dim=16, channel_base=64, channel_max=8, d_mapping_layers=2)
BLOCKS: tuple[Blocks, ...] = ("skip", "resnet", "orig")


def counted(recipe: Name, side: int, classes: int = 0) -> tuple[tuple[int, int], ...]:
    with torch.device("meta"):
        pair = StyleGAN2ADA().build(StyleGAN2Options(recipe), ImageSpec(side, side, 3, classes))
    return tuple(
        (sum(p.numel() for p in n.parameters()), sum(b.numel() for b in n.buffers())) for n in pair
    )


@pytest.mark.parametrize(
    ("recipe", "side", "classes", "generator", "discriminator"),
    [
        ("auto", 32, 0, 19_947_539, 21_507_073),
        ("auto", 64, 0, 22_243_608, 23_407_361),
        ("auto", 128, 0, 22_949_277, 23_882_369),
        ("auto", 256, 0, 23_191_522, 24_001_089),
        ("auto", 512, 0, 28_700_647, 28_982_849),
        ("auto", 1024, 0, 28_794_124, 29_012_513),
        ("paper256", 256, 0, 24_767_458, 24_001_089),
        ("paper512", 512, 0, 30_276_583, 28_982_849),
        ("paper1024", 1024, 0, 30_370_060, 29_012_513),
        ("stylegan2", 1024, 0, 30_370_060, 29_012_513),
        ("cifar", 32, 0, 19_947_539, 20_720_641),
        ("cifar", 32, 10, 20_215_315, 23_089_664),
    ],
)
def test_parameters_are_those_of_the_original(
    recipe: Name, side: int, classes: int, generator: int, discriminator: int
) -> None:
    (g, _), (d, _) = counted(recipe, side, classes)
    assert (g, d) == (generator, discriminator)


def test_buffers_are_too() -> None:
    (_, g), (_, d) = counted("auto", 256)
    assert (g, d) == (175_568, 416)


@pytest.mark.parametrize("arch", BLOCKS)
@pytest.mark.parametrize("size", [(32, 32), (16, 32), (32, 8)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 3])
def test_images_of_every_shape(
    arch: Blocks, size: tuple[int, int], channels: int, classes: int
) -> None:
    spec = ImageSpec(*size, channels, classes)
    options = StyleGAN2Options(**{**vars(SMALL), "g_arch": arch, "d_arch": arch})
    g, d = StyleGAN2ADA().build(options, spec)
    c = torch.eye(3)[[0, 1, 2, 0, 1, 2, 0]] if classes else None
    images = g(torch.randn(7, 16), c)  # 7: no multiple of the group of 4
    assert images.shape == (7, channels, *size)
    logits = d(images, c)
    assert logits.shape == (7, 1)
    logits.sum().backward()
    for network in (g, d):
        gradients = [p.grad for p in network.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in gradients)


def test_groups_do_not_see_each_other() -> None:
    """Two groups of four: images n and n + 2 share one."""
    _, d = StyleGAN2ADA().build(SMALL, ImageSpec(16, 16, 3))
    images = torch.randn(8, 3, 16, 16).requires_grad_()
    d(images)[0].sum().backward()
    assert images.grad is not None
    seen = images.grad.flatten(1).abs().sum(1) > 0
    assert seen.tolist() == [True, False] * 4


@pytest.mark.parametrize("size", [(48, 48), (4, 4), (64, 96), (4, 64), (100, 128)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"not {size[0]}x{size[1]}"):
        StyleGAN2ADA().build(SMALL, ImageSpec(*size, 3))


def test_labels_are_asked_for() -> None:
    g, d = StyleGAN2ADA().build(SMALL, ImageSpec(16, 16, 3, 3))
    with pytest.raises(ValueError, match="3 classes"):
        g(torch.randn(2, 16))
    with pytest.raises(ValueError, match="3 classes"):
        d(torch.randn(2, 3, 16, 16))


def test_truncation_draws_styles_to_the_mean() -> None:
    g, _ = StyleGAN2ADA().build(SMALL, ImageSpec(16, 16, 3))
    g.mapping.w_avg.copy_(torch.randn(16))
    g.eval()
    z = torch.randn(3, 16)
    whole = g.mapping(z)
    assert g.mapping(z, None, 0.0).allclose(g.mapping.w_avg.expand_as(whole))
    half = g.mapping(z, None, 0.5, 2)
    assert half[:, :2].allclose((whole[:, :2] + g.mapping.w_avg) / 2, atol=1e-6)
    assert half[:, 2:].equal(whole[:, 2:])


def test_layers_are_clamped() -> None:
    options = StyleGAN2Options(**{**vars(SMALL), "conv_clamp": 0.01})
    g, _ = StyleGAN2ADA().build(options, ImageSpec(16, 16, 3))
    images = g(torch.randn(2, 16))
    assert images.abs().max() <= 0.01 * 4  # one image of each of three resolutions, filtered


def test_auto_goes_by_the_batch() -> None:
    found = settings("auto", ImageSpec(256, 256, 3))
    assert (found.batch, found.lr, found.ema_kimg) == (16, 0.0025, 5)
    assert found.r1_gamma == pytest.approx(0.0002 * 256**2 / 16)
    other = settings("auto", ImageSpec(256, 256, 3), 64)
    assert (other.batch, other.ema_kimg) == (64, 20)
    assert other.r1_gamma == pytest.approx(0.0002 * 256**2 / 64)
    assert settings("auto", ImageSpec(1024, 1024, 3)).lr == 0.002
    assert [settings("auto", ImageSpec(s, s, 3)).batch for s in (32, 64, 128, 512)] == [
        *(32, 32, 32, 8)
    ]


TABLE = """
stylegan2  25000  32  4 32768 .002  10  10  none 8
paper256   25000  64  8 16384 .0025 1   20  none 8
paper512   25000  64  8 32768 .0025 .5  20  none 8
paper1024  25000  32  4 32768 .002  2   10  none 8
cifar      100000 64 32 32768 .0025 .01 500 .05  2
"""
"""Of the published program: kimg, batch, group, channels, rate, γ, average, ramp-up, mapping."""


@pytest.mark.parametrize("line", TABLE.split("\n")[1:-1])
def test_recipes_as_published(line: str) -> None:
    name, *figures = line.split()
    row = PUBLISHED[name]
    found = list(vars(row).values())[:9]
    assert found == [None if figure == "none" else float(figure) for figure in figures]
    spec = ImageSpec(256, 256, 3)
    recipe = StyleGAN2ADA().recipe(StyleGAN2Options(recipe=name), spec, None)  # type: ignore[arg-type]
    assert (recipe.lr, recipe.betas, recipe.eps) == (row.lr, (0, 0.99), 1e-8)
    assert (recipe.d_lr, recipe.augment, recipe.nonfinite) == (None, "ada", "clip")
    assert (recipe.batch, recipe.kimg) == (row.batch, row.kimg)
    assert (recipe.ema_kimg, recipe.ema_rampup) == (row.ema_kimg, row.ema_rampup)
    plain = name == "cifar"
    assert recipe.objective_options == {
        "r1_gamma": row.r1_gamma,
        "pl_weight": 0 if plain else 2,
        "style_mixing": 0 if plain else 0.9,
    }
    assert row.d_arch == ("orig" if plain else "resnet")


def test_what_networks_start_from() -> None:
    """Weights N(0, 1), over the multiplier where there is one; biases 0, of styles 1."""
    torch.manual_seed(0)
    options = StyleGAN2Options(channel_max=64, d_mapping_layers=2)
    g, d = StyleGAN2ADA().build(options, ImageSpec(16, 16, 3, 3))
    for network in (g, d):
        for name, value in network.named_parameters():
            if name.endswith("weight"):
                deviation = 100 if ".fc" in name and "mapping" in name else 1
                assert value.mean().abs() < 0.2 * deviation, name
                assert value.std().item() == pytest.approx(deviation, rel=0.15), name
            elif name.endswith("const"):
                assert value.std().item() == pytest.approx(1, rel=0.1)
            else:
                assert value.eq(1 if name.endswith("affine.bias") else 0).all(), name
    assert g.synthesis.b4.conv1.noise_const.std() > 0.5
    assert g.mapping.w_avg.eq(0).all()


def test_the_label_mapping_comes_last() -> None:
    """`--freeze-d` counts layers from the image on."""
    _, d = StyleGAN2ADA().build(SMALL, ImageSpec(16, 16, 3, 3))
    names = [name.partition(".")[0] for name, _ in d.named_parameters()]
    assert list(dict.fromkeys(names)) == ["b16", "b8", "b4", "mapping"]
