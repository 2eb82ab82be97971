"""Failures that are provoked get the right warning; healthy runs get none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganctl import Progress
from ganctl_detectors.balance import Balance, accuracy
from ganctl_detectors.divergence import Divergence
from ganctl_detectors.diversity import Diversity, spread
from ganctl_detectors.gradients import Gradients

OBJECTIVES = ["bce", "nonsaturating", "hinge", "lsgan", "wgan", "wgan-gp", "dragan", "relativistic"]


def train(folder: Path, *options: object) -> tuple[list[str], list[dict[str, Any]]]:
    """What the detectors warned of in a real run, and its log."""
    done = subprocess.run(
        [sys.executable, "-m", "ganctl", "train", "--run", "run", *map(str, options)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = folder / "run"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    file = run / "warnings.jsonl"
    told = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for warning in told:
        assert done.stderr.count(warning["warning"]) == 1  # once, in the terminal too
    return [warning["about"] for warning in told], log


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_healthy_run_gives_no_warning(tmp_path: Path, objective: str) -> None:
    warnings, log = train(tmp_path, "--objective", objective, "--kimg", 25)
    assert warnings == []
    assert {"diversity", "d/accuracy", "sign/real", "sign/fake"} <= log[-1].keys()


@pytest.mark.slow
def test_a_learning_rate_a_hundred_times_too_high_diverges(tmp_path: Path) -> None:
    warnings, _ = train(tmp_path, "--lr", 0.02, "--kimg", 10)
    assert warnings[-1] == "divergence"  # nothing that follows from it
    assert len(warnings) <= 2  # gradients may explode before


@pytest.mark.slow
def test_a_discriminator_that_hardly_learns_loses(tmp_path: Path) -> None:
    warnings, log = train(tmp_path, "--d-lr", 1e-12, "--kimg", 10)
    assert warnings == ["discriminator loses"]
    assert log[-1]["d/accuracy"] < 0.02


@pytest.mark.slow
def test_a_generator_that_hardly_learns_lets_the_discriminator_win(tmp_path: Path) -> None:
    warnings, log = train(tmp_path, "--g-lr", 1e-12, "--kimg", 25)
    assert warnings == ["discriminator wins"]
    assert log[-1]["d/accuracy"] > 0.999


def test_a_constant_set_is_told_at_once(tmp_path: Path) -> None:
    for number in range(40):
        picture = Image.fromarray(np.full((28, 28), 90, np.uint8))
        (tmp_path / "pictures").mkdir(exist_ok=True)
        picture.save(tmp_path / "pictures" / f"{number}.png")
    warnings, _ = train(
        tmp_path, "--data", "pictures", "--arch", "mlp", "--batch", 32, "--kimg", 0.5
    )
    assert warnings[0] == "constant set"
    (line,) = (tmp_path / "run/warnings.jsonl").read_text().splitlines()[:1]
    assert json.loads(line)["warning"].endswith("ganctl inspect pictures")


@pytest.mark.parametrize(
    ("options", "flag"),
    [(("--g-lr", 0), "generator is 0 (--g-lr)"), (("--lr", 0), "both players is 0 (--lr)")],
)
def test_a_learning_rate_of_0_is_told_at_once(
    tmp_path: Path, options: tuple[object, ...], flag: str
) -> None:
    warnings, _ = train(tmp_path, *options, "--kimg", 0.5, "--log-every", 0.05)
    assert warnings == ["learning rate 0"]
    record = json.loads((tmp_path / "run/warnings.jsonl").read_text())
    assert record["images"] == 0
    assert flag in record["warning"]


@pytest.mark.slow
def test_a_generator_that_makes_one_image_has_collapsed(tmp_path: Path) -> None:
    warnings, log = train(tmp_path, "--objective", "hinge", "--lr", 0.01, "--kimg", 12)
    assert "mode collapse" in warnings
    assert log[-1]["diversity"] < 0.15


@pytest.mark.slow
def test_detectors_change_nothing_and_warn_once_across_a_resume(tmp_path: Path) -> None:
    files = []
    for name, plugins in (("with", None), ("without", "mlp,bce,digits")):
        folder = tmp_path / name
        folder.mkdir()
        if plugins:
            os.environ["GANCTL_PLUGINS"] = plugins
        try:
            train(folder, "--arch.batch-norm", "--lr", 0.02, "--kimg", 4, "--checkpoint-every", 2)
        finally:
            os.environ.pop("GANCTL_PLUGINS", None)
        files.append(sorted(folder.glob("run/checkpoints/*/generator.safetensors"))[-1])
    assert files[0].read_bytes() == files[1].read_bytes()

    before = (tmp_path / "with" / "run" / "warnings.jsonl").read_text()
    again = subprocess.run(
        [sys.executable, "-m", "ganctl", "resume", "run", "--kimg", "6"],
        cwd=tmp_path / "with",
        capture_output=True,
        text=True,
        check=True,
    )
    for line in before.splitlines():
        assert json.loads(line)["warning"] not in again.stderr


class Session:
    """What a detector asks of a session, without one."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.warned: set[str] = set()

    def warn(self, about: str, message: str) -> None:
        self.told.append(about)
        self.warned.add(about)


def test_gradients_are_compared_with_those_at_the_start() -> None:
    for later, expected in (
        ([2.0] * 20, []),
        ([100.0] * 20, []),
        ([500.0], ["exploding gradients G"]),
        ([1e-4] * 5, ["vanishing gradients G"]),
        ([1e-4, 1.0] * 20, []),  # not in a row
        ([float("nan")] * 10, []),  # the run itself counts those
    ):
        session = Session()
        detector = Gradients(session)
        for norm in [1.0, 2.0, 3.0, 2.0, 1.0, *later]:
            detector.look({"grad_norm/G": norm, "loss/G": 1e9})
        assert session.told[:1] == expected, later


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_an_explosion_at_the_start_does_not_pass_for_what_is_usual(at: int) -> None:
    session = Session()
    detector = Gradients(session)
    norms = [1.0, 2.0, 3.0, 2.0, 1.0, 2.0]
    norms.insert(at, 1e6)
    for norm in norms:
        detector.look({"grad_norm/G": norm})
    assert session.told == ["exploding gradients G"] * (at > 0)
    for _ in range(10):
        detector.look({"grad_norm/G": 1.0})
    assert "vanishing gradients G" not in session.told
    detector.look({"grad_norm/G": 500.0})
    assert session.told[-1] == "exploding gradients G"


def test_nothing_is_told_of_what_follows_from_divergence() -> None:
    session = Session()
    session.warned.add("divergence")
    gradients, balance = Gradients(session), balance_of(session)
    diversity = Diversity.__new__(Diversity)
    diversity._session = session
    for norm in [1.0] * 5 + [1e9] * 5:
        figures = {"grad_norm/G": norm, "grad_norm/D": 0.0, "d/accuracy": 0.0, "diversity": 0.0}
        gradients.look(figures)
        balance.look(figures)
        diversity.look(Progress(100, 50_000, 60_000), figures)
    assert session.told == []


def balance_of(session: Session) -> Balance:
    balance = Balance.__new__(Balance)
    balance._session, balance._won, balance._lost, balance._first = session, 0, 0, None
    balance._frozen = False
    return balance


def test_logits_apart_are_divergence_whatever_their_mean() -> None:
    class Sized(Session):
        class plan:  # noqa: N801
            class spec:  # noqa: N801
                channels, height, width = 1, 28, 28

    for real, fake, expected in (
        (5.0, -5.0, []),
        (9000.0, 8990.0, []),  # a critic's zero is nowhere in particular
        (200.0, -200.0, ["divergence"]),
        (float("nan"), 0.0, ["divergence"]),
    ):
        session = Sized()
        Divergence(session).look({"logits/real": real, "logits/fake": fake})
        assert session.told == expected


def test_accuracy_needs_no_threshold() -> None:
    real = torch.tensor([1001.0, 1002.0, 1003.0])
    assert accuracy(real, real - 10) == 1
    assert accuracy(real - 10, real) == 0
    assert accuracy(real, real) == 0.5


def test_being_right_is_not_winning_while_there_are_gradients() -> None:
    session = Session()
    balance = balance_of(session)
    for _ in range(20):
        balance.look({"d/accuracy": 1.0, "grad_norm/D": 1.0})
    assert session.told == []
    for _ in range(5):
        balance.look({"d/accuracy": 1.0, "grad_norm/D": 0.001})
    assert session.told == ["discriminator wins"]


def test_spread_is_zero_for_copies_and_grows_with_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(16, 3, 32, 32, generator=generator) * 2 - 1
    assert spread(noise[:1].expand(16, -1, -1, -1)) == pytest.approx(0, abs=1e-4)
    assert spread(noise) < spread((noise > 0).float() * 2 - 1)
