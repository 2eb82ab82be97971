"""The command line from end to end: train, resume, generate, plot, describe, replay."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganctl as package
from ganctl.images import sample_grid

Tiny = tuple[str, ...]
Result = subprocess.CompletedProcess[str]
CLI = Any  # the fixture `ganctl` of conftest.py

COMMANDS = [
    "train",
    "fetch",
    "prepare",
    "inspect",
    "resume",
    "sweep",
    "generate",
    "mix",
    "export",
    "evaluate",
    "plot",
    "compare",
    "montage",
]
COMMANDS += ["list-plugins", "describe", "doctor"]
COMMANDS += ["import-nvidia", "kernels"]  # of plugins


def generators(run: Path) -> dict[str, bytes]:
    """The generator files of a run by checkpoint."""
    folders = sorted((run / "checkpoints").iterdir())
    return {f.name: (f / "generator.safetensors").read_bytes() for f in folders}


def newest(run: Path) -> bytes:
    return list(generators(run).values())[-1]


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def done(result: Result) -> Result:
    assert result.returncode == 0, result.stderr
    return result


def test_a_run_leaves_what_it_promises(trained: Path) -> None:
    config = tomllib.loads((trained / "config.toml").read_text())
    assert config["batch"] == 64
    assert config["arch"]["name"] == "mlp"
    assert config["arch"]["g_widths"] == [32]
    assert config["source"]["name"] == "digits"
    assert list(generators(trained)) == ["000001.024", "000002.048"]
    samples = sorted(p.name for p in (trained / "samples").iterdir())
    assert samples == ["000000.000.png", "000001.024.png", "000002.048.png", "reals.png"]
    for sample in samples:
        with Image.open(trained / "samples" / sample) as picture:
            assert picture.size == (462, 462)  # 8 by 8 digits, twice enlarged, with seams
    assert not [p.name for p in trained.rglob("*.part")]


def test_the_log_holds_rising_steps_and_finite_figures(trained: Path) -> None:
    records = log(trained)
    assert [r["images"] for r in records] == [512, 1024, 1536, 2048]
    assert [r["step"] for r in records] == [8, 16, 24, 32]
    for record in records:
        for name in ("loss/G", "loss/D", "grad_norm/G", "grad_norm/D", "logits/real"):
            assert np.isfinite(record[name]), name
        assert record["skipped/generator"] == record["skipped/discriminator"] == 0
    assert records[0]["seconds"] < records[-1]["seconds"]


def test_no_file_of_a_run_is_a_pickle(trained: Path) -> None:
    kinds = {p.suffix for p in trained.rglob("*") if p.is_file() and "tfevents" not in p.name}
    assert kinds <= {".toml", ".jsonl", ".png", ".safetensors", ""}
    assert not [p for p in trained.rglob("*") if p.is_file() and p.read_bytes()[:2] == b"\x80\x02"]


@pytest.mark.slow
def test_resuming_for_longer_gives_the_bytes_of_one_long_run(
    ganctl: CLI, tiny: Tiny, trained: Path
) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    result = done(ganctl("resume", "run", "--kimg", "3", "--json"))
    assert json.loads(result.stdout) == {
        "run": "run",
        "model": "run/checkpoints/000003.008/generator.safetensors",
        "picture": "run/samples/000003.008.png",
    }
    assert result.stderr.splitlines() == [
        "continuing from run/checkpoints/000002.048",
        "run: run",
    ]
    data = tomllib.loads((trained / "config.toml").read_text())["data"]
    options = ("--data", data, "--kimg", "3", "--run", "long", "--json")
    outcome = json.loads(done(ganctl("train", *tiny, *options)).stdout)
    assert outcome["model"] == "long/checkpoints/000003.008/generator.safetensors"
    assert newest(ganctl.folder / "run") == newest(ganctl.folder / "long")
    steps = [r["step"] for r in log(ganctl.folder / "run")]
    assert steps == sorted(set(steps))
    config = tomllib.loads((ganctl.folder / "run/config.toml").read_text())
    assert config["kimg"] == 3
    assert config["log_every"] == 0.5


@pytest.mark.slow
def test_resuming_with_other_threads_says_what_that_means(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    result = done(ganctl("resume", "run", "--kimg", "2.1", env={"OMP_NUM_THREADS": "2"}))
    notes = [line for line in result.stderr.splitlines() if line.startswith("ganctl: note: ")]
    assert len(notes) == 1
    assert "used 1 threads, now it has 2" in notes[0]


@pytest.mark.slow
def test_a_runs_config_replays_it_to_the_byte(ganctl: CLI, trained: Path) -> None:
    done(ganctl("train", "--config", trained / "config.toml"))
    (replayed,) = (ganctl.folder / "runs").iterdir()
    assert replayed.name == "00000-mlp-digits"
    assert generators(replayed) == generators(trained)
    configs = [tomllib.loads((run / "config.toml").read_text()) for run in (replayed, trained)]
    assert configs[0] == configs[1]
    (last,) = (trained / "samples").glob("000002.*")
    assert (replayed / "samples" / last.name).read_bytes() == last.read_bytes()


def test_the_command_line_goes_before_the_config_file(ganctl: CLI, trained: Path) -> None:
    options = ("--seed", "1", "--kimg", "0.5", "--arch.dropout", "0.1", "--dry-run", "--json")
    result = done(ganctl.here("train", "--config", trained / "config.toml", *options))
    config = json.loads(result.stdout)["config"]
    assert (config["seed"], config["kimg"], config["arch"]["dropout"]) == (1, 0.5, 0.1)
    assert (config["batch"], config["arch"]["g_widths"]) == (64, [32])


@pytest.mark.slow
def test_runs_are_numbered_and_another_seed_gives_another_model(ganctl: CLI, tiny: Tiny) -> None:
    for seed in (0, 1):
        result = done(ganctl("train", *tiny, "--kimg", "0.5", "--seed", seed))
        run = f"runs/0000{seed}-mlp-digits"
        (prepared,) = (f for f in ganctl.files() if f.endswith(".zip"))
        # Without a terminal: a few plain lines, no bars, no colours.
        said = [] if seed else [f"preparing digits as {prepared}"]
        assert result.stderr.splitlines() == [*said, f"run: {run}"]
        assert result.stdout.splitlines() == [
            f"picture: {run}/samples/000000.512.png",
            f"model:   {run}/checkpoints/000000.512/generator.safetensors",
        ]
    first, second = sorted((ganctl.folder / "runs").iterdir())
    assert newest(first) != newest(second)


def test_generating_gives_one_picture_per_seed(ganctl: CLI, trained: Path) -> None:
    result = done(ganctl.here("generate", trained, "--seeds", "0-2,40", "--out", "pictures"))
    assert result.stdout == "4 pictures in pictures\n"
    made = {p.name: p.read_bytes() for p in (ganctl.folder / "pictures").iterdir()}
    assert sorted(made) == [f"seed{s:04d}.png" for s in (0, 1, 2, 40)]
    assert len(set(made.values())) == 4
    with Image.open(ganctl.folder / "pictures/seed0000.png") as picture:
        assert (picture.size, picture.mode) == ((28, 28), "L")
    model = next(iter(sorted((trained / "checkpoints").iterdir(), reverse=True)))
    done(ganctl.here("generate", model / "generator.safetensors", "--seeds", "40", "--out", "one"))
    assert (ganctl.folder / "one/seed0040.png").read_bytes() == made["seed0040.png"]


def test_a_grid_is_one_picture(ganctl: CLI, trained: Path) -> None:
    result = done(ganctl.here("generate", trained, "--seeds", "0-5", "--grid", "--out", "g"))
    assert result.stdout == "g/grid.png\n"
    assert ganctl.files() == ["g", "g/grid.png"]
    with Image.open(ganctl.folder / "g/grid.png") as picture:
        assert picture.size == (3 * 58 - 2, 2 * 58 - 2)  # small pixels doubled, with seams
        pixels = np.asarray(picture)
    wanted = package.load(trained).generate(range(6)).grid(3)
    assert np.array_equal(pixels, np.asarray(wanted))


@pytest.mark.parametrize("kind", ["trained", "conditional"])
def test_the_last_sample_shows_the_seeds_from_zero(
    kind: str, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(kind)
    with Image.open(run / "samples/000002.048.png") as picture:
        shown = np.asarray(picture)
    wanted = sample_grid(np.asarray(package.load(run).generate(range(64))), 8)
    assert np.array_equal(shown, wanted[:, :, 0])


def test_a_conditional_model_makes_the_class_asked_for(ganctl: CLI, conditional: Path) -> None:
    for label in (1, 8):
        done(ganctl.here("generate", conditional, "--seeds", "5", "--class", label, "--out", label))
    one, eight = ((ganctl.folder / f"{n}/seed0005.png").read_bytes() for n in (1, 8))
    assert one != eight
    model = package.load(conditional)
    assert model.spec.classes == 10
    with Image.open(ganctl.folder / "8/seed0005.png") as picture:
        assert np.array_equal(np.asarray(picture), model.generate([5], 8)[0, :, :, 0])


def test_pictures_and_grid_of_a_conditional_model_agree(ganctl: CLI, conditional: Path) -> None:
    done(ganctl.here("generate", conditional, "--seeds", "0-39", "--out", "each"))
    done(ganctl.here("generate", conditional, "--seeds", "0-39", "--grid", "--out", "all"))
    with Image.open(ganctl.folder / "all/grid.png") as picture:
        table = np.asarray(picture)
    for seed in (0, 7, 31, 32, 39):
        y, x = divmod(seed, 7)
        with Image.open(ganctl.folder / f"each/seed{seed:04d}.png") as picture:
            cell = table[y * 58 : y * 58 + 56 : 2, x * 58 : x * 58 + 56 : 2]
            assert np.array_equal(np.asarray(picture), cell), seed


@pytest.mark.slow
def test_a_conditional_run_resumes_to_the_bytes_of_one_long_run(
    ganctl: CLI, tiny: Tiny, conditional: Path
) -> None:
    shutil.copytree(conditional, ganctl.folder / "run")
    done(ganctl("resume", "run", "--kimg", "3"))
    options = ("--cond", "--kimg", "3", "--run", "long")
    done(ganctl("train", *tiny, *options))
    assert newest(ganctl.folder / "run") == newest(ganctl.folder / "long")


@pytest.mark.slow
def test_a_conditional_runs_config_replays_it_to_the_byte(ganctl: CLI, conditional: Path) -> None:
    done(ganctl("train", "--config", conditional / "config.toml", "--run", "again"))
    assert generators(ganctl.folder / "again") == generators(conditional)


@pytest.mark.slow
def test_pictures_of_a_folder_are_prepared_and_trained_on(ganctl: CLI, tiny: Tiny) -> None:
    drawn = np.random.default_rng(0)
    for index in range(80):
        folder = ganctl.folder / "pictures" / ("cats" if index % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        size = tuple(int(n) for n in drawn.integers(8, 40, 2))
        Image.fromarray(drawn.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            folder / f"{index}.png"
        )
    options = ("--source", "folder", "--source.path", "pictures", "--resolution", "12x16")
    result = done(ganctl("train", *tiny, *options, "--cond", "--kimg", "0.5", "--run", "run"))
    assert "skipped" not in result.stderr
    model = package.load(ganctl.folder / "run")
    assert (model.spec.height, model.spec.width, model.spec.channels) == (12, 16, 3)
    assert model.spec.class_names == ("cats", "dogs")
    assert model.generate([0], 1).shape == (1, 12, 16, 3)
    done(ganctl("resume", "run", "--kimg", "0.6"))


@pytest.mark.slow
def test_unequally_labelled_pictures_are_refused_or_trained_on(ganctl: CLI, tiny: Tiny) -> None:
    for index in range(80):
        folder = ganctl.folder / "pictures" / ("", "cats", "dogs")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((8, 8 + index)).save(folder / f"{index}.png")
    options = ("--source", "folder", "--source.path", "pictures", "--resolution", "8", "--cond")
    result = ganctl("train", *tiny, *options, "--kimg", "0.5", "--run", "run")
    errors = [line for line in result.stderr.splitlines() if line.startswith("ganctl: error:")]
    assert result.returncode == 2
    assert len(errors) == 1
    assert "label" in errors[0]
    assert not (ganctl.folder / "run").exists()


@pytest.mark.slow
def test_a_class_whose_only_picture_cannot_be_read_is_no_class(ganctl: CLI, tiny: Tiny) -> None:
    for index in range(80):
        folder = ganctl.folder / "pictures" / ("ants", "cats")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((8, 8 + index)).save(folder / f"{index}.png")
    (ganctl.folder / "pictures/bees").mkdir()
    (ganctl.folder / "pictures/bees/1.png").write_text("not a picture")
    options = ("--source", "folder", "--source.path", "pictures", "--resolution", "8", "--cond")
    done(ganctl("train", *tiny, *options, "--kimg", "0.5", "--run", "run"))
    assert package.load(ganctl.folder / "run").spec.class_names == ("ants", "cats")


def test_plotting_draws_a_png(ganctl: CLI, trained: Path) -> None:
    result = done(ganctl.here("plot", trained, "--out", "deep/er/plot.png"))
    assert result.stdout == "deep/er/plot.png\n"
    with Image.open(ganctl.folder / "deep/er/plot.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 500
        assert picture.height > 500
        assert len(np.unique(np.asarray(picture))) > 50  # something is drawn


def test_plotting_goes_into_the_run_by_default(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    assert done(ganctl.here("plot", "run")).stdout == "run/plot.png\n"
    assert (ganctl.folder / "run/plot.png").stat().st_size > 1000


def test_describing_an_architecture_shows_options_and_layers(ganctl: CLI) -> None:
    text = done(ganctl.here("describe", "mlp", "--resolution", "8", "--channels", "1")).stdout
    assert text.startswith("mlp: The first GAN")
    assert re.search(r"^  --arch\.g-widths \(int,… \[≥ 1\]\) = \d+,\d+", text, re.M)
    assert "arXiv:1406.2661" in text
    assert re.search(r"^ +output +Linear +[\d,]+ +0 +1x64 +float32$", text, re.M)
    assert re.search(r"^ +output +Linear +[\d,]+ +0 +1x1 +float32$", text, re.M)
    assert re.search(r"^ +total +\d", text, re.M)


def test_a_dry_run_tells_everything_and_writes_nothing(ganctl: CLI, tiny: Tiny) -> None:
    text = done(ganctl.here("train", *tiny, "--dry-run")).stdout
    assert ganctl.files() == []
    config = tomllib.loads(text[: text.index("\nGenerator\n")])
    assert config["arch"]["g_widths"] == [32]
    assert config["kimg"] == 2
    assert "The set will be prepared: datasets/digits-28x28x1-" in text
    assert "Nothing was trained" in text
    (ganctl.folder / "dry.toml").write_text(text[: text.index("\nGenerator\n")])
    again = done(ganctl.here("train", "--config", "dry.toml", "--dry-run")).stdout
    assert tomllib.loads(again[: again.index("\nGenerator\n")]) == config


@pytest.mark.parametrize(
    "line", ["describe digits --json", "list-plugins --json --check", "train --dry-run --json"]
)
def test_json_is_one_document_and_nothing_else(ganctl: CLI, line: str) -> None:
    assert json.loads(done(ganctl.here(*line.split())).stdout)
    assert ganctl.files() == []


@pytest.mark.slow
def test_the_doctors_json_is_one_document_from_a_process_of_its_own(ganctl: CLI) -> None:
    found = json.loads(done(ganctl("doctor", "--json")).stdout)
    assert {"torch", "device", "threads", "disk"} <= {check["what"] for check in found}
    assert ganctl.files() == []


def test_what_json_describes_can_be_relied_on(ganctl: CLI) -> None:
    document = json.loads(done(ganctl.here("describe", "mlp", "--json")).stdout)
    options = {option["name"]: option for option in document["options"]}
    assert options["dropout"] == {
        "name": "dropout",
        "flag": "--arch.dropout",
        "type": "float",
        "default": 0.4,
        "bounds": "≥ 0, < 1",
        "help": "Dropout in the discriminator.",
    }
    layers = document["networks"]["generator"]["layers"]
    assert document["networks"]["generator"]["parameters"] == sum(n["parameters"] for n in layers)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(ganctl: CLI, command: str) -> None:
    result = done(ganctl.here(command, "--help"))
    assert f"ganctl {command}" in result.stdout
    assert result.stderr == ""
    assert ganctl.files() == []
    assert ganctl.here(command, "-h").stdout == ganctl.here("help", command).stdout == result.stdout


def test_every_command_is_in_the_help(ganctl: CLI) -> None:
    text = done(ganctl.here("--help")).stdout
    listed = re.findall(r"^  ([a-z-]+)  ", text, re.M)
    assert listed == COMMANDS
    assert done(ganctl.here()).stdout == text
    assert done(ganctl.here("--version")).stdout == f"ganctl {package.__version__}\n"


def test_choices_are_shown_as_they_are_typed(ganctl: CLI) -> None:
    text = done(ganctl.here("train", "--help", env={"COLUMNS": "160"})).stdout
    assert "fp32|bf16" in text
    assert "tanh|sigmoid" in text
    assert "FLOAT" in text
    text = done(ganctl.here("train", "--arch", "dcgan", "--help", env={"COLUMNS": "160"})).stdout
    assert "batch|spectral|none" in text


def test_each_plugins_options_have_a_help_panel_of_their_own(ganctl: CLI) -> None:
    text = done(ganctl.here("train", "--help")).stdout
    panels = re.findall(r"╭─ (.+?) ─*╮", text)
    assert panels == [
        "Options",
        "Run",
        "Preparation of the pictures",
        "mlp (architecture)",
        "bce (objective)",
    ]
    for flag in ("--kimg", "--arch.g-widths", "--arch.dropout", "--objective.n-critic"):
        assert flag in text
    assert "[≥ 0, < 1]" in " ".join(text.replace("│", " ").split())


def test_the_help_shows_the_options_of_the_plugins_that_are_named(ganctl: CLI) -> None:
    text = done(ganctl.here("train", "--source", "mnist", "--help")).stdout
    assert "mnist (source)" in text
    assert "--source.split" in text
    assert "train|test|all" in text
    assert "--source.url" not in done(ganctl.here("train", "--source", "folder", "--help")).stdout


@pytest.mark.slow
def test_real_pictures_of_every_kind_become_a_set(
    ganctl: CLI, tiny: Tiny, shared: Callable[[str], Path]
) -> None:
    covers = shared("data/covers256-by-genre.zip")
    options = ("--source", "zip", "--source.path", covers, "--resolution", "16", "--cond")
    done(ganctl("train", *tiny, *options, "--kimg", "0.5", "--run", "run"))
    model = package.load(ganctl.folder / "run")
    assert model.spec.classes == 6
    assert model.generate([0]).shape == (1, 16, 16, 3)


def test_what_stands_on_the_command_line_for_both_players_goes_before_a_config_of_each(
    ganctl: CLI, trained: Path
) -> None:
    options = ("--config", trained / "config.toml", "--dry-run", "--json")
    result = done(ganctl.here("train", *options, "--lr", "0.05", "--betas", "0,0.9"))
    config = json.loads(result.stdout)["config"]
    assert (config["g_lr"], config["d_lr"]) == (0.05, 0.05)
    assert config["g_betas"] == config["d_betas"] == [0, 0.9]


def test_a_resolved_run_resolves_to_itself(ganctl: CLI, trained: Path) -> None:
    result = done(ganctl.here("train", "--config", trained / "config.toml", "--dry-run", "--json"))
    config = json.loads(result.stdout)["config"]
    assert config["augment"] == {"name": "none"}
    assert config == tomllib.loads((trained / "config.toml").read_text())
