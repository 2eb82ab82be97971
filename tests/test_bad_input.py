"""What a person can get wrong: one plain line, the right exit status, nothing left behind."""

import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file, save_file

from ganctl import checkpoint

CLI = Any  # the fixture `ganctl` of conftest.py
Tiny = tuple[str, ...]
Result = subprocess.CompletedProcess[str]


def errors(result: Result) -> list[str]:
    start = "ganctl: error: "
    lines = result.stderr.splitlines()
    return [line.removeprefix(start) for line in lines if line.startswith(start)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock that an attempt leaves."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def refused(result: Result, message: str, status: int = 2) -> None:
    """One error line that matches, nothing on standard output, that exit status."""
    assert result.returncode == status, result.stderr
    (line,) = errors(result)
    assert re.search(message, line), line
    assert result.stdout == ""


def pictures(folder: Path, count: int, size: int = 8) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture = Image.new("L", (size, size), index)
        picture.putpixel((0, 0), 255)  # or it would be blank
        picture.save(folder / f"{index:03d}.png")


COMMAND_LINES: list[Any] = [
    ("trian", r"^trian: no such command; did you mean 'train'\?$"),
    ("--verison", r"^--verison: no such option before a command; did you mean '--version'\?$"),
    ("--arch", r"^--arch: no such option before a command; there are: --help, --version$"),
    ("train --arch mpl", r"no architecture named 'mpl'; did you mean 'mlp'\?"),
    ("train --arch digits", r"'digits' is not a plugin of kind architecture: it is of kind source"),
    ("train --source digit", r"no source named 'digit'; did you mean 'digits'\?"),
    ("train --objective bcee", r"no objective named 'bcee'; did you mean 'bce'\?"),
    ("train --augment mlp", r"'mlp' is not a plugin of kind augmenter"),
    ("train --arch", r"--arch.* requires an argument"),
    ("train --kmig 3", r"No such option: --kmig.*--kimg"),
    ("train --arch.dropuot 0.1", r"No such option: --arch\.dropuot.*--arch\.dropout"),
    ("train --objective.n-critc 2", r"No such option.*--objective\.n-critic"),
    ("train --source.path x", r"No such option: --source\.path"),
    ("train something", r"unexpected extra argument"),
    ("train --arch.dropout 1", r"^arch\.dropout: 1 is out of bounds: must be ≥ 0, < 1$"),
    ("train --arch.g-widths 32,0", r"^arch\.g_widths: 0 is out of bounds: must be ≥ 1$"),
    ("train --batch 0", r"^batch: 0 is out of bounds: must be ≥ 1$"),
    ("train --kimg 0", r"^kimg: 0 is out of bounds: must be > 0$"),
    ("train --batch many", r"^batch: 'many' is not a whole number$"),
    ("train --lr nan", r"^lr: 'nan' is not a finite number$"),
    ("train --betas 0.5", r"^betas: 1 values where 2 are wanted$"),
    ("train --arch.output relu", r"^arch\.output: 'relu' is not one of tanh, sigmoid$"),
    ("train --arch.g-widths=", r"^arch: g_widths and d_widths need at least one layer each$"),
    ("train --resolution 64x", r"^resolution: '64x' is not a size such as"),
    ("train --lr-schedule wavy", r"_lr_schedule: 'wavy' is not constant"),
    ("train --precision fp8", r"^precision: 'fp8' is not one of"),
    ("train --data nowhere.zip", r"^nowhere\.zip: no such file or folder$"),
    ("train --data a --source digits", r"--data and --source: give one of them"),
    ("train --source folder", r"--source\.path"),
    ("train --source folder --source.path nowhere", r"nowhere: no such file or folder"),
    ("train --config nowhere.toml", r"^nowhere\.toml: No such file or directory$"),
    ("train --config .", r"^\.: Is a directory$"),
    ("resume nowhere", r"^nowhere: no such file or folder$"),
    ("resume .", r"not a run folder \(no config\.toml in it\)"),
    ("resume", r"Missing argument 'RUN'"),
    ("plot nowhere", r"^nowhere: no such file or folder$"),
    ("plot .", r"nothing logged yet"),
    ("describe mlpp", r"no plugin named 'mlpp'; did you mean 'mlp'\?"),
    ("describe mlp --kind source", r"'mlp' is not a plugin of kind source"),
    ("describe mlp --resolution 0", r"^resolution: '0' is not a size"),
    ("list-plugins --kind archi", r"invalid choice: 'archi'"),
    ("generate nowhere", r"^nowhere: no such file or folder$"),
    ("generate .", r"no model in this folder"),
]


@pytest.mark.parametrize(("line", "message"), COMMAND_LINES)
def test_a_command_line_that_is_wrong(ganctl: CLI, line: str, message: str) -> None:
    refused(ganctl.here(*line.split(" ")), message)
    assert ganctl.files() == []


@pytest.mark.parametrize(("status", "line"), [(0, "--version"), (2, "train --arch mpl")])
def test_the_status_is_that_of_the_process(ganctl: CLI, status: int, line: str) -> None:
    assert ganctl(*line.split(" ")).returncode == status


NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
NO_MPS = pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kimg", "0.0004"), r"kimg"),
        pytest.param(("--device", "cuda"), r"^device: cuda is not available", marks=NO_CUDA),
        pytest.param(("--device", "mps"), r"^device: mps is not available", marks=NO_MPS),
    ],
)
def test_a_run_that_cannot_be_is_not_begun(
    ganctl: CLI, trained: Path, options: Tiny, message: str
) -> None:
    refused(ganctl.here("train", "--config", trained / "config.toml", *options), message)
    assert ganctl.files() == []


def test_every_fault_has_a_line_of_its_own(ganctl: CLI) -> None:
    result = ganctl.here("train", "--batch", "0", "--kimg", "-1", "--seed", "x")
    assert result.returncode == 2
    assert sorted(line.partition(":")[0] for line in errors(result)) == ["batch", "kimg", "seed"]
    assert ganctl.files() == []


TOML = [
    ("kimg = ", r"not valid TOML"),
    ("\x00\xff", r"not valid TOML"),
    ("[archi]\ndropout = 0.1", r"\[archi\]: no such table; did you mean 'arch'\?"),
    ("[arch]\ndropuot = 0.1", r"^arch\.dropuot: no such option; did you mean 'dropout'\?$"),
    ("kmig = 3", r"^kmig: no such option; did you mean 'kimg'\?$"),
    ("batch = 0", r"^batch: 0 is out of bounds: must be ≥ 1$"),
    ("batch = 'many'", r"^batch: 'many' is not a whole number$"),
    ("batch = [1, 2]", r"^batch: \[1, 2\] is not a whole number$"),
    ("[arch]\ndropout = 1.0", r"^arch\.dropout: 1 is out of bounds: must be ≥ 0, < 1$"),
    ("[arch]\nname = 'mpl'", r"no architecture named 'mpl'; did you mean 'mlp'\?"),
    ("arch = 'mpl'", r"no architecture named 'mpl'; did you mean 'mlp'\?"),
    ("arch = 3", r"arch"),
    ("[arch]\nname = 3", r"arch"),
    ("[[arch]]\nname = 'mlp'", r"arch"),
    ("source = true", r"source"),
    ("[augment]\nstrength = 1", r"^augment: options without an augmenter"),
]


@pytest.mark.parametrize(("text", "message"), TOML)
def test_a_config_file_that_is_wrong(ganctl: CLI, text: str, message: str) -> None:
    (ganctl.folder / "run.toml").write_bytes(text.encode("latin-1"))
    refused(ganctl.here("train", "--config", "run.toml"), message)
    assert ganctl.files() == ["run.toml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "x"], r"^seeds: 'x' is not a number or a range such as 0-15$"),
        (["--seeds", "5-3"], r"^seeds: 5-3: seeds rise"),
        (["--seeds", "-1"], r"seeds"),
        (["--seeds", "0,,1"], r"^seeds: '' is not a number"),
        (["--seeds", "4294967296"], r"^seeds: 4294967296: seeds rise, go to 4294967295"),
        (["--seeds", "0-99999999"], r"a range holds a million"),
        (["--class", "3"], r"this model has no classes"),
        (["--class", "cat"], r"this model has no classes"),
        (["--truncation", "x"], r"^truncation: 'x' is not a finite number$"),
        (["--truncation", "0.5,nan"], r"^truncation: 'nan' is not a finite number$"),
        (["--truncation", "-inf"], r"^truncation: '-inf' is not a finite number$"),
        (["--truncation", "0.5,"], r"^truncation: '' is not a finite number$"),
        (["--truncation", "0.7"], r"^truncation: .*the architecture mlp, which has no styles$"),
        (["--truncation-cutoff", "2"], r"^truncation: .* mlp, which has no styles$"),
        (["--truncation-cutoff", "two"], r"--truncation-cutoff"),
        (["--noise", "random"], r"^noise: .* mlp, which has no styles$"),
        (["--noise", "loud"], r"^noise: 'loud' is not one of random, const, none$"),
        (["--device", "abacus"], r"abacus"),
        (["--seed", "3"], r"No such option: --seed.*--seeds"),
    ],
)
def test_asking_a_model_for_what_it_cannot_do(
    ganctl: CLI, trained: Path, options: list[str], message: str
) -> None:
    refused(ganctl.here("generate", trained, *options), message)
    assert ganctl.files() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", r"^class 10: this model has classes 0 to 9$"),
        ("0-999999999", r"^class 0-999999999: this model has classes 0 to 9$"),
        ("3-1", r"^class 3-1: this model has classes 0 to 9$"),
        ("-1", r"^class '-1': this model has classes 0 to 9"),
        ("1,,2", r"^class '': this model has classes 0 to 9"),
    ],
)
def test_asking_for_a_class_that_there_is_not(
    ganctl: CLI, conditional: Path, text: str, message: str
) -> None:
    refused(ganctl.here("generate", conditional, "--class", text), message)
    assert ganctl.files() == []


@pytest.mark.parametrize(
    "command", [("generate", "--seeds", "0", "--out", "file/deep"), ("plot", "--out", "file/p.png")]
)
def test_a_place_that_cannot_be_written_to(ganctl: CLI, trained: Path, command: Tiny) -> None:
    (ganctl.folder / "file").write_text("in the way")
    result = ganctl.here(command[0], trained, *command[1:])
    assert result.returncode in (1, 2)
    assert len(errors(result)) == 1
    assert "file/" in errors(result)[0]
    assert ganctl.files() == ["file"]


def test_a_folder_without_pictures(ganctl: CLI, tiny: Tiny) -> None:
    (ganctl.folder / "empty").mkdir()
    options = ("--source", "folder", "--source.path", "empty", "--resolution", "8")
    refused(ganctl.here("train", *tiny, *options), r"no pictures in empty")
    refused(ganctl.here("train", *tiny, "--data", "empty"), r"empty: no pictures in it")
    assert ganctl.files() == ["empty"]


def test_a_folder_in_which_no_picture_can_be_read(ganctl: CLI, tiny: Tiny) -> None:
    (ganctl.folder / "texts").mkdir()
    (ganctl.folder / "texts/a.jpg").write_text("hello")
    options = ("--source", "folder", "--source.path", "texts", "--resolution", "8")
    refused(
        ganctl("train", *tiny, *options),
        r"no usable picture among 1: a\.jpg: unreadable: not a picture file$",
    )
    assert [f for f in ganctl.files() if "." in f.rpartition("/")[2]] == ["texts/a.jpg"]


@pytest.mark.slow
def test_one_unreadable_picture_among_good_ones_is_named_and_left_out(
    ganctl: CLI, tiny: Tiny
) -> None:
    pictures(ganctl.folder / "some", 70)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(ganctl.folder / "some/cut.jpg")
    content = (ganctl.folder / "some/cut.jpg").read_bytes()
    (ganctl.folder / "some/cut.jpg").write_bytes(content[: len(content) // 2])
    options = ("--source", "folder", "--source.path", "some", "--resolution", "8")
    result = ganctl("train", *tiny, *options, "--kimg", "0.2", "--run", "run")
    assert result.returncode == 0, result.stderr
    assert "kept 70 of 71 pictures" in result.stderr
    assert "left out 1: unreadable (cut.jpg: image file is truncated" in result.stderr
    assert (ganctl.folder / "run/checkpoints/000000.256/generator.safetensors").is_file()


@pytest.mark.parametrize(
    ("copies", "message"),
    [
        (
            (40,),
            r"1 image is fewer than one batch of 64 \(39 duplicates were left out\): add other",
        ),
        (
            (1, 2),
            r"2 images are .* \(1 duplicate was left out\): add other pictures or use --batch 1",
        ),
    ],
)
def test_one_picture_many_times_over(
    ganctl: CLI, tiny: Tiny, copies: tuple[int, ...], message: str
) -> None:
    for number, count in enumerate(copies):
        pictures(ganctl.folder / "one", len(copies))
        for copy in range(1, count):
            file = ganctl.folder / f"one/{number:03d}.png"
            shutil.copy(file, file.with_stem(f"{number}-{copy}"))
    options = ("--source", "folder", "--source.path", "one", "--resolution", "8")
    result = ganctl.here("train", *tiny, *options)
    refused(result, message)
    assert len(copies) > 1 or "--batch" not in errors(result)[0]


def test_fewer_pictures_than_a_batch(ganctl: CLI, tiny: Tiny) -> None:
    pictures(ganctl.folder / "few", 5)
    result = ganctl.here("train", *tiny, "--data", "few")
    refused(result, r"few: 5 images are fewer than one batch of 64: .*--batch 2$")
    assert sorted(contents(ganctl.folder)) == [f"few/{i:03d}.png" for i in range(5)]
    assert not (ganctl.folder / "runs").exists()


def test_pictures_of_several_sizes_as_a_set(ganctl: CLI, tiny: Tiny) -> None:
    pictures(ganctl.folder / "mixed", 70)
    Image.new("L", (9, 8)).save(ganctl.folder / "mixed/069.png")
    result = ganctl.here("train", *tiny, "--data", "mixed")
    advice = r"ganctl prepare mixed --out SET\.zip --resolution 8x8"
    refused(result, rf"069\.png is 8x9 but 000\.png is 8x8; .*{advice}$")
    assert not (ganctl.folder / "runs").exists()


def test_a_set_with_a_damaged_picture(ganctl: CLI, tiny: Tiny) -> None:
    pictures(ganctl.folder / "loose", 70)
    with zipfile.ZipFile(ganctl.folder / "set.zip", "w") as archive:
        for file in sorted((ganctl.folder / "loose").iterdir()):
            data = file.read_bytes()
            archive.writestr(file.name, data[:40] if file.name == "069.png" else data)
    shutil.rmtree(ganctl.folder / "loose")
    result = ganctl.here("train", *tiny, "--data", "set.zip")
    refused(result, r"set\.zip: cannot read 069\.png")
    assert ganctl.files() == ["set.zip"]


def test_labels_asked_for_where_there_are_none(ganctl: CLI, tiny: Tiny) -> None:
    pictures(ganctl.folder / "plain", 70)
    for options in (
        ("--data", "plain"),
        ("--source", "folder", "--source.path", "plain", "--resolution", "8"),
    ):
        refused(ganctl.here("train", *tiny, *options, "--cond"), r"^cond: .* has no labels$")
    assert not (ganctl.folder / "runs").exists()


def test_another_size_than_the_sets_own(ganctl: CLI, tiny: Tiny) -> None:
    pictures(ganctl.folder / "plain", 70)
    result = ganctl.here("train", *tiny, "--data", "plain", "--resolution", "16")
    refused(result, r"^resolution: plain holds 8x8 images, not 16; .*--source")
    assert not (ganctl.folder / "runs").exists()


@pytest.mark.parametrize("what", ["run", "folder", "file"])
def test_a_run_folder_that_exists(ganctl: CLI, tiny: Tiny, trained: Path, what: str) -> None:
    if what == "run":
        shutil.copytree(trained, ganctl.folder / "run")
    elif what == "folder":
        (ganctl.folder / "run").mkdir()
        (ganctl.folder / "run/thesis.txt").write_text("years of work")
    else:
        (ganctl.folder / "run").write_text("years of work")
    before = contents(ganctl.folder)
    data = tomllib.loads((trained / "config.toml").read_text())["data"]
    result = ganctl.here("train", *tiny, "--data", data, "--run", "run")
    refused(result, r"^run: exists already; .*ganctl resume run$")
    assert contents(ganctl.folder) == before
    assert not [p.name for p in ganctl.folder.iterdir() if p.name != "run"]
    result = ganctl.here("train", "--run", "run")  # before a set is prepared
    refused(result, r"^run: exists already; .*ganctl resume run$")
    assert contents(ganctl.folder) == before


def cut_in_half(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("generate", checkpoint.GENERATOR),
        ("resume", checkpoint.GENERATOR),
        ("resume", checkpoint.TRAINING),
    ],
)
def test_a_checkpoint_cut_in_half(ganctl: CLI, trained: Path, command: str, file: str) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    newest = ganctl.folder / "run/checkpoints/000002.048"
    cut_in_half(newest / file)
    before = contents(ganctl.folder)
    options = ("--kimg", "3") if command == "resume" else ()
    result = ganctl.here(command, "run", *options)
    refused(result, rf"^run/checkpoints/000002\.048/{re.escape(file)}: damaged or cut short")
    assert contents(ganctl.folder) == before
    assert ganctl.here("generate", "run/checkpoints/000001.024", "--seeds", "0").returncode == 0


def test_a_model_whose_plugin_is_missing(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    hidden = {"GANCTL_PLUGINS": "digits,bce"}
    result = ganctl.here("generate", "run", env=hidden)
    refused(result, r"needs the architecture 'mlp' of ganctl .*pip install ganctl$")
    refused(ganctl.here("resume", "run", "--kimg", "3", env=hidden), r"architecture 'mlp'")
    model = ganctl.folder / "run/checkpoints/000002.048/generator.safetensors"
    header = checkpoint.read_header(model)
    header["architecture"] |= {"name": "biggan", "distribution": "ganctl-biggan", "version": "3.1"}
    save_file(load_file(model), ganctl.folder / "m.safetensors", {"ganctl": json.dumps(header)})
    refused(
        ganctl.here("generate", "m.safetensors"),
        r"^m\.safetensors: needs the architecture 'biggan' of ganctl-biggan 3\.1: "
        r"pip install ganctl-biggan$",
    )
    assert not (ganctl.folder / "generated").exists()


def test_files_that_are_no_models(ganctl: CLI, trained: Path) -> None:
    (ganctl.folder / "text.safetensors").write_text("hello, this is no model, is it")
    refused(
        ganctl.here("generate", "text.safetensors"), r"^text\.safetensors: damaged or cut short"
    )
    (training,) = trained.glob("checkpoints/000002.048/training.safetensors")
    refused(ganctl.here("generate", training), r"holds no generator .*training\.safetensors\?\)$")
    assert ganctl.files() == ["text.safetensors"]


def test_resuming_a_finished_run(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    before = contents(ganctl.folder)
    for options in ((), ("--kimg", "1")):
        refused(
            ganctl.here("resume", "run", *options), r"^run: has done its 2\.048 kimg; .*--kimg \d"
        )
        assert contents(ganctl.folder) == before


def test_resuming_a_run_that_another_process_trains(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    with FileLock(ganctl.folder / "run/.lock"):
        before = contents(ganctl.folder)
        result = ganctl.here("resume", "run", "--kimg", "3")
        refused(result, r"^run: another process is training this run$")
        assert contents(ganctl.folder) == before


def test_resuming_with_a_damaged_config(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    (ganctl.folder / "run/config.toml").write_text("kimg = ")
    refused(ganctl.here("resume", "run"), r"^run/config\.toml: not valid TOML")


def test_resuming_on_other_pictures_than_before(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    pictures(ganctl.folder / "others", 70, size=28)
    config = ganctl.folder / "run/config.toml"
    data = tomllib.loads(config.read_text())["data"]
    config.write_text(config.read_text().replace(data, str(ganctl.folder / "others")))
    before = contents(ganctl.folder)
    result = ganctl.here("resume", "run", "--kimg", "3")
    refused(result, r"others: the set has changed since this run began$")
    assert contents(ganctl.folder) == before


def test_plotting_a_run_that_has_logged_nothing(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    (ganctl.folder / "run/log.jsonl").write_text('{"images": 51')
    refused(ganctl.here("plot", "run"), r"^run: nothing logged yet")
    assert not (ganctl.folder / "run/plot.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("nonfinite", "counted"), [("skip", "skipped"), ("clip", "clipped")])
def test_training_that_diverges_stops_with_advice(
    ganctl: CLI, tiny: Tiny, trained: Path, nonfinite: str, counted: str
) -> None:
    data = tomllib.loads((trained / "config.toml").read_text())["data"]
    options = ("--data", data, "--lr", "1e30", "--nonfinite-limit", "3", "--log-every", "0.064")
    result = ganctl("train", *tiny, *options, "--nonfinite", nonfinite, "--run", "run")
    refused(result, r"gradients .*were not finite \d+ times in a row: .*--[gd]-lr", status=1)
    assert "run" in errors(result)[0]
    assert "Warning" not in result.stderr
    for line in (ganctl.folder / "run/log.jsonl").read_text().splitlines():
        assert "NaN" not in line
        assert json.loads(line)[f"{counted}/discriminator"] >= 0


def test_networks_too_large_for_this_machine(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    data = tomllib.loads((trained / "config.toml").read_text())["data"]
    options = ("--data", data, "--arch.z-dim", "1000000000000", "--run", "run")
    result = ganctl("train", *tiny, *options)
    assert result.returncode in (1, 2)
    assert len(errors(result)) == 1
    assert "memory" in errors(result)[0]
    assert not (ganctl.folder / "run").exists()


@pytest.mark.parametrize(("old", "new"), [("seed = 0", "seed = 7"), ("batch = 64", "batch = 32")])
def test_resuming_with_another_recipe_than_before(
    ganctl: CLI, trained: Path, old: str, new: str
) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    config = ganctl.folder / "run/config.toml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    before = contents(ganctl.folder)
    result = ganctl.here("resume", "run", "--kimg", "3")
    refused(
        result, r"config\.toml: (seed|batch) is \d+ now, .* only kimg, device and cache may change$"
    )
    assert contents(ganctl.folder) == before


def test_other_folders_among_the_checkpoints_are_left_alone(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    (ganctl.folder / "run/checkpoints/my-best").mkdir()
    assert ganctl.here("resume", "run", "--kimg", "2.2").returncode == 0
    assert (ganctl.folder / "run/checkpoints/my-best").is_dir()
