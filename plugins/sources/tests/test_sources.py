"""Pictures from folders, zips and idx files; downloads over the loopback interface."""

import gc
import gzip
import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from ganctl import GanctlError, ImageSpec, Source, Unreadable, UserError
from ganctl.data.dataset import Dataset
from ganctl.data.pixels import decode
from ganctl.data.prepare import prepare
from ganctl_sources import files
from ganctl_sources.mnist import MNIST, FashionMNIST, MNISTOptions
from ganctl_sources.pictures import Folder, PicturesOptions, Zip

SHARED = Path(__file__).resolve().parents[4] / "shared"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs shared/{name}, which is not here")
    return path


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between the tests and the loopback interface."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def png(value: int, size: tuple[int, int] = (4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, "png")
    return buffer.getvalue()


PICTURES = {"b/2.png": png(2), "a/1.png": png(1), "a/deep/3.png": png(3)}
LITTER = {
    ".hidden.png": b"x",
    "a/.thumbs/1.png": b"x",
    "__MACOSX/._1.png": b"x",
    "Thumbs.db": b"x",
    "a/desktop.ini": b"x",
    "report.csv": b"x",
}


def as_folder(root: Path, content: dict[str, bytes]) -> PicturesOptions:
    for name, data in content.items():
        file = root / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return PicturesOptions(path=str(root / "pictures"))


def as_zip(root: Path, content: dict[str, bytes]) -> PicturesOptions:
    with zipfile.ZipFile(root / "pictures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return PicturesOptions(path=str(root / "pictures.zip"))


KINDS = [pytest.param(Folder(), as_folder, id="folder"), pytest.param(Zip(), as_zip, id="zip")]
Make = Callable[[Path, dict[str, bytes]], PicturesOptions]


@pytest.mark.parametrize(("source", "make"), KINDS)
def test_pictures_come_sorted_with_the_first_folder_as_label(
    tmp_path: Path, source: Source[Any], make: Make
) -> None:
    options = make(tmp_path, PICTURES | LITTER)
    source.check(options)
    every = list(source.items(options))
    assert source.count(options) == len(every) == 6
    assert sorted(i.key for i in every) == sorted(
        [*PICTURES, ".hidden.png", "Thumbs.db", "a/desktop.ini"]
    )
    items = [item for item in every if item.key in PICTURES]
    for item in (item for item in every if item not in items):
        with pytest.raises(Unreadable, match="hidden, or left by the operating system"):
            source.open(options, item)
    assert [(i.key, i.label) for i in items] == [
        ("a/1.png", "a"),
        ("a/deep/3.png", "a"),
        ("b/2.png", "b"),
    ]
    assert all(item.uri == f"{options.path}/{item.key}" for item in items)
    assert [decode(source.open(options, i), 1)[0, 0, 0] for i in items] == [1, 3, 2]


@pytest.mark.parametrize(("source", "make"), KINDS)
def test_pictures_at_the_top_have_no_label(tmp_path: Path, source: Source[Any], make: Make) -> None:
    options = make(tmp_path, {"1.png": png(1)})
    assert [item.label for item in source.items(options)] == [None]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("covers/jazz/x.png covers/rock/y.png", ["jazz", "rock"]),
        ("covers/x.png covers/y.png", [None, None]),
        ("a/b/c/x.png a/b/d/e/y.png", ["c", "d"]),
        ("a/x.png a/b/y.png", ["b", None]),  # in order of the names: a/b/y.png first
        ("README.txt covers/jazz/x.png covers/rock/y.png", [None, "jazz", "rock"]),
        ("jazz/x.png rock/y.png z.png", ["jazz", "rock", None]),
        ("jazz/1.dat rock/2.dat", ["jazz", "rock"]),
    ],
)
@pytest.mark.parametrize(("source", "make"), KINDS)
def test_folders_that_all_pictures_share_are_no_label(
    tmp_path: Path, source: Source[Any], make: Make, names: str, labels: list[str | None]
) -> None:
    options = make(tmp_path, {name: png(1) for name in names.split()})
    assert [item.label for item in source.items(options)] == labels


@pytest.mark.parametrize(("source", "make"), KINDS)
def test_every_file_is_an_item_whatever_its_name(
    tmp_path: Path, source: Source[Any], make: Make
) -> None:
    names = ["a/notes.txt", "b/dataset.json", "b/report.csv", "picture"]
    options = make(tmp_path, dict.fromkeys(names, b"x"))
    assert [item.key for item in source.items(options)] == names


def listing(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({"labels": [["a/1.png", 1], ["b/2.png", 0]]}, ["1", "0", None]),
        ({"labels": [["a/1.png", 1]], "label_names": ["cat", "dog"]}, ["dog", None, None]),
        ({"labels": None}, [None, None, None]),
    ],
)
@pytest.mark.parametrize(("source", "make"), KINDS)
def test_a_listing_gives_the_labels_instead_of_the_folders(
    tmp_path: Path, source: Source[Any], make: Make, content: object, labels: list[str | None]
) -> None:
    files = {"a/1.png": png(1), "b/2.png": png(2), "b/3.png": png(3)}
    options = make(tmp_path, files | {"dataset.json": listing(content)})
    assert [item.label for item in source.items(options)] == labels


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff", b"[1]", b"[" * 100_000),
        *({"labels": 3}, {"labels": [3]}, {"labels": [["a.png"]]}, {"labels": [[["a"], 1]]}),
        *({"labels": [["a.png", label]]} for label in (1.5, "1", True, -1, [0.1, 0.2])),
        *({"labels": [["a.png", 1]], "label_names": names} for names in (["a"], {"a": 1}, 3)),
    ],
)
@pytest.mark.parametrize(("source", "make"), KINDS)
def test_a_malformed_listing_is_named(
    tmp_path: Path, source: Source[Any], make: Make, content: object
) -> None:
    options = make(tmp_path, {"a.png": png(1), "dataset.json": listing(content)})
    with pytest.raises(UserError, match=r"dataset\.json is not a list of labels") as caught:
        list(source.items(options))
    assert "\n" not in str(caught.value)


def test_links_are_followed_to_files_and_not_to_folders(tmp_path: Path) -> None:
    options = as_folder(tmp_path, PICTURES)
    root = tmp_path / "pictures"
    (root / "loop").symlink_to(root)
    (root / "link.png").symlink_to(root / "a/1.png")
    (root / "nowhere.png").symlink_to(root / "gone")
    os.mkfifo(root / "pipe.png")
    items = {item.key: item for item in Folder().items(options)}
    assert items.keys() == {*PICTURES, "loop", "link.png", "nowhere.png", "pipe.png"}
    assert Folder().open(options, items["link.png"]) == png(1)
    for name, reason in (("loop", "folder"), ("nowhere.png", "no such"), ("pipe.png", "regular")):
        with pytest.raises(Unreadable, match=reason):
            Folder().open(options, items[name])
    assert Folder().fingerprint(options)


def test_a_folder_that_may_not_be_entered_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = as_folder(tmp_path, PICTURES)
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="a/deep: Permission denied"):
        list(Folder().items(options))


def test_an_encrypted_member_is_unreadable_and_not_fatal(tmp_path: Path) -> None:
    options = as_zip(tmp_path, {"a.png": png(1), "b.png": png(2)})
    content = bytearray(Path(options.path).read_bytes())
    for head, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(head) + flags] |= 1
    Path(options.path).write_bytes(content)
    first, second = Zip().items(options)
    with pytest.raises(Unreadable, match="encrypted"):
        Zip().open(options, first)
    assert Zip().open(options, second) == png(2)


def test_the_last_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    options = as_zip(tmp_path, {"a.png": png(1)})
    with zipfile.ZipFile(options.path, "a") as archive, pytest.warns(UserWarning, match="Dupl"):
        archive.writestr("a.png", png(2))
    (item,) = Zip().items(options)
    assert Zip().open(options, item) == png(2)


@pytest.mark.parametrize(("source", "make"), KINDS)
def test_nothing_to_read_says_why(tmp_path: Path, source: Source[Any], make: Make) -> None:
    kind = type(source).__name__.lower()
    with pytest.raises(UserError, match=f"source {kind}: say where"):
        source.check(PicturesOptions())
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        source.check(PicturesOptions(path=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="no pictures in"):
        source.check(make(tmp_path, LITTER))


def test_the_wrong_kind_of_place_names_the_right_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use --source zip"):
        Folder().check(as_zip(tmp_path, PICTURES))
    with pytest.raises(UserError, match="use --source folder"):
        Zip().check(as_folder(tmp_path, PICTURES))


def test_what_is_no_zip_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("hello")
    with pytest.raises(UserError, match=r"a\.zip: not a readable zip"):
        Zip().check(PicturesOptions(path=str(tmp_path / "a.zip")))


def test_a_folders_fingerprint_follows_its_pictures(tmp_path: Path) -> None:
    options = as_folder(tmp_path, PICTURES)
    seen = [Folder().fingerprint(options), Folder().fingerprint(options)]
    as_folder(tmp_path, {"b/4.png": png(4)})
    seen.append(Folder().fingerprint(options))
    file = tmp_path / "pictures/b/4.png"
    file.write_bytes(png(5))
    os.utime(file, (1, 1))
    seen.append(Folder().fingerprint(options))
    file.unlink()
    seen.append(Folder().fingerprint(options))
    assert seen[0] == seen[1] == seen[4]
    assert len(set(seen)) == 3


def test_a_zips_fingerprint_follows_its_pictures_and_not_its_place(tmp_path: Path) -> None:
    options = as_zip(tmp_path, PICTURES)
    first = Zip().fingerprint(options)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(options.path).rename(tmp_path / "elsewhere/other.zip")
    assert Zip().fingerprint(PicturesOptions(path=str(moved))) == first
    assert Zip().fingerprint(as_zip(tmp_path, PICTURES | {"b/2.png": png(9)})) != first


def test_a_picture_that_went_away_is_unreadable_and_not_fatal(tmp_path: Path) -> None:
    options = as_folder(tmp_path, PICTURES)
    items = list(Folder().items(options))
    (tmp_path / "pictures/a/1.png").unlink()
    with pytest.raises(Unreadable, match="no such file"):
        Folder().open(options, items[0])


@pytest.mark.parametrize(("source", "make"), KINDS)
def test_a_file_over_the_limit_is_unreadable_and_not_read(
    tmp_path: Path, source: Source[Any], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 2**20)
    options = make(tmp_path, {"big.png": bytes(2**20 + 1), "fits.png": bytes(2**20)})
    big, fits = source.items(options)
    with pytest.raises(Unreadable, match="over 1 MB"):
        source.open(options, big)
    assert len(source.open(options, fits)) == 2**20


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_unreadable_and_not_fatal(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.png", png(1))
        archive.writestr("b.png", png(2))
        member = archive.getinfo("a.png")
    content = bytearray(path.read_bytes())
    start = member.header_offset + 30 + len("a.png")
    content[start : start + member.compress_size] = b"\xff" * member.compress_size
    path.write_bytes(content)
    options = PicturesOptions(path=str(path))
    first, second = Zip().items(options)
    with pytest.raises(Unreadable):
        Zip().open(options, first)
    assert Zip().open(options, second) == png(2)


def test_reading_a_large_zip_takes_time_in_proportion(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        """For the first 20 pictures of a zip of so many."""
        (tmp_path / str(count)).mkdir()
        options = as_zip(tmp_path / str(count), {f"{i:05d}.png": b"x" * 40 for i in range(count)})
        items = list(Zip().items(options))[:20]
        start = time.perf_counter()
        for item in items:
            Zip().open(options, item)
        return time.perf_counter() - start

    small, large = seconds(300), seconds(8000)
    assert large < 5 * small + 0.2, (small, large)


@pytest.mark.slow
def test_every_way_a_picture_can_be_wrong_is_survived(tmp_path: Path) -> None:
    options = PicturesOptions(path=str(shared("data/dirty.zip")))
    total = Zip().count(options)
    report = prepare(Zip(), options, ImageSpec(32, 32, 3), tmp_path / "set.zip")
    assert report.pictures == total
    assert report.kept > 100
    assert report.left_out
    assert all(said and "\n" not in said for _, said in report.first.values())
    dataset = Dataset(tmp_path / "set.zip")
    assert len(dataset) == report.kept
    for index in range(len(dataset)):
        assert dataset.read(index).shape == (3, 32, 32)


# --- the MNIST family ---------------------------------------------------------------------


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """An array of unsigned bytes as LeCun's files hold it."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 2, 1, 0, 4], dtype=np.uint8)
SERVED = {
    "t10k-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES), mtime=0),
    "t10k-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS), mtime=0),
}


class FivePictures(MNIST, api=1):
    """MNIST's test part with five pictures: a family member as Fashion-MNIST is one."""

    folder = "five"
    checksums: ClassVar[dict[str, str]] = {
        name.removesuffix(".gz"): hashlib.md5(data, usedforsecurity=False).hexdigest()
        for name, data in SERVED.items()
    }


def options(path: Path, url: str = "") -> MNISTOptions:
    return MNISTOptions(path=str(path), split="test", url=url)


def check_five(source: MNIST, where: MNISTOptions) -> None:
    items = list(source.items(where))
    assert [item.label for item in items] == ["7", "2", "1", "0", "4"]
    assert [item.key for item in items] == [f"t10k/{i:05d}" for i in range(5)]
    assert all(np.array_equal(source.open(where, items[i]), IMAGES[i]) for i in range(5))


@contextmanager
def server(files: dict[str, bytes], cut: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A web server on the loopback interface: its address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = files.get(self.path.rpartition("/")[2])
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/", asked
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize("folder", ["", "five"])
@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_read_where_they_lie(tmp_path: Path, zipped: bool, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, data in SERVED.items():
        plain = name.removesuffix(".gz")
        if zipped:
            (tmp_path / folder / name).write_bytes(data)
        else:
            (tmp_path / folder / plain).write_bytes(gzip.decompress(data))
    check_five(FivePictures(), options(tmp_path, "http://127.0.0.1:1/"))


def test_what_is_missing_is_downloaded_once(tmp_path: Path) -> None:
    with server(SERVED) as (url, asked):
        check_five(FivePictures(), options(tmp_path / "new", url))
        assert sorted(asked) == [f"/{name}" for name in SERVED]
    assert sorted(p.name for p in (tmp_path / "new/five").iterdir()) == sorted(SERVED)
    check_five(FivePictures(), options(tmp_path / "new", url))  # the server is gone


def test_threads_that_want_one_file_download_it_once(tmp_path: Path) -> None:
    with server(SERVED) as (url, asked), ThreadPoolExecutor(8) as pool:
        where = options(tmp_path / "new", url)
        item = next(FivePictures().items(where))
        found = list(pool.map(lambda _: FivePictures().open(where, item), range(16)))
        assert all(np.array_equal(pixels, IMAGES[0]) for pixels in found)
        assert sorted(asked) == [f"/{name}" for name in SERVED]


def test_the_address_may_end_without_a_slash(tmp_path: Path) -> None:
    with server(SERVED) as (url, _):
        check_five(FivePictures(), options(tmp_path, f"{url}some/folder"))


def nothing_kept(path: Path) -> bool:
    return not [p for p in path.rglob("*") if p.is_file()]


def test_a_download_that_is_not_the_published_file_is_refused(tmp_path: Path) -> None:
    wrong = {name: data + b"\0" for name, data in SERVED.items()}
    with (
        server(wrong) as (url, _),
        pytest.raises(GanctlError, match=r"not the published file .*nothing kept") as caught,
    ):
        list(FivePictures().items(options(tmp_path, url)))
    assert caught.value.exit_status == 1
    assert f"{url}t10k-labels-idx1-ubyte.gz" in str(caught.value)
    assert nothing_kept(tmp_path)


def refused(tmp_path: Path, url: str) -> str:
    with pytest.raises(GanctlError) as caught:
        list(FivePictures().items(options(tmp_path, url)))
    assert nothing_kept(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"cannot download {url}t10k-labels-idx1-ubyte.gz: ")
    assert "--source.path" in message
    assert "\n" not in message
    return message


def test_a_server_that_is_down_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        message = refused(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert "refused" in message


def test_a_file_that_the_server_lacks_is_named_with_a_way_out(tmp_path: Path) -> None:
    with server({}) as (url, _):
        assert "Not Found" in refused(tmp_path, url)
    gc.collect()  # an answer that was not closed would complain here


def test_a_download_that_breaks_off_is_named_with_a_way_out(tmp_path: Path) -> None:
    with server(SERVED, cut=True) as (url, _):
        refused(tmp_path, url)


@pytest.mark.parametrize("url", ["nonsense/", "ftp//x/", "http://[/", "http://127.0.0.1:port/"])
def test_an_address_that_is_none_is_named_with_a_way_out(tmp_path: Path, url: str) -> None:
    refused(tmp_path, url)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut"),
        pytest.param(lambda data: data[:20] + b"\xff" * 40 + data[60:], id="overwritten"),
        pytest.param(lambda data: b"hello", id="text"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: gzip.compress(b"hello"), id="other"),
        pytest.param(lambda data: gzip.compress(gzip.decompress(data)[:-1]), id="short"),
        pytest.param(lambda data: gzip.compress(gzip.decompress(data)[:3]), id="head"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    for name, data in SERVED.items():
        (tmp_path / name).write_bytes(damage(data) if "images" in name else data)
    where = options(tmp_path)
    item = next(FivePictures().items(where))
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: damaged or cut short"):
        FivePictures().open(where, item)


def test_the_parts_are_named_by_split() -> None:
    assert [MNIST().count(MNISTOptions(split=s)) for s in ("train", "test", "all")] == [
        *(60_000, 10_000, 70_000)
    ]
    assert MNIST().resolution(MNISTOptions()) == "28"
    assert MNIST().channels(MNISTOptions()) == 1


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_the_real_test_part_has_ten_thousand_pictures_and_ten_labels(kind: type[MNIST]) -> None:
    where = options(shared(f"data/{kind.folder}"))
    items = list(kind().items(where))
    assert len(items) == 10_000
    assert {item.label for item in items} == set("0123456789")
    first = kind().open(where, items[0])
    assert first.shape == (28, 28)
    assert items[0].label == {"mnist": "7", "fashion-mnist": "9"}[kind.folder]


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "ganctl", "train", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


@pytest.mark.slow
def test_training_on_mnist_downloads_it_over_the_network(tmp_path: Path) -> None:
    data = shared("data/mnist")
    files = {f.name: f.read_bytes() for f in data.glob("t10k-*.gz")}
    arguments = (
        *("--source", "mnist", "--source.split", "test", "--kimg", "0.5", "--batch", "64"),
        *("--arch.g-widths", "32", "--arch.d-widths", "32", "--device", "cpu"),
    )
    with server(files) as (url, asked):
        result = run(tmp_path, *arguments, "--source.url", url)
    assert result.returncode == 0, result.stderr
    assert len(asked) == 2
    assert len(list((tmp_path / "datasets/mnist").glob("*.gz"))) == 2
    (prepared,) = (tmp_path / "datasets").glob("mnist-28x28x1-*.zip")
    assert len(Dataset(prepared)) == 10_000


def test_training_without_the_network_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        result = run(tmp_path, "--source", "mnist", "--source.url", url)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("ganctl: error:")]
    assert len(errors) == 1
    assert f"cannot download {url}" in errors[0]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
