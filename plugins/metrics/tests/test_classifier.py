"""The classifier: what it learns, that it learns the same again, and that it can be kept."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ganctl import GanctlError, UserError
from ganctl_metrics.classifier import (
    Classifier,
    Shape,
    images_shown,
    load,
    save,
    train_classifier,
)
from ganctl_mlp.digits import read
from ganctl_sources.idx import read_idx

MNIST = Path(__file__).resolve().parents[4] / "shared/data/mnist"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose time on a second thread, much of it where others work too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits() -> tuple[Tensor, Tensor]:
    images, labels = read()
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))


def noise(*shape: int) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)


@pytest.fixture(scope="module")
def trained() -> Classifier:
    images, labels = digits()
    return train_classifier(lambda rows: images[rows], labels, 10)


def test_digits_are_told_apart_in_seconds() -> None:
    images, labels = digits()
    told: list[int] = []
    start = time.thread_time()
    classifier = train_classifier(lambda rows: images[rows], labels, 10, 1, told.append)
    assert time.thread_time() - start < 20
    assert classifier.accuracy >= 0.95
    assert sum(told) == images_shown(len(labels)) == 20_000


def test_the_accuracy_is_that_of_images_it_was_not_trained_on() -> None:
    """With labels that mean nothing there is nothing to learn but the images by heart."""
    drawn = torch.Generator().manual_seed(0)
    images, labels = noise(300, 1, 8, 8), torch.randint(0, 2, (300,), generator=drawn)
    classifier = train_classifier(lambda rows: images[rows], labels, 2)
    right = (classifier.logits(images).argmax(1) == labels).float()
    assert 0.2 < classifier.accuracy < 0.8
    assert float(right.sum()) == pytest.approx(270 + 30 * classifier.accuracy, abs=5)


def test_a_seed_gives_the_same_network_and_leaves_the_random_state(trained: Classifier) -> None:
    images, labels = digits()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = train_classifier(lambda rows: images[rows], labels, 10)
    assert torch.equal(torch.get_rng_state(), before)
    first, second = trained.state_dict(), again.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.accuracy == trained.accuracy


def test_logits_follow_from_features(trained: Classifier) -> None:
    images, _ = digits()
    features = trained.features(images[:50])
    assert features.shape == (50, Classifier.dim)
    assert features.min() >= 0
    logits = features @ trained.fc.weight.T + trained.fc.bias
    torch.testing.assert_close(trained.logits(images[:50]), logits, rtol=1e-4, atol=1e-5)
    alone = torch.cat([trained.features(image[None]) for image in images[:50]])
    torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-4)


def test_a_saved_classifier_is_the_same_when_loaded(trained: Classifier, tmp_path: Path) -> None:
    images, _ = digits()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    save(trained, tmp_path / "deep/digits.safetensors")
    loaded = load(tmp_path / "deep/digits.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(loaded.features(images), trained.features(images))
    assert (loaded.shape, loaded.seed, loaded.accuracy) == (Shape(8, 8, 1, 10), 0, trained.accuracy)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["digits.safetensors"]


def test_what_is_no_classifier_is_refused(trained: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "classifier.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load(file)
    save(trained, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="damaged or cut short"):
        load(file)
    file.write_bytes(whole.replace(b"ganctl-classifier", b"others-classifier"))
    with pytest.raises(UserError, match="not a classifier's"):
        load(file)
    file.write_bytes(whole.replace(b'\\"classes\\": 10', b'\\"classes\\": 11'))
    with pytest.raises(UserError, match="not a classifier's"):
        load(file)
    (tmp_path / "taken").mkdir()
    with pytest.raises(GanctlError, match="cannot write"):
        save(trained, tmp_path / "taken")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["classifier.safetensors", "taken"]


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        ((1, 28, 28), Shape(28, 28, 1, 3)),
        ((3, 32, 32), Shape(32, 32, 3, 3)),
        ((4, 64, 96), Shape(64, 96, 3, 3)),
        ((3, 100, 200), Shape(64, 64, 3, 3)),
        ((1, 5, 12), Shape(8, 12, 1, 3)),
    ],
)
def test_the_set_decides_what_is_looked_at(images: tuple[int, int, int], shape: Shape) -> None:
    classifier = Classifier(Shape.of(noise(2, *images), 3)).eval()
    assert classifier.shape == shape
    for other in (images, (1, 16, 16), (3, 30, 80), (4, 8, 8)):
        assert classifier(noise(2, *other)).shape == (2, 3)


def test_channels_are_converted() -> None:
    gray, colour = (Classifier(Shape(16, 16, channels, 2)).eval() for channels in (1, 3))
    rgb = noise(4, 3, 16, 16) // 3 * 3
    rgb[:, 1] = rgb[:, 0]
    rgb[:, 2] = rgb[:, 0]
    same = torch.testing.assert_close
    same(gray.logits(rgb), gray.logits(rgb[:, :1]), rtol=1e-4, atol=1e-5)
    same(colour.logits(rgb), colour.logits(rgb[:, :1]), rtol=1e-4, atol=1e-5)
    alpha = torch.cat([rgb, noise(4, 1, 16, 16)], dim=1)
    same(colour.logits(rgb), colour.logits(alpha), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "classes", "match"),
    [
        ([0] * 9, 2, "needs 10 labelled images"),
        ([0] * 20, 1, "of 2 classes"),
        ([0, 1] * 10 + [2], 2, "from 0 to 1"),
        ([0, -1] * 10, 2, "labels from -1"),
    ],
)
def test_sets_there_is_nothing_to_learn_from_are_refused(
    labels: list[int], classes: int, match: str
) -> None:
    with pytest.raises(UserError, match=match):
        train_classifier(lambda rows: noise(len(rows), 1, 8, 8), torch.tensor(labels), classes)


@pytest.mark.slow
def test_mnist_is_learnt() -> None:
    if not MNIST.is_dir():
        pytest.skip("needs shared/data/mnist, which is not here")
    images = torch.from_numpy(read_idx(MNIST / "train-images-idx3-ubyte.gz").copy())[:, None]
    labels = torch.from_numpy(read_idx(MNIST / "train-labels-idx1-ubyte.gz").astype(np.int64))
    torch.set_num_threads(2)
    start = time.perf_counter()
    classifier = train_classifier(lambda rows: images[rows], labels, 10)
    seconds = time.perf_counter() - start
    torch.set_num_threads(1)
    print(f"held-out accuracy {classifier.accuracy:.4f} after {seconds:.1f} s on 2 threads")
    assert classifier.accuracy >= 0.985
