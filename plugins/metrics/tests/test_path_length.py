"""Perceptual path length on generators whose paths are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganctl import Generator, ImageBatch, ImageSpec, StyleGenerator, UserError
from ganctl_metrics import PerceptualPathLength, PPLOptions, lpips
from ganctl_metrics.ppl import EPSILON, PathLength


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights of the published shapes."""
    folder = tmp_path_factory.mktemp("lpips")
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in lpips.LPIPS().state_dict().items()}
    vgg, heads = {}, {}
    for name, shape in shapes.items():
        if name.startswith("heads."):
            number = name.removeprefix("heads.")
            heads[f"lin{number}.model.1.weight"] = torch.rand(1, *shape, 1, 1, generator=draw)
        else:
            scale = (2 / shape[1:].numel()) ** 0.5 if len(shape) > 1 else 0.1
            vgg[name] = torch.randn(shape, generator=draw) * scale
    torch.save(vgg, folder / "vgg.pth")
    torch.save(heads, folder / "heads.pth")
    return {"vgg": str(folder / "vgg.pth"), "heads": str(folder / "heads.pth")}


class Waves(StyleGenerator):
    """Smooth images of a latent; `speed` is how fast they change with it."""

    z_dim = w_dim = 8
    num_ws = 2

    def __init__(self, speed: float) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.basis = nn.Parameter(torch.randn(8, 3 * 32 * 32, generator=draw) * speed)

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        return z[:, None].expand(-1, 2, -1)

    def synthesis(self, ws: Tensor, noise: str = "random") -> Tensor:
        assert noise == "const"  # both ends of a step see the same
        return torch.sin(ws[:, 0] @ self.basis).view(-1, 3, 32, 32)


def length(generator: Generator, options: PPLOptions, samples: int = 24) -> dict[str, float]:
    evaluator = PerceptualPathLength().build(options, ImageSpec(32, 32, 3))
    torch.manual_seed(0)
    evaluator.update(ImageBatch(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)), real=False)
    evaluator.probe(generator.eval(), samples, lambda n: None)
    figures = evaluator.compute()
    evaluator.forget_fakes()
    assert evaluator.about()["extractor"] == "vgg16-lpips"
    return figures


@pytest.mark.slow
def test_paths_along_which_images_change_faster_are_longer(files: dict[str, str]) -> None:
    options = PPLOptions(**files, weights_unverified=True)
    slow, fast = (length(Waves(speed), options)["ppl-custom"] for speed in (0.05, 0.2))
    assert 0 < slow < fast
    in_z = length(Straight(), PPLOptions(**files, weights_unverified=True, space="z"))
    assert in_z["ppl-z-custom"] > 0


class Straight(Generator):
    """No styles: z to images at once."""

    z_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(8, 32 * 32, generator=torch.manual_seed(0)) * 0.1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.sin(z @ self.basis).view(-1, 1, 32, 32)


@pytest.mark.slow
def test_it_is_the_squared_step_of_lpips(files: dict[str, str]) -> None:
    """Against LPIPS of images that are computed here, for one path."""
    evaluator = PathLength(PPLOptions(**files, weights_unverified=True))
    generator = Waves(0.1).eval()
    torch.manual_seed(3)
    z0, z1 = torch.randn(2 * 2, 8).chunk(2)
    with torch.no_grad():
        first = generator.synthesis(generator.mapping(z0), "const")
        second = generator.synthesis(generator.mapping(z0.lerp(z1, EPSILON)), "const")
        network = lpips.from_files(torch.load(files["vgg"]), torch.load(files["heads"]))
        expected = network(first, second) / EPSILON**2
    torch.manual_seed(3)
    evaluator.probe(generator, 2, lambda n: None)
    assert np.isclose(evaluator.compute()["ppl-custom"], float(expected.mean()), rtol=1e-3)


@pytest.mark.slow
def test_what_it_cannot_measure_is_said(files: dict[str, str], tmp_path: Path) -> None:
    options = PPLOptions(**files, weights_unverified=True)
    with pytest.raises(UserError, match="no styles"):
        PathLength(options).probe(Straight(), 2, lambda n: None)
    with pytest.raises(UserError, match=r"its sha256 is|cut short"):
        PathLength(PPLOptions(**files))
    swapped = {"vgg": files["heads"], "heads": files["vgg"]}
    with pytest.raises(UserError, match="not LPIPS' weights"):
        PathLength(PPLOptions(**swapped, weights_unverified=True))
