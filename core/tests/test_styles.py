"""Pictures of style generators, and of generators that draw numbers of their own."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganctl import Generator, ImageSpec, StyleGenerator, UserError
from ganctl.model import Model
from ganctl.random import preserved, states

CPU = torch.device("cpu")
SPEC = ImageSpec(4, 6, 3, 2)


class Marbles(StyleGenerator):
    """Six styles of four numbers, a mean that is not 0, noise over everything."""

    z_dim = w_dim = 4
    num_ws = 6

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.basis = nn.Parameter(torch.randn(24, 72, generator=draw) / 10)
        self.register_buffer("mean", torch.randn(4, generator=draw))
        self.register_buffer("const", torch.randn(72, generator=draw))

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        track: bool = True,
    ) -> Tensor:
        w = z if c is None else z + c @ torch.ones(2, 4).cumsum(0)
        ws = w[:, None].expand(-1, 6, -1).clone()
        part = ws[:, :truncation_cutoff]
        part.copy_(self.mean + truncation_psi * (part - self.mean))
        return ws

    def synthesis(self, ws: Tensor, noise: str = "random") -> Tensor:
        x = ws.flatten(1) @ self.basis
        if noise != "none":
            x = x + (self.const if noise == "const" else torch.randn(len(x), 72)) / 4
        return x.tanh().view(-1, 3, 4, 6)


class Restless(Generator):
    """Draws numbers whenever it is called."""

    z_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return (torch.randn(len(z), 3, 4, 6) + z.sum()).tanh() * self.scale


class Plain(Restless):
    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z.sum(1)[:, None, None, None].tanh().expand(-1, 3, 4, 6) * self.scale


@pytest.fixture
def marbles() -> Model:
    return Model(Marbles().eval(), SPEC, {"architecture": {"name": "marbles"}})


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_picture_follows_from_its_seed(marbles: Model, noise: Any) -> None:
    several = marbles.generate([3, 8, 3, 5], 1, noise=noise)
    assert np.array_equal(several[0], several[2])
    assert not np.array_equal(several[0], several[1])
    torch.manual_seed(99)
    assert np.array_equal(several[3:], marbles.generate([5], 1, noise=noise))
    assert np.array_equal(several, marbles.generate([3, 8, 3, 5], 1, batch=3, noise=noise))


def test_noise_is_the_models_own_unless_told(marbles: Model) -> None:
    made = {n: marbles.generate([1], noise=n) for n in ("const", "random", "none")}  # type: ignore[arg-type]
    assert np.array_equal(made["const"], marbles.generate([1]))
    assert len({images.tobytes() for images in made.values()}) == 3


def test_random_noise_is_another_for_another_seed_and_the_same_for_every_truncation(
    marbles: Model,
) -> None:
    first, second = marbles.generate([1, 2], 0, truncation=0, noise="random")
    assert not np.array_equal(first, second)  # the mean style: they differ by noise alone
    marbles.generator.basis.data.zero_()  # type: ignore[union-attr]
    strong, weak = (marbles.generate([1], truncation=p, noise="random") for p in (1, 0.5))
    assert np.array_equal(strong, weak)


def test_a_generator_that_draws_is_asked_for_one_image_at_a_time() -> None:
    restless = Model(Restless().eval(), ImageSpec(4, 6, 3), {})
    several = restless.generate(range(5))
    assert len({image.tobytes() for image in several}) == 5
    assert np.array_equal(several[2:4], restless.generate([2, 3]))
    assert np.array_equal(several[4:], restless.generate([4]))


def test_making_pictures_draws_nothing_from_others() -> None:
    model = Model(Restless().eval(), ImageSpec(4, 6, 3), {})
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    model.generate(range(3))
    assert torch.equal(torch.randn(3), expected)


def test_states_tell_that_something_was_drawn() -> None:
    before = states(CPU)
    assert states(CPU) == before
    with preserved(CPU):
        torch.rand(1)
        assert states(CPU) != before
    assert states(CPU) == before


def test_truncation_draws_styles_to_the_mean(marbles: Model) -> None:
    mean = marbles.generator.mean
    whole = marbles.styles([0, 7], 1)
    assert whole.shape == (2, 6, 4)
    for psi in (0.0, 0.5, 1.0, -1.0, 3.0):
        assert torch.allclose(
            marbles.styles([0, 7], 1, truncation=psi), mean + psi * (whole - mean), atol=1e-6
        )
    some = marbles.styles([0, 7], 1, truncation=0, truncation_cutoff=2)
    assert torch.allclose(some[:, :2], mean.expand(2, 2, 4))
    assert torch.allclose(some[:, 2:], whole[:, 2:])
    none = marbles.styles([0, 7], 1, truncation=0, truncation_cutoff=0)
    assert torch.allclose(none, whole)


@pytest.mark.parametrize("settings", [{}, {"truncation": 0.5}, {"truncation": -1.0}])
def test_images_are_those_of_their_styles(marbles: Model, settings: dict[str, float]) -> None:
    seeds = [5, 0, 5, 9]
    images = marbles.generate(seeds, **settings)  # type: ignore[arg-type]
    ws = marbles.styles(seeds, **settings)  # type: ignore[arg-type]
    assert np.array_equal(images, marbles.synthesise(ws))
    assert np.array_equal(images, marbles.synthesise(ws, batch=3))
    cut = marbles.generate(seeds, truncation=0.2, truncation_cutoff=3)
    assert not np.array_equal(cut, marbles.generate(seeds, truncation=0.2))


def test_classes_have_styles_of_their_own(marbles: Model) -> None:
    assert not torch.equal(marbles.styles([4], 0), marbles.styles([4], 1))
    assert torch.equal(marbles.styles([4, 5]), marbles.styles([4, 5], [0, 1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncation": float("nan")}, "truncation: nan is not a finite number"),
        ({"truncation": float("inf")}, "truncation: inf is not a finite number"),
        ({"truncation_cutoff": 7}, "truncation cutoff 7: this model has 6 styles"),
        ({"truncation_cutoff": -1}, "truncation cutoff -1: this model has 6 styles"),
        ({"noise": "some"}, "noise: 'some' is not one of random, const, none"),
    ],
)
def test_settings_out_of_range_are_named(
    marbles: Model, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        marbles.generate([0], **settings)


def test_no_seeds_are_refused(marbles: Model) -> None:
    with pytest.raises(UserError, match="no seeds"):
        marbles.styles([])


@pytest.mark.parametrize(
    "settings", [{"truncation": 0.7}, {"truncation_cutoff": 2}, {"noise": "random"}]
)
def test_a_generator_without_styles_has_no_truncation(settings: dict[str, Any]) -> None:
    model = Model(Plain().eval(), ImageSpec(4, 6, 3), {"architecture": {"name": "plain"}})
    assert model.generate([0], truncation=1).shape == (1, 4, 6, 3)
    with pytest.raises(UserError, match=r"the architecture plain, which has no styles$"):
        model.generate([0], **settings)
    for ask in (lambda: model.styles([0]), lambda: model.synthesise(torch.zeros(1, 2, 3))):
        with pytest.raises(UserError, match=r"^styles: this model is of the architecture plain"):
            ask()
