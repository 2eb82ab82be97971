"""`ganctl compare` and `ganctl montage` on real runs: pictures, tables and films."""

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ganctl.cli.compare import differences, pick_grids, read_runs
from ganctl.cli.figures import panels
from ganctl.images import cut_grid, sample_grid

CLI = Any  # conftest.py's CommandLine


@pytest.fixture(scope="module")
def runs(command_line: type[CLI], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short runs, `a` and `b`, that differ in rate and width."""
    ganctl = command_line(tmp_path_factory.mktemp("look"))
    common = ("--kimg", "1", "--batch", "32", "--arch.d-widths", "16", "--log-every", "0.1")
    common = (*common, "--sample-every", "0.2", "--checkpoint-every", "0.5")
    for name, *options in (
        ("a", "--lr", "1e-3", "--arch.g-widths", "16"),
        (
            "b",
            "--lr",
            "1e-4",
            "--arch.g-widths",
            "32",
            "--evaluate",
            "swd:every=0.5kimg:samples=64",
        ),
    ):
        done = ganctl.here("train", *common, *options, "--run", name)
        assert done.returncode == 0, done.stderr
    return Path(ganctl.folder)


@pytest.fixture
def here(ganctl: CLI, runs: Path) -> CLI:
    for name in "ab":
        shutil.copytree(runs / name, ganctl.folder / name)
    return ganctl


def test_runs_are_compared_in_a_picture_and_a_table(here: CLI) -> None:
    done = here("compare", "a", "b", "--out", "both.png")
    assert done.returncode == 0, done.stderr
    with Image.open(here.folder / "both.png") as picture:
        assert picture.width > 800
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # a line for each run
        assert (abs(colours.astype(int) - colour).sum(axis=1) < 12).sum() > 200
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "kimg", "img/s"]
    assert "g_lr=0.001, d_lr=0.001, arch.g_widths=[16]" in lines[1]
    assert "evaluate" not in lines[1]  # only one of them has it


def test_the_table_as_json(here: CLI) -> None:
    done = here.here("compare", "a", "b", "--json")
    document = json.loads(done.stdout)
    first, second = document["runs"]
    assert first["differs"] == {"g_lr": 1e-3, "d_lr": 1e-3, "arch.g_widths": [16]}
    assert first["best"] == {}
    records = [json.loads(x) for x in (here.folder / "b/metrics.jsonl").read_text().splitlines()]
    best = min(records, key=lambda record: record["swd"])
    assert second["best"]["swd"] == {"value": best["swd"], "kimg": best["images"] / 1000}
    assert (here.folder / "compare.png").exists()


def test_other_plugins_are_named_without_their_options(here: CLI) -> None:
    text = (here.folder / "b/config.toml").read_text()
    (here.folder / "b/config.toml").write_text(text.replace('name = "bce"', 'name = "hinge"'))
    done = here.here("compare", "a", "b", "--json")
    differs = json.loads(done.stdout)["runs"][1]["differs"]
    assert differs["objective"] == "hinge"
    assert not any(name.startswith("objective.") for name in differs)


def test_a_run_beside_its_copy_differs_in_nothing(here: CLI) -> None:
    shutil.copytree(here.folder / "a", here.folder / "copy/a")
    runs = read_runs([here.folder / "a", here.folder / "copy/a"])
    assert [run.differs for run in runs] == [{}, {}]
    assert [run.name for run in runs] == [str(here.folder / name) for name in ("a", "copy/a")]


def test_options_of_a_plugin_are_compared_among_the_runs_that_use_it() -> None:
    common = {"seed": 0, "log_every": 0.1, "device": "cpu", "arch.name": "dcgan"}
    first = common | {"arch.init": "normal", "arch.z_dim": 64}
    second = common | {"arch.init": "orthogonal", "arch.z_dim": 64, "log_every": 2.0}
    third = {"seed": 1, "arch.name": "mlp", "arch.z_dim": 16, "cache": "disk", "micro_batch": 8}
    assert differences([first, second, third]) == [
        {"seed": 0, "arch": "dcgan", "arch.init": "normal"},
        {"seed": 0, "arch": "dcgan", "arch.init": "orthogonal"},
        {"seed": 1, "arch": "mlp"},
    ]


def test_runs_on_different_sets_do_not_compare(here: CLI) -> None:
    file = here.folder / "b/config.toml"
    text = re.sub(r'^data = ".*"$', 'data = "/elsewhere/own.zip"', file.read_text(), flags=re.M)
    file.write_text(text)  # the same set in another place, as the checkpoints know
    done = here.here("compare", "a", "b", "--json")
    assert done.stderr == ""
    assert "data" not in json.loads(done.stdout)["runs"][1]["differs"]
    shutil.rmtree(here.folder / "b/checkpoints")  # only the path is left to judge by
    done = here.here("compare", "a", "b", "--json")
    (line,) = done.stderr.splitlines()
    assert "different sets" in line
    assert json.loads(done.stdout)["runs"][1]["differs"]["data"] == "own.zip"


def test_samples_of_one_age_are_set_side_by_side(here: CLI) -> None:
    def ages(*names: str) -> list[int | None]:
        picked = pick_grids(read_runs([here.folder / name for name in names]))
        return [None if grid is None else grid.images for grid in picked]

    assert ages("a", "b") == [1024, 1024]
    samples = here.folder / "a/samples"
    for file in sorted(samples.glob("0*.png"))[4:]:
        file.unlink()  # as if it were shorter
    (samples / "000000.608.png").rename(samples / "000000.700.png")  # and sampled at other times
    assert ages("a", "b") == [700, 608]
    assert ages("b", "a") == [608, 700]


def test_a_damaged_grid_is_told_of_and_the_nearest_one_taken(here: CLI) -> None:
    newest = sorted((here.folder / "a/samples").glob("0*.png"))[-1]
    newest.write_bytes(newest.read_bytes()[:300])
    done = here.here("compare", "a", "b")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ganctl: warning: {Path('a/samples') / newest.name}: unreadable")
    shutil.rmtree(here.folder / "a/samples")
    done = here.here("compare", "a", "b")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_column_says_what_it_is_over() -> None:
    axes = panels(Figure(), list("abcdef"), across=4)
    assert [bool(axis.get_xlabel()) for axis in axes] == [False, False, True, True, True, True]


@pytest.mark.parametrize("name", [r"$\frac", "a$b$c", r"$\frac{$", "_a", "日本 🙂 \x07", "x" * 200])
def test_any_folder_name_can_be_drawn(here: CLI, name: str) -> None:
    (here.folder / "a").rename(here.folder / name)
    log = here.folder / name / "log.jsonl"
    log.write_text(log.read_text().replace("loss/G", r"loss/$\\frac$").replace("loss/D", "loss/_"))
    done = here.here("compare", name, "b")
    assert (done.returncode, done.stderr) == (0, "")
    done = here.here("plot", name)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("a",), "two runs or more"),
        (("a", "nothing"), "nothing: no such"),
        (("a", "a/samples"), "not a run folder"),
        (("a", "empty"), "nothing logged yet"),
        (("a", "b", "--out", "x.jpg"), "the picture is a .png file"),
    ],
)
def test_what_cannot_be_compared(here: CLI, arguments: tuple[str, ...], expected: str) -> None:
    (here.folder / "empty").mkdir()
    shutil.copy(here.folder / "a/config.toml", here.folder / "empty")
    done = here.here("compare", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert not (here.folder / "compare.png").exists()


def test_a_plot_is_no_strip_and_marks_the_best_checkpoint(here: CLI) -> None:
    def gray() -> int:
        with Image.open(here.folder / "b/plot.png") as picture:
            assert picture.width > 0.8 * picture.height
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        return int((abs(pixels.astype(int) - 0x55).sum(axis=1) < 12).sum())

    assert here.here("plot", "b").stderr == ""
    marked = gray()
    (here.folder / "b/best.json").write_text('{"metric": "swd"')
    done = here.here("plot", "b")
    file = Path("b/best.json")
    assert done.stderr == (
        f"ganctl: warning: {file}: damaged: it does not tell the best checkpoint\n"
    )
    assert done.returncode == 0
    assert marked > gray() + 400
    assert here.here("compare", "a", "b").stderr == done.stderr


@pytest.mark.parametrize("command", [("plot", "b"), ("compare", "a", "b")])
def test_damaged_lines_are_counted(here: CLI, command: tuple[str, ...]) -> None:
    log, metrics = (here.folder / "b" / name for name in ("log.jsonl", "metrics.jsonl"))
    with log.open("ab") as file:
        file.write(b'\n{"images": 5}\n{"images": "x"}\n\xff\xfe\n{"images": 12')
    metrics.write_bytes(metrics.read_bytes()[:-5])
    done = here.here(*command)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"ganctl: warning: {Path('b/log.jsonl')}: 3 damaged lines are left out",
        f"ganctl: warning: {Path('b/metrics.jsonl')}: 1 damaged line is left out",
    ]


@pytest.mark.parametrize("kind", ["gif", "webp", "mp4"])
def test_a_film_shows_every_grid_in_order(here: CLI, kind: str) -> None:
    done = here("montage", "a", "--out", f"run.{kind}", "--fps", "5")
    assert done.returncode == 0, done.stderr
    grids = sorted((here.folder / "a/samples").glob("0*.png"))
    frames, seconds = film(here.folder / f"run.{kind}")
    assert len(grids) == 6
    distinct = [frames[0]]
    for frame in frames[1:]:
        if abs(frame.astype(int) - distinct[-1]).mean() > 1:
            distinct.append(frame)
    assert len(distinct) == len(grids)
    assert seconds == pytest.approx(len(grids) / 5 + 2, abs=0.25)
    for frame, file in zip(distinct, grids, strict=True):
        grid = np.asarray(Image.open(file).convert("L")).astype(int)
        part = frame[: grid.shape[0], : grid.shape[1]].astype(int)
        assert abs(part - grid).mean() < 12, file.name
        assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0


def test_a_gif_has_one_palette_close_to_the_colours_of_all_frames(ganctl: CLI) -> None:
    samples = ganctl.folder / "run/samples"
    samples.mkdir(parents=True)
    level, upright = np.meshgrid(np.linspace(0, 255, 192), np.linspace(0, 255, 192))
    grids = []
    for number in range(6):  # all hues, then paler and paler
        colours = np.stack([level, upright, 255 - (level + upright) / 2], axis=2)
        grids.append((colours * (6 - number) / 6 + 230 * number / 6).astype(np.uint8))
        Image.fromarray(grids[-1]).save(samples / f"{number:06d}.000.png")
    assert ganctl.here("montage", "run").returncode == 0
    shown = set()
    with Image.open(ganctl.folder / "run/montage.gif") as film:
        for number, grid in enumerate(grids):
            film.seek(number)
            frame = np.asarray(film.convert("RGB"))
            shown |= {tuple(colour) for colour in frame.reshape(-1, 3).tolist()}
            blocks = (x[:192].reshape(24, 8, 24, 8, 3).mean(axis=(1, 3)) for x in (frame, grid))
            assert abs(next(blocks) - next(blocks)).mean() < 2, number
    assert len(shown) <= 256


def film(file: Path) -> tuple[list[np.ndarray[Any, Any]], float]:
    """Its frames in gray, and how long it plays."""
    if file.suffix == ".mp4":
        import av

        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            decoded = [f.to_image().convert("L") for f in container.decode(stream)]
            assert stream.average_rate is not None
            return [np.asarray(f) for f in decoded], len(decoded) / float(stream.average_rate)
    frames, seconds = [], 0.0
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            frames.append(np.asarray(image.convert("L")))
            seconds += image.info["duration"] / 1000
    return frames, seconds


def test_the_film_lies_in_the_run_unless_told(here: CLI) -> None:
    done = here.here("montage", "a")
    assert done.returncode == 0
    assert done.stdout.strip() == str(Path("a") / "montage.gif")
    assert (here.folder / "a/montage.gif").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("a", "--out", "x.avi"), "a film is a .gif, .webp or .mp4 file"),
        (("nothing",), "no such"),
        (("one",), "two sample grids or more"),
        (("cut",), "unreadable"),
        (("sizes",), "pixels, the grids before it"),
    ],
)
def test_what_cannot_be_filmed(here: CLI, arguments: tuple[str, ...], expected: str) -> None:
    for name in ("one", "cut", "sizes"):
        shutil.copytree(here.folder / "a", here.folder / name)
    for file in sorted((here.folder / "one/samples").glob("0*.png"))[1:]:
        file.unlink()
    last = sorted((here.folder / "cut/samples").glob("0*.png"))[-1]
    last.write_bytes(last.read_bytes()[:300])
    Image.new("L", (10, 10)).save(sorted((here.folder / "sizes/samples").glob("0*.png"))[-1])
    before = here.files()
    done = here.here("montage", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert here.files() == before


@pytest.mark.parametrize(
    ("count", "shape"), [(64, (28, 28, 1)), (4, (64, 64, 3)), (32, (48, 96, 3)), (16, (70, 70, 4))]
)
def test_a_grid_is_cut_into_its_images(count: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 250, (count, *shape), dtype=np.uint8)
    columns = {64: 8, 4: 2, 32: 8, 16: 4}[count]
    factor = max(1, 64 // max(shape[:2]))
    enlarged = images.repeat(factor, axis=1).repeat(factor, axis=2)
    assert np.array_equal(cut_grid(sample_grid(images, columns)), enlarged)
