"""DCGAN through the command line: real pictures, resumed runs, and what cannot be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import ganctl as package
from ganctl.data.dataset import Dataset

CLI = Any  # conftest.py's CommandLine
SMALL = (
    *("--arch", "dcgan", "--arch.ngf", "8", "--arch.ndf", "8", "--batch", "16", "--kimg", "0.2"),
    *("--log-every", "0.05", "--sample-every", "0.1", "--checkpoint-every", "0.1"),
)
DIGITS = ("--source", "digits", "--resolution", "32")


def pictures(folder: Path, *sizes: tuple[int, int], channels: int = 3) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number, (height, width) in enumerate(sizes):
        shape = (height, width) if channels == 1 else (height, width, channels)
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    "options",
    [
        ("--arch.normalisation", "dataset", "--arch.init", "he-xavier"),
        ("--arch.d-norm", "spectral", "--arch.attention", "16", "--cond"),
        ("--arch.d-norm", "none", "--objective", "wgan-gp", "--objective.n-critic", "2"),
    ],
)
def test_a_resumed_run_ends_with_the_same_bytes(ganctl: CLI, options: tuple[str, ...]) -> None:
    common = (*SMALL, *DIGITS, *options)
    assert ganctl.here("train", *common, "--run", "whole").returncode == 0
    assert ganctl.here("train", *common, "--kimg", "0.1", "--run", "parts").returncode == 0
    resumed = ganctl.here("resume", "parts", "--kimg", "0.2")
    assert resumed.returncode == 0, resumed.stderr
    name = "checkpoints/000000.208"
    for file in ("generator.safetensors", "training.safetensors"):
        whole, parts = (load_file(ganctl.folder / run / name / file) for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        for key, value in whole.items():
            assert np.array_equal(value, parts[key]), key


def test_the_sets_own_mean_and_deviation_stand_in_the_checkpoint(ganctl: CLI) -> None:
    done = ganctl.here("train", *SMALL, *DIGITS, "--arch.normalisation", "dataset", "--run", "run")
    assert done.returncode == 0, done.stderr
    dataset = Dataset(next((ganctl.folder / "datasets").glob("*.zip")))
    pixels = np.stack([dataset.read(index) for index in range(len(dataset))]) / 127.5 - 1
    for file in ("generator.safetensors", "training.safetensors"):
        tensors = load_file(ganctl.folder / "run/checkpoints/000000.208" / file)
        (mean,) = (v for k, v in tensors.items() if k.endswith("normalise.mean"))
        (deviation,) = (v for k, v in tensors.items() if k.endswith("normalise.deviation"))
        assert mean.item() == pytest.approx(pixels.mean(), abs=1e-6)
        assert deviation.item() == pytest.approx(pixels.std(), abs=1e-6)
    # The untrained generator already has the set's mean colour, whatever that is.
    first = np.asarray(Image.open(ganctl.folder / "run/samples/000000.000.png").convert("L"))
    assert abs(np.median(first) / 127.5 - 1 - pixels.mean()) < 0.15
    model = package.load(ganctl.folder / "run")
    assert model.generate([0, 1]).shape == (2, 32, 32, 1)


def test_a_constant_channel_is_refused_before_a_run_is_created(ganctl: CLI) -> None:
    folder = ganctl.folder / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        pixels[..., 1] = 7
        Image.fromarray(pixels).save(folder / f"{number}.png")
    done = ganctl.here(
        "train", *SMALL, "--data", folder, "--arch.normalisation", "dataset", "--run", "run"
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "channel 1" in done.stderr
    assert "deviation 0" in done.stderr
    assert not (ganctl.folder / "run").exists()


@pytest.mark.parametrize(
    ("size", "channels"), [((32, 32), 1), ((28, 28), 4), ((48, 64), 3), ((64, 32), 3)]
)
def test_gray_rgba_and_pictures_that_are_not_square(
    ganctl: CLI, size: tuple[int, int], channels: int
) -> None:
    pictures(ganctl.folder / "pictures", *[size] * 20, channels=channels)
    done = ganctl.here("train", *SMALL, "--data", "pictures", "--run", "run")
    assert done.returncode == 0, done.stderr
    made = package.load(ganctl.folder / "run").generate([3])
    assert made.shape == (1, *size, channels)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--resolution", "30"), "dcgan cannot make 30x30"),
        (("--arch.attention", "7"), "no feature map has the shorter side 7: 4, 8, 16"),
        (("--arch.init", "xavier"), "'xavier' is not one of dcgan, he-xavier"),
        (("--objective", "hinged"), "did you mean 'hinge'"),
        (("--objective", "wgan", "--objective.clip", "0"), "out of bounds"),
        (("--objective", "wgan", "--arch.d-norm", "spectral"), "scales up again"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_line(
    ganctl: CLI, options: tuple[str, ...], expected: str
) -> None:
    done = ganctl.here("train", *SMALL, *DIGITS, *options, "--run", "run")
    assert done.returncode == 2
    assert expected in done.stderr.splitlines()[-1]
    assert not (ganctl.folder / "run").exists()


@pytest.mark.slow
def test_real_pictures_by_genre_that_are_not_square(
    ganctl: CLI, shared: Callable[[str], Path]
) -> None:
    source = shared("data/covers256-by-genre.zip")
    prepared = ganctl("prepare", source, "--out", "set.zip", "--resolution", "48x64")
    assert prepared.returncode == 0, prepared.stderr
    done = ganctl("train", *SMALL, "--data", "set.zip", "--cond", "--run", "run")
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (ganctl.folder / "run/log.jsonl").read_text().splitlines()]
    assert np.isfinite(log[-1]["loss/D"])
    assert ganctl("generate", "run", "--class", 2, "--grid").returncode == 0
