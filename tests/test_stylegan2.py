"""`--arch stylegan2-ada` by the command line: trains, comes back, says what it cannot do."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

CLI = Any  # conftest.py's CommandLine

SMALL = (
    *("--device", "cpu", "--arch", "stylegan2-ada", "--batch", "8", "--kimg", "0.2"),
    *("--resolution", "16", "--arch.z-dim", "8", "--arch.w-dim", "8", "--arch.channel-max", "8"),
    *("--augment.ramp-kimg", "1"),  # of the recipe's augmenter
    *("--log-every", "0.05", "--sample-every", "0.1", "--checkpoint-every", "0.04"),
)


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_it_trains_on_labels(ganctl: CLI) -> None:
    done = ganctl.here("train", *SMALL, "--cond", "--run", "run")
    assert done.returncode == 0, done.stderr
    last = log(ganctl.folder / "run")[-1]
    assert {"loss/G", "loss/PL", "loss/D", "loss/R1", "augment/p"} <= last.keys() | set(
        log(ganctl.folder / "run")[0]
    )
    made = ganctl.here("generate", "run", "--seeds", "0-3", "--class", "7", "--out", "out")
    assert made.returncode == 0, made.stderr
    assert len(list((ganctl.folder / "out").glob("*.png"))) == 4
    again = ganctl.here("generate", "run", "--seeds", "3", "--class", "7", "--out", "again")
    assert again.returncode == 0, again.stderr
    first, second = (ganctl.folder / name / "seed0003.png" for name in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()
    beyond = ganctl.here("generate", "run", "--class", "10", "--out", "none")
    assert beyond.returncode == 2
    assert "classes 0 to 9" in beyond.stderr


@pytest.mark.parametrize("options", [("--precision", "bf16"), ("--micro-batch", "3")])
def test_it_trains_in_other_ways(ganctl: CLI, options: tuple[str, ...]) -> None:
    done = ganctl.here("train", *SMALL, "--kimg", "0.05", *options, "--run", "run")
    assert done.returncode == 0, done.stderr
    last = log(ganctl.folder / "run")[-1]
    assert last["clipped/generator"] == last["clipped/discriminator"] == 0
    assert 0.3 < last["loss/G"] < 3


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bytes(ganctl: CLI) -> None:
    """Augmentation's p, path lengths' mean, the average and both optimisers come back."""
    whole = ganctl("train", *SMALL, "--run", "whole")
    assert whole.returncode == 0, whole.stderr
    killed = 0
    process = ganctl.start("train", *SMALL, "--run", "run")
    checkpoints = ganctl.folder / "run" / "checkpoints"
    for number in (1, 2, 3):
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            if checkpoints.is_dir() and len(finished(checkpoints)) >= number:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.005)
        process.communicate()
        process = ganctl.start("resume", "run")
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert killed >= 2
    for name in ("generator", "training"):
        file = Path("checkpoints") / "000000.200" / f"{name}.safetensors"
        ours, theirs = (load_file(ganctl.folder / run / file) for run in ("run", "whole"))
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours)
    assert {"objective.pl_mean", "augmenter.pipeline.p"} <= ours.keys()
    assert ours["objective.pl_mean"] > 0


def finished(checkpoints: Path) -> list[str]:
    return [path.name for path in checkpoints.iterdir() if path.name[0] != "."]


def test_describe_shows_the_published_table(ganctl: CLI) -> None:
    done = ganctl.here("describe", "stylegan2-ada", "--resolution", "256", "--json")
    assert done.returncode == 0, done.stderr
    networks = json.loads(done.stdout)["networks"]
    totals = {name: (n["parameters"], n["buffers"]) for name, n in networks.items()}
    assert totals == {
        "generator": (23_191_522, 175_568),
        "discriminator": (24_001_089, 416),
    }
    rows = {
        row["module"]: (row["parameters"], row["buffers"], row["dtype"])
        for network in networks.values()
        for row in network["layers"]
    }
    assert rows["mapping.fc0"] == (262_656, 0, "float32")
    for side, buffers in ((4, 32), (8, 80), (16, 272), (32, 1_040)):
        dtype = "float16" if side == 32 else "float32"
        assert rows[f"synthesis.b{side}.conv1"] == (2_622_465, buffers, dtype)
    assert rows["synthesis.b64.conv0"] == (1_442_561, 4_112, "float16")
    assert rows["synthesis.b64.conv1"] == (721_409, 4_112, "float16")
    assert rows["synthesis.b128.conv0"] == (426_369, 16_400, "float16")
    assert rows["synthesis.b128.conv1"] == (213_249, 16_400, "float16")
    assert rows["synthesis.b256.conv0"] == (139_457, 65_552, "float16")
    assert rows["synthesis.b256.conv1"] == (69_761, 65_552, "float16")
    to_rgb = [rows[f"synthesis.b{side}.torgb"][0] for side in (32, 64, 128, 256)]
    assert to_rgb == [264_195, 132_099, 66_051, 33_027]
    assert rows["b256.fromrgb"][0] == 256
    assert rows["b256.skip"][0] == 8_192
    assert rows["b32.skip"][0] == 262_144
    assert rows["b4.conv"][0] == 2_364_416
    assert rows["b4.fc"][0] == 4_194_816
    assert rows["b4.out"][0] == 513


def test_auto_reckons_with_the_batch_that_is_used(ganctl: CLI) -> None:
    def config(*options: str) -> dict[str, Any]:
        done = ganctl.here(
            "train", "--arch", "stylegan2-ada", "--dry-run", "--json", "--resolution", "64",
            "--arch.channel-max", "8", *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["config"]
        return found

    usual, smaller = config(), config("--batch", "8")
    assert (usual["batch"], usual["ema_kimg"]) == (32, 10)
    assert usual["objective"]["r1_gamma"] == pytest.approx(0.0002 * 64**2 / 32)
    assert (smaller["batch"], smaller["ema_kimg"]) == (8, 2.5)
    assert smaller["objective"]["r1_gamma"] == pytest.approx(0.0002 * 64**2 / 8)
    own = config("--objective.r1-gamma", "3", "--ema-kimg", "7", "--g-lr", "0.001")
    assert (own["objective"]["r1_gamma"], own["ema_kimg"]) == (3, 7)
    assert (own["g_lr"], own["d_lr"]) == (0.001, 0.0025)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--resolution", "48"), "sides of 8, 16, 32, 64 … pixels, not 48x48"),
        (("--resolution", "64x96"), "not 64x96"),
        (("--arch.recipe", "paper25"), "'paper25' is not one of"),
        (("--source", "folder", "--source.path", ".", "--cond"), "no labels"),
        (("--arch", "dcgan", "--objective", "stylegan2"), "needs a generator with styles"),
    ],
)
def test_bad_input_is_a_line(ganctl: CLI, options: tuple[str, ...], expected: str) -> None:
    from PIL import Image

    for number in range(8):
        Image.new("RGB", (32, 32), (number * 9, 0, 0)).save(ganctl.folder / f"{number}.png")
    base = ("--arch", "stylegan2-ada") if "--arch" not in options else ()
    done = ganctl.here("train", *base, *options, "--device", "cpu", "--batch", "2", "--run", "run")
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert not (ganctl.folder / "run").exists()


def test_refused_before_pictures_are_prepared(ganctl: CLI) -> None:
    for options in (("--resolution", "48"), ("--resolution", "16", "--prepare.channels", "rgba")):
        done = ganctl.here("train", "--arch", "stylegan2-ada", *options, "--device", "cpu")
        assert done.returncode == 2, done.stderr
    assert not (ganctl.folder / "datasets").exists()


def test_networks_are_those_of_the_model_that_it_starts_from(ganctl: CLI) -> None:
    first = ganctl.here("train", *SMALL, "--kimg", "0.01", "--arch.mapping-layers", "3")
    assert first.returncode == 0, first.stderr
    (run,) = (ganctl.folder / "runs").iterdir()
    small = ("--batch", "8", "--resolution", "16", "--kimg", "0.01", "--device", "cpu")
    done = ganctl.here("train", *small, "--init-from", run, "--run", "next")
    assert done.returncode == 0, done.stderr
    assert "in the model alone" not in done.stderr
    assert "left as they start" not in done.stderr
    config = (ganctl.folder / "next" / "config.toml").read_text()
    assert "mapping_layers = 3" in config
    assert "channel_max = 8" in config
    fewer = ("--arch", "stylegan2-ada", "--arch.mapping-layers", "2", "--dry-run")
    own = ganctl.here("train", *small, "--init-from", run, *fewer)
    assert "in the model alone: mapping.fc2" in own.stdout + own.stderr


def test_a_pickle_is_told_from_a_damaged_model(ganctl: CLI) -> None:
    (ganctl.folder / "net.pkl").write_bytes(b"\x80\x04N.")
    done = ganctl.here("generate", "net.pkl")
    assert done.returncode == 2
    assert "import-nvidia" in done.stderr
    assert "damaged" not in done.stderr
