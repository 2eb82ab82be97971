"""Batches: every image once per epoch, each batch a function of seed and step."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganctl.data import loader as loader_module
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.loader import Loader
from ganctl.spec import ImageSpec

COUNT = 11
CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Picture i is gray i, of class i modulo 3."""
    with DatasetWriter(tmp_path / "set.zip", ImageSpec(2, 3, 1)) as writer:
        for index in range(COUNT):
            writer.add(np.full((2, 3, 1), index, np.uint8), str(index % 3))
    return Dataset(tmp_path / "set.zip")


def shown(loader: Loader, steps: range) -> list[int]:
    """Which pictures the steps show, in order."""
    return [int(image[0, 0, 0]) for step in steps for image in loader(step)[0]]


@pytest.mark.parametrize("batch", [1, 4, 7, 11])
def test_every_picture_is_shown_once_per_epoch_whatever_the_batch(
    dataset: Dataset, batch: int
) -> None:
    row = shown(Loader(dataset, batch, 0, CPU), range(5 * COUNT))
    for epoch in range(len(row) // COUNT):
        assert sorted(row[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT)), epoch


def test_the_order_does_not_depend_on_the_batch(dataset: Dataset) -> None:
    ones = shown(Loader(dataset, 1, 0, CPU), range(4 * COUNT))
    assert shown(Loader(dataset, 4, 0, CPU), range(COUNT)) == ones


def test_a_batch_larger_than_the_set_goes_on_with_the_next_epoch(dataset: Dataset) -> None:
    ones = shown(Loader(dataset, 1, 0, CPU), range(3 * COUNT))
    assert shown(Loader(dataset, 3 * COUNT, 0, CPU), range(1)) == ones


def test_epochs_and_seeds_have_orders_of_their_own(dataset: Dataset) -> None:
    row = shown(Loader(dataset, COUNT, 0, CPU), range(3))
    epochs = {tuple(row[i * COUNT : (i + 1) * COUNT]) for i in range(3)}
    assert len(epochs) == 3
    assert shown(Loader(dataset, COUNT, 1, CPU), range(3)) != row
    assert tuple(range(COUNT)) not in epochs


def test_a_batch_is_a_function_of_the_step_alone(dataset: Dataset) -> None:
    one, other = Loader(dataset, 4, 5, CPU), Loader(dataset, 4, 5, CPU)
    forwards = {step: one(step)[0] for step in range(9)}
    for step in (8, 2, 5, 0, 7):
        assert torch.equal(other(step)[0], forwards[step])


def test_images_are_uint8_rows_of_channels_height_width(dataset: Dataset) -> None:
    images, labels = Loader(dataset, 4, 0, CPU)(0)
    assert images.dtype == torch.uint8
    assert images.shape == (4, 1, 2, 3)
    assert labels is None


def test_labels_are_the_one_hot_classes_of_their_pictures(dataset: Dataset) -> None:
    loader = Loader(dataset, 4, 0, CPU, conditional=True)
    for step in range(6):
        images, labels = loader(step)
        assert labels is not None
        assert labels.dtype == torch.float32
        assert labels.shape == (4, 3)
        assert torch.equal(labels.sum(dim=1), torch.ones(4))
        assert labels.argmax(dim=1).tolist() == (images[:, 0, 0, 0] % 3).tolist()


def test_a_set_too_large_for_memory_gives_the_same_batches(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Loader(dataset, 4, 0, CPU, conditional=True)
    told: list[int] = []
    monkeypatch.setattr(loader_module, "MEMORY_SHARE", 0.0)
    read = Loader(dataset, 4, 0, CPU, conditional=True, advance=told.append)
    assert told == []  # nothing was read ahead
    for step in range(6):
        assert all(torch.equal(a, b) for a, b in zip(kept(step), read(step), strict=True))


def test_reading_ahead_tells_how_far_it_is(dataset: Dataset) -> None:
    told: list[int] = []
    Loader(dataset, 4, 0, CPU, advance=told.append)
    assert told == list(range(1, COUNT + 1))
