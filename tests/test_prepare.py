"""`ganctl prepare` as a process: any folder becomes a set, whatever happens on the way."""

import csv
import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl.data.dataset import Dataset
from ganctl.data.pixels import decode

CLI = Any  # the fixture `ganctl` of conftest.py
Shared = Callable[[str], Path]


def picture(folder: Path, name: str, seed: int = 0, size: tuple[int, int] = (24, 32)) -> Path:
    """A JPEG or PNG of noise, `size` is height and width."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(values).resize(size[::-1], Image.Resampling.BICUBIC).save(file)
    return file


def prepared(ganctl: CLI, *words: object) -> dict[str, Any]:
    """What the command's JSON says."""
    result = ganctl("prepare", *words, "--json")
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def table(file: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(file) as archive:
        text = archive.read("report.csv").decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def refused(result: subprocess.CompletedProcess[str], message: str, status: int = 2) -> None:
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(lines) == 1, result.stderr
    assert re.search(message, lines[0]), lines[0]
    assert result.stdout == ""


def test_a_folder_of_anything_becomes_a_set(ganctl: CLI) -> None:
    pictures = ganctl.folder / "pictures"
    for index in range(6):
        picture(pictures, f"{'rock' if index % 2 else 'jazz'}/{index}.jpg", index)
    picture(pictures, "jazz/" + "x" * 200 + ".png", 7)
    picture(pictures, "jazz/two\nlines.png", 8)
    (pictures / "rock/notes.txt").write_text("not a picture")
    (pictures / "rock/again.jpg").write_bytes((pictures / "rock/1.jpg").read_bytes())
    result = ganctl("prepare", "pictures", "--out", "set.zip", "--resolution", "12x16")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "set.zip\n"
    assert "kept 8 of 10 pictures" in result.stderr
    assert "left out 1: duplicate (rock/again.jpg: the same file as rock/1.jpg)" in result.stderr
    assert "2 classes of 3 to 5 images" in result.stderr
    rows = {row["file"]: row for row in table(ganctl.folder / "set.zip")}
    assert rows["rock/notes.txt"]["why"] == "unreadable: not a picture file"
    assert rows["jazz/two\nlines.png"]["kept"] == "yes"
    dataset = Dataset(ganctl.folder / "set.zip")
    assert (dataset.spec.height, dataset.spec.width, dataset.spec.channels) == (12, 16, 3)
    assert dataset.spec.class_names == ("jazz", "rock")
    assert ganctl.files()[-1] == "set.zip"
    assert not [name for name in ganctl.files() if ".work" in name]


def test_a_set_of_any_shape_is_trained_on(ganctl: CLI) -> None:
    for index in range(20):
        picture(ganctl.folder / "pictures", f"{index}.png", index)
    sizes = {"gray": 1, "rgba": 4, "rgb": 3}
    for channels, count in sizes.items():
        out = f"{channels}.zip"
        words = ("--out", out, "--resolution", "12x16", "--channels", channels)
        prepared(ganctl, "pictures", *words)
        assert Dataset(ganctl.folder / out).spec.channels == count
        words = ("--data", out, "--batch", 8, "--kimg", 0.02, "--run", channels)
        result = ganctl("train", *words)
        assert result.returncode == 0, result.stderr
        with Image.open(next((ganctl.folder / channels / "samples").glob("*24.png"))) as grid:
            assert grid.mode == {1: "L", 3: "RGB", 4: "RGBA"}[count]


def test_training_prepares_with_the_same_steps(ganctl: CLI) -> None:
    for index in range(12):
        picture(ganctl.folder / "pictures", f"{index}.png", index)
    words = ("--source", "folder", "--source.path", "pictures", "--resolution", "8x12")
    options = ("--prepare.crop", "pad", "--prepare.channels", "gray", "--prepare.format", "jpeg")
    result = ganctl("train", *words, *options, "--batch", 4, "--kimg", 0.01, "--run", "run")
    assert result.returncode == 0, result.stderr
    (made,) = (ganctl.folder / "datasets").glob("folder-8x12x1-*.zip")
    same = ("--out", "same.zip", "--resolution", "8x12", "--crop", "pad", "--channels", "gray")
    prepared(ganctl, "pictures", *same, "--format", "jpeg")
    assert made.read_bytes() == (ganctl.folder / "same.zip").read_bytes()
    assert ganctl("resume", "run", "--kimg", 0.02).returncode == 0


def test_shards_are_named_by_a_pattern(ganctl: CLI) -> None:
    import tarfile

    for number in range(2):
        file = picture(ganctl.folder, "a.png", number)
        with tarfile.open(ganctl.folder / f"s-{number:03d}.tar", "w") as tar:
            tar.add(file, f"{number}.png")
    words = ("s-{000..001}.tar", "--source", "tar", "--out", "set.zip", "--resolution", 8)
    assert prepared(ganctl, *words)["images"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pictures", "--resolution", "8"), r"prepare: name the set to make: --out SET\.zip"),
        (("pictures", "--out", "set", "--resolution", "8"), r"--out set: a set is a \.zip"),
        (("pictures", "--out", "set.zip"), r"say how large the images shall be: --resolution"),
        (("--out", "set.zip"), r"say where the pictures are"),
        (("nowhere", "--out", "set.zip"), r"^ganctl: error: nowhere: no such file or folder$"),
        (("a.xyz", "--out", "set.zip", "--resolution", "8"), r"no installed source reads this"),
        (("pictures", "--out", "old.zip", "--resolution", "8"), r"old\.zip: exists already"),
        (("pictures", "--out", "s.zip", "--resolution", "x"), r"'x' is not a size such as"),
        (("pictures", "--out", "s.zip", "--crop", "round"), r"crop: 'round' is not one of"),
        (("pictures", "--out", "s.zip", "--background", "x"), r"'x' is not a colour"),
        (
            ("pictures", "--out", "old.zip/s.zip", "--resolution", "8"),
            r"cannot write old\.zip/s\.zip: Not a directory",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    ganctl: CLI, words: tuple[str, ...], message: str
) -> None:
    picture(ganctl.folder / "pictures", "a.png")
    (ganctl.folder / "a.xyz").write_bytes(b"what?")
    (ganctl.folder / "old.zip").write_bytes(b"mine")
    before = ganctl.files()
    result = ganctl.here("prepare", *words)
    refused(result, message, status=1 if "cannot write" in message else 2)
    assert ganctl.files() == before


def many(folder: Path, count: int) -> None:
    """JPEGs of noise, no two the same."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for index in range(count):
        Image.fromarray(np.roll(noise, divmod(index, 300), axis=(0, 1))[:64]).save(
            folder / f"{index:04d}.jpg"
        )


@pytest.mark.slow
def test_a_killed_preparation_goes_on_to_the_same_bytes(ganctl: CLI) -> None:
    many(ganctl.folder / "pictures", 1200)
    words = ("prepare", "pictures", "--resolution", "48", "--out")
    assert ganctl(*words, "whole.zip").returncode == 0
    whole = hashlib.sha256((ganctl.folder / "whole.zip").read_bytes()).hexdigest()
    chance = random.Random(0)
    shards = -1
    for _ in range(10):
        process = ganctl.start(*words, "set.zip")
        time.sleep(chance.uniform(0.3, 1.6))
        process.kill()
        process.communicate()
        if (ganctl.folder / "set.zip").exists():
            break
        now = len(list((ganctl.folder / ".set.zip.work").glob("0*.zip")))
        assert now >= shards  # what was done stays done
        shards = now
    if not (ganctl.folder / "set.zip").exists():
        assert ganctl(*words, "set.zip").returncode == 0
    assert hashlib.sha256((ganctl.folder / "set.zip").read_bytes()).hexdigest() == whole
    assert not (ganctl.folder / ".set.zip.work").exists()


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_goes_on(ganctl: CLI) -> None:
    many(ganctl.folder / "pictures", 1500)
    words = ("prepare", "pictures", "--resolution", "64", "--out", "set.zip")
    process = ganctl.start(*words)
    try:
        while not list(ganctl.folder.glob(".set.zip.work/000001.zip")):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 3, output
    assert output.splitlines()[-1] == "ganctl: stopped; the same command goes on where it was"
    assert list(ganctl.folder.glob(".set.zip.work/000001.zip"))
    assert ganctl(*words).returncode == 0
    assert len(Dataset(ganctl.folder / "set.zip")) == 1500


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_done(ganctl: CLI) -> None:
    import resource

    many(ganctl.folder / "pictures", 300)
    words = ("prepare", "pictures", "--resolution", "64", "--out", "set.zip")
    for limit in (500_000, 3_300_000):  # too little for a shard; for the set
        result = ganctl(
            *words,
            preexec_fn=lambda limit=limit: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, limit)
            ),
        )
        refused(result, r"cannot write .*File too large; what is done is kept", status=1)
        assert not (ganctl.folder / "set.zip").exists()
    assert len(list((ganctl.folder / ".set.zip.work").glob("0*.zip"))) == 2
    result = ganctl(*words)
    assert result.returncode == 0, result.stderr
    assert len(Dataset(ganctl.folder / "set.zip")) == 300


@pytest.mark.slow
def test_two_preparations_of_one_set_do_not_meet(ganctl: CLI) -> None:
    many(ganctl.folder / "pictures", 900)
    words = ("prepare", "pictures", "--resolution", "64", "--out", "set.zip")
    first = ganctl.start(*words)
    try:
        while not list(ganctl.folder.glob(".set.zip.work/lock")):
            assert first.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        refused(ganctl(*words), r"set\.zip: (another process is preparing|exists already)")
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.communicate()
    assert len(Dataset(ganctl.folder / "set.zip")) == 900


@pytest.mark.slow
def test_every_wrongness_is_accounted_for(ganctl: CLI, shared: Shared) -> None:
    import resource

    dirty = shared("data/dirty.zip")
    limit = 4 << 30
    result = ganctl(
        *("prepare", dirty, "--out", "set.zip", "--resolution", "64", "--json"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stderr.splitlines()) < 15, result.stderr  # libtiff would like to say more
    rows = table(ganctl.folder / "set.zip")
    with zipfile.ZipFile(dirty) as archive:
        names = {info.filename for info in archive.infolist() if not info.is_dir()}
        assert {row["file"] for row in rows} == names
        assert len(rows) == 250
        for row in rows:
            kept = row["kept"] == "yes"
            assert kept == bool(row["images"])
            assert kept != bool(row["why"])
            if row["file"].startswith("synthetic/valid_bomb"):
                assert not kept
        dataset = Dataset(ganctl.folder / "set.zip")
        assert len(dataset) == sum(row["kept"] == "yes" for row in rows)
        by_name = {row["file"]: row for row in rows}
        landscapes = [
            dataset.read(dataset.names.index(row["images"])).astype(int)
            for name, row in by_name.items()
            if name.startswith("exif_rotated/exif__Landscape")
        ]
        assert len(landscapes) == 5  # one scene, turned five ways, but for a number in its middle
        assert max(np.abs(one - landscapes[0]).mean() for one in landscapes) < 5
        for name in ("png_16bit/irs__basi0g16.png", "rgba/mei__basn6a08.png"):
            data = decode(archive.read(name), 3)  # 32 x 32; its own tests say that it is right
            image = Image.fromarray(data).resize((64, 64), Image.Resampling.LANCZOS)
            index = dataset.names.index(by_name[name]["images"])
            assert np.array_equal(dataset.read(index).transpose(1, 2, 0), np.asarray(image))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "images"),
    [
        ("covers128.zip", ("--resolution", "64"), 1400),
        ("covers256-by-genre.zip", ("--resolution", "96x128"), 480),
        ("anime96.zip", ("--resolution", "96"), 1190),
        ("cats256.zip", ("--resolution", "64", "--format", "jpeg"), 390),
        ("mnist", (), 60_000),
        ("cifar-10-batches-py", (), 4_000),
    ],
)
def test_real_sets_are_prepared_and_trained_on(
    ganctl: CLI, shared: Shared, name: str, words: tuple[str, ...], images: int
) -> None:
    outcome = prepared(ganctl, shared(f"data/{name}"), "--out", "set.zip", *words)
    assert outcome["images"] >= images
    if "genre" in name:
        assert len(outcome["labels"]) == 6
    result = ganctl("train", "--data", "set.zip", "--batch", 64, "--kimg", 0.2, "--run", "run")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_faces_of_a_drawing_become_a_set(ganctl: CLI, shared: Shared) -> None:
    pytest.importorskip("cv2")
    (ganctl.folder / "pictures").mkdir()
    os.symlink(shared("data/anime-detector/bchao1_test.jpg"), ganctl.folder / "pictures/sheet.jpg")
    words = ("--out", "set.zip", "--resolution", "64", "--crop", "anime-face")
    assert 60 <= prepared(ganctl, "pictures", *words)["images"] <= 64
