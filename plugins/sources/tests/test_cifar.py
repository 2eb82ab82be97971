"""CIFAR batches: read as data, whatever the pickle says."""

import os
import pickle
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganctl import UserError
from ganctl_sources import batches
from ganctl_sources.batches import read_batch
from ganctl_sources.cifar import Cifar, CifarOptions

SHARED = Path(__file__).resolve().parents[4] / "shared/data/cifar-10-batches-py"
DATA = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
NAMES = ["airplane", "automobile", "bird"]


def ten(folder: Path, protocol: int = 2) -> CifarOptions:
    """A small CIFAR-10: two batches of five, one of two."""
    folder.mkdir(exist_ok=True)
    for name, count in (("data_batch_1", 5), ("data_batch_2", 5), ("test_batch", 2)):
        content = {"data": DATA[:count], "labels": [0, 1, 2, 1, 0][:count]}
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, protocol))
    return CifarOptions(path=str(folder))


@pytest.mark.parametrize(
    ("protocol", "keys"),  # Python 3 writes bytes as calls before protocol 3
    [*((n, str) for n in range(6)), *((n, str.encode) for n in range(3, 6))],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_protocol_gives_the_same_rows(
    tmp_path: Path, protocol: int, keys: Callable[[str], Any], order: Any
) -> None:
    content = {keys("data"): np.asarray(DATA, order=order), keys("labels"): [0, 1, 2, 3, 4]}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol))
    batch = read_batch(tmp_path / "test_batch")
    assert np.array_equal(batch.pixels("data"), DATA)
    assert batch.whole_numbers("labels") == [0, 1, 2, 3, 4]


def test_pictures_labels_and_splits(tmp_path: Path) -> None:
    source, options = Cifar(), ten(tmp_path / "set")
    source.check(options)
    items = list(source.items(options))
    assert [i.key for i in items[4:6]] == ["data_batch_1/00004", "data_batch_2/00000"]
    assert [i.label for i in items[:3]] == NAMES
    assert source.count(options) == len(items) == 10
    picture = source.open(options, items[3])
    assert picture.shape == (32, 32, 3)
    assert np.array_equal(picture[:, :, 0].ravel(), DATA[3, :1024])
    assert np.array_equal(picture[:, :, 2].ravel(), DATA[3, 2048:])
    assert source.count(CifarOptions(options.path, split="test")) == 2
    assert source.count(CifarOptions(options.path, split="all")) == 12
    one = CifarOptions(str(tmp_path / "set/data_batch_2"))
    assert [i.label for i in source.items(one)][:2] == NAMES[:2]
    assert (source.resolution(options), source.channels(options)) == ("32", 3)


def test_the_fingerprint_follows_the_batches_and_the_names(tmp_path: Path) -> None:
    options = ten(tmp_path / "set")
    seen = [Cifar().fingerprint(options) for _ in range(2)]
    for name in ("batches.meta", "data_batch_2"):
        os.utime(tmp_path / "set" / name, (1, 1))
        seen.append(Cifar().fingerprint(options))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_a_hundred_classes_have_fine_and_coarse_names(tmp_path: Path) -> None:
    content = {"data": DATA, "fine_labels": [0, 1, 2, 0, 1], "coarse_labels": [1, 1, 0, 1, 1]}
    (tmp_path / "train").write_bytes(pickle.dumps(content, 2))
    options = CifarOptions(str(tmp_path))
    assert [i.label for i in Cifar().items(options)] == ["0", "1", "2", "0", "1"]
    meta = {"fine_label_names": ["apple", "bear", "cloud"], "coarse_label_names": ["a", "b"]}
    (tmp_path / "meta").write_bytes(pickle.dumps(meta, 2))
    os.utime(tmp_path / "train", (1, 1))  # what was kept of it is read again
    assert [i.label for i in Cifar().items(options)][:3] == ["apple", "bear", "cloud"]
    coarse = CifarOptions(str(tmp_path), labels="coarse")
    assert [i.label for i in Cifar().items(coarse)] == ["b", "b", "a", "b", "b"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data_batch_1, test_batch"):
        Cifar().check(CifarOptions(str(tmp_path)))
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": DATA}, 2))
    with pytest.raises(UserError, match=r"no train batch, only test_batch: --source.split all"):
        Cifar().check(CifarOptions(str(tmp_path)))
    with pytest.raises(UserError, match="say where"):
        Cifar().check(CifarOptions())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds no dict"),
        ({"labels": [1]}, "'data' is no array of bytes"),
        ({"data": b"x" * 3072}, "'data' is no array of bytes"),
        ({"data": DATA.astype(np.float32)}, "its type is not uint8"),
        ({"data": DATA[0]}, "wanted rows of pixels"),
        ({"data": DATA[:, :-3]}, "3069 bytes a row"),
        ({"data": DATA, "labels": [1, 2]}, "2 labels for 5 pictures"),
        ({"data": DATA, "labels": "12345"}, "'labels' is not a list of whole numbers"),
        ({"data": DATA, "labels": [[]] * 5}, "'labels' is not a list of whole numbers"),
        ({"data": DATA, "labels": [0, 1, 2, 3, -1]}, "beyond the 3 names"),
        ({"data": np.array([None, []], dtype=object)}, r"\('its type|its type is not uint8"),
    ],
)
def test_what_is_no_batch_says_why(tmp_path: Path, content: Any, reason: str) -> None:
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}))
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=reason) as caught:
        list(Cifar().items(CifarOptions(str(tmp_path / "test_batch"))))
    assert "\n" not in str(caught.value)


# --- what a stranger may put into a pickle ------------------------------------------------


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.how = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.how


def shape_of(array: str) -> bytes:
    """The pickle of an array that says it has another shape."""
    data = pickle.dumps({"data": DATA}, 2)
    assert data.count(b"K\x05M\x00\x0c\x86") == 1
    return data.replace(b"K\x05M\x00\x0c\x86", bytes.fromhex(array))


def keyed(step: str) -> bytes:
    """Each tuple holds the one before it twice, and the last is a key: 2**60 steps to its hash."""
    nested = b"Nq\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    start = {"s": b"}", "u": b"}(", "d": b"("}[step]
    return b"\x80\x02" + start + nested + b"N" + step.encode() + b"."


def keys_of_one_hash(count: int) -> bytes:
    """Whole numbers that are looked up one after another, each among all before it."""
    numbers = (n * sys.hash_info.modulus for n in range(count))
    return (
        b"\x80\x02}(" + b"".join(b"\x8a\x0a%bN" % n.to_bytes(10, "little") for n in numbers) + b"u."
    )


def attack(name: str, mark: Path) -> bytes:
    shell, python = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    put_far = b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b"."
    programs: dict[str, Callable[[], bytes]] = {
        "system": lambda: pickle.dumps({"data": Calls(os.system, shell)}, 2),
        "system in protocol 0": f"cos\nsystem\n(S'{shell}'\ntR.".encode,
        "system in protocol 4": lambda: pickle.dumps({"data": Calls(os.system, shell)}, 4),
        "instance": f"(S'{shell}'\nios\nsystem\n.".encode,
        "object": f"(cos\nsystem\nS'{shell}'\no.".encode,
        "eval": lambda: pickle.dumps({"data": Calls(eval, python)}, 2),
        "numpy's own eval": f"cnumpy.testing\nrundocs\n(S'{python}'\ntR.".encode,
        "dotted": lambda: b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        "dunder": lambda: b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        "codec": lambda: pickle.dumps({"data": Calls(__import__("codecs").decode, b"x", "zip")}, 2),
        "persistent": lambda: b"Pthere\n.",
        "extension": lambda: b"\x82\x01.",
        "new": lambda: b"\x80\x02cnumpy\nndarray\n(K\x05t\x81.",
        "call a result": lambda: b"cnumpy\ndtype\n(S'u1'\ntR(tR.",
        "set a name": lambda: b"\x80\x02cnumpy\ndtype\n}(X\x04\x00\x00\x00name)ub.",
        "objects": lambda: pickle.dumps({"data": np.array([[]] * 9, dtype=object)}, 2),
        "type of objects": lambda: pickle.dumps({"data": DATA}, 2).replace(b"u1", b"O8"),
        "giant shape": lambda: shape_of("8a05 0000000010 4d000c86"),
        "negative shape": lambda: shape_of("4affffffff 4d000c86"),
        "shape of floats": lambda: shape_of("4e 4d000c86"),
        "giant memo": lambda: put_far,
        "giant text": lambda: b"\x80\x02T\xff\xff\xff\x7fx.",
        "giant bytes": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        "giant frame": lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
        "giant number": lambda: b"I" + b"9" * 10**6 + b"\n.",
        "deep lists": lambda: b"]" * 300_000 + b"a" * 299_999 + b".",
        "deep tuples": lambda: b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"Ns.",
        "long": lambda: b"N" * (batches.MAX_STEPS + 2) + b".",
        "sets": lambda: b"\x80\x04(\x91.",
        "cut": lambda: pickle.dumps({"data": DATA}, 2)[:-2000],
        "empty": lambda: b"",
        "text": lambda: b"hello",
        "keys of one hash": lambda: keys_of_one_hash(200_000),
        "shape without end": lambda: shape_of("28" + "8a08ffffffffffffff7f" * 100_000 + "74"),
        "unhashable": lambda: b"\x80\x02}]Ns.",
        "underflow": lambda: b"\x80\x02a.",
    }
    return programs[name]() if name else b"\n".join(map(str.encode, programs))


@pytest.mark.parametrize("name", attack("", Path()).decode().splitlines())
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    file = tmp_path / "test_batch"
    file.write_bytes(attack(name, mark))
    start = time.process_time()
    with pytest.raises(UserError, match="test_batch: ") as caught:
        list(Cifar().items(CifarOptions(str(file))))
    assert not mark.exists()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(file))
    assert time.process_time() - start < 20


@pytest.mark.parametrize("step", ["s", "u", "d"])
def test_a_key_that_is_no_text_is_refused_at_once(tmp_path: Path, step: str) -> None:
    (tmp_path / "a").write_bytes(keyed(step))
    began = time.process_time()
    with pytest.raises(UserError, match="the key of a dict is no text"):
        read_batch(tmp_path / "a")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("protocol", range(6))
def test_keys_may_be_shared_and_dicts_nested(tmp_path: Path, protocol: int) -> None:
    key = "".join(["k", "ey"])
    content = {key: [{key: [key, (key, key)]}], "other": {key: 1}, "empty": {}}
    (tmp_path / "a").write_bytes(pickle.dumps(content, protocol))
    assert read_batch(tmp_path / "a").content == content


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 1000)
    options = ten(tmp_path / "set")
    with pytest.raises(UserError, match="no CIFAR batch"):
        list(Cifar().items(options))


def test_the_real_batch_has_ten_names_and_natural_pictures() -> None:
    if not SHARED.exists():
        pytest.skip("needs shared/data/cifar-10-batches-py, which is not here")
    source, options = Cifar(), CifarOptions(str(SHARED))
    items = list(source.items(options))
    assert len(items) == source.count(options)
    assert [i.label for i in items[:3]] == ["frog", "truck", "truck"]
    assert len({i.label for i in items}) == 10
    pictures = np.stack([source.open(options, i) for i in items[:200]]).astype(float)
    across = np.abs(np.diff(pictures, axis=2)).mean()
    down = np.abs(np.diff(pictures, axis=1)).mean()
    assert across < 16  # neighbours are alike: rows, columns and channels are not mixed up
    assert down < 16
