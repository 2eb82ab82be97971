"""The MLP GAN: its networks, its objective, the digits, and that it learns."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ganctl import Batch, ImageSpec, NoOptions, Phase, Players, Progress, random
from ganctl.data.dataset import Dataset
from ganctl.data.loader import Loader
from ganctl.data.prepare import prepare
from ganctl.errors import UserError
from ganctl.options import load
from ganctl.training.loop import train
from ganctl.training.optim import AdamSettings, PlayerOptimizer
from ganctl.training.state import State
from ganctl.training.tally import Tally
from ganctl_mlp import BCE, MLP, BCEOptions, Digits, MLPOptions

SPEC = ImageSpec(6, 5, 3)
SMALL = MLPOptions(z_dim=7, g_widths=(16, 24), d_widths=(24, 16))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose time on a second thread, much of it where others work too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def players(options: MLPOptions = SMALL, spec: ImageSpec = SPEC) -> Players:
    random.seed_everything(0)
    return Players(*MLP().build(options, spec))


def batch(rows: int = 8, classes: int = 0, step: int = 0) -> Batch:
    drawn = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (rows, 3, 6, 5), dtype=torch.uint8, generator=drawn)
    labels = torch.eye(classes)[torch.arange(rows) % classes] if classes else None
    return Batch(pixels, labels, Progress(step, step * rows, 1000))


@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize("output", ["tanh", "sigmoid"])
def test_images_and_logits_have_their_shapes_and_ranges(output: str, classes: int) -> None:
    options = load(MLPOptions, {"z_dim": 7, "output": output, "init": "normal"})
    generator, discriminator = MLP().build(options, ImageSpec(6, 5, 3, classes))
    labels = torch.eye(classes)[[0, 1, 1]] if classes else None
    images = generator(torch.randn(3, generator.z_dim) * 100, labels)
    assert images.shape == (3, 3, 6, 5)
    assert images.min() >= -1
    assert images.max() <= 1
    assert discriminator(images, labels).shape == (3, 1)


def test_the_widths_are_those_asked_for() -> None:
    generator, discriminator = MLP().build(SMALL, SPEC)
    shapes = [tuple(m.weight.shape) for m in generator.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(16, 7), (24, 16), (90, 24)]
    shapes = [tuple(m.weight.shape) for m in discriminator.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(24, 90), (16, 24), (1, 16)]


def test_both_networks_see_the_label() -> None:
    generator, discriminator = MLP().build(SMALL, ImageSpec(6, 5, 3, 2))
    discriminator.eval()
    one, other = torch.eye(2).unsqueeze(1)
    z, x = torch.randn(1, 7), torch.randn(1, 3, 6, 5)
    assert not torch.equal(generator(z, one), generator(z, other))
    assert not torch.equal(discriminator(x, one), discriminator(x, other))


def test_dropout_works_in_training_only() -> None:
    discriminator = players().discriminator
    x = torch.randn(4, 3, 6, 5)
    assert not torch.equal(discriminator(x), discriminator(x))
    discriminator.eval()
    assert torch.equal(discriminator(x), discriminator(x))
    none = players(MLPOptions(d_widths=(24,), dropout=0.0)).discriminator
    assert torch.equal(none(x), none(x))


def test_with_sigmoid_the_discriminator_works_on_zero_to_one() -> None:
    plain = players(MLPOptions(d_widths=(8,), dropout=0.0)).discriminator
    shifted = players(MLPOptions(d_widths=(8,), dropout=0.0, output="sigmoid")).discriminator
    shifted.load_state_dict(plain.state_dict())
    x = torch.rand(4, 3, 6, 5) * 2 - 1
    assert torch.allclose(shifted(x), plain((x + 1) / 2), atol=1e-6)


def test_batch_norm_stands_after_every_hidden_layer_but_the_first() -> None:
    generator, discriminator = MLP().build(MLPOptions(g_widths=(8, 9, 10), batch_norm=True), SPEC)
    norms = [m.num_features for m in generator.modules() if isinstance(m, nn.BatchNorm1d)]
    assert norms == [9, 10]
    assert not [m for m in discriminator.modules() if isinstance(m, nn.BatchNorm1d)]
    plain, _ = MLP().build(MLPOptions(), SPEC)
    assert not [m for m in plain.modules() if isinstance(m, nn.BatchNorm1d)]


@pytest.mark.parametrize(("init", "deviation"), [("normal", 0.02), ("glorot", (2 / 912) ** 0.5)])
def test_weights_start_as_asked_and_biases_at_zero(init: str, deviation: float) -> None:
    random.seed_everything(0)
    generator, discriminator = MLP().build(
        load(MLPOptions, {"g_widths": [400, 512], "init": init}), SPEC
    )
    assert generator.hidden[1].weight.std().item() == pytest.approx(deviation, rel=0.02)
    for network in (generator, discriminator):
        biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
        assert biases
        assert all((bias == 0).all() for bias in biases)


def test_a_network_needs_a_hidden_layer() -> None:
    with pytest.raises(UserError, match=r"^arch: g_widths and d_widths need at least one"):
        load(MLPOptions, {"g_widths": ""}, "arch")


def test_a_rows_logit_depends_on_that_row_alone() -> None:
    discriminator = players().discriminator.eval()
    assert discriminator.rowwise
    x = torch.randn(6, 3, 6, 5)
    assert torch.allclose(discriminator(x)[2:4], discriminator(x[2:4]), atol=1e-6)


def test_the_losses_are_binary_cross_entropy_on_logits() -> None:
    both = players(MLPOptions(z_dim=7, g_widths=(16,), d_widths=(16,), dropout=0.0))
    g, d = BCE().phases(both, BCEOptions())
    rows = batch()
    random.seed_everything(5)
    g_loss = g.loss(rows)
    d_loss = d.loss(rows)
    random.seed_everything(5)
    fakes = both.generate(rows)
    fake, real = both.discriminator(fakes), both.discriminator(rows.images)
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    assert torch.allclose(g_loss, bce(fake, ones), atol=1e-6)
    assert torch.allclose(d_loss, (bce(real, ones) + bce(fake, zeros)) / 2, atol=1e-6)


def test_the_losses_do_not_overflow() -> None:
    both = players(MLPOptions(z_dim=7, g_widths=(16,), d_widths=(16,), dropout=0.0))
    with torch.no_grad():
        both.discriminator.output.bias.fill_(1e4)
    for phase in BCE().phases(both, BCEOptions()):
        assert phase.loss(batch()).isfinite()


def test_the_generators_fakes_are_judged_again_and_not_drawn_twice() -> None:
    both = players()
    g, d = BCE().phases(both, BCEOptions())
    drawn: list[int] = []
    handle = both.generator.register_forward_hook(lambda *_: drawn.append(1))
    rows = batch()
    g.loss(rows)
    d.loss(rows)
    assert len(drawn) == 1
    d.loss(rows)  # a step without G's phase draws its own
    handle.remove()
    assert len(drawn) == 2


def test_the_discriminators_loss_does_not_reach_the_generator() -> None:
    both = players()
    g, d = BCE().phases(both, BCEOptions())
    rows = batch()
    g.loss(rows)
    d.loss(rows).backward()
    assert all(p.grad is None for p in both.generator.parameters())
    assert all(p.grad is not None for p in both.discriminator.parameters())


def test_the_real_logits_are_reported_for_the_augmenter() -> None:
    rows = batch()
    _, d = BCE().phases(players(), BCEOptions())
    d.loss(rows)
    assert [t.shape for t in rows.reports["logits/real"]] == [(8, 1)]
    assert not rows.reports["logits/real"][0].requires_grad


@pytest.mark.parametrize("n_critic", [1, 5])
def test_n_critic_is_how_rarely_the_generator_moves(n_critic: int) -> None:
    g, d = BCE().phases(players(), BCEOptions(n_critic=n_critic))
    assert (g.player, g.every, g.lazy) == ("generator", n_critic, False)
    assert (d.player, d.every, d.lazy) == ("discriminator", 1, False)


def test_the_digits_are_the_1797_of_the_uci_set() -> None:
    source, options = Digits(), NoOptions()
    items = list(source.items(options))
    assert len(items) == source.count(options) == 1797
    assert source.channels(options) == 1
    assert len({item.key for item in items}) == 1797
    assert np.bincount([int(item.label or -1) for item in items]).tolist() == [
        *(178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    ]
    pixels = [source.open(options, item) for item in items]
    assert all(p.shape == (8, 8) and p.dtype == np.uint8 for p in pixels)
    assert min(p.min() for p in pixels) == 0
    assert max(p.max() for p in pixels) == 255


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("digits") / "digits.zip"
    prepare(Digits(), NoOptions(), ImageSpec(8, 8, 1), path)
    return Dataset(path)


def trained(
    digits: Dataset, kimg: float, *, micro_batch: int = 64, cond: bool = False, batch_size: int = 64
) -> State:
    """A small MLP GAN trained as `ganctl train` does it."""
    random.seed_everything(0)
    spec = ImageSpec(8, 8, 1, 10 if cond else 0)
    both = Players(*MLP().build(MLPOptions(z_dim=16, g_widths=(64,), d_widths=(64,)), spec))
    phases: list[Phase] = BCE().phases(both, BCEOptions())
    recipe = MLP().recipe(MLPOptions(), spec, None)
    optimizers = {
        phase.player: PlayerOptimizer(
            both[phase.player],
            AdamSettings(1e-3, recipe.betas, recipe.eps, lambda progress: 1.0),
            [phase],
        )
        for phase in phases
    }
    state = State(both, optimizers, None)
    loader = Loader(digits, batch_size, 0, torch.device("cpu"), conditional=cond)
    for _ in train(
        state,
        loader,
        phases,
        Tally(),
        total=round(kimg * 1000),
        micro_batch=micro_batch,
        seed=0,
    ):
        pass
    return state


@pytest.mark.parametrize("cond", [False, True])
def test_micro_batches_give_what_the_batch_gives(digits: Dataset, cond: bool) -> None:
    whole = trained(digits, 0.32, cond=cond).tensors()
    parts = trained(digits, 0.32, cond=cond, micro_batch=24).tensors()
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], rtol=1e-3, atol=1e-4), name


def test_after_some_training_the_fakes_resemble_the_digits(digits: Dataset) -> None:
    reals = np.stack([digits.read(i) for i in range(len(digits))]).astype(float)

    def likeness(state: State) -> float:
        """Correlation of the mean fake with the mean digit."""
        generator = state.best_generator.eval()
        with torch.no_grad():
            fakes = generator(torch.randn(500, 16, generator=torch.Generator().manual_seed(0)))
        return float(np.corrcoef(fakes.mean(0).flatten(), reals.mean(0).flatten())[0, 1])

    assert likeness(trained(digits, 0.0)) < 0.5
    assert likeness(trained(digits, 40)) > 0.9
