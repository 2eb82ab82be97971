"""DINOv2 against a second computation in NumPy, and its preprocessing against Pillow."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganctl_metrics.dinov2 import DEVIATION, MEAN, DINOv2, preprocess

Array = NDArray[np.float64]

DEPTH, WIDTH, HEADS, PATCH, GRID = 2, 12, 3, 4, 5


@pytest.fixture
def network() -> DINOv2:
    torch.manual_seed(0)
    network = DINOv2(DEPTH, WIDTH, HEADS, PATCH, GRID).double().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(std=0.5)
    return network


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 3), (2, 4), (7, 7)])
def test_class_tokens_are_those_of_a_computation_in_numpy(
    network: DINOv2, rows: int, columns: int
) -> None:
    images = torch.randn(3, 3, PATCH * rows, PATCH * columns, dtype=torch.float64)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    expected = np.stack([class_token(image, weights) for image in images.numpy()])
    found = network(images)
    assert found.shape == (3, WIDTH)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-11)


def test_the_second_computation_reads_its_input(network: DINOv2) -> None:
    weights: dict[str, Array] = {k: v.numpy() for k, v in network.state_dict().items()}
    images: Tensor = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    one, other = (class_token(image, weights) for image in images.numpy())
    assert np.abs(one - other).max() > 0.01


def test_names_and_shapes_are_those_of_the_released_file() -> None:
    with torch.device("meta"):
        state = DINOv2().state_dict()
    linear = {
        "attn.qkv": (3072, 1024),
        "attn.proj": (1024, 1024),
        "mlp.fc1": (4096, 1024),
        "mlp.fc2": (1024, 4096),
    }
    expected: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 1024),
        "pos_embed": (1, 1370, 1024),
        "mask_token": (1, 1024),
        "patch_embed.proj.weight": (1024, 3, 14, 14),
        "patch_embed.proj.bias": (1024,),
        "norm.weight": (1024,),
        "norm.bias": (1024,),
    }
    for block in (f"blocks.{n}." for n in range(24)):
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            expected[block + name] = (1024,)
        for name in ("ls1.gamma", "ls2.gamma"):
            expected[block + name] = (1024,)
        for name, shape in linear.items():
            expected |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


@pytest.mark.parametrize("size", [(28, 28), (40, 25), (300, 260), (224, 224)])
def test_images_are_resized_as_pillow_does_it_in_floats(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    found = preprocess(images)
    assert found.dtype == torch.float32
    expected = np.stack([[pillow(channel) for channel in image] for image in images.numpy()])
    mean, deviation = np.array(MEAN).reshape(3, 1, 1), np.array(DEVIATION).reshape(3, 1, 1)
    levels = found.double().numpy() * deviation + mean
    np.testing.assert_allclose(255 * levels, expected, rtol=0, atol=0.01)  # of 255 levels


def pillow(channel: NDArray[np.uint8]) -> Array:
    picture = Image.fromarray(channel.astype(np.float32))
    resized = picture.resize((224, 224), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float64).clip(0, 255)


def test_gray_is_taken_three_times_and_alpha_left_out() -> None:
    rgba = torch.randint(0, 256, (2, 4, 30, 20), dtype=torch.uint8)
    gray = rgba[:, :1]
    assert torch.equal(preprocess(rgba), preprocess(rgba[:, :3]))
    assert torch.equal(preprocess(gray), preprocess(gray.expand(-1, 3, -1, -1)))


def test_white_and_black_are_imagenets() -> None:
    pictures = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 50, 50)
    black, white = preprocess(pictures)[:, :, 100, 100]
    torch.testing.assert_close(black, torch.tensor([-2.117904, -2.035714, -1.804444]))
    torch.testing.assert_close(white, torch.tensor([2.248908, 2.428571, 2.640000]))


def test_batches_do_not_mix(network: DINOv2) -> None:
    images = torch.randn(4, 3, 12, 12, dtype=torch.float64)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-12)


# The computation in NumPy: one image, one head, one sample of the embedding after the other.


def class_token(image: Array, weights: dict[str, Array]) -> Array:
    rows, columns = image.shape[1] // PATCH, image.shape[2] // PATCH
    table = weights["pos_embed"][0, 1:].reshape(GRID, GRID, WIDTH)
    tokens = [weights["cls_token"][0, 0] + weights["pos_embed"][0, 0]]
    for row in range(rows):
        for column in range(columns):
            down, right = PATCH * row, PATCH * column
            patch = image[:, down : down + PATCH, right : right + PATCH].reshape(-1)
            kernel = weights["patch_embed.proj.weight"].reshape(WIDTH, -1)
            position = position_at(table, row, rows, column, columns)
            tokens.append(kernel @ patch + weights["patch_embed.proj.bias"] + position)
    x = np.stack(tokens)
    for number in range(DEPTH):
        x = block(x, f"blocks.{number}.", weights)
    out: Array = normal(x, "norm", weights)[0]
    return out


def block(x: Array, prefix: str, weights: dict[str, Array]) -> Array:
    per_head = WIDTH // HEADS
    query, key, value = np.split(
        linear(normal(x, prefix + "norm1", weights), prefix + "attn.qkv", weights), 3, axis=1
    )
    heads = []
    for head in range(HEADS):
        own = slice(head * per_head, (head + 1) * per_head)
        likeness = np.exp(query[:, own] @ key[:, own].T / math.sqrt(per_head))
        heads.append(likeness / likeness.sum(axis=1, keepdims=True) @ value[:, own])
    branch = linear(np.concatenate(heads, axis=1), prefix + "attn.proj", weights)
    x = x + weights[prefix + "ls1.gamma"] * branch
    hidden = linear(normal(x, prefix + "norm2", weights), prefix + "mlp.fc1", weights)
    hidden = hidden * np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))(hidden)
    branch = linear(hidden, prefix + "mlp.fc2", weights)
    out: Array = x + weights[prefix + "ls2.gamma"] * branch
    return out


def linear(x: Array, name: str, weights: dict[str, Array]) -> Array:
    out: Array = x @ weights[name + ".weight"].T + weights[name + ".bias"]
    return out


def normal(x: Array, name: str, weights: dict[str, Array]) -> Array:
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    spread = (x - mean) / np.sqrt(variance + 1e-6)
    out: Array = spread * weights[name + ".weight"] + weights[name + ".bias"]
    return out


def position_at(table: Array, row: int, rows: int, column: int, columns: int) -> Array:
    if rows == columns == GRID:
        here: Array = table[row, column]
        return here
    total = np.zeros(WIDTH)
    for y, vertical in cubic(row, rows):
        for x, horizontal in cubic(column, columns):
            total += vertical * horizontal * table[y, x]
    return total


def cubic(index: int, count: int) -> list[tuple[int, float]]:
    """Places and weights of Keys' cubic convolution with a = −0.75; the edges are repeated."""
    a, centre = -0.75, (index + 0.5) * GRID / (count + 0.1) - 0.5
    taps = []
    for place in range(math.floor(centre) - 1, math.floor(centre) + 3):
        d = abs(centre - place)
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
        taps.append((min(max(place, 0), GRID - 1), near if d <= 1 else far))
    return taps
