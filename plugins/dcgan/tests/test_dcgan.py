"""DCGAN: sizes to the digit, and that each option changes what it says."""

import itertools
import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ganctl import ImageSpec, Progress, UserError
from ganctl.options import load
from ganctl.summary import layer_table, totals
from ganctl_dcgan import DCGAN, DCGANOptions
from ganctl_dcgan.initialise import fans
from ganctl_dcgan.networks import DCGANDiscriminator, DCGANGenerator


def build(
    height: int = 64, width: int = 0, channels: int = 3, classes: int = 0, **options: Any
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    torch.manual_seed(0)
    spec = ImageSpec(height, width or height, channels, classes)
    networks = DCGAN().build(load(DCGANOptions, options), spec)
    return cast(tuple[DCGANGenerator, DCGANDiscriminator], networks)


def small(*size: int, **options: Any) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    return build(*(size or (32,)), **{"ngf": 8, "ndf": 8, "z_dim": 16} | options)


class Reals:
    """A training set of which only the statistics matter."""

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        self.figures = torch.tensor(mean), torch.tensor(deviation)

    def statistics(self) -> tuple[Tensor, Tensor]:
        return self.figures


@pytest.mark.parametrize(
    ("size", "g", "d"), [(64, 3576704, 2765568), (32, 1068928, 663296), (128, 12786560, 11164416)]
)
def test_the_numbers_of_parameters_are_exact(size: int, g: int, d: int) -> None:
    generator, discriminator = build(size)
    assert totals(generator)[0] == g
    assert totals(discriminator)[0] == d


def test_the_layers_are_those_of_the_paper() -> None:
    generator, discriminator = build()
    shapes = [row.shape[1:] for row in layer_table(generator, torch.zeros(1, 100))]
    maps = [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32)]
    assert shapes == [*itertools.chain(*zip(maps, maps, strict=True)), (3, 64, 64)]
    kinds = [row.kind for row in layer_table(discriminator, torch.zeros(1, 3, 64, 64))]
    assert kinds == ["Conv2d", *["Conv2d", "BatchNorm2d"] * 3, "Conv2d"]


@pytest.mark.parametrize("size", [(28, 28), (16, 20), (48, 48), (96, 96), (96, 128), (128, 64)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_other_sizes_and_channels(size: tuple[int, int], channels: int) -> None:
    generator, discriminator = small(*size, channels)
    images = generator(torch.randn(2, 16))
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (2, 1)


@pytest.mark.parametrize("size", [(8, 8), (30, 30), (63, 64), (256, 256), (64, 48 + 2)])
def test_sizes_that_cannot_be_made_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="cannot make"):
        build(*size)


@torch.no_grad()
def test_dcgan_initialisation_is_normal_with_deviation_002() -> None:
    for network in build():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert abs(float(module.weight.std()) - 0.02) < 0.001
                assert module.bias is None
            elif isinstance(module, nn.BatchNorm2d):
                assert abs(float(module.weight.mean()) - 1) < 0.01


@torch.no_grad()
def test_he_xavier_has_the_deviations_of_its_formulas() -> None:
    generator, discriminator = build(init="he-xavier")
    for network, slope in ((generator, 0.0), (discriminator, 0.2)):
        for layer in network.layers:
            expected = math.sqrt(2 / (1 + slope**2) / fans(layer)[0])  # type: ignore[arg-type]
            assert float(layer.weight.std()) == pytest.approx(expected, rel=0.02)  # type: ignore
        expected = math.sqrt(2 / sum(fans(network.output)))
        assert float(network.output.weight.std()) == pytest.approx(expected, rel=0.05)


def test_he_keeps_the_variance_through_the_layers() -> None:
    """What He et al. derive: half the second moment of pre-activations is lost to ReLU and won
    back, so that it neither grows nor shrinks; counting fans wrongly would show at once."""
    generator, discriminator = build(ngf=32, ndf=32, init="he-xavier")
    with torch.no_grad():
        x = torch.randn(64, 100, 1, 1)
        for layer, norm in zip(generator.layers, generator.norms, strict=True):
            y = layer(x)
            inner = y[:, :, 1:-1, 1:-1] if y.shape[2] > 4 else y
            moment = 1.0 if y.shape[2] > 4 else 2.0  # z has no ReLU behind it
            assert float(inner.square().mean()) == pytest.approx(moment, rel=0.15)
            x = torch.relu(norm(y))
        x = torch.randn(64, 3, 64, 64)
        before = 1.0
        for layer in discriminator.layers:
            y = layer(x)[:, :, 1:-1, 1:-1]
            expected = before * 2 / 1.04 if x.shape[1] == 3 else before
            assert float(y.square().mean()) == pytest.approx(expected, rel=0.3)
            x = torch.nn.functional.leaky_relu(layer(x), 0.2)
            before = float(y.square().mean())


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False), 16),
        (nn.Conv2d(1, 1, 4, 2, 1, bias=False), 16),
        (nn.ConvTranspose2d(1, 1, 4, bias=False), 1),
        (nn.Conv2d(1, 1, 4, bias=False), 4),
    ],
)
def test_fans_count_the_connections(layer: nn.Conv2d | nn.ConvTranspose2d, size: int) -> None:
    nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, size, size, requires_grad=True)
    y = layer(x)
    (reached,) = torch.autograd.grad(y.sum(), x)
    fan_in, fan_out = float(y.detach().max()), float(reached.max())
    assert fans(layer) == (fan_in, fan_out)


def test_dataset_normalisation_is_undone_in_the_pictures() -> None:
    generator, discriminator = small(normalisation="dataset")
    reals = Reals([-0.5, 0.0, 0.2], [0.3, 0.5, 0.25])
    generator.fit(reals)
    discriminator.fit(reals)
    assert generator.normalise is not None
    assert discriminator.normalise is not None
    mean, deviation = (figures.view(3, 1, 1) for figures in reals.figures)
    assert torch.equal(generator.state_dict()["normalise.mean"], mean)
    assert torch.equal(discriminator.state_dict()["normalise.deviation"], deviation)

    x = torch.rand(5, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(discriminator.normalise(x), (x - mean) / deviation)
    plain, _ = small()
    plain.load_state_dict(generator.state_dict(), strict=False)
    z = torch.randn(4, 16)
    made, tanh = generator.train()(z), plain.train()(z)
    torch.testing.assert_close(made, mean + (1 + mean.abs()) * tanh)
    reach = generator.normalise.inverse(torch.tensor([-1.0, 0.0, 1.0]).expand(3, 1, 3))
    assert (reach[..., 0] <= -1).all()  # black and white can both be made,
    assert (reach[..., 2] >= 1).all()
    assert torch.equal(reach[..., 1], mean[..., 0])  # and training starts at the mean colour
    assert generator.eval()(z).abs().max() <= 1


def test_a_set_without_deviation_cannot_be_normalised_by_it() -> None:
    generator, _ = small(normalisation="dataset")
    with pytest.raises(UserError, match=r"channel 1 .* deviation 0"):
        generator.fit(Reals([0.0, 0.0, 0.0], [0.5, 0.0, 0.5]))


def test_spectral_normalisation_bounds_every_weight() -> None:
    _, discriminator = small(d_norm="spectral", classes=5)
    assert not discriminator.norms
    assert discriminator.rowwise
    for _ in range(60):  # one power iteration each
        discriminator.at(Progress(0, 0, 1))
    weights = [m.weight for m in discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weights) == len(discriminator.layers) + 2
    for weight in weights:
        largest = torch.linalg.matrix_norm(weight.detach().flatten(1), 2)
        assert float(largest.detach()) == pytest.approx(1, abs=0.02)


def test_passes_leave_spectral_norms_alone_and_steps_iterate_them() -> None:
    _, discriminator = small(d_norm="spectral")
    x = torch.randn(4, 3, 32, 32)
    first = discriminator(x)
    assert torch.equal(discriminator.train()(x), first)  # micro-batches see the same weights
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    moved = discriminator(x)
    discriminator.at(Progress(1, 4, 100))
    assert not torch.equal(discriminator(x), moved)


def test_rows_are_judged_alone_without_batch_normalisation() -> None:
    for d_norm, alone in (("batch", False), ("none", True), ("spectral", True)):
        _, discriminator = small(d_norm=d_norm)
        discriminator.eval() if d_norm == "spectral" else discriminator.train()
        x = torch.randn(6, 3, 32, 32)
        same = torch.allclose(discriminator(x)[:2], discriminator(x[:2]), atol=1e-5)
        assert same == alone == discriminator.rowwise


def test_attention_begins_as_nothing_and_looks_everywhere() -> None:
    generator, discriminator = small(attention=16)
    plain, _ = small()
    plain.load_state_dict(generator.state_dict(), strict=False)
    z = torch.randn(2, 16)
    assert torch.equal(plain(z), generator(z))  # γ is 0
    attention = discriminator.attention["0"]
    with torch.no_grad():
        attention.gamma.fill_(1.0)  # type: ignore[union-attr]
    x = torch.randn(1, 8, 16, 16, requires_grad=True)
    attention(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=1) > 0).all()  # a corner sees every position
    with pytest.raises(UserError, match=r"shorter side 5: 4, 8, 16"):
        small(attention=5)


def test_labels_are_projected_on_the_features() -> None:
    generator, discriminator = small(classes=3)
    assert generator.layers[0].in_channels == 16 + 3
    x = torch.randn(3, 3, 32, 32)
    c = torch.eye(3)
    discriminator.eval()
    difference = discriminator(x, c) - discriminator(x)
    features = x
    for index, layer in enumerate(discriminator.layers):
        features = layer(features)
        if str(index) in discriminator.norms:
            features = discriminator.norms[str(index)](features)
        features = torch.nn.functional.leaky_relu(features, 0.2)
    assert discriminator.embedding is not None
    expected = (discriminator.embedding.weight.T * features.sum(dim=(2, 3))).sum(dim=1)
    torch.testing.assert_close(difference[:, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("d_norm", ["batch", "spectral", "none"])
def test_gradients_can_be_differentiated_again(d_norm: str) -> None:
    _, discriminator = small(d_norm=d_norm, attention=8)
    with torch.no_grad():
        discriminator.attention["1"].gamma.fill_(0.5)  # type: ignore[union-attr]
    x = torch.randn(4, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    grads = [p.grad for p in discriminator.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)


def test_the_recipe_is_that_of_the_paper() -> None:
    recipe = DCGAN().recipe(DCGANOptions(), ImageSpec(64, 64, 3), None)
    facts = SimpleNamespace(batch=128, lr=2e-4, betas=(0.5, 0.999), objective="bce")
    assert {name: getattr(recipe, name) for name in vars(facts)} == vars(facts)
