"""`--augment`: what D sees images through, with any architecture and objective."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

CLI = Any  # conftest.py's CommandLine
Tiny = tuple[str, ...]


def strengths(run: Path) -> list[float | None]:
    """p of `ada`, line by line."""
    lines = (run / "log.jsonl").read_text().splitlines()
    return [json.loads(line).get("augment/p") for line in lines]


def test_p_adapts_and_is_logged(ganctl: CLI, tiny: Tiny) -> None:
    ramp = ("--augment.ramp-kimg", "10", "--augment.target", "-0.9")  # any D does better
    done = ganctl.here("train", *tiny, "--augment", "ada", *ramp, "--run", "run")
    assert done.returncode == 0, done.stderr
    found = strengths(ganctl.folder / "run")
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.2048, abs=0.03)  # 2,048 of 10,000 images
    config = (ganctl.folder / "run" / "config.toml").read_text()
    assert 'name = "ada"' in config
    plot = ganctl.here("plot", "run")
    assert plot.returncode == 0


def test_a_fixed_p_stays(ganctl: CLI, tiny: Tiny) -> None:
    options = ("--augment", "ada", "--augment.p", "0.3", "--augment.pipe", "bgcfnc")
    done = ganctl.here("train", *tiny, *options, "--run", "run")
    assert done.returncode == 0, done.stderr
    assert strengths(ganctl.folder / "run") == pytest.approx([0.3] * 4)


def test_diffaugment_takes_its_policy_from_the_command_line(ganctl: CLI, tiny: Tiny) -> None:
    options = ("--augment", "diffaugment", "--augment.policy", "translation,color")
    done = ganctl.here("train", *tiny, *options, "--run", "run")
    assert done.returncode == 0, done.stderr
    again = ganctl.here("train", "--config", "run/config.toml", "--run", "again")
    assert again.returncode == 0, again.stderr
    assert diffaugment(ganctl.folder / "run") == diffaugment(ganctl.folder / "again")
    assert diffaugment(ganctl.folder / "run") == ["translation", "color"]
    first, second = (
        load_file(ganctl.folder / run / "checkpoints/000002.048/generator.safetensors")
        for run in ("run", "again")
    )
    assert all(first[key].equal(second[key]) for key in first)


def diffaugment(run: Path) -> list[str]:
    table = tomllib.loads((run / "config.toml").read_text())["augment"]
    assert table["name"] == "diffaugment"
    policy: list[str] = table["policy"]
    return policy


@pytest.mark.slow
@pytest.mark.parametrize("augment", [("ada", "--augment.ramp-kimg", "5"), ("diffaugment",)])
def test_resumed_runs_end_with_the_same_bytes(
    ganctl: CLI, tiny: Tiny, augment: tuple[str, ...]
) -> None:
    """With R1, which differentiates the augmentations twice."""
    options = ("--augment", *augment, "--objective.r1-gamma", "1")
    whole = ganctl("train", *tiny, *options, "--run", "whole")
    assert whole.returncode == 0, whole.stderr
    shutil.copytree(ganctl.folder / "whole", ganctl.folder / "again")
    shutil.rmtree(ganctl.folder / "again" / "checkpoints" / "000002.048")
    again = ganctl("resume", "again")
    assert again.returncode == 0, again.stderr
    for name in ("generator", "training"):
        file = Path("checkpoints") / "000002.048" / f"{name}.safetensors"
        first, second = (load_file(ganctl.folder / run / file) for run in ("whole", "again"))
        assert first.keys() == second.keys()
        assert all(first[key].equal(second[key]) for key in first)
    assert strengths(ganctl.folder / "whole") == strengths(ganctl.folder / "again")


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
def test_dcgan_learns_through_it(ganctl: CLI, augment: str) -> None:
    options = ("--arch", "dcgan", "--arch.ngf", "8", "--arch.ndf", "8", "--resolution", "32")
    few = ("--batch", "32", "--kimg", "0.3", "--source.path", "pictures")
    make_pictures(ganctl.folder / "pictures")
    seen = ("--augment", augment, "--run", "run")
    done = ganctl("train", *options, "--source", "folder", *few, *seen)
    assert done.returncode == 0, done.stderr
    last = json.loads((ganctl.folder / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert all(abs(last[name]) < 50 for name in ("loss/G", "loss/D"))


def make_pictures(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir()
    draw = np.random.RandomState(0)
    for number in range(64):
        pixels = draw.randint(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--augment", "adaa"), "did you mean 'ada'"),
        (("--augment", "ada", "--augment.pipe", "abc"), "'abc' is not one of"),
        (("--augment", "ada", "--augment.p", "1.5"), "augment.p"),
        (("--augment", "diffaugment", "--augment.policy", "hue"), "'hue' is not one of color, "),
        (("--augment", "diffaugment", "--augment.policy", ""), "policy names no transformation"),
        (("--augment.p", "0.5"), "No such option: --augment.p"),
    ],
)
def test_bad_input_is_a_line(
    ganctl: CLI, tiny: Tiny, options: tuple[str, ...], expected: str
) -> None:
    done = ganctl.here("train", *tiny, *options, "--run", "run")
    assert done.returncode == 2
    assert expected in done.stderr
    assert not (ganctl.folder / "run").exists()
