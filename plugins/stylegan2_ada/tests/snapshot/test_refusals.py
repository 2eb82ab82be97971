"""What no snapshot needs is refused by its name, in one line, before anything happens."""

import builtins
import os
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ganctl import UserError
from ganctl_stylegan2_ada.snapshot import limits, read_snapshot

Write = Callable[[bytes], Path]
Dumps = Callable[..., bytes]

REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
PERSISTENT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
EASY_DICT = b"cdnnlib.util\nEasyDict\n"
NETWORK = b"cdnnlib.tflib.network\nNetwork\n"
DTYPE = b"cnumpy\ndtype\n"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
F4 = DTYPE + b"X\x02\x00\x00\x00f4\x89\x88\x87R"


def pickled(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def refusal(file: Path) -> str:
    """Why a file is refused: one line, without its name."""
    with pytest.raises(UserError) as caught:
        read_snapshot(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert len(message.splitlines()) == 1
    assert len(message) < len(str(file)) + 300
    return message.removeprefix(f"{file}: ")


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def holding(body: bytes) -> bytes:
    """A dict whose G is what the opcodes leave."""
    return pickled(b"}X\x01\x00\x00\x00G" + body + b"s")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch EXECUTED",), f"{os.system.__module__}.system"),
        (builtins.eval, ("open('EXECUTED', 'w')",), "(__builtin__|builtins).eval"),
        (builtins.getattr, ("x", "upper"), "(__builtin__|builtins).getattr"),
        (torch.load, ("x",), "torch.serialization.load"),
        (torch.nn.Linear, (2, 2), "torch.nn.modules.linear.Linear"),
        (torch.FloatStorage, (2,), "torch.FloatStorage"),
    ],
)
def test_other_globals_are_refused_by_name(
    function: Any, arguments: tuple[Any, ...], name: str, protocol: int, write: Write, dumps: Dumps
) -> None:
    file = write(dumps({"G": Calls(function, *arguments)}, protocol))
    assert re.search(f"it asks for {name}, which no snapshot needs", refusal(file))
    assert [path.name for path in file.parent.iterdir()] == ["network.pkl"]


REFUSED = {
    "INST": (b"(X\x01\x00\x00\x00xios\nsystem\n", "os.system"),
    "OBJ": (b"(" + EASY_DICT + b"o", "opcode OBJ"),
    "dotted names": (b"\x8c\x0bdnnlib.util\x8c\x11EasyDict.__init__\x93", "EasyDict.__init__"),
    "names of two lines": (b"\x8c\x02os\x8c\x0dsystem\nUserX \x93", r"os.system\nUserX"),
    "long names": (b"\x8c\x02osX\x00\x40\x00\x00" + b"x" * 0x4000 + b"\x93", "os.xxxx"),
    "names that are no strings": (b"K\x01K\x02\x93", "named by int and int"),
    "extension codes of one byte": (b"\x82\x07", "extension code 7"),
    "extension codes of two bytes": (b"\x83\x07\x01", "extension code 263"),
    "extension codes of four bytes": (b"\x84\x07\x00\x00\x01", "extension code 16777223"),
    "persistent ids": (b"X\x01\x00\x00\x00xQ", "persistent id"),
    "persistent ids of text": (b"Px\n", "persistent id"),
    "out-of-band buffers": (b"\x97", "opcode NEXT_BUFFER"),
    "text": (b"I1\n", "opcode INT"),
    "new objects with keywords": (EASY_DICT + b")}\x92", "opcode NEWOBJ_EX"),
    "unknown opcodes": (b"\xff", "0xff"),
    "REDUCE on a class": (EASY_DICT + b")R", "dnnlib.util.EasyDict is called"),
    "REDUCE on a network": (NETWORK + b")R", "dnnlib.tflib.network.Network is called"),
    "REDUCE on a string": (b"X\x01\x00\x00\x00x)R", "str is called"),
    "REDUCE on an object": (
        NETWORK + b")\x81)R",
        "object of dnnlib.tflib.network.Network is called",
    ),
    "REDUCE without a tuple": (REBUILD + b"]R", "_rebuild_tensor_v2 is called with list"),
    "REDUCE with other arguments": (REBUILD + b")R", "_rebuild_tensor_v2 is called with 0"),
    "NEWOBJ on a function": (REBUILD + b")\x81", "a new torch._utils._rebuild_tensor_v2"),
    "NEWOBJ with arguments": (NETWORK + b"K\x01\x85\x81", "Network with 1 arguments"),
    "BUILD on a function": (REBUILD + b"}b", "state of torch._utils._rebuild_tensor_v2 is set"),
    "BUILD on a class": (NETWORK + b"}b", "state of dnnlib.tflib.network.Network is set"),
    "BUILD on a dict": (EASY_DICT + b")\x81}b", "state of dict is set"),
    "BUILD twice": (NETWORK + b")\x81}b}b", "state of an object of dnnlib.tflib.network.Network"),
    "BUILD with slots": (NETWORK + b")\x81N}\x86b", "is set to tuple"),
    "keys that are tuples": (b"})Ns", "a key that is tuple"),
    "keys that are large": (b"}\x8a\x09" + b"\xff" * 8 + b"\x01Ns", "a key that is a large number"),
    "long whole numbers": (b"\x8b\xff\xff\xff\x7f", "a whole number of 2,147,483,647 bytes"),
    "strings that are longer than the file": (b"X\xff\xff\x0f\x00", "ends early"),
    "bytes that are longer than the file": (b"\x8e" + b"\xff" * 7 + b"\x7f", "ends early"),
    "strings that are too long": (b"X\xff\xff\xff\x7f", "a string of more than"),
    "strings that are not UTF-8": (b"X\x01\x00\x00\x00\xff", "not UTF-8"),
    "memos that are not there": (b"h\x05", "no memo 5"),
    "marks that are not there": (b"u", "no mark"),
    "sets of sets": (b"\x8f(\x8f\x90", "a key that is set"),
    "filling a tuple": (b")K\x01a", "no list to fill"),
    "dtypes of objects": (DTYPE + b"X\x02\x00\x00\x00O8\x89\x88\x87R", "numbers of type O8"),
    "dtypes with fields": (
        F4 + b"(K\x03X\x01\x00\x00\x00|N)}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        "state",
    ),
    "scalars of another size": (
        b"cnumpy.core.multiarray\nscalar\n" + F4 + b"C\x01\x00\x86R",
        "of 1 bytes",
    ),
    "arrays without their bytes": (
        ARRAY + b"(K\x01J\xff\xff\xff\x3f\x85" + F4 + b"\x89C\x01\x00tb",
        "more than 2 times the file's size",
    ),
    "arrays of few bytes": (
        ARRAY + b"(K\x01K\x02\x85" + F4 + b"\x89C\x01\x00tb",
        "(2,) in 1 bytes",
    ),
    "arrays of other classes": (
        b"cnumpy.core.multiarray\n_reconstruct\n" + NETWORK + b"K\x00\x85C\x01b\x87R",
        "an array of class dnnlib.tflib.network.Network",
    ),
    "objects without state": (PERSISTENT + b"}\x85R", "without type, class name or state"),
    "storages that are no bytes": (
        b"ctorch.storage\n_load_from_bytes\n]\x85R",
        "a storage in list",
    ),
    "parameters that are no tensors": (
        b"ctorch._utils\n_rebuild_parameter\n]\x89N\x87R",
        "a parameter that is list",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_tricks_are_refused_by_name(what: str, write: Write) -> None:
    body, why = REFUSED[what]
    assert why in refusal(write(holding(body)))


def test_files_that_hold_no_networks_are_refused(write: Write, tmp_path: Path) -> None:
    for content, why in {
        b"": "not a pickle",
        b"PK\x03\x04": "not a pickle",
        b"\x80\x09N.": "protocol 9",
        b"\x80\x04": "ends early",
        pickled(b"N"): "it holds None",
        pickled(b"}"): "none of G, D, G_ema",
        pickled(b"NN"): "one value",
        pickled(b"N(") + b"N": "one value",
        pickled(b"}") + b"more": "4 bytes after the end",
        pickled(b"NNN\x87"): "a TensorFlow network that is None",
        holding(b"K\x01"): "a network that is int",
        holding(NETWORK + b")\x81"): "a network that is an object of dnnlib",
    }.items():
        assert why in refusal(write(content))
    assert refusal(tmp_path / "absent.pkl") == "No such file or directory"
    assert refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.pkl")
    assert "not a file" in refusal(tmp_path / "pipe.pkl")


def test_numbers_of_tensors_are_checked_against_the_bytes(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    tensor = torch.arange(7.0)
    content = dumps({"G": names.Persistent("N", {"_buffers": {"t": tensor}})})
    content = content[:2] + content[11:]  # without the one frame, which tells its length
    read_snapshot(write(content))
    size = b"K\x00K\x07\x85"
    assert content.count(size) == 1
    for numbers, why in {
        b"K\x01K\x07\x85": "past the end of its storage",
        b"K\x00K\x08\x85": "past the end of its storage",
        b"J\xff\xff\xff\xffK\x07\x85": "offset is no whole number",
        b"K\x00J\xff\xff\xff\xff\x85": "size is no whole number",
        b"K\x00J\xff\xff\xff\x7f\x85": "times the file's size",
        b"K\x00\x8a\x10" + b"\xff" * 15 + b"\x7f\x85": "times the file's size",
        b"K\x00\x8a\x10" + b"\xff" * 15 + b"\x7fK\x00\x86": "as many sizes as strides",
        b"K\x00G" + b"\x00" * 8 + b"\x85": "size is no whole number",
        b"K\x00N": "size is no tuple",
        b"\x88K\x07\x85": "offset is no whole number",
    }.items():
        assert why in refusal(write(content.replace(size, numbers))), numbers
    # A stride of 0 may make much of one number, up to twice the file.
    for count, fits in ((100, True), (10**6, False)):
        expanded = names.Persistent("N", {"_buffers": {"t": tensor[:1].expand(count)}})
        file = write(dumps({"G": expanded}))
        if fits:
            assert read_snapshot(file).networks["G"].buffers["t"].shape == (count,)
        else:
            assert "times the file's size" in refusal(file)


def test_storages_declare_no_more_than_is_there(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    tensor = torch.arange(7.0)
    content = dumps({"G": names.Persistent("N", {"_buffers": {"t": tensor}})})
    data = tensor.numpy().tobytes()
    raw = struct.pack("<q", 7) + data
    assert content.count(raw) == 1
    key = re.search(rb"X\x03\x00\x00\x00cpuq.K\x07N", content)
    assert key is not None
    for old, new, why in [
        (raw, struct.pack("<q", 8) + data, "of two lengths"),
        (raw, struct.pack("<q", -1) + data, "of two lengths"),
        (key[0], key[0].replace(b"K\x07", b"K\x08"), "of two lengths"),
        (key[0][-3:], b"K\x07)", "declared in an unknown way"),
        (b"ctorch\nFloatStorage", b"cposix\nsystemStorag", "it asks for posix.systemStorag"),
        (b"ctorch\nFloatStorage", b"ctorch\nTypedStorage", "it asks for torch.TypedStorage"),
        (b"\xfc\x9cF\xf9", b"\xfc\x9cF\xf8", "torch.save did not write"),
        (b"M\xe9\x03.", b"M\xe9\x04.", "torch.save did not write"),
    ]:
        assert old in content
        assert why in refusal(write(content.replace(old, new)))


BOMBS = {
    "more values": (b"\x8f\x94" * 150_000, "more than 100,000 values on the pickle's stack"),
    "more memos": (b"\x8f\x940" * 120_000, "more than 100,000 values in the pickle's memo"),
    "more opcodes": (b"\x8f0" * 250_000, "more than 400,000 pickle opcodes"),
    "more marks": (b"(" * 1_000, "more than 100 containers within each other"),
    "values below marks": ((b"(" + b"N" * 5_000) * 50, "more than 100,000 values"),
    "nested tuples": (b"N" + b"\x85" * 390_000, "it holds tuple"),
    "nested lists": (b"]" * 90_000 + b"a" * 89_999, "it holds list"),
    "a dict within itself": (b"}\x94X\x01\x00\x00\x00Gh\x00s", "a network that is dict"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_stay_within_limits(what: str, write: Write) -> None:
    body, why = BOMBS[what]
    file = write(pickled(body))
    start = time.process_time()
    assert why in refusal(file)
    assert time.process_time() - start < 5


def test_small_opcodes_make_no_more_than_their_limits_allow(write: Write) -> None:
    body, _ = BOMBS["more memos"]  # 216 bytes each, which is the most for one byte
    file = write(pickled(body))
    tracemalloc.start(1)
    try:
        refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


def test_a_storage_read_again_and_again_is_paid_for_each_time(write: Write, dumps: Dumps) -> None:
    content = dumps(torch.zeros(3))
    start = content.index(b"\x80\x02")
    blob = content[start : content.index(struct.pack("<q", 3), start) + 8 + 3 * 4]
    text = b"X" + struct.pack("<I", 50_000) + b"x" * 50_000 + b"N"
    data = blob.replace(b"}q\x00(", b"}q\x00(" + text, 1)
    assert len(data) > 50_000
    nested = b"B" + struct.pack("<I", len(data)) + data + b"\x940"
    again = b"ctorch.storage\n_load_from_bytes\nh\x00\x85R0"
    assert "it holds None" in refusal(write(pickled(nested + again + b"N")))
    assert "more text" in refusal(write(pickled(nested + again * 10_000 + b"N")))


def test_cycles_and_shared_parts_end(names: SimpleNamespace, write: Write, dumps: Dumps) -> None:
    loop = names.Persistent("N", {})
    state = loop.meta["state"]
    # A module within itself: its state is written before it, and filled after.
    arguments: list[Any] = []
    arguments.append(arguments)
    state["_init_kwargs"] = {"x": arguments}
    assert "within themselves" in refusal(write(dumps({"G": loop})))

    doubled: Any = ["x"]
    for _ in range(30):
        doubled = [doubled, doubled]
    state["_init_kwargs"] = {"x": doubled}
    assert "too many" in refusal(write(dumps({"G": loop})))

    module = names.Persistent("N", {})
    for _ in range(30):
        module = names.Persistent("N", {"_modules": {"a": module, "b": module}})
    assert "too many" in refusal(write(dumps({"G": module})))

    module = names.Persistent("N", {})
    for _ in range(40):
        module = names.Persistent("N", {"_modules": {"a": module}})
    assert "too deep" in refusal(write(dumps({"G": module})))

    wide = {f"p{number}": None for number in range(5_000)}
    modules = {f"m{n}": names.Persistent("N", {"_parameters": wide}) for n in range(50)}
    many = names.Persistent("N", {"_modules": modules})
    assert "too many" in refusal(write(dumps({"G": many})))


def test_a_tensorflow_network_within_itself_ends(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    network = names.Network(version=5, static_kwargs={}, components={}, variables=[])
    network.components["self"] = network
    assert "within themselves" in refusal(write(dumps((network, network, network))))
    network.version = 3
    assert "before version 4" in refusal(write(dumps((network, network, network))))


def test_objects_of_other_kinds_are_refused(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    tensor = torch.zeros(2)
    array = np.zeros(2, np.float32)
    for network, why in [
        (names.Persistent("N", {}, version=7), "another version than 6"),
        (names.Persistent("N", {}, version=tensor), "another version than 6"),
        (names.Persistent("N", {}, type="function"), "without type"),
        (names.Persistent("N", {}, type=tensor), "without type"),
        (names.Persistent("N" * 1000, {}), "class name of 1,000"),
        (names.Persistent("N", {"_modules": {"a": names.Network(version=5)}}), "module a. is"),
        (names.Persistent("N", {"_modules": {"a.b": names.Persistent("N", {})}}), "the name a.b"),
        (names.Persistent("N", {"_modules": {"a": tensor}}), "module a. is Tensor"),
        (names.Persistent("N", {"_modules": [1]}), "without _modules"),
        (names.Persistent("N", {"_buffers": {"a": array}}), "a is Array"),
        (names.Persistent("N", {"_buffers": {7: tensor}}), "a name in _buffers that is int"),
        (names.Persistent("N", {"_buffers": {"": tensor}}), "the name "),
        (names.Persistent("N", {"_init_args": [1]}), "_init_args is no tuple"),
        (names.Persistent("N", {"_init_kwargs": {1: 1}}), "_init_kwargs is no dict of names"),
        (names.Persistent("N", {"_init_kwargs": {"x": tensor}}), "an argument that is Tensor"),
        (names.Persistent("N", {"_init_kwargs": {"x": b"x"}}), "an argument that is bytes"),
    ]:
        assert why in refusal(write(dumps({"G_ema": network})))


def test_files_over_the_limit_are_not_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(b"")
    with file.open("r+b") as sparse:
        sparse.truncate(limits.MAX_FILE + 1)
    assert "larger than 4 GiB" in refusal(file)
