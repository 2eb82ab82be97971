"""`ganctl evaluate`: figures of models, folders and zips against a set."""

import json
import os
import shutil
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLI = Any  # conftest.py's CommandLine
RANDOM = ("--extractor", "random-conv")


def pictures(folder: Path, count: int, seed: int = 0, side: int = 16, mean: int = 128) -> Path:
    """Blurred noise, a picture in each file."""
    draw = np.random.RandomState(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = draw.normal(mean, 60, (4, 4, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(folder / f"{number:04d}.png")
    return folder


def evaluate(ganctl: CLI, *arguments: object) -> dict[str, Any]:
    done = ganctl.here("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def digits(trained: Path) -> Path:
    return next((trained.parent / "datasets").glob("*.zip"))


def test_a_model_against_its_set(ganctl: CLI, trained: Path, digits: Path) -> None:
    metrics = ("--metrics", "fid,kid,pr,dc,swd", "--samples", 200)
    first = evaluate(ganctl, trained, "--data", digits, *metrics, *RANDOM)
    assert list(first["figures"]) == [
        "fd-random-conv",
        *("kid-random-conv", "kid-deviation-random-conv"),
        *("precision-random-conv", "recall-random-conv"),
        *("density-random-conv", "coverage-random-conv"),
        *("swd", "swd-28"),
    ]
    assert first["reals"] == 1797
    assert (first["samples"], first["seeds"]) == (200, [0])
    assert first["about"]["fid"] == {"extractor": "random-conv"}
    assert any("200 images are under 2,048" in warning for warning in first["warnings"])
    assert evaluate(ganctl, trained, "--data", digits, *metrics, *RANDOM) == first
    other = evaluate(ganctl, trained, "--data", digits, *metrics, *RANDOM, "--seeds", 7)
    assert other["figures"] != first["figures"]


def test_several_seeds_give_mean_and_deviation(ganctl: CLI, trained: Path, digits: Path) -> None:
    common = (trained, "--data", digits, "--samples", 64, *RANDOM)
    alone = [
        evaluate(ganctl, *common, "--seeds", seed)["figures"]["fd-random-conv"] for seed in range(3)
    ]
    together = evaluate(ganctl, *common, "--seeds", "0-2", "--out", "here")
    assert together["figures"]["fd-random-conv"] == pytest.approx(np.mean(alone))
    assert together["deviations"]["fd-random-conv"] == pytest.approx(np.std(alone, ddof=1))
    assert together["pictures"] == ["here/evaluation.png"]
    with Image.open(ganctl.folder / "here" / "evaluation.png") as plot:
        assert plot.width > 300
    text = ganctl.here("evaluate", *common, "--seeds", "0-2")
    assert f"{np.mean(alone):.5g} ± {np.std(alone, ddof=1):.2g}" in text.stdout
    assert "extractor random-conv" in text.stdout
    assert "64 images against 1,797 of" in text.stdout


def test_folders_of_mixed_sizes_and_subfolders(ganctl: CLI) -> None:
    a, b = pictures(ganctl.folder / "a", 40), pictures(ganctl.folder / "b", 50, seed=1)
    pictures(a / "deeper" / "still", 20, seed=2, side=40)
    Image.new("L", (9, 30), 77).save(a / "gray.png")
    found = evaluate(ganctl, "a", "--data", "b", *RANDOM, "--metrics", "fid,nn")
    assert (found["samples"], found["reals"]) == (61, 50)
    with Image.open(ganctl.folder / found["pictures"][0]) as sheet:
        assert sheet.width > sheet.height / 2
    assert 0 <= found["figures"]["authenticity-random-conv"] <= 1
    itself = evaluate(ganctl, b, "--data", "b", *RANDOM, "--metrics", "fid,nn,pr")
    assert itself["figures"]["fd-random-conv"] == pytest.approx(0, abs=1e-4)
    assert itself["figures"]["authenticity-random-conv"] == 0  # every one is a copy
    assert itself["figures"]["precision-random-conv"] == 1
    some = evaluate(ganctl, "a", "--data", "b", *RANDOM, "--metrics", "nn", "--samples", 20)
    assert some["pictures"] == ["evaluation/nearest-neighbours.png"]
    pictures(ganctl.folder / "larger", 4, side=32)
    for words in (("larger", "--data", "b"), ("b", "--data", "larger")):
        done = ganctl.here("evaluate", *words, "--metrics", "swd")
        assert done.returncode == 2
        assert "images of one size and kind, not" in done.stderr
    refused = ganctl.here("evaluate", "a", "--data", "b", "--metrics", "swd")
    assert refused.returncode == 2
    assert "holds pictures of" in refused.stderr
    assert "ganctl prepare" in refused.stderr


def test_statistics_stand_for_the_set(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 30)
    pictures(ganctl.folder / "b", 40, seed=1)
    whole = evaluate(ganctl, "a", "--data", "b", *RANDOM, "--save-statistics", "b.npz")
    with np.load(ganctl.folder / "b.npz") as arrays:
        assert {"mu", "sigma"} < set(arrays.files)  # as pytorch-fid and TTUR have them
        assert arrays["sigma"].shape == (512, 512)
        assert arrays["sigma"].dtype == np.float64
    known = evaluate(ganctl, "a", "--data", "b.npz", *RANDOM)
    assert known["figures"] == pytest.approx(whole["figures"], rel=1e-9)
    for metrics, expected in (("kid", "kid: it needs a set's pictures"), ("fid,pr", "precision")):
        done = ganctl.here("evaluate", "a", "--data", "b.npz", *RANDOM, "--metrics", metrics)
        assert done.returncode == 2
        assert expected in done.stderr
        assert "b.npz" in done.stderr
    with np.load(ganctl.folder / "b.npz") as arrays:
        parts = dict(arrays)
    np.savez(ganctl.folder / "foreign.npz", mu=parts["mu"], sigma=parts["sigma"])
    foreign = evaluate(ganctl, "a", "--data", "foreign.npz", *RANDOM)
    assert foreign["figures"] == known["figures"]
    assert any("do not say which extractor" in text for text in foreign["warnings"])
    np.savez(ganctl.folder / "other.npz", **{**parts, "space": np.array("another")})
    done = ganctl.here("evaluate", "a", "--data", "other.npz", *RANDOM)
    assert done.returncode == 2
    assert "it is of the features another" in done.stderr


def test_statistics_that_are_none_are_refused(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 3)
    np.savez(ganctl.folder / "other.npz", mean=np.zeros(3))
    np.savez(ganctl.folder / "odd.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    np.savez(ganctl.folder / "small.npz", mu=np.zeros(3), sigma=np.eye(3))
    np.savez(ganctl.folder / "nan.npz", mu=np.full(3, np.nan), sigma=np.eye(3))
    np.savez(ganctl.folder / "text.npz", mu=np.array(["x"]), sigma=np.array([["y"]]))
    np.savez(ganctl.folder / "pickle.npz", mu=np.array([object()], dtype=object), sigma=np.eye(1))
    np.savez(ganctl.folder / "minus.npz", mu=np.zeros(3), sigma=-np.eye(3))
    np.savez(ganctl.folder / "askew.npz", mu=np.zeros(2), sigma=np.array([[1, 0.5], [0, 1]]))
    np.savez_compressed(ganctl.folder / "cut.npz", mu=np.zeros(999), sigma=np.eye(999))
    data = bytearray((ganctl.folder / "cut.npz").read_bytes())
    data[300:400] = bytes(100)
    (ganctl.folder / "cut.npz").write_bytes(data)
    with zipfile.ZipFile(ganctl.folder / "bytes.npz", "w") as archive:
        archive.writestr("mu", "no array")
    (ganctl.folder / "junk.npz").write_bytes(b"junk")
    for name, expected in {
        "other": "should hold mu and sigma",
        "odd": "do not belong together",
        "small": "of 3 features",
        "nan": "not finite",
        "text": "should be real numbers",
        "minus": "no covariance",
        "askew": "no covariance",
        "cut": "not a file of statistics",
        "bytes": "not a file of statistics",
        "pickle": "not a file of statistics",
        "junk": "not a file of statistics",
        "absent": "no such file",
    }.items():
        done = ganctl.here("evaluate", "a", "--data", f"{name}.npz", *RANDOM)
        assert done.returncode == 2, name
        assert expected in done.stderr, name
        assert len(done.stderr.splitlines()) == 1, name


def test_every_checkpoint_of_a_run(ganctl: CLI, trained: Path, digits: Path) -> None:
    common = ("--data", digits, *RANDOM, "--samples", 100)
    found = evaluate(ganctl, trained, *common, "--which", "all", "--out", "all", "--seeds", "0,1")
    names = [row["checkpoint"] for row in found["checkpoints"]]
    assert names == sorted(p.name for p in (trained / "checkpoints").iterdir())
    figures = {r["checkpoint"]: r["figures"]["fd-random-conv"] for r in found["checkpoints"]}
    assert found["best"] == min(figures, key=lambda name: figures[name])
    assert found["pictures"] == ["all/evaluation.png"]
    one = evaluate(ganctl, trained, *common, "--which", names[0], "--seeds", "0,1")
    assert one["figures"]["fd-random-conv"] == pytest.approx(figures[names[0]])


def test_classes_one_by_one(ganctl: CLI, conditional: Path) -> None:
    data = next((conditional.parent / "datasets").glob("*.zip"))
    found = evaluate(ganctl, conditional, "--data", data, *RANDOM, "--per-class")
    assert {f"fd-random-conv/{n}" for n in range(10)} < found["figures"].keys()
    itself = evaluate(ganctl, data, "--data", data, *RANDOM, "--per-class")["figures"]
    assert max(map(abs, itself.values())) < 1e-3  # every class with itself, and no other
    few = ("--samples", 20, "--seeds", "0-2", "--per-class")
    some = evaluate(ganctl, conditional, "--data", data, *RANDOM, *few)
    assert None in some["figures"].values()  # of a class there was but one image
    assert any("fewer than two images of the class" in text for text in some["warnings"])
    done = ganctl.here(
        *("evaluate", conditional, "--data", pictures(ganctl.folder / "a", 5), "--per-class"),
        *RANDOM,
    )
    assert done.returncode == 2
    assert "per_class: the set has no labels" in done.stderr


def test_features_of_a_set_are_extracted_once(ganctl: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ganctl.folder / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    pictures(ganctl.folder / "a", 5)
    pictures(ganctl.folder / "b", 1100, seed=1)
    first = evaluate(ganctl, "a", "--data", "b", *RANDOM)
    files = sorted(cache.rglob("*.npy"))
    assert [file.name for file in files] == ["000000.npy", "000001.npy"]
    about = json.loads(files[0].with_name("about.json").read_text())
    assert about == {"set": str(ganctl.folder / "b"), "images": 1100, "extractor": "random-conv/1"}
    np.save(files[1], np.load(files[1]) * 2)  # what is kept is what is used
    assert evaluate(ganctl, "a", "--data", "b", *RANDOM)["figures"] != first["figures"]
    files[1].write_bytes(files[1].read_bytes()[:-100])
    assert evaluate(ganctl, "a", "--data", "b", *RANDOM) == first  # damaged: made anew
    times = [(p, p.stat().st_mtime_ns) for p in sorted((ganctl.folder / "b").iterdir())]
    shutil.rmtree(ganctl.folder / "b")  # other pictures, of the same names and times
    pictures(ganctl.folder / "b", 1100, seed=2)
    for path, at in times:
        os.utime(path, ns=(at, at))
    assert evaluate(ganctl, "a", "--data", "b", *RANDOM)["figures"] != first["figures"]
    assert len(list(cache.rglob("*.npy"))) == 4


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    ganctl: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ganctl.folder / "cache").write_text("a file")
    pictures(ganctl.folder / "a", 5)
    pictures(ganctl.folder / "b", 5, seed=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(ganctl.folder / "cache"))
    done = ganctl.here("evaluate", "a", "--data", "b", *RANDOM, "--json")
    assert done.returncode == 0
    assert done.stderr.count("features are not kept: cannot write") == 1


def test_pictures_that_cannot_be_written_do_not_cost_the_figures(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 5)
    pictures(ganctl.folder / "b", 5, seed=1)
    (ganctl.folder / "out").write_text("a file")
    found = evaluate(ganctl, "a", "--data", "b", *RANDOM, "--metrics", "fid,nn", "--out", "out")
    assert found["figures"]["fd-random-conv"] > 0
    assert any("no pictures: cannot write" in text for text in found["warnings"])


def test_transparent_pictures_are_the_same_prepared_or_not(ganctl: CLI) -> None:
    draw = np.random.RandomState(0)
    (ganctl.folder / "a").mkdir()
    for number in range(12):
        pixels = draw.randint(0, 256, (16, 16, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(ganctl.folder / "a" / f"{number}.png")
    how = ("--resolution", 16, "--channels", "rgba")
    assert ganctl.here("prepare", "a", "--out", "a.zip", *how).returncode == 0
    found = evaluate(ganctl, "a.zip", "--data", "a", *RANDOM)
    assert found["figures"]["fd-random-conv"] == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
def test_killed_and_done_again(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 5)
    pictures(ganctl.folder / "b", 4200, seed=1, side=96)
    cache = ganctl.folder / "cache"
    ganctl.env["XDG_CACHE_HOME"] = str(cache)
    process = ganctl.start("evaluate", "a", "--data", "b", *RANDOM, "--save-statistics", "b.npz")
    deadline = time.monotonic() + 60
    while not list(cache.rglob("*.npy")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (ganctl.folder / "b.npz").exists()
    kept = {file: file.stat().st_mtime_ns for file in cache.rglob("*.npy")}
    again = ganctl("evaluate", "a", "--data", "b", *RANDOM, "--json")
    assert again.returncode == 0, again.stderr
    assert kept
    assert kept.items() <= {f: f.stat().st_mtime_ns for f in cache.rglob("*.npy")}.items()
    shutil.rmtree(cache)
    fresh = ganctl("evaluate", "a", "--data", "b", *RANDOM, "--json")
    assert json.loads(fresh.stdout) == json.loads(again.stdout)


def test_a_corrupt_image_is_named(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 5)
    pictures(ganctl.folder / "b", 5)
    whole = (ganctl.folder / "b" / "0003.png").read_bytes()
    (ganctl.folder / "b" / "0003.png").write_bytes(whole[:60])
    for words in (("a", "--data", "b"), ("b", "--data", "a")):
        done = ganctl.here("evaluate", *words, *RANDOM)
        assert done.returncode == 2
        assert "b: cannot read 0003.png" in done.stderr


def test_sets_prepared_in_different_ways_are_told_apart(ganctl: CLI) -> None:
    pictures(ganctl.folder / "a", 20, side=32)
    for name in ("lanczos", "box"):
        done = ganctl.here(
            *("prepare", "a", "--out", f"{name}.zip", "--resolution", "8", "--filter", name)
        )
        assert done.returncode == 0, done.stderr
    found = evaluate(ganctl, "box.zip", "--data", "lanczos.zip", *RANDOM)
    assert any("prepared with the filter lanczos" in text for text in found["warnings"])
    same = evaluate(ganctl, "box.zip", "--data", "box.zip", *RANDOM)
    assert not any("filter" in text for text in same["warnings"])


def test_the_classifier_learns_the_sets_own_labels(
    ganctl: CLI, trained: Path, digits: Path
) -> None:
    words = (trained, "--data", digits, "--extractor", "classifier", "--samples", 200)
    found = evaluate(ganctl, *words, "--metrics", "fid,is")
    assert float(found["about"]["fid"]["held_out_accuracy"]) > 0.95
    assert 1 <= found["figures"]["is-classifier"] <= 10
    itself = evaluate(ganctl, digits, *words[1:5], "--metrics", "fid,is,pr")
    assert itself["figures"]["is-classifier"] > 8  # ten digits, each clear
    assert found["figures"]["fd-classifier"] > 50 * abs(itself["figures"]["fd-classifier"])
    pictures(ganctl.folder / "a", 5)
    done = ganctl.here("evaluate", "a", "--data", "a", "--extractor", "classifier")
    assert done.returncode == 2
    assert "no labels to learn" in done.stderr


def test_while_training(ganctl: CLI, tiny: tuple[str, ...]) -> None:
    request = "pr,fid:extractor=random-conv:k=5:every=1kimg:samples=100"
    done = ganctl.here("train", *tiny, "--evaluate", request, "--run", "run")
    assert done.returncode == 0, done.stderr
    lines = (ganctl.folder / "run" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    names = ["precision-random-conv", "recall-random-conv", "fd-random-conv"]
    assert [list(record)[2:] for record in records] == [names, names]
    best = json.loads((ganctl.folder / "run" / "best.json").read_text())
    assert (best["metric"], best["better"]) == ("precision-random-conv", "higher")
    assert done.stderr.count("are under 2,048") == 1
    about = json.loads((ganctl.folder / "run" / "evaluators.json").read_text())
    assert (about["reals"], about["samples"], about["seed"]) == (1797, 100, 0)
    assert about["evaluators"]["fid"] == {"extractor": "random-conv"}


def test_weights_that_are_not_there_are_found_out_before_a_run_begins(
    ganctl: CLI, tiny: tuple[str, ...]
) -> None:
    env = {"GANCTL_INCEPTION": "absent.pth"}
    done = ganctl.here("train", *tiny, "--evaluate", "fid", "--run", "run", env=env)
    assert done.returncode == 2
    assert "$GANCTL_INCEPTION: absent.pth: no such file" in done.stderr
    assert not (ganctl.folder / "run").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a",), "fid: name what to hold it against: --data SET"),
        (("absent", "--data", "b"), "absent: no such file or folder"),
        (("a", "--data", "absent"), "absent: no such file or folder"),
        (("a", "--data", "b", "--metrics", "fidd"), "did you mean 'fid'"),
        (("a", "--data", "b", "--metrics", "pr,precision-recall"), "name each evaluator once"),
        (("a", "--data", "b", "--metrics", ","), "name an evaluator"),
        (("a", "--data", "b", "--metrics", "ppl"), "ppl: looks at a generator, not at pictures"),
        (("a", "--data", "b", "--which", "best"), "is no run"),
        (("run/samples", "--data", "b"), "holds sheets of samples: evaluate run itself"),
        (("a", "--data", "run"), "is a model, not a set"),
        (("a", "--data", "b", "--samples", "99"), "a holds 4"),
        (("a", "--data", "b", "--samples", "1"), "greater than or equal to 2"),
        (("a", "--data", "b", "--seeds", "x"), "'x' is not a number"),
        (("a", "--data", "b", "--seeds", "0-1"), "seeds make no difference"),
        (("a", "--data", "b", "--patches", "3"), "No such option: --patches"),
        (("a", "--data", "b", *RANDOM, "--save-statistics", "x.txt"), "the file is a .npz"),
        (("a", "--data", "b", "--weights", "absent"), "--weights: absent: no such file"),
        (("a", "--data", "b", "--weights", "a/0000.png"), "cut short"),
        (
            ("a", "--data", "b", "--weights", "a/0000.png", "--weights-unverified"),
            "not a file of weights",
        ),
        (("a", "--data", "b", "--engine", "pytorch-fid", *RANDOM), "its own extractor"),
        (("a", "--data", "b", *RANDOM, "--metrics", "pr", "--k", "4"), "k 4 needs more images"),
        (("b", "--data", "b", *RANDOM, "--metrics", "is"), "no classes"),
        (("empty", "--data", "b", *RANDOM), "empty: no pictures in it"),
    ],
)
def test_bad_input_is_a_line(ganctl: CLI, words: tuple[str, ...], expected: str) -> None:
    pictures(ganctl.folder / "a", 4)
    pictures(ganctl.folder / "b", 12, seed=1)
    (ganctl.folder / "empty").mkdir()
    pictures(ganctl.folder / "run" / "samples", 3)
    (ganctl.folder / "run" / "checkpoints").mkdir()
    done = ganctl.here("evaluate", *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len([line for line in done.stderr.splitlines() if "error" in line]) == 1
    assert not (ganctl.folder / "evaluation").exists()


@pytest.mark.slow
def test_a_good_and_a_collapsed_run_on_mnist(ganctl: CLI, shared: Any) -> None:
    """Every figure prefers the good one; precision beside recall tells what is wrong."""
    source = ("--source", "mnist", "--source.path", shared("data/mnist"), "--source.split", "test")
    runs = {"good": ("--kimg", 400), "collapsed": ("--kimg", 150, "--g-lr", 0.002)}
    for run, options in runs.items():
        done = ganctl("train", *source, *options, "--run", run)
        assert done.returncode == 0, done.stderr
    data = next((ganctl.folder / "datasets").glob("*.zip"))
    words = ("--data", data, "--extractor", "classifier", "--samples", 2000, "--json")
    figures = {}
    for run in runs:
        done = ganctl("evaluate", run, *words, "--metrics", "fid,kid,is,pr,dc")
        assert done.returncode == 0, done.stderr
        figures[run] = json.loads(done.stdout)["figures"]
    good, collapsed = figures["good"], figures["collapsed"]
    for lower in ("fd-classifier", "kid-classifier"):
        assert good[lower] < collapsed[lower]
    for higher in ("is", "precision", "recall", "density", "coverage"):
        assert good[f"{higher}-classifier"] > collapsed[f"{higher}-classifier"]
    assert collapsed["recall-classifier"] < 0.1 * good["recall-classifier"]  # few modes …
    lost = collapsed["precision-classifier"] / good["precision-classifier"]
    assert lost > collapsed["recall-classifier"] / good["recall-classifier"]  # … of digits still
