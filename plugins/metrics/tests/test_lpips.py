"""LPIPS against a second computation in NumPy, with the published files' names and shapes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganctl_metrics.lpips import LPIPS, from_files

Array = NDArray[np.float64]

WIDTHS = (4, 5, 6, 3, 7)


@pytest.fixture
def network() -> LPIPS:
    torch.manual_seed(0)
    network = LPIPS(WIDTHS).double().eval().requires_grad_(False)
    for head in network.heads:
        head.uniform_(0, 2)
    return network


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (19, 45)])
def test_distances_are_those_of_a_computation_in_numpy(
    network: LPIPS, size: tuple[int, int]
) -> None:
    a, b = (2 * torch.rand(3, 3, *size, dtype=torch.float64) - 1 for _ in range(2))
    pairs = zip(a.numpy(), b.numpy(), strict=True)
    expected = torch.tensor([distance(network, *pair) for pair in pairs], dtype=torch.float64)
    found = network(a, b)
    assert (found > 1e-4).all()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_distances_are_those_of_the_embeddings(network: LPIPS) -> None:
    a, b = (2 * torch.rand(5, 3, 24, 40, dtype=torch.float64) - 1 for _ in range(2))
    between = (network.embed(a) - network.embed(b)).square().sum(dim=1)
    torch.testing.assert_close(between, network(a, b), rtol=1e-10, atol=0)


def test_an_image_is_no_distance_from_itself(network: LPIPS) -> None:
    a, b = torch.rand(2, 2, 3, 32, 32, dtype=torch.float64)
    assert network(a, a).tolist() == [0, 0]
    assert torch.equal(network(a, b), network(b, a))


def test_an_embedding_of_64_by_64_pixels_is_as_long_as_it_says() -> None:
    with torch.device("meta"):
        assert LPIPS().embed(torch.zeros(1, 3, 64, 64)).shape == (1, 499_712)


def published() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Files as torchvision and LPIPS publish them; numbers that are cheap to make."""
    channels = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
    channels |= {12: (256, 256), 14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512)}
    channels |= {24: (512, 512), 26: (512, 512), 28: (512, 512)}
    vgg = {"classifier.6.bias": torch.zeros(1000)}
    for number, (before, after) in channels.items():
        weight = torch.randn(after, before, 1, 1) * (2 / (9 * before)) ** 0.5
        vgg[f"features.{number}.weight"] = weight.expand(-1, -1, 3, 3)
        vgg[f"features.{number}.bias"] = torch.zeros(after)
    heads = {
        f"lin{number}.model.1.weight": torch.rand(1, width, 1, 1)
        for number, width in enumerate((64, 128, 256, 512, 512))
    }
    return vgg, heads


def test_published_files_fill_the_network() -> None:
    torch.manual_seed(0)
    vgg, heads = published()
    network = from_files(vgg, heads)
    names = {name for name in network.state_dict() if not name.startswith("heads.")}
    assert names == set(vgg) - {"classifier.6.bias"}
    for number, head in enumerate(network.heads):
        assert torch.equal(head, heads[f"lin{number}.model.1.weight"].flatten())
    a, b = 2 * torch.rand(2, 1, 3, 16, 16) - 1
    expected = distance(network, *(x[0].double().numpy() for x in (a, b)))
    assert network(a, b).item() == pytest.approx(expected, rel=1e-3)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("features.28.bias", None, r"features\.28\.bias .*\(512,\) and is not there"),
        ("features.0.weight", torch.zeros(64, 1, 3, 3), r"\(64, 3, 3, 3\) and is \(64, 1, 3, 3\)"),
        ("lin2.model.1.weight", None, r"lin2\.model\.1\.weight .* not there"),
        ("lin4.model.1.weight", -torch.ones(1, 512, 1, 1), "lin4.* negative"),
    ],
)
def test_files_that_do_not_fit_are_refused(name: str, wrong: Tensor | None, message: str) -> None:
    vgg, heads = published()
    file = vgg if name in vgg else heads
    del file[name]
    if wrong is not None:
        file[name] = wrong
    with pytest.raises(ValueError, match=message):
        from_files(vgg, heads)


# The computation in NumPy, after the papers: names of VGG16's layers as torchvision counts them.

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def distance(network: LPIPS, a: Array, b: Array) -> float:
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    total = 0.0
    stages = zip(features(a, weights), features(b, weights), strict=True)
    for number, (first, second) in enumerate(stages):
        gap = (unit(first) - unit(second)) ** 2
        total += float((gap * weights[f"heads.{number}"][:, None, None]).sum(axis=0).mean())
    return total


def unit(x: Array) -> Array:
    out: Array = x / (np.sqrt((x**2).sum(axis=0)) + 1e-10)
    return out


def features(image: Array, weights: dict[str, Array]) -> list[Array]:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x = (image - shift[:, None, None]) / scale[:, None, None]
    found: list[Array] = []
    for stage in STAGES:
        if found:
            rows, columns = x.shape[1] // 2, x.shape[2] // 2
            whole = x[:, : 2 * rows, : 2 * columns]
            x = whole.reshape(-1, rows, 2, columns, 2).max(axis=(2, 4))
        for number in stage:
            name = f"features.{number}."
            x = convolved(x, weights[name + "weight"]) + weights[name + "bias"][:, None, None]
            x = np.maximum(x, 0)
        found.append(x)
    return found


def convolved(x: Array, kernel: Array) -> Array:
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(kernel), height, width))
    for row in range(3):
        for column in range(3):
            seen = padded[:, row : row + height, column : column + width]
            total += np.einsum("oc,chw->ohw", kernel[:, :, row, column], seen)
    return total
