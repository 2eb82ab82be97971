"""`ganctl generate` and `ganctl mix` on a style generator: truncation, classes, noise, mixtures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganctl as package
from ganctl import ImageSpec, UserError
from ganctl.cli.lists import (
    parse_classes,
    parse_seeds,
    parse_styles,
    parse_truncations,
    psi_name,
)

CLI = Any  # conftest.py's CommandLine


def pixels(file: Path) -> np.ndarray[Any, Any]:
    with Image.open(file) as picture:
        return np.asarray(picture)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """But for rounding, which may be another in a batch of another size."""
    return one.shape == other.shape and int(abs(one.astype(int) - other).max()) <= 1


def done(result: Any) -> str:
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    out: str = result.stdout
    return out


def test_several_truncations_are_in_the_names(ganctl: CLI, styled: Path) -> None:
    options = ("--truncation", "0.7,-0.5,1", "--class", "1")
    assert done(ganctl("generate", styled, "--seeds", "0,40", *options, "--out", "p")) == (
        "6 pictures in p\n"
    )
    names = [f"seed{s}-psi{p}.png" for s in ("0000", "0040") for p in ("-0.50", "0.70", "1.00")]
    assert ganctl.files() == ["p", *sorted(f"p/{name}" for name in names)]
    model = package.load(styled)
    for psi in (0.7, -0.5, 1.0):
        wanted = model.generate([0, 40], 1, truncation=psi)[1]
        assert np.array_equal(pixels(ganctl.folder / f"p/seed0040-psi{psi:.2f}.png"), wanted)
    done(ganctl.here("generate", styled, "--seeds", "40", "--truncation", "0.7", "--class", "1"))
    alone, among = (ganctl.folder / f for f in ("generated/seed0040.png", "p/seed0040-psi0.70.png"))
    assert alike(pixels(alone), pixels(among))


def test_the_cutoff_and_the_noise_are_the_models(ganctl: CLI, styled: Path) -> None:
    options = ("--seeds", "2", "--truncation", "0.3")
    for extra in (
        ("--truncation-cutoff", "2"),
        ("--noise", "none"),
        ("--noise", "random"),
        ("--noise", "const"),
    ):
        done(ganctl.here("generate", styled, *options, *extra, "--out", "".join(extra[1:])))
    made = {word: pixels(ganctl.folder / word / "seed0002.png") for word in ("2", "none", "random")}
    model = package.load(styled)
    assert np.array_equal(made["2"], model.generate([2], truncation=0.3, truncation_cutoff=2)[0])
    assert np.array_equal(made["none"], model.generate([2], truncation=0.3, noise="none")[0])
    assert np.array_equal(made["random"], model.generate([2], truncation=0.3, noise="random")[0])
    made["const"] = pixels(ganctl.folder / "const/seed0002.png")
    assert len({image.tobytes() for image in made.values()}) == 4


@pytest.mark.parametrize(
    ("text", "classes"),
    [("dogs", [1]), ("fish, fried", [2]), ("all", [0, 1, 2]), ("1-2", [1, 2]), ("cats,2", [0, 2])],
)
def test_classes_go_by_name_too(ganctl: CLI, styled: Path, text: str, classes: list[int]) -> None:
    done(ganctl.here("generate", styled, "--seeds", "3,5", "--class", text, "--out", "p"))
    model = package.load(styled)
    files = sorted((ganctl.folder / "p").iterdir())
    assert len(files) == 2 * len(classes)
    for number in classes:
        ending = f"-class{number}" if len(classes) > 1 else ""
        for seed, wanted in zip((3, 5), model.generate([3, 5], number), strict=True):
            made = pixels(ganctl.folder / f"p/seed{seed:04d}{ending}.png")
            assert np.array_equal(made, wanted)


def test_a_grid_has_a_row_for_each_truncation(ganctl: CLI, styled: Path) -> None:
    line = ("--seeds", "0-3", "--truncation", "1,0.5,0", "--class", "0", "--grid", "--out", "g")
    assert done(ganctl("generate", styled, *line)) == "g/grid.png\n"
    table = pixels(ganctl.folder / "g/grid.png")
    height, width = 34, 66  # enlarged twice, with seams
    left, top = table.shape[1] - 4 * width, table.shape[0] - 3 * height
    assert left > 20  # the rows' names
    assert top > 10  # the columns' seeds
    assert (table[:top, :left] == 255).all()
    for band in (table[:top, left:], table[top:, :left]):
        assert (band < 128).any()  # something is written there
    model = package.load(styled)
    for row, psi in enumerate((1, 0.5, 0)):
        for column, image in enumerate(model.generate(range(4), 0, truncation=psi)):
            y, x = top + row * height, left + column * width
            cell = table[y : y + 32 : 2, x : x + 64 : 2]
            assert np.array_equal(cell, image), (psi, column)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--truncation-cutoff", "7"), "truncation cutoff 7: this model has 6 styles"),
        (("--class", "birds"), "class 'birds': this model has classes 0 to 2; there are: cats"),
        (("--class", "dgos"), "did you mean 'dogs'?"),
        (("--class", "0,3"), "class 3: this model has classes 0 to 2"),
    ],
)
def test_what_the_model_has_not(
    ganctl: CLI, styled: Path, options: tuple[str, ...], message: str
) -> None:
    result = ganctl.here("generate", styled, *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert ganctl.files() == []


@pytest.mark.parametrize("options", [(), ("--class", "dogs"), ("--truncation", "0.5")])
def test_mixing_takes_some_styles_of_the_columns(
    ganctl: CLI, styled: Path, options: tuple[str, ...]
) -> None:
    line = ("--rows", "0,1", "--cols", "2-4", "--styles", "0-2,5", *options, "--out", "m")
    command = ganctl.here if options else ganctl
    assert done(command("mix", styled, *line)) == "m/grid.png\n"
    names = [f"r{r:04d}-c{c:04d}.png" for r in (0, 1) for c in (2, 3, 4)]
    assert ganctl.files() == sorted(["m", "m/grid.png", *(f"m/{name}" for name in names)])
    model = package.load(styled)
    number = 1 if "dogs" in options else None
    psi = 0.5 if "0.5" in options else 1.0
    rows, columns = (model.styles(s, number, truncation=psi) for s in ([0, 1], [2, 3, 4]))
    ws = rows[1:].clone()
    ws[:, [0, 1, 2, 5]] = columns[2:, [0, 1, 2, 5]]
    wanted = pixels(ganctl.folder / "m/r0001-c0004.png")
    assert alike(wanted, model.synthesise(ws)[0])
    table = pixels(ganctl.folder / "m/grid.png")
    left, top = table.shape[1] - 4 * 66, table.shape[0] - 3 * 34
    cells = table[top:, left:].reshape(3, 34, 4, 66, 3).swapaxes(1, 2)[:, :, :32:2, :64:2]
    assert (cells[0, 0] == 255).all()
    assert np.array_equal(cells[0, 1:], model.generate([2, 3, 4], number, truncation=psi))
    assert np.array_equal(cells[1:, 0], model.generate([0, 1], number, truncation=psi))
    assert np.array_equal(cells[2, 3], wanted)


def test_all_styles_of_the_columns_are_the_columns(ganctl: CLI, styled: Path) -> None:
    line = ("--rows", "0", "--cols", "7", "--class", "0", "--out", "m")
    done(ganctl.here("mix", styled, *line, "--styles", "0-5"))
    mixed = pixels(ganctl.folder / "m/r0000-c0007.png")
    assert alike(mixed, package.load(styled).generate([7], 0)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--styles", "0-6"), "styles: 0-6: this model has 6 styles, 0 to 5"),
        (("--styles", "fine"), "styles: fine: this model has 6 styles, 0 to 5"),
        (("--styles", "rough"), "styles: 'rough' is not a number, a range such as 0-6, or one of"),
        (("--styles", "4-2"), "styles: 4-2: this model has 6 styles"),
        (("--rows", "x"), "rows: 'x' is not a number"),
        (("--cols", "4294967296"), "cols: 4294967296: seeds rise, go to 4294967295"),
        (("--class", "7"), "class 7: this model has classes 0 to 2"),
        (("--class", "0,1"), "class 0,1: mixing goes with one class"),
        (("--truncation", "nan"), "truncation: nan is not a finite number"),
        (("--truncation", "x"), "--truncation"),
    ],
)
def test_mixtures_that_cannot_be(
    ganctl: CLI, styled: Path, options: tuple[str, ...], message: str
) -> None:
    line = {"--rows": "0", "--cols": "1"} | dict([options])
    words = [word for pair in line.items() for word in pair]
    result = ganctl.here("mix", styled, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert ganctl.files() == []


def test_mixing_needs_styles(ganctl: CLI, trained: Path) -> None:
    result = ganctl("mix", trained, "--rows", "0", "--cols", "1")
    assert result.returncode == 2
    assert result.stderr == (
        "ganctl: error: mix: this model is of the architecture mlp, which has no styles\n"
    )
    assert ganctl.files() == []
    result = ganctl.here("mix", trained, "--rows", "0")
    assert "Missing option '--cols'" in result.stderr


def test_lists_are_read_as_they_are_meant() -> None:
    spec = ImageSpec(8, 8, 3, 12, ("7", "all", "a-b"))
    assert parse_seeds(" 0-3, 99") == [0, 1, 2, 3, 99]
    assert parse_truncations("0.5, -1,1e-3,0.5,-0") == [0.5, -1.0, 0.001, 0.0]
    assert parse_classes("7", spec) == [7]  # a number, whatever names there are
    assert parse_classes("a-b,0,0-1", spec) == [2, 0, 1]
    assert parse_classes("all", spec) == [1]  # a name
    assert parse_styles("coarse", 18) == [0, 1, 2, 3]
    assert parse_styles("middle,0", 18) == [4, 5, 6, 7, 0]
    assert parse_styles("fine", 12) == [8, 9, 10, 11]
    assert parse_styles("middle", 6) == [4, 5]
    assert [psi_name(value) for value in (1, 0.7, -0.5, 0.125)] == [
        "1.00",
        "0.70",
        "-0.50",
        "0.125",
    ]


@pytest.mark.parametrize(
    "read", [lambda: parse_styles("middle", 4), lambda: parse_styles("18", 18)]
)
def test_styles_that_there_are_not(read: Callable[[], Any]) -> None:
    with pytest.raises(UserError, match=r"this model has \d+ styles"):
        read()
