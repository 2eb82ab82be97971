"""Killed, interrupted, out of disk: what is saved stays good, and resuming gives the same bytes."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ganctl as package
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.errors import Interrupted
from ganctl.hooks import Hooks, hookimpl
from ganctl.interfaces import Progress
from ganctl.spec import ImageSpec
from ganctl.training.plan import resolve
from ganctl.training.run import Run
from ganctl.training.session import Session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them"),
]

CLI = Any  # conftest.py's CommandLine
KILLS = 10
KIMG = 32
OPTIONS = (
    *("--device", "cpu", "--batch", "64", "--kimg", str(KIMG), "--ema-kimg", "1"),
    *("--arch.z-dim", "16", "--arch.g-widths", "32", "--arch.d-widths", "32"),
    *("--checkpoint-every", "0.25", "--log-every", "0.25", "--sample-every", "8"),
)


@pytest.fixture(scope="module")
def ganctl(command_line: Any, tmp_path_factory: pytest.TempPathFactory) -> CLI:
    """One folder for all: the set is prepared once, the runs have names of their own."""
    return command_line(tmp_path_factory.mktemp("recovery"))


@pytest.fixture(scope="module")
def whole(ganctl: CLI) -> Path:
    """The run that nobody disturbs: what the others must come to."""
    result = ganctl("train", *OPTIONS, "--run", "whole")
    assert result.returncode == 0, result.stderr
    return ganctl.folder / "whole"


def names(run: Path) -> list[str]:
    """The checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    return sorted(p.name for p in folder.iterdir() if p.name[0] != ".") if folder.exists() else []


def images(run: Path) -> int:
    """Images at the newest checkpoint."""
    return int(names(run)[-1].replace(".", "")) if names(run) else 0


def lines(run: Path) -> int:
    """How many lines the log has so far; the last may be in the making."""
    file = run / "log.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def writing(run: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any(name.endswith(".part") for name in os.listdir(run / "checkpoints"))


@contextmanager
def started(ganctl: CLI, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on while the test does something to it, and ends with it."""
    process = ganctl.start(*words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Until the condition holds. Fails the test if the process ends first."""
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.0005)


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """What of a line of the log follows from the run alone, and not from the clock."""
    return {k: v for k, v in record.items() if "/" in k or k in ("images", "step")}


def same(run: Path, whole: Path) -> None:
    """The run came to the same end, byte for byte, and nothing is left of its accidents."""
    assert names(run)[-1] == names(whole)[-1]
    ours, theirs = (r / "checkpoints" / names(r)[-1] for r in (run, whole))
    generators = [(f / "generator.safetensors").read_bytes() for f in (ours, theirs)]
    assert generators[0] == generators[1]
    states = [load_file(f / "training.safetensors") for f in (ours, theirs)]
    assert states[0].keys() == states[1].keys()
    assert len(states[0]) > 20  # live generator, discriminator, two optimisers
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), name
    steps = [record["step"] for record in log(run)]
    assert steps == sorted(set(steps))
    assert {r["step"] for r in log(whole)} <= set(steps)
    seconds = [record["seconds"] for record in log(run)]
    assert seconds == sorted(seconds)
    for picture in (whole / "samples").iterdir():
        assert (run / "samples" / picture.name).read_bytes() == picture.read_bytes()
    hidden = [p.name for p in (run / "checkpoints").iterdir() if p.name.startswith(".")]
    assert hidden == []
    assert not list(run.rglob("*.part"))


def kill(process: subprocess.Popen[str]) -> str:
    """What it had said on standard error when it was killed, in the middle of its work."""
    assert process.poll() is None
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "Traceback" not in said
    return said


def test_a_run_killed_ten_times_ends_as_one_that_was_not(ganctl: CLI, whole: Path) -> None:
    dice = random.Random(13)
    run = ganctl.folder / "killed"
    continued = []
    for number in range(KILLS):
        words = ("resume", "killed") if number else ("train", *OPTIONS, "--run", "killed")
        with started(ganctl, *words) as process:
            if number in (3, 7):  # while it starts
                time.sleep(dice.uniform(0, 0.6))
            else:  # while it trains, writes, prunes
                goal = images(run) + dice.choice((250, 500, 750))
                wait(process, lambda goal=goal: images(run) >= goal)
                if number in (1, 4, 6):  # in the middle of a checkpoint
                    wait(process, lambda: writing(run))
                else:
                    time.sleep(dice.uniform(0, 0.02))
            said = kill(process)
            continued += re.findall(r"continuing from killed/checkpoints/(\S+)", said)
    assert len(set(continued)) >= 5  # it got on between the kills
    assert images(run) < KIMG * 1000
    result = ganctl("resume", "killed")
    assert result.returncode == 0, result.stderr
    same(run, whole)
    assert [figures(r) for r in log(run)] == [figures(r) for r in log(whole)]


def test_a_run_killed_before_its_first_checkpoint_starts_again(ganctl: CLI, whole: Path) -> None:
    run = ganctl.folder / "early"
    options = (*OPTIONS, "--checkpoint-every", "100")
    with started(ganctl, "train", *options, "--run", "early") as process:
        wait(process, lambda: lines(run) >= 2)
        kill(process)
    assert names(run) == []
    for litter in (".000099.000.part", ".000000.064.old"):  # as a kill may leave it
        (run / "checkpoints" / litter).mkdir()
        (run / "checkpoints" / litter / "generator.safetensors").write_text("half")
    result = ganctl("resume", "early")
    assert result.returncode == 0, result.stderr
    assert "no checkpoint yet: starting from the beginning" in result.stderr
    same(run, whole)
    assert [figures(r) for r in log(run)] == [figures(r) for r in log(whole)]


def stopped(ganctl: CLI, name: str, number: signal.Signals) -> list[str]:
    """Start a run and interrupt it after its first checkpoint; the words that continue it."""
    run = ganctl.folder / name
    with started(ganctl, "train", *OPTIONS, "--run", name) as process:
        wait(process, lambda: images(run) >= 1000)
        process.send_signal(number)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert output == ""
    assert said.splitlines()[-2:] == [
        "ganctl: finishing this step and saving; again to stop at once",
        f"ganctl: stopped after {images(run) / 1000:.3f} kimg; everything is saved. "
        f"To continue: ganctl resume {name}",
    ]
    assert images(run) < KIMG * 1000
    program, *words = shlex.split(said.strip().rpartition("To continue: ")[2])
    assert program == "ganctl"
    return words


def test_an_interrupted_run_saves_and_says_how_to_go_on(ganctl: CLI, whole: Path) -> None:
    words = stopped(ganctl, "interrupted", signal.SIGINT)
    result = ganctl(*words)
    assert result.returncode == 0, result.stderr
    same(ganctl.folder / "interrupted", whole)


def test_a_run_that_began_with_a_model_goes_on_without_it(ganctl: CLI, whole: Path) -> None:
    model = ganctl.folder / "model"
    shutil.copytree(whole / "checkpoints" / names(whole)[-1], model)
    begun = (*OPTIONS, "--init-from", "model", "--freeze-d", "1")
    result = ganctl("train", *begun, "--run", "transferred")
    assert result.returncode == 0, result.stderr
    transferred, run = ganctl.folder / "transferred", ganctl.folder / "bereft"
    with started(ganctl, "train", *begun, "--run", "bereft") as process:
        wait(process, lambda: images(run) >= 1000)
        kill(process)
    shutil.rmtree(model)
    result = ganctl("resume", "bereft")
    assert result.returncode == 0, result.stderr
    assert "taken over" not in result.stderr
    same(run, transferred)
    assert [figures(r) for r in log(run)] == [figures(r) for r in log(transferred)]
    assert (run / "init-from.txt").read_text() == (transferred / "init-from.txt").read_text()


def test_a_run_interrupted_twice_stops_at_once_and_can_be_resumed(ganctl: CLI, whole: Path) -> None:
    # Micro-batches of one row make a step long enough to be interrupted twice.
    steps = ("--batch", "256", "--micro-batch", "1", "--kimg", "0.768", "--checkpoint-every", "100")
    with started(ganctl, "train", *OPTIONS, *steps, "--run", "twice") as process:
        wait(process, lambda: lines(ganctl.folder / "twice") >= 1)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "again to stop at once" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        said = process.stderr.read()
    assert said.splitlines()[-1] == "ganctl: stopped"
    assert "Traceback" not in said
    assert names(ganctl.folder / "twice") == []
    result = ganctl("resume", "twice")
    assert result.returncode == 0, result.stderr
    assert names(ganctl.folder / "twice") == ["000000.768"]


IMPATIENT = """
import os
import signal
import time

from ganctl import Hook, NoOptions, hookimpl


class Plugin(Hook[NoOptions], api=1):
    @hookimpl
    def step(self):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    @hookimpl
    def end(self):
        time.sleep(40)
"""


def test_a_hook_that_hangs_cannot_keep_a_run_from_stopping_at_once(
    ganctl: CLI, whole: Path
) -> None:
    site = ganctl.folder / "site"
    (site / "impatient-1.0.dist-info").mkdir(parents=True)
    (site / "impatient.py").write_text(IMPATIENT)
    (site / "impatient-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: impatient\nVersion: 1.0\n"
    )
    (site / "impatient-1.0.dist-info/entry_points.txt").write_text(
        "[ganctl.hooks]\nimpatient = impatient:Plugin\n"
    )
    begun = time.monotonic()
    result = ganctl("train", *OPTIONS, "--run", "hangs", env={"PYTHONPATH": str(site)})
    assert time.monotonic() - begun < 35
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == "ganctl: stopped"


def under_limit(ganctl: CLI, size: int, *arguments: str) -> str:
    """The one error line of a command in whose way a file system stands: no file over `size`."""
    import resource

    result = ganctl(
        *arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert result.returncode == 1, result.stderr
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(lines) == 1, result.stderr
    assert re.match(r"ganctl: error: cannot write (checkpoint )?full/", lines[0])
    return str(lines[0])


def test_a_full_disk_costs_no_checkpoint_and_the_run_goes_on_later(
    ganctl: CLI, whole: Path
) -> None:
    words = stopped(ganctl, "full", signal.SIGTERM)  # it ends as Ctrl-C does
    run = ganctl.folder / "full"
    before = names(run)
    newest = run / "checkpoints" / before[-1]
    sizes = [(newest / f"{name}.safetensors").stat().st_size for name in ("generator", "training")]
    sample = max(p.stat().st_size for p in (run / "samples").iterdir())
    assert sample < sizes[1] // 2
    assert sizes[0] < sizes[1] // 2

    line = under_limit(ganctl, sizes[1] // 2, *words)
    assert re.search(r"cannot write checkpoint full/checkpoints/\S+: File too large", line)
    assert f"the last checkpoint, full/checkpoints/{before[-1]}, is intact" in line
    assert names(run) == before
    assert not list(run.rglob(".*.part"))
    assert package.load(run).generate([0]).shape == (1, 28, 28, 1)

    line = under_limit(ganctl, sample // 4, *words)
    assert "is intact" in line
    assert names(run) == before
    assert not list(run.rglob(".*.part"))

    result = ganctl(*words)
    assert result.returncode == 0, result.stderr
    assert f"continuing from full/checkpoints/{before[-1]}" in result.stderr
    same(run, whole)


class Stopper:
    """A hook that interrupts its own process after given steps, as Ctrl-C would."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    @hookimpl
    def step(self, progress: Progress) -> None:
        if progress.step in self.steps:
            os.kill(os.getpid(), signal.SIGINT)


def in_steps(folder: Path, *stops: int) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Train six steps here, interrupted after some; all of the state, and each outcome."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread alone")
    data = folder.parent / "set.zip"
    with DatasetWriter(data, ImageSpec(8, 8, 1)) as writer:
        for index in range(70):
            writer.add(np.full((8, 8, 1), index, np.uint8), None)
    core = {"data": str(data), "kimg": 0.384, "batch": 64, "device": "cpu", "ema_kimg": 0.1}
    plan = resolve(core, {"arch": {"z_dim": 16, "g_widths": [32], "d_widths": [32]}})
    run = Run.create(str(folder), plan.name, plan.config())
    outcomes = []
    for _ in range(len(stops) + 1):
        session = Session(plan, Dataset(data), Hooks([("stopper", Stopper(*stops))]))
        if (latest := run.latest()) is not None:
            session.resume(latest)
            if session.images >= session.total:
                break
        try:
            session.train(run)
            outcomes.append("done")
        except Interrupted:
            outcomes.append("interrupted")
    run.close()
    last = folder / "checkpoints/000000.384"
    generator = load_file(last / "generator.safetensors")
    training = load_file(last / "training.safetensors")
    return {**{f"best.{k}": v for k, v in generator.items()}, **training}, outcomes


def test_a_run_interrupted_after_every_step_ends_as_one_that_was_not(tmp_path: Path) -> None:
    undisturbed, outcomes = in_steps(tmp_path / "one")
    assert outcomes == ["done"]
    disturbed, outcomes = in_steps(tmp_path / "other", 1, 2, 3, 4, 5)
    assert outcomes == ["interrupted"] * 5 + ["done"]
    assert undisturbed.keys() == disturbed.keys()
    for name in undisturbed:
        assert torch.equal(undisturbed[name], disturbed[name]), name


def test_a_run_interrupted_in_its_last_step_is_done(tmp_path: Path) -> None:
    _, outcomes = in_steps(tmp_path / "run", 6)
    assert outcomes == ["done"]
