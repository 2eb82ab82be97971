"""`--init-from` and `--freeze-d`: runs that start from a trained model."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import ganctl as package
from ganctl.data.dataset import DatasetWriter
from ganctl.errors import GanctlError, UserError
from ganctl.images import sample_grid
from ganctl.spec import ImageSpec
from ganctl.training.plan import Plan, resolve

CLI = Any  # conftest.py's CommandLine
Tiny = tuple[str, ...]
NEWEST = Path("checkpoints/000002.048")


def lines(result: Any) -> list[str]:
    """What a command that worked said of what was taken over."""
    assert result.returncode == 0, result.stderr
    said = (result.stdout + result.stderr).splitlines()
    words = ("starting from", "the discriminator starts", "taken over", "frozen", "warning")
    return [line for line in said if line.startswith(words)]


def data(run: Path) -> tuple[str, str]:
    """The set of a run, as options."""
    return "--data", tomllib.loads((run / "config.toml").read_text())["data"]


def sample(run: Path) -> Any:
    """The pictures that a run began with."""
    with Image.open(run / "samples/000000.000.png") as picture:
        return np.asarray(picture)


def test_a_run_begins_where_its_model_ended(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    options = (*tiny, *data(trained), "--init-from", trained, "--freeze-d", "1")
    result = ganctl("train", *options, "--run", "run")
    model = trained / NEWEST / "generator.safetensors"
    assert lines(result) == [
        f"starting from {model}",
        "taken over: 2 of 2 layers of the generator",
        "taken over: 2 of 2 layers of the discriminator",
        "frozen: hidden.0",
    ]
    run = ganctl.folder / "run"
    assert (run / "init-from.txt").read_text().splitlines() == [
        f"model: {model}",
        "generator.hidden.0: taken over",
        "generator.output: taken over",
        "discriminator.hidden.0: taken over; frozen",
        "discriminator.output: taken over",
    ]
    made = package.load(trained).generate(range(64))
    assert np.array_equal(sample(run), sample_grid(np.asarray(made), 8)[:, :, 0])
    before, after = (load_file(r / NEWEST / "training.safetensors") for r in (trained, run))
    for name in ("weight", "bias"):
        kept, moved = f"discriminator.hidden.0.{name}", f"discriminator.output.{name}"
        assert after[kept].equal(before[kept])
        assert not after[moved].equal(before[moved])
    moments = {name for name in after if name.startswith("optimizer.discriminator.")}
    assert not any("hidden.0" in name for name in moments)
    assert any("output.weight" in name for name in moments)

    config = tomllib.loads((run / "config.toml").read_text())
    assert (config["init_from"], config["freeze_d"]) == (str(model), 1)
    shutil.copytree(run, ganctl.folder / "other")
    text = (run / "config.toml").read_text().replace("freeze_d = 1", "freeze_d = 0")
    (ganctl.folder / "other/config.toml").write_text(text.replace(str(model), "gone"))
    resumed = ganctl.here("resume", "other", "--kimg", "3")
    assert resumed.returncode == 2
    assert "config.toml: freeze_d is 0 now, but the run was trained with 1" in resumed.stderr


def test_a_lone_generator_brings_no_discriminator(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    shutil.copy(trained / NEWEST / "generator.safetensors", ganctl.folder / "lone.safetensors")
    options = (*tiny, *data(trained), "--kimg", "0.064", "--init-from", "lone.safetensors")
    assert lines(ganctl.here("train", *options, "--freeze-d", "1", "--run", "run")) == [
        "starting from lone.safetensors",
        "the discriminator starts anew: there is no training.safetensors beside the generator",
        "taken over: 2 of 2 layers of the generator",
        "frozen: hidden.0",
        "warning: frozen although they are not the model's: hidden.0",
    ]
    config = tomllib.loads((ganctl.folder / "run/config.toml").read_text())
    assert config["init_from"] == str(ganctl.folder / "lone.safetensors")


def test_labels_and_widths_may_be_others(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    options = (*tiny, *data(trained), "--kimg", "0.064", "--cond", "--init-from", trained)
    result = ganctl.here("train", *options, "--arch.d-widths", "32,8", "--run", "run")
    assert lines(result)[1:] == [
        "taken over: 1 of 2 layers of the generator; left as they start: "
        "hidden.0 weight (32x26 here, 32x16 there)",
        "taken over: 0 of 3 layers of the discriminator; left as they start: "
        "hidden.0 weight (32x794 here, 32x784 there), hidden.1 (not in the model), "
        "output weight (1x8 here, 1x32 there)",
    ]


def test_a_dry_run_tells_what_would_be_taken_over(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    options = (*tiny, *data(trained), "--init-from", trained, "--freeze-d", "1", "--dry-run")
    assert lines(ganctl.here("train", *options))[1:] == [
        "taken over: 2 of 2 layers of the generator",
        "taken over: 2 of 2 layers of the discriminator",
        "frozen: hidden.0",
    ]
    document = json.loads(ganctl.here("train", *options, "--json").stdout)
    assert "discriminator.hidden.0: taken over; frozen" in document["init_from"]
    assert document["config"]["init_from"] == str(trained / NEWEST / "generator.safetensors")
    assert ganctl.files() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--init-from nowhere", "nowhere: no such file or folder"),
        ("--init-from .", ".: no model in this folder"),
        ("--init-from text", "text: damaged or cut short"),
        ("--init-from RUN/checkpoints/000002.048/training.safetensors", "holds no generator"),
        ("--init-from RUN --arch dcgan", "generator.safetensors is a mlp, not a dcgan"),
        ("--freeze-d 1", "freeze_d: goes with --init-from"),
        ("--freeze-d -1", "freeze_d: -1 is out of bounds: must be ≥ 0"),
        ("--init-from RUN --freeze-d 3", "the discriminator has 2 layers, and at least one has"),
    ],
)
def test_what_cannot_be_a_start_is_a_line(
    ganctl: CLI, trained: Path, options: str, message: str
) -> None:
    (ganctl.folder / "text").write_text("this is no model, is it")
    words = options.replace("RUN", str(trained)).split(" ")
    for command in (words, [*words, "--dry-run"]):
        result = ganctl.here("train", *command)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()[-1:]
        assert line.startswith("ganctl: error: ")
        assert message in line
        assert result.stdout == ""
    assert not (ganctl.folder / "runs").exists()


def test_a_model_of_which_nothing_fits_is_refused(ganctl: CLI, tiny: Tiny, trained: Path) -> None:
    options = (*tiny, *data(trained), "--init-from", trained, "--arch.z-dim", "20")
    widths = ("--arch.g-widths", "24", "--arch.d-widths", "24")
    result = ganctl.here("train", *options, *widths, "--run", "run")
    assert result.returncode == 2
    assert "init_from: nothing of" in result.stderr
    assert ganctl.files() == []


def test_a_run_without_a_checkpoint_needs_its_model_again(
    ganctl: CLI, tiny: Tiny, trained: Path
) -> None:
    options = (*tiny, *data(trained), "--kimg", "0.064", "--init-from", trained)
    lines(ganctl.here("train", *options, "--run", "run"))
    shutil.rmtree(ganctl.folder / "run/checkpoints")
    assert "taken over" in lines(ganctl.here("resume", "run"))[1]
    shutil.rmtree(ganctl.folder / "run/checkpoints")
    config = (ganctl.folder / "run/config.toml").read_text()
    (ganctl.folder / "run/config.toml").write_text(config.replace(str(trained), "/gone"))
    result = ganctl.here("resume", "run")
    assert result.returncode == 2
    assert "/gone/checkpoints/000002.048/generator.safetensors: no such file" in result.stderr


def test_a_run_older_than_freezing_resumes(ganctl: CLI, trained: Path) -> None:
    shutil.copytree(trained, ganctl.folder / "run")
    for file in (ganctl.folder / "run" / NEWEST).iterdir():
        content = file.read_bytes()
        old = content.replace(b', \\"freeze_d\\": 0', b"")  # as deep as JSON in JSON has it
        assert len(old) < len(content)
        size = int.from_bytes(content[:8], "little") - (len(content) - len(old))
        file.write_bytes(size.to_bytes(8, "little") + old[8:])
    result = ganctl.here("resume", "run", "--kimg", "2.1")
    assert result.returncode == 0, result.stderr


def test_a_sweep_looks_for_the_models_of_its_trials_first(ganctl: CLI) -> None:
    text = 'metric = "loss/G"\n[train]\ninit_from = "nowhere"\n[grid]\nlr = [0.1, 0.2]\n'
    (ganctl.folder / "sweep.toml").write_text(text)
    result = ganctl.here("sweep", "--config", "sweep.toml")
    assert result.returncode == 2
    assert result.stderr == "ganctl: error: nowhere: no such file or folder\n"
    assert ganctl.files() == ["sweep.toml"]


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_a_dcgan_takes_over_all_that_its_checkpoint_holds(ganctl: CLI, norm: str) -> None:
    options = (
        *("train", "--arch", "dcgan", "--arch.ngf", "4", "--arch.ndf", "4", "--resolution", "28"),
        *("--arch.normalisation", "dataset", "--arch.d-norm", norm, "--device", "cpu"),
        *("--batch", "32", "--kimg", "0.096", "--ema-kimg", "0.05"),
    )
    with DatasetWriter(ganctl.folder / "dim.zip", ImageSpec(28, 28, 1)) as writer:
        drawn = np.random.default_rng(0)
        for _ in range(40):
            writer.add(drawn.integers(0, 99, (28, 28, 1), dtype=np.uint8), None)
    lines(ganctl.here(*options, "--run", "first"))
    begun = ("--data", "dim.zip", "--init-from", "first", "--freeze-d", "2")
    weight = ".weight" if norm == "batch" else ".parametrizations.weight.original"
    said = lines(ganctl.here(*options, *begun, "--run", "second"))
    assert [line.partition(";")[0] for line in said[1:]] == [
        "taken over: 5 of 5 layers of the generator",
        f"taken over: {4 if norm == 'batch' else 3} of {4 if norm == 'batch' else 3} layers of "
        "the discriminator",
        "frozen: layers.0, layers.1",
    ]
    before, after = (
        load_file(ganctl.folder / run / "checkpoints/000000.096/training.safetensors")
        for run in ("first", "second")
    )
    assert before["discriminator.layers.1" + weight].equal(after["discriminator.layers.1" + weight])
    for name in ("normalise.mean", "normalise.deviation"):  # the set's, in whose units weights are
        assert before[f"generator.{name}"].equal(after[f"generator.{name}"])
    assert np.array_equal(
        sample(ganctl.folder / "second"),
        sample_grid(np.asarray(package.load(ganctl.folder / "first").generate(range(64))), 8)[
            :, :, 0
        ],
    )


PLUGIN = '''\
from dataclasses import dataclass
from typing import Annotated

from ganctl import Architecture, Augmentation, NoOptions, Opt, Recipe


class Learned(Architecture[NoOptions], api=1):
    """A recipe and no networks."""

    def recipe(self, options, spec, batch):
        return Recipe(
            objective="bce",
            batch=8,
            kimg=10,
            lr=0.1,
            betas=(0, 0.9),
            ema_kimg=1,
            ema_rampup=0.05,
            augment="blur",
            augment_options={"sigma": 2, "rows": 3},
            nonfinite="clip",
            transfer={"ema_rampup": None, "lr": 0.01, "augment_options": {"sigma": 5}},
        )


class Mistaken(Learned, api=1):
    """Its recipe changes a field that there is not."""

    def recipe(self, options, spec, batch):
        return Recipe("bce", 8, 1, 0.1, (0, 0.9), transfer={"lrr": 1})


@dataclass(frozen=True)
class Options:
    sigma: Annotated[float, Opt("How far.")] = 1
    rows: Annotated[int, Opt("How many.")] = 1


class Blur(Augmentation[Options], api=1):
    """Options and no augmenter."""
'''
POINTS = """\
[ganctl.architectures]
learned = learned_plugin:Learned
mistaken = learned_plugin:Mistaken

[ganctl.augmenters]
blur = learned_plugin:Blur
sharpen = learned_plugin:Blur2
"""


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set to plan for; the plugins above are installed."""
    info = tmp_path / "site/learned-1.dist-info"
    info.mkdir(parents=True)
    source = f'{PLUGIN}\n\nclass Blur2(Blur):\n    """The same under another name."""\n'
    (tmp_path / "site/learned_plugin.py").write_text(source)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: learned\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with DatasetWriter(tmp_path / "set.zip", ImageSpec(4, 4, 1)) as writer:
        writer.add(np.zeros((4, 4, 1), np.uint8), None)
    return str(tmp_path / "set.zip")


def planned(data: str, core: dict[str, Any], arch: str = "learned", **tables: Any) -> Plan:
    return resolve({"data": data, **core}, {"arch": {"name": arch}, **tables})


def test_a_recipe_is_another_where_a_model_is_the_start(learned: str) -> None:
    plain, given = planned(learned, {}), planned(learned, {"init_from": "model"})
    assert (plain.settings.ema_rampup, plain.settings.g_lr) == (0.05, 0.1)
    assert (given.settings.ema_rampup, given.settings.g_lr) == (0, 0.01)
    assert given.settings.ema_kimg == plain.settings.ema_kimg == 1
    assert vars(plain.augment.options) == {"sigma": 2, "rows": 3}
    assert vars(given.augment.options) == {"sigma": 5, "rows": 1}
    asked = planned(learned, {"init_from": "model", "ema_rampup": 0.5, "lr": 1})
    assert (asked.settings.ema_rampup, asked.settings.g_lr) == (0.5, 1)
    assert given.config()["init_from"] == str(Path("model").absolute())
    core = {k: v for k, v in given.config().items() if not isinstance(v, dict)}
    tables = {k: v for k, v in given.config().items() if isinstance(v, dict)}
    assert resolve(core, tables).config() == given.config()


def test_a_transfer_that_names_no_field_is_the_plugins_fault(learned: str) -> None:
    planned(learned, {}, "mistaken")
    with pytest.raises(GanctlError, match=r"architecture 'mistaken' \(learned 1\) failed: .*lrr"):
        planned(learned, {"init_from": "model"}, "mistaken")


def test_options_of_a_recipes_augmenter_are_for_that_one_alone(learned: str) -> None:
    def options(**augment: Any) -> dict[str, Any]:
        choice = planned(learned, {}, augment=augment).augment
        assert choice is not None
        return vars(choice.options)

    assert options(name="blur") == options() == {"sigma": 2, "rows": 3}
    assert options(name="blur", sigma=7) == options(sigma=7) == {"sigma": 7, "rows": 3}
    assert options(name="sharpen") == {"sigma": 1, "rows": 1}
    assert planned(learned, {}, augment={"name": "none"}).augment is None


def test_what_is_not_finite_is_the_recipes_unless_the_user_says(learned: str) -> None:
    assert planned(learned, {}).settings.nonfinite == "clip"
    assert planned(learned, {"nonfinite": "skip"}).settings.nonfinite == "skip"
    assert resolve({"data": learned}, {}).settings.nonfinite == "skip"
    with pytest.raises(UserError, match=r"^nonfinite: 'drop' is not one of skip, clip$"):
        planned(learned, {"nonfinite": "drop"})


def test_stylegan2_ada_augments_sooner_after_transfer(learned: str) -> None:
    plain, given = (planned(learned, core, "stylegan2-ada") for core in ({}, {"init_from": "m"}))
    assert plain.augment is not None
    assert given.augment is not None
    assert (plain.augment.options.ramp_kimg, given.augment.options.ramp_kimg) == (500, 100)
    assert (given.settings.ema_rampup, given.settings.nonfinite) == (0, "clip")
