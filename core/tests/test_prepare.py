"""From a source to a set: what is kept, what is left out and why, and going on after a stop."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from ganctl import GanctlError, ImageSpec, Item, NoOptions, Source, UserError
from ganctl.data import parallel
from ganctl.data import prepare as module
from ganctl.data.dataset import Dataset
from ganctl.data.pixels import Pixels, Unreadable, decode
from ganctl.data.preparation import Preparation
from ganctl.data.prepare import prepare, prepared_path

SPEC = ImageSpec(8, 8, 3)


def drawn(seed: int, height: int = 16, width: int = 16) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()


class Drawer(Source[NoOptions], api=1):
    """Pictures by key; the label is the key's first letter."""

    def __init__(self, contents: dict[str, bytes | Pixels | Exception]) -> None:
        self.contents = contents
        self.opened: list[str] = []
        self.version = "1"

    def fingerprint(self, options: NoOptions) -> str:
        return self.version

    def items(self, options: NoOptions) -> Iterator[Item]:
        for key in self.contents:
            yield Item(key=key, uri=key, label=key[0])

    def open(self, options: NoOptions, item: Item) -> bytes | Pixels:
        self.opened.append(item.key)
        content = self.contents[item.key]
        if isinstance(content, Exception):
            raise content
        return content


def table(path: Path) -> list[dict[str, str]]:
    """The rows of report.csv."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read("report.csv").decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def reasons(path: Path) -> dict[str, str]:
    return {row["file"]: row["why"] for row in table(path) if row["kept"] == "no"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(tmp_path: Path, contents: dict[str, Any], spec: ImageSpec = SPEC, **how: Any) -> Path:
    path = tmp_path / "set.zip"
    prepare(Drawer(contents), NoOptions(), spec, path, Preparation(**how))
    return path


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    contents = {
        "a1": drawn(1),
        "a2": b"hello",
        "b1": drawn(2, 4, 6),
        "b2": Unreadable("locked away"),
        "b3": drawn(1),
        "b4": decode(drawn(1), 3),
        "c1": np.full((9, 9, 3), 7, np.uint8),
        'odd\nname,"x"': drawn(3),
    }
    told: list[int] = []
    path = tmp_path / "set.zip"
    report = prepare(Drawer(contents), NoOptions(), SPEC, path, advance=told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert [row["file"] for row in table(path)] == list(contents)
    assert reasons(path) == {
        "a2": "unreadable: not a picture file",
        "b2": "unreadable: locked away",
        "b3": "duplicate: the same file as a1",
        "b4": "duplicate: the same pixels as a1",
        "c1": "blank: all of nearly one colour",
    }
    kept = [row for row in table(path) if row["kept"] == "yes"]
    assert [row["images"] for row in kept] == [f"00000/img{i:08d}.png" for i in range(3)]
    assert (kept[1]["width"], kept[1]["height"], kept[1]["label"]) == ("6", "4", "b")
    assert (report.kept, report.pictures, report.enlarged) == (3, 8, 1)
    assert report.left_out == {"unreadable": 2, "duplicate": 2, "blank": 1}
    dataset = Dataset(path)
    assert (len(dataset), dataset.spec.class_names) == (3, ("a", "b", "o"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.zip"]


def test_a_published_set_is_kept_whole(tmp_path: Path) -> None:
    class Published(Drawer, api=1):
        curated = True

    contents: Any = {"a": drawn(1), "b": drawn(1), "c": np.zeros((8, 8, 3), np.uint8)}
    path = tmp_path / "set.zip"
    assert prepare(Published(contents), NoOptions(), SPEC, path).kept == 3


def test_nothing_usable_leaves_nothing_behind(tmp_path: Path) -> None:
    for contents in ({}, {"a": b"hello"}):
        with pytest.raises(UserError, match="no usable picture among"):
            make(tmp_path, contents)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "bad", "why"),
    [
        ({"min_size": 12}, drawn(1, 10, 40), "too small: a side of 10 pixels"),
        ({"min_bytes": 1200}, drawn(1), "too small: 8"),
        ({"max_pixels": 1000}, drawn(1, 40, 40), "unreadable: 40x40 is over 1,000 pixels"),
        ({"crop": "none"}, drawn(1, 8, 9), "of another size: 8x9 (height x width)"),
        ({"min_deviation": 60}, np.full((8, 8, 3), 7, np.uint8), "blank: "),
        ({"crop": "pad"}, np.full((8, 16, 3), 7, np.uint8), "blank: "),
    ],
)
def test_what_is_not_wanted_is_left_out(
    tmp_path: Path, how: dict[str, Any], bad: Any, why: str
) -> None:
    spec = ImageSpec(20, 20, 3)
    path = make(tmp_path, {"good": drawn(2, 20, 20), "bad": bad}, spec, **how)
    assert list(reasons(path)) == ["bad"]
    assert reasons(path)["bad"].startswith(why)


def test_near_duplicates_are_left_out(tmp_path: Path) -> None:
    smooth = Image.open(io.BytesIO(drawn(1, 8, 8))).resize((64, 64), Image.Resampling.BICUBIC)
    contents = {}
    for name, image in {"a": smooth, "b": smooth.resize((50, 50))}.items():
        buffer = io.BytesIO()
        image.save(buffer, "jpeg")
        contents[name] = buffer.getvalue()
    contents["c"] = drawn(2, 64, 64)
    assert reasons(make(tmp_path, contents, near_duplicates=6)) == {
        "b": "near duplicate: looks like a"
    }


def test_discs_become_labels(tmp_path: Path) -> None:
    y, x = np.ogrid[-1:1:64j, -1:1:64j]
    record = np.where(np.hypot(y, x)[:, :, None] < 0.98, 20, 255).astype(np.uint8).repeat(3, axis=2)
    contents = {"a": record, "b": drawn(2)}
    path = make(tmp_path, contents, ImageSpec(32, 32, 3), discs="label")
    assert [row["label"] for row in table(path)] == ["disc", "square"]
    path.unlink()
    assert list(reasons(make(tmp_path, contents, ImageSpec(32, 32, 3), discs="drop"))) == ["a"]


@pytest.mark.parametrize("channels", ["gray", "rgb", "rgba"])
@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_the_set_has_the_channels_and_size_asked_for(
    tmp_path: Path, channels: Any, size: tuple[int, int]
) -> None:
    count = {"gray": 1, "rgb": 3, "rgba": 4}[channels]
    path = make(tmp_path, {"a": drawn(1), "b": drawn(2, 30, 9)}, ImageSpec(*size, count))
    dataset = Dataset(path)
    assert dataset.spec == ImageSpec(*size, count, 2, ("a", "b"))
    assert dataset.read(1).shape == (count, *size)


def test_jpegs_are_of_full_chroma(tmp_path: Path) -> None:
    path = make(tmp_path, {"a": drawn(1, 64, 64)}, ImageSpec(64, 64, 3), format="jpeg")
    with zipfile.ZipFile(path) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        image = Image.open(archive.open("00000/img00000000.jpg"))
        image.load()
    assert image.format == "JPEG"
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


def test_wrong_options_say_so() -> None:
    for how, message in (
        ({"background": "no colour"}, "is not a colour such as white"),
        ({"format": "jpeg", "channels": "rgba"}, "jpeg holds no alpha"),
    ):
        with pytest.raises(UserError, match=message):
            Preparation(**how)  # type: ignore[arg-type]


def test_the_channels_are_those_of_the_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jpeg holds no alpha"):
        make(tmp_path, {"a": drawn(1)}, ImageSpec(8, 8, 4), format="jpeg")
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_preparation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 4)
    contents: dict[str, Any] = {f"a{i:02d}": drawn(i) for i in range(22)}
    whole = digest(make(tmp_path, contents))
    (tmp_path / "set.zip").unlink()

    source = Drawer({**contents, "a17": UserError("the service is gone")})
    with pytest.raises(UserError, match="the service is gone"):
        prepare(source, NoOptions(), SPEC, tmp_path / "set.zip")
    assert not (tmp_path / "set.zip").exists()
    again = Drawer(contents)
    prepare(again, NoOptions(), SPEC, tmp_path / "set.zip")
    assert sorted(again.opened) == [f"a{i:02d}" for i in range(16, 22)]
    assert digest(tmp_path / "set.zip") == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.zip"]


def test_the_number_of_threads_does_not_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 5)
    contents: dict[str, Any] = {f"a{i:02d}": drawn(i % 9) for i in range(23)}
    digests = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(parallel, "cores", lambda threads=threads: threads)
        digests.add(digest(make(tmp_path, contents)))
        (tmp_path / "set.zip").unlink()
    assert len(digests) == 1


@pytest.mark.parametrize("change", ["pictures", "options", "items"])
def test_the_shards_of_other_work_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(module, "SHARD", 2)
    contents: dict[str, Any] = {f"a{i}": drawn(i) for i in range(5)}
    with pytest.raises(KeyError):
        prepare(Drawer({**contents, "a4": KeyError()}), NoOptions(), SPEC, tmp_path / "set.zip")
    source, how = Drawer(contents), Preparation()
    if change == "pictures":
        source.version = "2"
    elif change == "options":
        how = Preparation(crop="squash")
    else:  # though its fingerprint does not tell
        source.contents = {"b": drawn(9), **contents}
    prepare(source, NoOptions(), SPEC, tmp_path / "set.zip", how)
    assert sorted(source.opened) == sorted(source.contents)


def test_pictures_that_change_meanwhile_are_noticed(tmp_path: Path) -> None:
    class Changing(Drawer, api=1):
        def open(self, options: NoOptions, item: Item) -> bytes | Pixels:
            self.version = "2"
            return super().open(options, item)

    with pytest.raises(GanctlError, match="changed while they were prepared"):
        prepare(Changing({"a": drawn(1)}), NoOptions(), SPEC, tmp_path / "set.zip")
    assert not (tmp_path / "set.zip").exists()


def test_one_process_at_a_time_makes_a_set(tmp_path: Path) -> None:
    (tmp_path / ".set.zip.work").mkdir()
    with (
        FileLock(tmp_path / ".set.zip.work/lock"),
        pytest.raises(UserError, match="another process is preparing this set"),
    ):
        make(tmp_path, {"a": drawn(1)})
    path = make(tmp_path, {"a": drawn(1)})
    with pytest.raises(UserError, match="exists already"):
        make(tmp_path, {"a": drawn(1)})
    assert path.exists()


def test_a_prepared_set_is_named_after_all_that_it_depends_on(tmp_path: Path) -> None:
    source, how = Drawer({}), Preparation()
    first = prepared_path(tmp_path, "drawer", source, NoOptions(), SPEC, how)
    assert first == prepared_path(tmp_path, "drawer", source, NoOptions(), SPEC, how)
    changed = Drawer({})
    changed.version = "2"
    others = {
        prepared_path(tmp_path, "drawer", source, NoOptions(), ImageSpec(8, 8, 1), how),
        prepared_path(tmp_path, "folder", source, NoOptions(), SPEC, how),
        prepared_path(tmp_path, "drawer", source, NoOptions(), SPEC, Preparation(crop="pad")),
        prepared_path(tmp_path, "drawer", changed, NoOptions(), SPEC, how),
    }
    assert len({first, *others}) == 5


def test_sizes_in_the_report_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawn(1, 10, 30))).save(buffer, "jpeg", exif=exif)
    (row,) = table(make(tmp_path, {"a": buffer.getvalue()}))
    assert (row["width"], row["height"]) == ("10", "30")
