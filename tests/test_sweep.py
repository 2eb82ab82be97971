"""Sweeps: every trial is trained once, whatever happens, and the figures tell which is best."""

import csv
import json
import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.cli.sweep import edges
from ganctl.sweep.folder import write_results
from ganctl.sweep.picture import draw
from ganctl.sweep.results import Result, combinations, lower_is_better, result_of
from ganctl.sweep.trials import Axis, Sweep, read_sweep

CLI = Any  # the fixture `ganctl` of conftest.py
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

TRAIN = """
[train]
device = "cpu"
batch = 64
kimg = {kimg}
log-every = 0.5
checkpoint-every = 1
arch = {{name = "mlp", z-dim = 16, g-widths = [32], d-widths = [32]}}
"""


def write(folder: Path, head: str, tail: str, kimg: float = 1, name: str = "sweep.toml") -> None:
    (folder / name).write_text(f"{head}\n{TRAIN.format(kimg=kimg)}\n{tail}\n")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def comparable(out: Path) -> list[dict[str, str]]:
    """The results but for the clock."""
    return [row | {"seconds": ""} for row in rows(out)]


def models(out: Path) -> dict[str, bytes]:
    found = out.glob("trials/*/checkpoints/*/generator.safetensors")
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in found}


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    start = "ganctl: error: "
    return [
        line.removeprefix(start) for line in result.stderr.splitlines() if line.startswith(start)
    ]


def looks_drawn(file: Path) -> bool:
    with Image.open(file) as picture:
        return len(np.unique(np.asarray(picture.convert("L")))) > 50


def wait(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(out: Path) -> list[int]:
    """Processes that train a trial of this sweep."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if "ganctl.cli.trial" in words and Path(folder) == out:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_sweep_trains_ranks_and_draws_and_is_done_the_second_time(ganctl: CLI) -> None:
    head = 'out = "out"\nseeds = 2\njobs = 2\nmetric = "loss/G"'
    write(ganctl.folder, head, "[grid]\nlr = [1e-4, 1e-2]")
    result = ganctl("sweep", "--config", "sweep.toml")
    assert result.returncode == 0, result.stderr
    out = ganctl.folder / "out"
    assert [(r["lr"], r["seed"], r["state"]) for r in rows(out)] == [
        ("0.0001", "0", "done"),
        ("0.0001", "1", "done"),
        ("0.01", "0", "done"),
        ("0.01", "1", "done"),
    ]
    for row in rows(out):
        run = out / row["run"]
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert float(row["figure"]) == float(row["final"]) == log[-1]["loss/G"]
        assert float(row["best"]) == min(record["loss/G"] for record in log)
        config = tomllib.loads((run / "config.toml").read_text())
        assert (config["g_lr"], config["d_lr"]) == (float(row["lr"]),) * 2
        assert config["seed"] == int(row["seed"])
        assert config["arch"]["g_widths"] == [32]
    assert len(set(models(out).values())) == 4
    table = result.stdout.splitlines()
    assert re.match(r" +lr +loss/G \(mean\) +from – to +at kimg +trials$", table[0])
    assert table[1].startswith("best  ")
    means = [float(line[4:].split()[1]) for line in table[1:3]]
    assert means == sorted(means)
    assert table[-2:] == ["results: out/results.csv", "picture: out/sweep.png"]
    assert looks_drawn(out / "sweep.png")
    said = result.stderr.splitlines()
    assert said[0].startswith("preparing digits as datasets/")
    assert said[1] == "4 trials, 2 at a time, 1 thread each: out"
    assert [line.partition(": ")[0] for line in said[2:]] == [f"{n} of 4" for n in (1, 2, 3, 4)]

    before = {p: p.stat().st_mtime_ns for p in out.glob("trials/**/*")}
    again = ganctl("sweep", "--config", out / "sweep.toml", "--json")  # it keeps itself
    assert (again.returncode, again.stderr) == (0, "")
    document = json.loads(again.stdout)
    assert document["better"] == "lower"
    best = document["combinations"][0]
    assert best["mean"] == pytest.approx(np.mean([t["figure"] for t in best["trials"]]))
    assert {p: p.stat().st_mtime_ns for p in out.glob("trials/**/*")} == before

    # Another figure ranks what is there; a figure that is not there is named at once.
    write(ganctl.folder, head.replace("/G", "/D"), "[grid]\nlr = [1e-4, 1e-2]")
    assert "loss/D" in ganctl("sweep", "--config", "sweep.toml").stdout
    write(ganctl.folder, head.replace("/G", "/E"), "[grid]\nlr = [1e-4, 1e-2]")
    wrong = ganctl("sweep", "--config", "sweep.toml")
    assert wrong.returncode == 2
    assert re.search(r"no figure 'loss/E'; did you mean 'loss/.'\?", errors(wrong)[0])

    # Values may be added, and nothing else may change.
    write(ganctl.folder, head, "[grid]\nlr = [1e-4, 1e-2, 1e-3]")
    assert ganctl("sweep", "--config", "sweep.toml").returncode == 0
    after = {p: p.stat().st_mtime_ns for p in out.glob("trials/**/*")}
    assert before.items() <= after.items()
    assert len(rows(out)) == 6
    write(ganctl.folder, head, "[grid]\nlr = [1e-4]")
    fewer = ganctl("sweep", "--config", "sweep.toml")
    assert "holds the trial lr=0.001,seed=0, which is not one of this sweep" in errors(fewer)[0]
    write(ganctl.folder, head, "[grid]\nlr = [1e-4, 1e-2, 1e-3]", kimg=2)
    longer = ganctl("sweep", "--config", "sweep.toml")
    assert longer.returncode == 2
    assert re.match(r"out: kimg is 2\.0 now, but the trials there have 1\.0: ", errors(longer)[0])


@posix
@pytest.mark.slow
def test_a_killed_sweep_leaves_nobody_behind_and_ends_as_one_that_was_not(ganctl: CLI) -> None:
    head, tail = 'seeds = 2\njobs = 2\nmetric = "loss/G"', "[grid]\nlr = [1e-4, 1e-2]"
    write(ganctl.folder, head, tail, kimg=24)
    whole, killed = (ganctl.folder / name for name in ("whole", "killed"))
    words = ("sweep", "--config", "sweep.toml", "--out")
    assert ganctl(*words, "whole").returncode == 0
    with ganctl.start(*words, "killed") as process:  # once two are done and others on their way
        wait(process, lambda: (killed / "results.csv").exists() and len(done(killed)) >= 2)
        wait(process, lambda: len(list(killed.glob("trials/*/checkpoints/0*"))) > 6)
        assert alive(ganctl.folder)
        process.kill()
    times = {run: (killed / run / "log.jsonl").stat().st_mtime_ns for run in done(killed)}
    again = ganctl(*words, "killed")  # at once, whoever is still alive
    assert again.returncode == 0, again.stderr
    assert not alive(ganctl.folder)
    assert times == {run: (killed / run / "log.jsonl").stat().st_mtime_ns for run in times}
    assert len(times) < 4
    assert comparable(killed) == comparable(whole)
    assert models(killed) == models(whole)
    assert not list(killed.rglob("*.part"))


def done(out: Path) -> list[str]:
    return [row["run"] for row in rows(out) if row["state"] == "done"]


@posix
@pytest.mark.slow
def test_the_trials_end_soon_after_a_sweep_that_was_killed(ganctl: CLI) -> None:
    write(ganctl.folder, 'jobs = 2\nmetric = "loss/G"', "[grid]\nlr = [1e-4, 1e-2]", kimg=2000)
    with ganctl.start("sweep", "--config", "sweep.toml", "--out", "out") as process:
        out = ganctl.folder / "out"
        wait(process, lambda: len({p.parent for p in out.glob("trials/*/checkpoints/0*")}) == 2)
        assert len(alive(ganctl.folder)) == 2
        process.kill()
    end = time.monotonic() + 20
    while alive(ganctl.folder):
        assert time.monotonic() < end
        time.sleep(0.05)
    for log in out.glob("trials/*.log"):
        assert "everything is saved" in log.read_text()


@posix
@pytest.mark.slow
def test_ctrl_c_saves_every_trial_and_a_second_sweep_is_refused_meanwhile(ganctl: CLI) -> None:
    write(ganctl.folder, 'jobs = 2\nmetric = "loss/G"', "[grid]\nlr = [1e-4, 1e-2]", kimg=120)
    words = ("sweep", "--config", "sweep.toml", "--out", "out")
    with ganctl.start(*words) as process:
        wait(process, lambda: bool(list(ganctl.folder.glob("out/trials/*/checkpoints/0*"))))
        second = ganctl(*words)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert second.returncode == 2
    assert errors(second) == ["out: another process works on this sweep"]
    assert process.returncode == 3, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert re.fullmatch(
        r"ganctl: stopped; \d of 2 trials are done, the others keep what they have\. "
        r"To continue: ganctl sweep --config sweep\.toml --out out",
        last,
    )
    assert not alive(ganctl.folder)
    assert "unfinished" in {row["state"] for row in rows(ganctl.folder / "out")}
    result = ganctl(*words)
    assert result.returncode == 0, result.stderr
    assert {row["state"] for row in rows(ganctl.folder / "out")} == {"done"}


@pytest.mark.slow
def test_a_trial_that_diverges_is_told_of_and_stops_no_other(ganctl: CLI) -> None:
    limit = "nonfinite-limit = 3\n[grid]\nlr = "  # goes on with [train]
    write(ganctl.folder, 'metric = "loss/G"', f"{limit}[1e30, 1e-3]")
    result = ganctl("sweep", "--config", "sweep.toml")
    assert result.returncode == 0, result.stderr
    bad, good = rows(ganctl.folder / "sweeps/sweep")
    assert (bad["state"], bad["figure"], good["state"]) == ("failed", "", "done")
    assert "gradients" in bad["why"]
    assert "lr=1e+30,seed=0: failed: " in result.stdout
    assert result.stdout.splitlines()[1].split()[:2] == ["best", "0.001"]
    write(ganctl.folder, 'metric = "loss/G"\nout = "bad"', f"{limit}[1e30]")
    none = ganctl("sweep", "--config", "sweep.toml")
    assert none.returncode == 1
    assert errors(none) == ["no trial was trained to its end: see bad/results.csv"]


def test_a_dry_run_shows_the_trials_and_writes_nothing(ganctl: CLI) -> None:
    tail = "[grid]\narch.g-widths = [[32], [64, 32]]\n[log-uniform]\n"
    tail += "g-lr = {low = 1e-4, high = 1e-2, n = 3}\narch.z-dim = {low = 16, high = 64, n = 3}"
    write(ganctl.folder, 'seeds = [3, 5]\nmetric = "loss/G"', tail)
    text = ganctl.here("sweep", "--config", "sweep.toml", "--dry-run").stdout
    assert ganctl.files() == ["sweep.toml"]
    lines = text.splitlines()
    assert lines[0].split() == ["arch.g_widths", "g_lr", "arch.z_dim", "seed"]
    assert lines[1].split() == ["32", "0.0001", "16", "3"]
    assert lines[36].split() == ["64-32", "0.01", "64", "5"]
    assert "36 trials, 36 kimg in all, ranked by loss/G, in sweeps/sweep" in text
    result = ganctl.here("sweep", "--config", "sweep.toml", "--dry-run", "--json")
    trials = json.loads(result.stdout)["trials"]
    assert {trial["options"]["g_lr"] for trial in trials} == {1e-4, 1e-3, 1e-2}
    assert {trial["options"]["arch.z_dim"] for trial in trials} == {16, 32, 64}
    assert len({trial["run"] for trial in trials}) == 36


WRONG: list[Any] = [
    ("", "[grid]\nlr = [0.1]", r"metric: name the figure that ranks"),
    ('metric = "a"', "", r"nothing is varied: name options in \[grid\] or \[log-uniform\]"),
    ('metric = "a"', "[grid]", r"nothing is varied"),
    ('metric = "a"', "[grid]\nlr = []", r"\[grid\] lr: wanted a list of values"),
    ('metric = "a"', "[grid]\nlr = 0.1", r"\[grid\] lr: wanted a list of values"),
    ('metric = "a"', "[grid]\nlr = [0.1, 0.1]", r"\[grid\] lr: a value stands there twice"),
    ('metric = "a"', "[grid]\nd-lrr = [0.1]", r"d_lrr: no such option; did you mean 'd_lr'\?"),
    ('metric = "a"', "[grid]\narch.widths = [1]", r"arch\.widths: no such option; did you mean"),
    (
        'metric = "a"',
        "[grid]\narhc.z-dim = [1]",
        r"arhc\.z_dim: no such option; did you mean 'arch'",
    ),
    ('metric = "a"', "[grid]\nlr = [0.1, -1]", r"lr: -1 is out of bounds.*\(trial lr=-1\)"),
    ('metric = "a"', '[grid]\nlr = ["fast"]', r"lr: 'fast' is not a number"),
    ('metric = "a"', '[grid]\narch = ["mpl"]', r"no architecture named 'mpl'; did you mean 'mlp'"),
    ('metric = "a"', "[grid]\nseed = [1]", r"seed: the sweep sets it; use seeds"),
    ('metric = "a"', "[gird]\nlr = [1]", r"gird: no such key; did you mean 'grid'\?"),
    ('metrik = "a"', "[grid]\nlr = [1]", r"metrik: no such key; did you mean 'metric'\?"),
    ('metric = "a"\nseeds = 0', "[grid]\nlr = [1]", r"seeds: 0 is not a number of seeds"),
    ('metric = "a"\nseeds = [1, 1]', "[grid]\nlr = [1]", r"seeds: wanted how many, or a list"),
    ('metric = "a"\njobs = 0', "[grid]\nlr = [1]", r"jobs: 0 is out of bounds"),
    (
        'metric = "a"\nbetter = "up"',
        "[grid]\nlr = [1]",
        r"better: 'up' is not one of lower, higher",
    ),
    ('metric = "a"', "[log-uniform]\nlr = [1]", r"\[log-uniform\] lr: wanted \{low = "),
    ('metric = "a"', "[log-uniform]\nlr = {low = 0, high = 1, n = 3}", r"0 < low < high"),
    ('metric = "a"', "[log-uniform]\nlr = {low = 1.0, high = 2.0, n = 1}", r"n must be a whole"),
    (
        'metric = "a"',
        "[grid]\nlr = [1]\n[log-uniform]\nlr = {low = 0.1, high = 1.0, n = 2}",
        r"lr: stands there twice",
    ),
]


@pytest.mark.parametrize(("head", "tail", "message"), WRONG, ids=lambda text: text[:40])
def test_what_is_wrong_is_said_before_anything_starts(
    ganctl: CLI, head: str, tail: str, message: str
) -> None:
    write(ganctl.folder, head, tail)
    result = ganctl.here("sweep", "--config", "sweep.toml")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = errors(result)
    assert line.startswith("sweep.toml: ")
    assert re.search(message, line), line
    assert ganctl.files() == ["sweep.toml"]


def test_a_file_that_is_no_sweep_is_refused(ganctl: CLI) -> None:
    assert errors(ganctl.here("sweep")) == [
        "sweep: say what to train and what to vary: --config sweep.toml"
    ]
    assert errors(ganctl.here("sweep", "--config", "no.toml")) == [
        "no.toml: No such file or directory"
    ]
    (ganctl.folder / "bad.toml").write_text("[grid\n")
    assert "not valid TOML" in errors(ganctl.here("sweep", "--config", "bad.toml"))[0]
    write(ganctl.folder, 'metric = "loss/G"\nout = "mine"', "[grid]\nlr = [1]")
    (ganctl.folder / "mine").mkdir()
    (ganctl.folder / "mine/thesis.txt").write_text("words")
    result = ganctl.here("sweep", "--config", "sweep.toml")
    assert errors(result) == ["mine: exists already and is no sweep; choose another --out"]
    assert (result.returncode, len(list((ganctl.folder / "mine").iterdir()))) == (2, 1)


def evaluated(folder: Path, head: str, tail: str, figures: list[list[float | None]]) -> Sweep:
    """A sweep whose trials have these figures, one every kimg, as an evaluator leaves them."""
    write(folder, f'out = "{folder / "out"}"\nmetric = "swd"\n{head}', tail, kimg=4)
    sweep = read_sweep(folder / "sweep.toml", {})
    for trial, values in zip(sweep.trials, figures, strict=True):
        (trial.folder / f"checkpoints/{len(values):06d}.000").mkdir(parents=True)
        records = [{"images": 1000 * i, "step": i, "swd": v} for i, v in enumerate(values, 1)]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (trial.folder / "metrics.jsonl").write_text(lines)
        (trial.folder / "log.jsonl").write_text(lines.replace("swd", "seconds"))
    return sweep


def read(sweep: Sweep) -> list[Result]:
    lower = lower_is_better(sweep)
    return [result_of(sweep, trial, lower) for trial in sweep.trials]


def test_an_evaluators_figure_counts_at_its_best(tmp_path: Path) -> None:
    figures = [[9.0, 3.0, 4.0, None], [5.0, 4.0, 3.5, 3.2]]
    results = read(evaluated(tmp_path, "", "[grid]\nlr = [1, 2]", figures))
    assert [result.figure for result in results] == [(2000, 3.0), (4000, 3.2)]
    assert [c.values for c in combinations(results, True)] == [(1,), (2,)]
    assert [c.values for c in combinations(results, False)] == [(2,), (1,)]


def test_a_combination_of_which_a_seed_failed_comes_after_those_of_which_none_did(
    tmp_path: Path,
) -> None:
    figures = [[1.0] * 4, [1.0], [2.0] * 4, [4.0] * 4]
    sweep = evaluated(tmp_path, "seeds = 2", "[grid]\nlr = [1, 2]", figures)
    results = read(sweep)
    results[1] = result_of(sweep, sweep.trials[1], True, "it diverged")
    ranked = combinations(results, True)
    assert [(c.values, c.mean, c.failed) for c in ranked] == [((2,), 3.0, 0), ((1,), 1.0, 1)]


def test_runs_say_which_direction_is_better_unless_the_sweep_does(tmp_path: Path) -> None:
    sweep = evaluated(tmp_path, "", "[grid]\nlr = [1, 2]", [[1.0] * 4, [2.0] * 4])
    assert lower_is_better(sweep)
    best = {
        "metric": "swd",
        "value": 2.0,
        "better": "higher",
        "images": 1000,
        "checkpoint": "000001.000",
    }
    (sweep.trials[1].folder / "best.json").write_text(json.dumps(best))
    assert not lower_is_better(sweep)
    assert [result.best for result in read(sweep)] == [(1000, 1.0), (1000, 2.0)]


def test_damaged_files_of_trials_are_told_of_before_anything_is_trained(ganctl: CLI) -> None:
    sweep = evaluated(ganctl.folder, "", "[grid]\nlr = [1, 2]", [[1.0] * 4, [2.0] * 4])
    write(
        *(ganctl.folder, f'out = "{sweep.out}"\nmetric = "loss/G"', "[grid]\nlr = [1, 2]"), kimg=4
    )
    first = sweep.trials[0].folder
    with (first / "log.jsonl").open("a") as file:
        file.write('{"images": 40\n[]\n{"images": 4000, "step": 5, "loss/G": 2.0}\n')
    (first / "best.json").write_text("{")
    said = ganctl.here("sweep", "--config", "sweep.toml").stderr.splitlines()
    assert [line for line in said if "preparing" not in line] == [
        f"ganctl: warning: {first / 'best.json'}: damaged: it does not tell the best checkpoint",
        f"ganctl: warning: {first / 'log.jsonl'}: 2 damaged lines are left out",
    ]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("[grid]\nlr = [1, 2, 3]", ["the best lr is the largest tried: 3"]),
        ("[grid]\nlr = [3, 2, 1]", ["the best lr is the smallest tried: 1"]),
        ("[grid]\nlr = [1, 3, 2]", []),
        ("[grid]\nlr = [1]\ng-lr = [1, 2, 3]", ["the best g_lr is the largest tried: 3"]),
        ("[grid]\nlr = [1, 2]", []),
    ],
)
def test_the_best_of_several_numbers_is_told_when_it_is_the_last(
    tmp_path: Path, tail: str, expected: list[str]
) -> None:
    figures: list[list[float | None]] = [[3.0] * 4, [2.0] * 4, [1.0] * 4]
    figures = figures[: 2 if tail.endswith("[1, 2]") else 3]
    sweep = evaluated(tmp_path, "", tail, figures)
    assert list(edges(sweep, combinations(read(sweep), True)[0])) == expected


def test_what_comes_after_patience_has_run_out_does_not_count(tmp_path: Path) -> None:
    figures = [[3.0, 4.0, 5.0, 1.0], [3.0, 4.0], [3.0, 4.0, 2.0, 5.0], [9.0, 8.0, 8.0, 8.0]]
    head, tail = "patience = 2", "[grid]\nlr = [1, 2, 3, 4]"
    results = read(evaluated(tmp_path, head, tail, figures))
    assert [result.state for result in results] == [
        *("stopped early", "unfinished", "done", "done"),
    ]
    assert results[0].figure == (1000, 3.0)
    assert results[0].images == 3000
    assert results[2].figure == (3000, 2.0)


@pytest.mark.parametrize(
    ("tail", "count"),
    [
        ("[grid]\nlr = [0.1, 1, 10]", 3),
        ("[grid]\nd-lr = [0.1, 1]\ng-lr = [1, 2, 3]", 6),
        ('[grid]\narch.output = ["tanh", "sigmoid"]', 2),
        ("[grid]\nlr = [1, 2]\narch.dropout = [0, 0.1]\narch.z-dim = [8, 16]", 8),
        ("[grid]\nlr = [1]", 1),
    ],
    ids=["curve", "heat map", "words", "dots", "one"],
)
def test_every_kind_of_picture_is_drawn(tmp_path: Path, tail: str, count: int) -> None:
    figures: list[list[float | None]] = [[9.0 + n, None, 7.0 + n, 8.0] for n in range(2 * count)]
    sweep = evaluated(tmp_path, "seeds = 2", tail, figures)
    results = read(sweep)
    write_results(sweep, results, True)
    assert looks_drawn(sweep.out / "sweep.png")
    for trial in sweep.trials:  # nothing is saved, everything failed
        for folder in (trial.folder / "checkpoints").iterdir():
            folder.rmdir()
    write_results(sweep, [result_of(sweep, t, True, "no") for t in sweep.trials], True)
    assert looks_drawn(sweep.out / "sweep.png")


@pytest.mark.parametrize("varied", [1, 2, 3])
def test_any_name_and_value_can_be_drawn(tmp_path: Path, varied: int) -> None:
    words = (r"$\frac", "a$b$c", "日本 🙂")
    tail = "[grid]\narch.z-dim = [8, 16, 32]"
    sweep = evaluated(tmp_path, "", tail, [[3.0] * 4, [2.0] * 4, [1.0] * 4])
    axes = tuple(Axis(f"$x{n}$", words, False) for n in range(varied))
    trials = tuple(
        replace(trial, values=(word,) * varied)
        for trial, word in zip(sweep.trials, words, strict=True)
    )
    settings = replace(sweep.settings, metric=r"$\sqrt")
    sweep = replace(sweep, axes=axes, trials=trials, out=tmp_path / r"$\frac$")
    ranked = combinations(read(sweep), True)
    assert ranked[0].figures == [1.0]
    assert draw(replace(sweep, settings=settings), ranked, True)


@posix
@pytest.mark.slow
def test_patience_stops_a_trial(ganctl: CLI) -> None:
    head = 'metric = "images_per_second"\nbetter = "lower"\npatience = 30'
    write(ganctl.folder, head, "[grid]\nlr = [1e-4]", kimg=100_000)
    result = ganctl("sweep", "--config", "sweep.toml", "--out", "out")
    assert result.returncode == 0, result.stderr
    (row,) = rows(ganctl.folder / "out")
    assert row["state"] == "stopped early"
    (log,) = ganctl.folder.glob("out/trials/*.log")
    assert "everything is saved" in log.read_text()
