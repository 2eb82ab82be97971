"""What all sources here keep to: one source for a path, one order, and threads that do not meet."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganctl import Source, UserError
from ganctl_sources.cifar import Cifar
from ganctl_sources.idx import Idx
from ganctl_sources.lists import List
from ganctl_sources.mnist import MNIST, FashionMNIST
from ganctl_sources.parquet import Parquet
from ganctl_sources.pictures import Folder, Zip
from ganctl_sources.tar import Tar
from ganctl_sources.video import Video

ALL = (Folder, Zip, List, Tar, Parquet, Video, Idx, MNIST, FashionMNIST, Cifar)
COUNT = 40


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value)).save(buffer, "png")
    return buffer.getvalue()


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


PICTURES = {f"{'ab'[i % 2]}/{i:03d}.png": png(i) for i in range(COUNT)}
GRAY = np.random.default_rng(1).integers(0, 256, (COUNT, 4, 4), dtype=np.uint8)
ROWS = np.random.default_rng(0).integers(0, 256, (COUNT, 3072), dtype=np.uint8)


def folder(at: Path) -> Path:
    for name, data in PICTURES.items():
        (at / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (at / "set" / name).write_bytes(data)
    return at / "set"


def zipped(at: Path) -> Path:
    with zipfile.ZipFile(at / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PICTURES.items():
            archive.writestr(name, data)
    return at / "set.zip"


def csv(at: Path) -> Path:
    folder(at)
    rows = [f"set/{name},{name[0]}\n" for name in PICTURES]
    (at / "set.csv").write_text("file,label\n" + "".join(rows))
    return at / "set.csv"


def text(at: Path) -> Path:
    folder(at)
    (at / "set.txt").write_text("".join(f"set/{name}\n" for name in PICTURES))
    return at / "set.txt"


def tar(at: Path) -> Path:
    with tarfile.open(at / "set.tar", "w") as archive:
        for name, data in PICTURES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        archive.add(zipped(at), "last.zip")  # whose end is the end of a zip
    return at / "set.tar"


def tars(at: Path) -> Path:
    (at / "shards").mkdir()
    tar(at).rename(at / "shards/000.tar")
    return at / "shards"


def parquet(at: Path) -> Path:
    images = [{"bytes": data, "path": name} for name, data in PICTURES.items()]
    pq.write_table(pa.table({"image": images}), at / "set.parquet", row_group_size=7)
    return at / "set.parquet"


def parquets(at: Path) -> Path:
    (at / "data").mkdir()
    parquet(at).rename(at / "data/train-0.parquet")
    return at / "data"


def video(at: Path) -> Path:
    with av.open(at / "clip.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 12
        for i in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * i, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return at / "clip.mp4"


def idx_file(at: Path) -> Path:
    (at / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(GRAY)))
    return at / "train-images-idx3-ubyte.gz"


def idx_folder(at: Path) -> Path:
    return idx_file(at).parent


def cifar_file(at: Path) -> Path:
    content = {"data": ROWS, "labels": [i % 3 for i in range(COUNT)]}
    (at / "data_batch_1").write_bytes(pickle.dumps(content, 2))
    return at / "data_batch_1"


def cifar_folder(at: Path) -> Path:
    return cifar_file(at).parent


def train_and_test(at: Path) -> Path:
    """Folders of the names that CIFAR-100's files have."""
    for name in ("train", "test"):
        folder(at).rename(at / name)
    return at


def damaged_zip(at: Path) -> Path:
    (at / "set.zip").write_bytes(zipped(at).read_bytes()[:-50])
    return at / "set.zip"


def listed_zip(at: Path) -> Path:
    return zipped(at).rename(at / "set.csv")


PLACES: list[tuple[Callable[[Path], Path], type[Source[Any]]]] = [
    *((folder, Folder), (zipped, Zip), (csv, List), (text, List), (tar, Tar), (tars, Tar)),
    *((parquet, Parquet), (parquets, Parquet), (video, Video), (idx_file, Idx), (idx_folder, Idx)),
    *((cifar_file, Cifar), (cifar_folder, Cifar)),
]
BY_NAME = [pytest.param(make, kind, id=make.__name__) for make, kind in PLACES]
ODD = [(train_and_test, Folder), (damaged_zip, Zip), (listed_zip, Zip)]


@pytest.mark.parametrize(
    ("make", "kind"), [*BY_NAME, *(pytest.param(m, k, id=m.__name__) for m, k in ODD)]
)
def test_one_source_reads_a_path(
    tmp_path: Path, make: Callable[[Path], Path], kind: type[Source[Any]]
) -> None:
    path = make(tmp_path)
    assert [source for source in ALL if source().reads(path)] == [kind]


def test_nobody_reads_what_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("1")
    (tmp_path / "labels").write_bytes(idx(np.zeros(3, np.uint8)))
    (tmp_path / "empty").write_bytes(b"")
    for name in ("program.py", "labels", "empty"):
        assert not [source for source in ALL if source().reads(tmp_path / name)]


def test_an_empty_folder_is_a_folder_without_pictures(tmp_path: Path) -> None:
    assert [source for source in ALL if source().reads(tmp_path)] == [Folder]
    with pytest.raises(UserError, match="no pictures in"):
        Folder().check(Folder.options_class(path=str(tmp_path)))


@pytest.mark.parametrize(("make", "kind"), BY_NAME)
def test_threads_get_what_one_gets_alone(
    tmp_path: Path, make: Callable[[Path], Path], kind: type[Source[Any]]
) -> None:
    source = kind()
    options = kind.options_class(path=str(make(tmp_path)))
    assert source.missing() is None
    source.check(options)
    items = list(source.items(options))
    assert items == list(source.items(options))
    assert len({item.key for item in items}) == len(items) >= COUNT
    assert source.count(options) in (None, len(items))
    alone = [content(source.open(options, item)) for item in items]
    assert len(set(alone)) >= COUNT
    backwards = [content(source.open(options, item)) for item in reversed(items)]
    assert backwards[::-1] == alone
    fresh = kind()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda item: content(fresh.open(options, item)), items * 3))
    assert together == alone * 3


def content(data: Any) -> bytes:
    return data if isinstance(data, bytes) else repr(data.shape).encode() + data.tobytes()


@pytest.mark.parametrize("kind", ALL[:7])
def test_nothing_to_read_says_why(kind: type[Source[Any]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"say where the pictures are: --source\.path PATH"):
        kind().check(kind.options_class())
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        kind().check(kind.options_class(path=str(tmp_path / "nowhere")))


NAMES = ["a\nb.png", "x" * 250 + ".png", "ä — 你.png", "a#1.png"]
BYTES = "b\udcff.png"
"""Not UTF-8: zips and lists cannot have it."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in (Folder, Zip, Tar, List) for name in NAMES),
        *((Folder, BYTES), (Tar, BYTES)),
    ],
)
def test_odd_names_are_read(tmp_path: Path, kind: type[Source[Any]], name: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_bytes(png(7))
    path = {Folder: "set", Zip: "set.zip", Tar: "set.tar", List: "set.csv"}[kind]
    if kind is Zip:
        with zipfile.ZipFile(tmp_path / path, "w") as archive:
            archive.writestr(name, png(7))
    if kind is Tar:
        with tarfile.open(tmp_path / path, "w") as shard:
            shard.add(tmp_path / "set" / name, name)
    if kind is List:
        (tmp_path / path).write_text(f'file,label\n"set/{name}",x\n')
    options = kind.options_class(path=str(tmp_path / path))
    (item,) = kind().items(options)
    assert item.key.endswith(name)
    assert kind().open(options, item) == png(7)
    assert kind().fingerprint(options)


def test_published_sets_are_curated() -> None:
    assert {k for k in ALL if k.curated} == {Idx, MNIST, FashionMNIST, Cifar}


def test_labels_from_a_listing_are_the_same_in_folder_and_zip(tmp_path: Path) -> None:
    names = list(PICTURES)
    listing = {"labels": [[name, i % 2] for i, name in enumerate(names)]}
    (folder(tmp_path) / "dataset.json").write_text(json.dumps(listing))
    with zipfile.ZipFile(zipped(tmp_path), "a") as archive:
        archive.writestr("dataset.json", json.dumps(listing))
    for kind, name in ((Folder, "set"), (Zip, "set.zip")):
        items = list(kind().items(kind.options_class(path=str(tmp_path / name))))
        assert {i.key: i.label for i in items} == {n: str(i % 2) for i, n in enumerate(names)}
