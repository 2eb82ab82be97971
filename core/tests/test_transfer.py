"""What of a trained model fits another network, layer by layer, and which layers are frozen."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganctl import checkpoint
from ganctl.errors import UserError
from ganctl.interfaces import Discriminator, Generator, Players
from ganctl.training.ema import EMA
from ganctl.training.state import State
from ganctl.training.transfer import Origin, compare, find, freeze, take_over


class G(Generator):
    z_dim = 4

    def __init__(self, width: int = 8, pixels: int = 6) -> None:
        super().__init__()
        self.hidden = nn.Linear(self.z_dim, width)
        self.norm = nn.BatchNorm1d(width)
        self.output = nn.Linear(width, pixels)


class D(Discriminator):
    def __init__(self, width: int = 8, pixels: int = 6) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(2))
        self.first = spectral_norm(nn.Linear(pixels, width))
        self.second = nn.Linear(width, width)
        self.output = nn.Linear(width, 1, bias=False)


def filled(network: nn.Module, value: float) -> dict[str, Tensor]:
    """The state of such a network, all of it this value."""
    return {name: torch.full_like(t, value) for name, t in network.state_dict().items()}


def origin(
    generator: nn.Module, discriminator: nn.Module | None, live: nn.Module | None = None
) -> Origin:
    """A model whose average is all 1, whose generator all 2, whose discriminator all 3."""
    return Origin(
        Path("model.safetensors"),
        filled(generator, 1),
        filled(live or generator, 2),
        None if discriminator is None else filled(discriminator, 3),
    )


def state(generator: Generator, discriminator: Discriminator, ema: bool = True) -> State:
    average = EMA(generator, 1.0, None) if ema else None
    return State(Players(generator, discriminator), {}, average)


def holds(network: nn.Module, value: float, *but: str) -> bool:
    return all((t == value).all() for n, t in network.state_dict().items() if n not in but)


def test_a_model_that_fits_is_taken_over_whole() -> None:
    run = state(G(), D())
    report = take_over(origin(G(), D()), run)
    assert run.ema is not None
    assert holds(run.ema.generator, 1)
    assert holds(run.players.generator, 2)
    assert holds(run.players.discriminator, 3)
    assert list(report.summary()) == [
        "starting from model.safetensors",
        "taken over: 3 of 3 layers of the generator",
        "taken over: 3 of 3 layers of the discriminator",
    ]


def test_without_an_average_the_live_generator_is_taken_over() -> None:
    run = state(G(), D(), ema=False)
    take_over(origin(G(), D()), run)
    assert holds(run.best_generator, 2)


def test_a_lone_generator_leaves_the_discriminator_as_it_is() -> None:
    run, fresh = state(G(), torch.manual_seed(0) and D()), (torch.manual_seed(0) and D())
    lines = list(take_over(origin(G(), None), run).summary())
    assert lines[1:] == [
        "the discriminator starts anew: there is no training.safetensors beside the generator",
        "taken over: 3 of 3 layers of the generator",
    ]
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(run.players.discriminator.state_dict()[name], tensor)


def test_what_fits_is_taken_over_tensor_by_tensor_and_the_rest_is_told() -> None:
    run = state(G(pixels=10), D(pixels=10))
    before = run.players.generator.output.weight.clone()
    model = origin(G(), D())
    model.generator["mapping.embed.weight"] = torch.zeros(3)
    del model.discriminator["second.bias"]
    report = take_over(model, run)
    assert torch.equal(run.players.generator.output.weight, before)
    assert holds(run.players.generator, 2, "output.weight", "output.bias")
    assert list(report.summary())[1:] == [
        "taken over: 2 of 3 layers of the generator; left as they start: "
        "output weight (10x8 here, 6x8 there), bias (10 here, 6 there); "
        "in the model alone: mapping.embed",
        "taken over: 1 of 3 layers of the discriminator; left as they start: "
        "first weight.original (8x10 here, 8x6 there), weight.0._v (10 here, 6 there), "
        "second bias (not in the model)",
    ]
    assert report.text() == (
        f"model: {Path('model.safetensors').absolute()}\n"
        "generator.hidden: taken over\n"
        "generator.norm: taken over\n"
        "generator.output: left as it starts: weight (10x8 here, 6x8 there), bias (10 here, 6 "
        "there)\n"
        "generator.mapping.embed: in the model alone\n"
        "discriminator.(itself): taken over\n"
        "discriminator.first: left as it starts: weight.original (8x10 here, 8x6 there), "
        "weight.0._v (10 here, 6 there); taken over: bias, weight.0._u\n"
        "discriminator.second: left as it starts: bias (not in the model); taken over: weight\n"
        "discriminator.output: taken over\n"
    )


def test_the_summary_names_a_few_layers_and_counts_the_others() -> None:
    model = origin(G(), D())
    model.generator.update({f"more.{n}.weight": torch.zeros(1) for n in range(9)})
    (line,) = (line for line in compare(model, G(), D()).summary() if "generator" in line)
    assert line.endswith("in the model alone: more.0, more.1, more.2, more.3 and 5 more")


def test_the_summary_names_a_block_and_not_what_is_in_it() -> None:
    model = origin(G(), D())
    names = ("b8.filter", "b8.conv0.weight", "b8.conv1.weight", "b80.weight")
    model.generator.update({name: torch.zeros(1) for name in names})
    report = compare(model, G(), D())
    (line,) = (line for line in report.summary() if "layers of the generator" in line)
    assert line.endswith("in the model alone: b8, b80")
    assert "generator.b8.conv1: in the model alone" in report.text()


def test_networks_without_numbers_can_be_compared() -> None:
    with torch.device("meta"):
        networks = G(), D()
    report = compare(origin(G(), D()), *networks)
    assert all(layer.fits for layers in report.networks.values() for layer in layers)


def test_a_model_of_which_no_layer_fits_is_refused() -> None:
    # The counter of the batch norm and a bias fit, but they are not what anybody is after.
    with pytest.raises(UserError, match=r"^init_from: nothing of model\.safetensors fits"):
        take_over(origin(G(), None), state(G(width=9), D()))


def test_frozen_layers_are_counted_from_the_image_on() -> None:
    network = D()
    freeze(network, 2)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {
        *("first.bias", "first.parametrizations.weight.original"),
        *("second.weight", "second.bias"),
    }
    *_, last = compare(origin(G(), D()), G(), network).summary()
    assert last == "frozen: first, second"
    *_, last = compare(origin(G(), D(pixels=7)), G(), network).summary()
    assert last == "warning: frozen although they are not the model's: first"


def test_one_layer_has_to_learn() -> None:
    network = D()
    with pytest.raises(UserError, match=r"^freeze_d: 3 is too many: the discriminator has 3 lay"):
        freeze(network, 3)
    assert all(p.requires_grad for p in network.parameters())
    freeze(network, 0)
    assert all(p.requires_grad for p in network.parameters())


def written(folder: Path, *, ema: bool, architecture: str = "small") -> Path:
    training = {f"discriminator.{k}": v for k, v in filled(D(), 3).items()}
    if ema:
        training |= {f"generator.{k}": v for k, v in filled(G(), 2).items()}
    header = {"architecture": {"name": architecture}}
    files = {checkpoint.GENERATOR: (filled(G(), 1), header), checkpoint.TRAINING: (training, {})}
    checkpoint.write(folder, files)
    return folder


@pytest.mark.parametrize("ema", [False, True])
def test_a_checkpoint_holds_all_of_it(tmp_path: Path, ema: bool) -> None:
    model = Origin.read(str(written(tmp_path / "one", ema=ema)), "small")
    assert model.file == tmp_path / "one" / checkpoint.GENERATOR
    run = state(G(), D())
    take_over(model, run)
    assert holds(run.best_generator, 1)
    assert holds(run.players.generator, 2 if ema else 1)
    assert holds(run.players.discriminator, 3)


def test_a_run_means_its_newest_checkpoint(tmp_path: Path) -> None:
    for name in ("000001.000", "000010.000", "000009.000"):
        written(tmp_path / "run/checkpoints" / name, ema=True)
    assert find(str(tmp_path / "run"), "small").parent.name == "000010.000"


def test_a_model_of_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "one", ema=False)
    with pytest.raises(UserError, match=r"^init_from: .*safetensors is a small, not a large$"):
        find(str(folder), "large")
    with pytest.raises(UserError, match=r"holds no generator"):
        find(str(folder / checkpoint.TRAINING), "small")
