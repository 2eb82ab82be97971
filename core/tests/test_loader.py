"""Batches: every image once per epoch, each batch a function of seed and step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganctl.data import cache as cache_module
from ganctl.data.cache import Place
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.loader import AHEAD, Loader, mirrored
from ganctl.errors import UserError
from ganctl.spec import ImageSpec

COUNT = 11
CPU = torch.device("cpu")
CACHES: list[Place] = ["none", "memory", "disk", "device"]


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


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("cache", ["none", "disk", "device", "auto"])
def test_batches_do_not_depend_on_where_images_are_kept(
    dataset: Dataset, cache: Place, mirror: bool
) -> None:
    kept = Loader(dataset, 4, 0, CPU, conditional=True, cache="memory", mirror=mirror)
    other = Loader(dataset, 4, 0, CPU, conditional=True, cache=cache, mirror=mirror)
    for step in (0, 1, 2, 3, 4, 5, 12, 11, 11, 2):  # in order, then as after a resume
        assert all(torch.equal(a, b) for a, b in zip(kept(step), other(step), strict=True))
    rows = torch.arange(COUNT)
    assert torch.equal(kept.gather(rows), other.gather(rows))


def test_a_batch_may_be_changed_by_who_gets_it(dataset: Dataset) -> None:
    for cache in CACHES:
        loader = Loader(dataset, COUNT, 0, CPU, cache=cache)
        loader(0)[0].zero_()
        assert sorted(shown(loader, range(1))) == list(range(COUNT)), cache


@pytest.mark.parametrize("cache", CACHES)
def test_reading_ahead_tells_how_far_it_is(dataset: Dataset, cache: Place) -> None:
    told: list[int] = []
    Loader(dataset, 4, 0, CPU, advance=told.append, cache=cache)
    assert told == list(range(1, COUNT + 1))


def test_what_is_decoded_ahead_is_bounded(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Loader(dataset, 2, 0, CPU, cache="none")
    read: list[int] = []
    monkeypatch.setattr(
        dataset, "read", lambda index: read.append(index) or Dataset.read(dataset, index)
    )
    for step in range(20):
        loader(step)
        assert len(read) <= 2 * (step + 1 + AHEAD)


def test_a_picture_that_breaks_later_is_named_when_its_turn_comes(tmp_path: Path) -> None:
    for index in range(4):
        Image.new("L", (3, 2), index).save(tmp_path / f"{index}.png")
    loader = Loader(Dataset(tmp_path), 2, 0, CPU, cache="none")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot read 2\.png"):
        shown(loader, range(2))


@pytest.mark.parametrize("cache", CACHES)
def test_sets_of_mixed_sizes_are_refused_with_the_file_named(tmp_path: Path, cache: Place) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for index, size in enumerate([(4, 4), (4, 4), (4, 5), (4, 4)]):
        Image.new("RGB", size).save(folder / f"{index}.png")
    with pytest.raises(UserError, match=r"2\.png is 5x4 but 0\.png is 4x4"):
        Loader(Dataset(folder), 2, 0, CPU, cache=cache)
    assert not list(tmp_path.rglob("*.u8"))
    assert not list(tmp_path.rglob("*.part"))


def test_sizes_are_those_of_the_pictures_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg")
    Image.new("RGB", (4, 6)).save(tmp_path / "b.jpg", exif=exif)
    assert Loader(Dataset(tmp_path), 2, 0, CPU, cache="none")(0)[0].shape == (2, 3, 4, 6)
    Image.new("RGB", (6, 4)).save(tmp_path / "c.jpg", exif=exif)
    with pytest.raises(UserError, match=r"c\.jpg is 6x4 but a\.jpg is 4x6"):
        Loader(Dataset(tmp_path), 2, 0, CPU, cache="none")


@pytest.fixture
def leaning(tmp_path: Path) -> Dataset:
    """Picture i is 10·i on the left and 10·i + 1 on the right, of class i modulo 3."""
    with DatasetWriter(tmp_path / "set.zip", ImageSpec(1, 2, 1)) as writer:
        for index in range(COUNT):
            pixels = np.array([[[10 * index], [10 * index + 1]]], np.uint8)
            writer.add(pixels, str(index % 3))
    return Dataset(tmp_path / "set.zip")


@pytest.mark.parametrize("batch", [1, 4, 2 * COUNT])
def test_mirror_shows_every_image_in_both_directions_once_per_epoch(
    leaning: Dataset, batch: int
) -> None:
    loader = Loader(leaning, batch, 0, CPU, mirror=True)
    row = [
        tuple(image.flatten().tolist()) for step in range(4 * COUNT) for image in loader(step)[0]
    ]
    wanted = sorted(p for i in range(COUNT) for p in ((10 * i, 10 * i + 1), (10 * i + 1, 10 * i)))
    for epoch in range(len(row) // (2 * COUNT)):
        part = row[2 * COUNT * epoch : 2 * COUNT * (epoch + 1)]
        assert sorted(part) == wanted
        flips = [left > right for left, right in part]
        assert flips != sorted(flips)  # mixed, not one half after the other


def test_mirrored_images_keep_their_labels(leaning: Dataset) -> None:
    loader = Loader(leaning, 4, 0, CPU, conditional=True, mirror=True)
    for step in range(12):
        images, labels = loader(step)
        assert labels is not None
        assert labels.argmax(dim=1).tolist() == (images[:, 0, 0, 0] // 10 % 3).tolist()


def test_a_mirrored_order_is_a_function_of_seed_and_step(leaning: Dataset) -> None:
    one, other = (Loader(leaning, 4, 0, CPU, mirror=True) for _ in range(2))
    forwards = [one(step)[0] for step in range(9)]
    for step in (8, 2, 5, 0):
        assert torch.equal(other(step)[0], forwards[step])
    different = Loader(leaning, 4, 1, CPU, mirror=True)
    assert not all(torch.equal(different(step)[0], forwards[step]) for step in range(9))


def test_gathering_counts_the_mirrored_images_after_the_others(leaning: Dataset) -> None:
    loader = Loader(leaning, 4, 0, CPU, mirror=True)
    shown = loader.gather(torch.tensor([3, COUNT + 3]))
    assert shown.flatten().tolist() == [30, 31, 31, 30]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 7, 8, 12, 24, 28])
def test_mirroring_turns_every_row_of_pixels_round(width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 2, width), dtype=np.uint8)
    before = pixels.copy()
    assert np.array_equal(mirrored(pixels), pixels[..., ::-1])
    assert np.array_equal(pixels, before)
    assert mirrored(pixels[:0]).shape == (0, 3, 2, width)


def test_a_file_larger_than_the_memory_is_read_ahead(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Loader(dataset, 4, 0, CPU, cache="memory")
    monkeypatch.setattr(cache_module, "free_memory", lambda: COUNT * 2 * 3 - 1)
    read = Loader(dataset, 4, 0, CPU, cache="disk")
    assert shown(read, range(9)) == shown(kept, range(9))
    assert len(read._ahead) == AHEAD


def test_images_on_a_device_are_gathered_there() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(4, 1, 2, 3)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(cache_module.OnDevice(images).gather(rows), images[rows])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cache", [*CACHES, "auto"])
def test_a_gpu_shows_what_the_cpu_shows(dataset: Dataset, cache: Place) -> None:
    gpu = Loader(dataset, 4, 0, torch.device("cuda"), True, cache=cache, mirror=True)
    cpu = Loader(dataset, 4, 0, CPU, True, cache="memory", mirror=True)
    for step in range(9):
        for one, other in zip(gpu(step), cpu(step), strict=True):
            assert one is not None
            assert other is not None
            assert one.device.type == "cuda"
            assert torch.equal(one.cpu(), other)
