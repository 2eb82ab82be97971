"""`--evaluate`: figures while a run trains, and the best checkpoint kept."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

CLI = Any  # conftest.py's CommandLine
Tiny = tuple[str, ...]

EVALUATE = ("--evaluate", "swd:every=0.5kimg:samples=128")


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_best_checkpoint_is_kept_and_named(ganctl: CLI, tiny: Tiny) -> None:
    # A rate that falls apart after the first thousand images: the best is not the last.
    schedule = ("--lr-schedule", "0:1,1.0:1,1.05:400")
    done = ganctl("train", *tiny, *EVALUATE, *schedule, "--keep", "1", "--run", "run", "--lr", 5e-4)
    assert done.returncode == 0, done.stderr
    run = ganctl.folder / "run"
    records = metrics(run)
    assert [record["images"] for record in records] == [512, 1024, 1536, 2048]
    assert all(record.keys() == {"images", "step", "swd", "swd-28"} for record in records)
    best = json.loads((run / "best.json").read_text())
    lowest = min(records, key=lambda record: record["swd"])
    assert (best["value"], best["images"]) == (lowest["swd"], lowest["images"])
    assert best["images"] < 2048
    kept = sorted(folder.name for folder in (run / "checkpoints").iterdir())
    assert kept == [best["checkpoint"], "000002.048"]

    for which, images in (("best", best["images"]), ("newest", 2048), ("000002.048", 2048)):
        assert ganctl.here("generate", "run", "--which", which, "--out", which).returncode == 0
        same = (ganctl.folder / which / "seed0003.png").read_bytes()
        file = run / "checkpoints" / f"{images // 1000:06d}.{images % 1000:03d}"
        assert ganctl.here("generate", file, "--out", "same").returncode == 0
        assert same == (ganctl.folder / "same" / "seed0003.png").read_bytes()

    plot = ganctl.here("plot", "run")
    assert plot.returncode == 0


def test_evaluating_changes_nothing_in_the_run(ganctl: CLI, tiny: Tiny) -> None:
    for name, extra in (("with", EVALUATE), ("without", ())):
        assert ganctl.here("train", *tiny, *extra, "--run", name).returncode == 0
    files = [
        ganctl.folder / name / "checkpoints" / "000002.048" / "generator.safetensors"
        for name in ("with", "without")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_labels_are_evaluated_too(ganctl: CLI, tiny: Tiny) -> None:
    done = ganctl.here("train", *tiny, *EVALUATE, "--cond", "--run", "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_figures(ganctl: CLI, tiny: Tiny) -> None:
    long = (*tiny, "--kimg", "20", *EVALUATE)
    assert ganctl("train", *long, "--run", "whole").returncode == 0
    process = ganctl.start("train", *long, "--run", "killed")
    run, kills = ganctl.folder / "killed", 0
    while kills < 4:
        deadline = time.monotonic() + 60
        before = len(metrics(run)) if (run / "metrics.jsonl").exists() else 0
        while process.poll() is None and time.monotonic() < deadline:
            if (run / "metrics.jsonl").exists() and len(metrics(run)) > before + 3 * (kills + 1):
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        process = ganctl.start("resume", "killed")
    process.communicate()
    assert process.returncode in (0, 2)  # 2: there was nothing left to do
    assert metrics(run) == metrics(ganctl.folder / "whole")
    best = (ganctl.folder / "whole" / "best.json").read_text()
    assert (run / "best.json").read_text() == best
    assert (run / "checkpoints" / json.loads(best)["checkpoint"]).is_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("swdd", "did you mean 'swd'"),
        ("swd:every=often", "'often' is not a number"),
        ("swd:every=0", "must be more than 0"),
        ("swd:when=10", "evaluate.when: no such option"),
        ("swd:every=1:every=2", "every is given twice"),
        ("swd:patches=0", "evaluate.patches"),
        ("swd,swd", "once each"),
        (":every=10kimg", "name evaluators"),
    ],
)
def test_bad_requests_are_refused_in_a_line(
    ganctl: CLI, tiny: Tiny, text: str, expected: str
) -> None:
    done = ganctl.here("train", *tiny, "--evaluate", text, "--run", "run")
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (ganctl.folder / "run").exists()


def test_which_asks_for_what_is_there(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    for which, expected in (("best", "trained without --evaluate"), ("7", "has no checkpoint 7")):
        done = ganctl.here("generate", "run", "--which", which)
        assert done.returncode == 2
        assert expected in done.stderr


def test_junk_in_the_logs_does_not_stop_a_run_from_going_on(
    ganctl: CLI, tiny: Tiny, trained: Path
) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    for name in ("metrics.jsonl", "warnings.jsonl", "log.jsonl"):
        with (ganctl.folder / "run" / name).open("a") as file:
            file.write('junk\n{"images": "x", "swd": []}\n[1,2]\n{"images": 1}\n')
    done = ganctl.here("resume", "run", "--kimg", "2.2")
    assert done.returncode == 0, done.stderr
    for name in ("metrics.jsonl", "warnings.jsonl", "log.jsonl"):
        assert done.stderr.count(f"{name}: 3 damaged lines are left out\n") == 1
