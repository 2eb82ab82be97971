"""`ganctl inspect`: its figures are exact, its sheet shows the set, odd sets do not stop it."""

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.sheet import CELLS, contact_sheet, pick
from ganctl.spec import ImageSpec

CLI = Any  # conftest.py's CommandLine

COLUMNS = ["file", "kept", "why", "images", "label", "width", "height"]


def pictures(count: int, spec: ImageSpec, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (spec.height, spec.width, spec.channels)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def write(
    path: Path,
    images: list[np.ndarray],
    labels: list[str] | None = None,
    report: list[list[str]] | None = None,
) -> Path:
    spec = ImageSpec(*images[0].shape)
    with DatasetWriter(path, spec) as writer:
        for index, pixels in enumerate(images):
            writer.add(pixels, None if labels is None else labels[index])
        if report is not None:
            text = io.StringIO(newline="")
            csv.writer(text).writerows([COLUMNS, *report])
            writer.add_file("report.csv", text.getvalue().encode())
    return path


def facts(ganctl: CLI, *arguments: object) -> dict[str, Any]:
    result = ganctl.here("inspect", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_moments_are_those_of_all_pixels(ganctl: CLI, channels: int) -> None:
    images = pictures(37, ImageSpec(5, 9, channels))
    path = write(ganctl.folder / "set.zip", images)
    said = facts(ganctl, "set.zip")
    everything = np.stack(images) / 255
    assert said["mean"] == pytest.approx(everything.mean(axis=(0, 1, 2)), abs=1e-12)
    assert said["std"] == pytest.approx(everything.std(axis=(0, 1, 2)), abs=1e-12)
    assert (said["images"], said["height"], said["width"]) == (37, 5, 9)
    assert said["channels"] == channels
    assert said["formats"] == {"PNG": 37}
    assert said["bytes"] == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        sizes = [i.file_size for i in archive.infolist() if i.filename.endswith(".png")]
    assert said["bytes_per_image"] == pytest.approx(sum(sizes) / 37)
    assert said["classes"] == []
    assert said["unlabelled"] == 37
    assert said["report"] is None


def test_a_constant_set_does_not_deviate(ganctl: CLI) -> None:
    write(ganctl.folder / "set.zip", [np.full((8, 8, 1), 77, np.uint8)] * 3)
    said = facts(ganctl, "set.zip")
    assert said["std"] == [0.0]
    assert said["mean"] == [pytest.approx(77 / 255)]


def test_classes_are_counted_with_their_shares(ganctl: CLI) -> None:
    images = pictures(10, ImageSpec(8, 8, 3))
    write(ganctl.folder / "set.zip", images, ["cats"] * 7 + ["dogs"] * 3)
    said = facts(ganctl, "set.zip")
    assert said["unlabelled"] == 0
    assert said["classes"] == [
        {"label": 0, "name": "cats", "images": 7, "share": 0.7},
        {"label": 1, "name": "dogs", "images": 3, "share": 0.3},
    ]
    text = ganctl.here("inspect", "set.zip").stdout
    assert "2 classes" in text
    assert "cats          7   70.0%" in text


def test_repeated_pixels_are_found_whatever_their_encoding(ganctl: CLI) -> None:
    folder = ganctl.folder / "set"
    folder.mkdir()
    one, other = pictures(2, ImageSpec(8, 8, 3))
    for name, pixels, level in [("a", one, 0), ("b", other, 0), ("c", one, 9), ("d", one, 1)]:
        Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=level)
    said = facts(ganctl, "set")
    assert said["duplicates"] == {
        "images": 2,
        "pairs": [["a.png", "c.png"], ["a.png", "d.png"]],
    }
    assert "2 images repeat an earlier one" in ganctl.here("inspect", "set").stdout
    assert said["bytes"] == sum(file.stat().st_size for file in folder.iterdir())


def test_formats_are_told_by_content(ganctl: CLI) -> None:
    folder = ganctl.folder / "set"
    folder.mkdir()
    for index, kind in enumerate(["png", "jpeg", "png", "webp", "png"]):
        pixels = pictures(1, ImageSpec(8, 8, 3), index)[0]
        Image.fromarray(pixels).save(folder / f"{index}.png", kind)
    assert facts(ganctl, "set")["formats"] == {"PNG": 3, "JPEG": 1, "WEBP": 1}


def test_the_report_of_preparation_is_summed_up(ganctl: CLI) -> None:
    report = [
        ["a.png", "yes", "", "00000/img00000000.png", "", "9", "9"],
        ["b.png", "no", "unreadable: cut short", "", "", "", ""],
        ["c.png", "no", "unreadable: no picture", "", "", "", ""],
        ["d.png", "no", "blank", "", "", "9", "9"],
    ]
    write(ganctl.folder / "set.zip", pictures(1, ImageSpec(8, 8, 3)), report=report)
    said = facts(ganctl, "set.zip")["report"]
    assert said == {"files": 4, "kept": 1, "left_out": {"unreadable": 2, "blank": 1}}
    text = ganctl.here("inspect", "set.zip").stdout
    assert "made from 4 files, of which 1 were kept" in text
    assert "2  unreadable" in text


@pytest.mark.parametrize("content", [b"", b"name,price\nx,1\n", b"\x00\xff\xfe", b'"' * 10])
def test_somebody_elses_report_is_passed_over(ganctl: CLI, content: bytes) -> None:
    path = write(ganctl.folder / "set.zip", pictures(1, ImageSpec(8, 8, 3)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("report.csv", content)
    assert facts(ganctl, "set.zip")["report"] is None


def test_what_prepare_made_is_inspected(ganctl: CLI) -> None:
    """As people run it: processes, a folder with classes, one file that is no picture."""
    for index, pixels in enumerate(pictures(6, ImageSpec(20, 20, 3))):
        folder = ganctl.folder / "pictures" / ("ants", "bees")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (ganctl.folder / "pictures/ants/text.png").write_text("no picture")
    options = ("--source", "folder", "--out", "set.zip", "--resolution", "16")
    assert ganctl("prepare", "pictures", *options).returncode == 0
    result = ganctl("inspect", "set.zip", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    said = json.loads(result.stdout)
    assert [row["name"] for row in said["classes"]] == ["ants", "bees"]
    assert (said["report"]["files"], said["report"]["kept"]) == (7, 6)
    assert said["sheet"] == "set-sheet.png"
    table = ganctl("inspect", "set.zip", "--sheet", "deep/er/x.png")
    assert table.returncode == 0, table.stderr
    assert "made from 7 files, of which 6 were kept" in table.stdout
    assert (ganctl.folder / "deep/er/x.png").exists()


def test_the_sheet_lies_in_the_current_folder_unless_named(ganctl: CLI) -> None:
    (ganctl.folder / "sets").mkdir()
    write(ganctl.folder / "sets/set.zip", pictures(1, ImageSpec(8, 8, 3)))
    before = (ganctl.folder / "sets/set.zip").read_bytes()
    assert facts(ganctl, "sets/set.zip")["sheet"] == "set-sheet.png"
    assert ganctl.files() == ["set-sheet.png", "sets", "sets/set.zip"]
    assert (ganctl.folder / "sets/set.zip").read_bytes() == before
    result = ganctl.here("inspect", "sets/set.zip", "--sheet", "sets/set.zip")
    assert result.returncode == 2
    assert result.stderr == "ganctl: error: inspect: --sheet sets/set.zip: the sheet is a .png\n"
    assert (ganctl.folder / "sets/set.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("nowhere.zip", "nowhere.zip: no such file or folder"),
        ("empty", "empty: no pictures in it"),
        ("text.zip", "text.zip: not a zip file"),
        ("mixed", "mixed: b.png is 9x8 but a.png is 8x8; let ganctl make them equal: "),
    ],
)
def test_what_is_no_set_is_refused_in_one_line(ganctl: CLI, path: str, complaint: str) -> None:
    (ganctl.folder / "empty").mkdir()
    (ganctl.folder / "mixed").mkdir()
    (ganctl.folder / "text.zip").write_text("no zip")
    Image.new("RGB", (8, 8)).save(ganctl.folder / "mixed/a.png")
    Image.new("RGB", (8, 9)).save(ganctl.folder / "mixed/b.png")
    result = ganctl.here("inspect", path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"ganctl: error: {complaint}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not list(ganctl.folder.glob("*-sheet.png"))


@pytest.mark.skipif(os.name != "posix", reason="names that Windows does not allow")
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_odd_names_are_shown_and_stop_nothing(ganctl: CLI, locale: str) -> None:
    folder = ganctl.folder / os.fsdecode(b"set\n\xff")
    names = [b"a\nb.png", b"\xff\xfe.png", b"x" * 200 + b".png", b"\x1b[31m.png"]
    folder.mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / os.fsdecode(name))
    label_names = ["line\nbreak", "\udc80", "long" * 60, "日本"]
    labels = [[os.fsdecode(name), index] for index, name in enumerate(names)]
    listing = {"labels": labels, "label_names": label_names}
    (folder / "dataset.json").write_text(json.dumps(listing))
    env = {"LC_ALL": locale, "PYTHONUTF8": "0"}
    result = ganctl("inspect", folder, env=env)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "\\n" in result.stdout
    assert len(result.stdout.splitlines()) == 17
    said = json.loads(ganctl("inspect", folder, "--json", env=env).stdout)
    assert said["duplicates"]["images"] == 3
    assert [row["name"] for row in said["classes"]] == label_names
    named = {name for pair in said["duplicates"]["pairs"] for name in pair}
    assert named == {os.fsdecode(name) for name in names}
    assert (ganctl.folder / said["sheet"]).stat().st_size > 100


def opened(tmp_path: Path, images: list[np.ndarray], labels: list[str] | None = None) -> Dataset:
    return Dataset(write(tmp_path / "set.zip", images, labels))


def test_a_sheet_shows_images_from_the_whole_set(tmp_path: Path) -> None:
    dataset = opened(tmp_path, pictures(1000, ImageSpec(4, 4, 1)))
    (indices,) = pick(dataset)
    assert len(indices) == CELLS
    assert indices == sorted(set(indices))
    assert indices[0] < 1000 / CELLS
    assert indices[-1] >= 1000 - 1000 / CELLS
    gaps = np.diff(indices)
    assert gaps.max() - gaps.min() <= 1


def test_a_seed_draws_lots(tmp_path: Path) -> None:
    dataset = opened(tmp_path, pictures(200, ImageSpec(4, 4, 1)))
    assert pick(dataset, 1) == pick(dataset, 1)
    assert pick(dataset, 1) != pick(dataset, 2) != pick(dataset)


@pytest.mark.parametrize(
    ("classes", "rows", "each"), [(1, 1, 16), (2, 2, 16), (6, 6, 10), (20, 20, 3), (100, 64, 1)]
)
def test_a_sheet_has_as_many_of_every_class(
    tmp_path: Path, classes: int, rows: int, each: int
) -> None:
    labels = [str(index % classes) for index in range(2000)]
    dataset = opened(tmp_path, [np.zeros((1, 1, 1), np.uint8)] * 2000, labels)
    assert dataset.labels is not None
    picked = pick(dataset)
    assert [len(row) for row in picked] == [each] * rows
    for row in picked:
        assert len({dataset.labels[index] for index in row}) == 1


def test_a_class_has_a_row_with_its_name_beside_it(tmp_path: Path) -> None:
    plain = [np.full((64, 64, 3), (255 * (i % 2), 0, 0), np.uint8) for i in range(30)]
    sheet = np.asarray(contact_sheet(opened(tmp_path, plain, ["black", "red"] * 15)))
    height, width, _ = sheet.shape
    left = width - 15 * 66
    assert height == 2 + 2 * 66
    assert left > 30
    assert (sheet[2:66, left : left + 64] == 0).all()
    assert (sheet[68:132, left : left + 64] == (255, 0, 0)).all()
    for top in (2, 68):  # something is written there
        assert (sheet[top : top + 64, : left - 4] < 100).any()


def test_small_images_are_enlarged_and_keep_their_pixels_sharp(tmp_path: Path) -> None:
    image = pictures(1, ImageSpec(8, 8, 1))[0]
    sheet = np.asarray(contact_sheet(opened(tmp_path, [image])))
    cell = sheet[2:66, 2:66]
    assert np.array_equal(cell[:, :, :1], image.repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize("size", [(300, 200), (1, 700), (700, 1)])
def test_large_images_are_reduced(tmp_path: Path, size: tuple[int, int]) -> None:
    sheet = contact_sheet(opened(tmp_path, pictures(64, ImageSpec(*size, 3))))
    assert max(sheet.size) <= 8 * 130 + 2


def test_transparency_shows_a_checker_pattern(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, 32:] = (200, 100, 0, 255)
    sheet = np.asarray(contact_sheet(opened(tmp_path, [image])))[2:66, 2:66]
    assert {tuple(pixel) for pixel in sheet[:, :32].reshape(-1, 3)} == {(204,) * 3, (255,) * 3}
    assert (sheet[:, 32:] == (200, 100, 0)).all()


@pytest.mark.parametrize("name", ["cats256.zip", "anime96.zip"])
def test_real_sets_are_inspected(ganctl: CLI, shared: Callable[[str], Path], name: str) -> None:
    shutil.copy(shared(f"data/{name}"), ganctl.folder / "set.zip")
    said = facts(ganctl, "set.zip")
    dataset = Dataset(ganctl.folder / "set.zip")
    pixels = np.stack([dataset.read(index) for index in range(len(dataset))])
    wanted = pixels.mean(axis=(0, 2, 3), dtype=np.float64) / 255
    assert said["mean"] == pytest.approx(wanted, abs=1e-9)
    assert said["formats"] == {"JPEG": len(dataset)}
    assert said["duplicates"]["images"] == 0
    with Image.open(ganctl.folder / "set-sheet.png") as sheet:
        assert len(np.unique(np.asarray(sheet))) == 256
