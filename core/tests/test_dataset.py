"""Prepared sets: written whole or not at all, read back as they were, faults named."""

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganctl.data.dataset import Dataset, DatasetWriter, is_image_name
from ganctl.data.pixels import Pixels
from ganctl.errors import UserError
from ganctl.spec import ImageSpec

RGB = ImageSpec(6, 8, 3)


def picture(seed: int, spec: ImageSpec = RGB) -> Pixels:
    shape = (spec.height, spec.width, spec.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, labels: list[str | None], spec: ImageSpec = RGB) -> Path:
    with DatasetWriter(path, spec) as writer:
        for index, label in enumerate(labels):
            writer.add(picture(index, spec), label)
    return path


def save(file: Path, width: int, height: int, value: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, value, value)).save(file)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def in_a_process(folder: Path, script: str) -> str:
    """Run a script in a process of its own and return its standard output.

    Objects that complain while they are thrown away do so on standard error, where users
    would see it: nothing may stand there.
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_come_back_as_they_were(tmp_path: Path, channels: int) -> None:
    spec = ImageSpec(6, 8, channels)
    dataset = Dataset(write(tmp_path / "set.zip", [None] * 3, spec))
    assert len(dataset) == 3
    assert dataset.spec == spec
    for index in range(3):
        pixels = dataset.read(index)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels.transpose(1, 2, 0), picture(index, spec))


def test_a_folder_reads_as_the_zip_does(tmp_path: Path) -> None:
    packed = write(tmp_path / "set.zip", ["b", "a", "b"])
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "folder")
    one, other = Dataset(packed), Dataset(tmp_path / "folder")
    assert one.names == other.names
    assert one.spec == other.spec
    assert np.array_equal(one.labels, other.labels)
    assert all(np.array_equal(one.read(i), other.read(i)) for i in range(3))


def test_labels_number_the_class_names_in_natural_order(tmp_path: Path) -> None:
    dataset = Dataset(write(tmp_path / "set.zip", ["10", "9", "b", "a", "9"]))
    assert dataset.spec.class_names == ("9", "10", "a", "b")
    assert dataset.spec.classes == 4
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 3, 2, 0]


def test_the_list_is_what_stylegan2_ada_reads(tmp_path: Path) -> None:
    with zipfile.ZipFile(write(tmp_path / "set.zip", ["x", "y"])) as archive:
        listing = json.loads(archive.read("dataset.json"))
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
    assert listing["labels"] == [["00000/img00000000.png", 0], ["00000/img00000001.png", 1]]


def test_a_set_in_which_some_pictures_have_no_label_has_no_labels(tmp_path: Path) -> None:
    dataset = Dataset(write(tmp_path / "set.zip", ["a", None, "b"]))
    assert dataset.labels is None
    assert dataset.spec.classes == 0


def test_classes_are_counted_from_the_labels_when_they_have_no_names(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4, 4)
    save(tmp_path / "b.png", 4, 4)
    (tmp_path / "dataset.json").write_text('{"labels": [["a.png", 4], ["b.png", 0]]}')
    dataset = Dataset(tmp_path)
    assert dataset.spec.classes == 5
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [4, 0]


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    one = write(tmp_path / "one.zip", ["a", "b"])
    other = write(tmp_path / "other.zip", ["a", "b"])
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:  # the clock has no part in it
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_set_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "set.zip", RGB) as writer:
        writer.add(picture(0), None)
        assert not (tmp_path / "set.zip").exists()
    assert files(tmp_path) == ["set.zip"]


def test_an_error_while_writing_leaves_the_old_set_and_no_litter(tmp_path: Path) -> None:
    before = write(tmp_path / "set.zip", [None]).read_bytes()
    output = in_a_process(
        tmp_path,
        """
        from pathlib import Path
        import numpy as np
        from ganctl.data.dataset import DatasetWriter
        from ganctl.spec import ImageSpec

        try:
            with DatasetWriter(Path("set.zip"), ImageSpec(6, 8, 3)) as writer:
                writer.add(np.zeros((6, 8, 3), np.uint8), None)
                raise KeyError("enough")
        except KeyError as error:
            print("raised", error)
        """,
    )
    assert output == "raised 'enough'\n"
    assert (tmp_path / "set.zip").read_bytes() == before
    assert files(tmp_path) == ["set.zip"]


@pytest.mark.parametrize("limit", [10, 20_000])
def test_a_full_disk_names_the_set_and_leaves_no_litter(tmp_path: Path, limit: int) -> None:
    output = in_a_process(
        tmp_path,
        f"""
        import resource
        from pathlib import Path
        import numpy as np
        from ganctl.data.dataset import DatasetWriter
        from ganctl.errors import GanctlError
        from ganctl.spec import ImageSpec

        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            with DatasetWriter(Path("set.zip"), ImageSpec(6, 8, 3)) as writer:
                for _ in range(400):
                    writer.add(np.zeros((6, 8, 3), np.uint8), None)
        except GanctlError as error:
            print(error)
        """,
    )
    assert output == "cannot write set.zip: File too large\n"
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_picture_of_another_size_is_named(tmp_path: Path, kind: str) -> None:
    save(tmp_path / "set/a.png", 8, 6)
    save(tmp_path / "set/b.png", 6, 8)
    path = tmp_path / "set"
    if kind == "zip":
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("a.png", "b.png"):
                archive.write(tmp_path / "set" / name, name)
    dataset = Dataset(path)
    dataset.read(0)
    with pytest.raises(UserError, match=r"b\.png is 8x6 but a\.png is 6x8"):
        dataset.read(1)


def test_pictures_are_found_in_folders_below_and_litter_is_not(tmp_path: Path) -> None:
    for name in ("z.png", "sub/a.JPG", "sub/deeper/b.webp", ".hidden/c.png", "__MACOSX/d.png"):
        save(tmp_path / name, 4, 4)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._z.png").write_text("not a picture either")
    assert Dataset(tmp_path).names == ["sub/a.JPG", "sub/deeper/b.webp", "z.png"]


@pytest.mark.parametrize(
    ("name", "picture_file"),
    [("a.png", True), ("A.JPEG", True), ("x/a.tif", True), ("a.txt", False), (".a.png", False)],
)
def test_image_names(name: str, picture_file: bool) -> None:
    assert is_image_name(name) is picture_file


def test_a_photo_that_lies_on_its_side_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 4)).save(tmp_path / name, exif=exif)
    dataset = Dataset(tmp_path)
    assert (dataset.spec.height, dataset.spec.width) == (8, 4)
    assert dataset.read(0).shape == dataset.read(1).shape == (3, 8, 4)


def test_what_is_no_set_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.zip").write_bytes(write(tmp_path / "set.zip", [None]).read_bytes()[:-10])
    (tmp_path / "text.zip").write_text("hello")
    for name, why in (
        ("nowhere", "no such file or folder"),
        ("empty", "no pictures in it"),
        ("cut.zip", "not a zip file, or cut short"),
        ("text.zip", "not a zip file"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            Dataset(tmp_path / name)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        ("{", "not a list of labels"),
        ("[1, 2]", "not a list of labels"),
        ('{"labels": [["a.png", "cat"]]}', "not a list of labels"),
        ('{"labels": [["a.png", -1]]}', "negative label"),
        ('{"labels": [["b.png", 0]]}', r"no label for 'a\.png'"),
        ('{"labels": []}', r"no label for 'a\.png'"),
    ],
)
def test_a_damaged_list_of_labels_says_why(tmp_path: Path, listing: str, why: str) -> None:
    save(tmp_path / "a.png", 4, 4)
    (tmp_path / "dataset.json").write_text(listing)
    with pytest.raises(UserError, match=why):
        Dataset(tmp_path)


def test_labels_that_are_null_mean_none(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4, 4)
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert Dataset(tmp_path).labels is None


def damaged_zip(path: Path, damaged: str, compression: int) -> Path:
    """A zip of two pictures and a list in which one member's content was overwritten."""
    save(path.parent / "loose/a.png", 4, 4)
    save(path.parent / "loose/b.png", 4, 4)
    (path.parent / "loose/dataset.json").write_text('{"labels": [["a.png", 0], ["b.png", 1]]}')
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in ("a.png", "b.png", "dataset.json"):
            archive.write(path.parent / "loose" / name, name)
        member = archive.getinfo(damaged)
    content = bytearray(path.read_bytes())
    start = member.header_offset + 30 + len(damaged)
    content[start : start + member.compress_size] = b"\xff" * member.compress_size
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_picture_in_a_zip_is_named(tmp_path: Path, compression: int) -> None:
    dataset = Dataset(damaged_zip(tmp_path / "set.zip", "b.png", compression))
    dataset.read(0)
    with pytest.raises(UserError, match=r"set\.zip: cannot read b\.png"):
        dataset.read(1)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_list_in_a_zip_is_named(tmp_path: Path, compression: int) -> None:
    with pytest.raises(UserError, match=r"dataset\.json"):
        Dataset(damaged_zip(tmp_path / "set.zip", "dataset.json", compression))


def test_the_fingerprint_stays_while_nothing_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "set.zip", ["a", "b"])
    assert Dataset(path).fingerprint() == Dataset(path).fingerprint()


def test_the_fingerprint_of_a_zip_changes_with_pictures_and_labels(tmp_path: Path) -> None:
    seen = {
        Dataset(write(tmp_path / f"{number}.zip", labels, spec)).fingerprint()
        for number, (labels, spec) in enumerate(
            [
                (["a", "b"], RGB),
                (["b", "a"], RGB),
                (["a", "b", "b"], RGB),
                (["a", "b"], ImageSpec(6, 9, 3)),
            ]
        )
    }
    assert len(seen) == 4


def test_the_fingerprint_of_a_folder_changes_with_pictures_and_labels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4, 4)
    save(tmp_path / "b.png", 4, 4)
    (tmp_path / "dataset.json").write_text('{"labels": [["a.png", 0], ["b.png", 1]]}')
    seen = {Dataset(tmp_path).fingerprint()}
    (tmp_path / "dataset.json").write_text('{"labels": [["a.png", 1], ["b.png", 0]]}')
    seen.add(Dataset(tmp_path).fingerprint())
    save(tmp_path / "b.png", 4, 4, value=200)
    seen.add(Dataset(tmp_path).fingerprint())
    assert len(seen) == 3
