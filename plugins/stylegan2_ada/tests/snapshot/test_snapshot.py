"""Snapshots are read whole, and nothing of them runs."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ganctl_stylegan2_ada.snapshot import read_snapshot

Write = Callable[[bytes], Path]
Dumps = Callable[..., bytes]


def test_the_shared_snapshot_has_the_reference_weights(
    shared_snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot = read_snapshot(shared_snapshot)
    with np.load(shared_snapshot.with_name("net_uncond.npz")) as arrays:
        for name, record in snapshot.networks.items():
            prefix = name[0] + "/"
            expected = {k.removeprefix(prefix): arrays[k] for k in arrays if k.startswith(prefix)}
            tensors = record.parameters | record.buffers
            assert tensors.keys() == expected.keys()
            for key, array in expected.items():
                assert tensors[key].dtype == torch.from_numpy(array).dtype
                np.testing.assert_array_equal(tensors[key].numpy(), array)
    assert list(snapshot.networks) == ["G", "D", "G_ema"]
    assert not snapshot.networks["D"].parameters.keys() & snapshot.networks["D"].buffers.keys()
    assert snapshot.networks["G_ema"].init_kwargs["synthesis_kwargs"]["channel_max"] == 16
    assert snapshot.training_set_kwargs is not None
    assert snapshot.training_set_kwargs["resolution"] == 32
    assert snapshot.augment_pipe is not None
    assert snapshot.augment_pipe.buffers["p"].shape == ()
    assert not list(tmp_path.rglob("EXECUTED*"))
    assert not list(shared_snapshot.parent.rglob("EXECUTED*"))


@pytest.mark.parametrize("protocol", [4, 5])
def test_modules_are_flattened_and_arguments_are_plain(
    torch_snapshot: dict[str, Any], protocol: int, write: Write, dumps: Dumps
) -> None:
    snapshot = read_snapshot(write(dumps(torch_snapshot, protocol)))
    assert list(snapshot.networks) == ["D", "G_ema"]
    record = snapshot.networks["G_ema"]
    assert record.class_name == "Generator"
    assert record.init_args == (64,)
    assert record.init_kwargs == {"z_dim": 8, "layers": [1, 2], "deep": {"x": (None, 1.5)}}
    assert list(record.parameters) == ["const", "mapping.weight"]
    assert list(record.buffers) == ["mapping.half", "mapping.count"]
    layer = torch_snapshot["D"].meta["state"]
    assert torch.equal(record.parameters["mapping.weight"], layer["_parameters"]["weight"])
    assert torch.equal(record.buffers["mapping.half"], layer["_buffers"]["half"])
    assert record.buffers["mapping.count"].tolist() == [0, 1, 2]
    assert snapshot.training_set_kwargs == {"path": "data.zip", "use_labels": False}
    assert snapshot.augment_pipe is None


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float16, torch.float32, torch.float64, torch.bfloat16),
        *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64),
    ],
)
def test_tensors_of_each_type_keep_their_numbers(
    dtype: torch.dtype, names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    tensor = (torch.randn(3, 5) * 40).abs().to(dtype)
    network = names.Persistent("N", {"_buffers": {"t": tensor}})
    read = read_snapshot(write(dumps({"G": network}))).networks["G"].buffers["t"]
    assert read.dtype == dtype
    assert torch.equal(read, tensor)


def test_strides_offsets_and_shared_storages_are_honoured(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    base = torch.arange(48.0)
    tensors = {
        "transposed": base[:12].reshape(3, 4).T,
        "offset": base[7:11],
        "skipping": base[1::5],
        "expanded": base[3:5, None].expand(2, 3),
        "overlapping": base.as_strided((3, 4), (2, 1), 5),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "one": base.as_strided((1, 3), (10**15, 1), 2),
        "scalar": base[5],
        "empty": base[:0].reshape(0, 4),
    }
    network = names.Persistent("N", {"_buffers": tensors})
    read = read_snapshot(write(dumps({"G": network}))).networks["G"].buffers
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor), name
        assert read[name].is_contiguous(), name
    read["offset"].zero_()
    assert torch.equal(read["skipping"], base[1::5])


def test_a_tensor_under_two_names_is_there_twice(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    tied = torch.nn.Parameter(torch.randn(4))
    children = {n: names.Persistent("L", {"_parameters": {"w": tied}}) for n in ("a", "b")}
    network = names.Persistent("N", {"_modules": OrderedDict(children)})
    read = read_snapshot(write(dumps({"D": network}))).networks["D"].parameters
    assert list(read) == ["a.w", "b.w"]
    assert torch.equal(read["a.w"], read["b.w"])


@pytest.mark.parametrize("protocol", [3, 4])
def test_tensorflow_variables_are_listed_with_their_components(
    tensorflow_snapshot: tuple[Any, ...], protocol: int, write: Write, dumps: Dumps
) -> None:
    snapshot = read_snapshot(write(dumps(tensorflow_snapshot, protocol)))
    assert not snapshot.networks
    assert list(snapshot.tensorflow) == ["G", "D", "Gs"]
    for scale, record in enumerate(snapshot.tensorflow.values(), 1):
        assert record.static_kwargs == {"resolution": 8, "fmap_base": 16384}
        assert {name: value.tolist() for name, value in record.variables.items()} == {
            "lod": scale,
            "steps": 7,
            "dlatent_avg": [0, scale, 2 * scale],
            "synthesis/4x4/Conv/weight": [
                [0, scale, 2 * scale],
                [3 * scale, 4 * scale, 5 * scale],
            ],
            "synthesis/noise0": [[0, scale, 2 * scale]],
        }
        types = {name: value.dtype for name, value in record.variables.items()}
        assert types.pop("steps") == torch.int64
        assert set(types.values()) == {torch.float32}


def test_arrays_of_other_byte_orders_and_types_keep_their_numbers(
    names: SimpleNamespace, write: Write, dumps: Dumps
) -> None:
    arrays = [
        *(np.array([1, -2, 3], t) for t in (">f4", "<f8", "<f2", ">i8", "i1")),
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
    ]
    network = names.Network(
        version=4,
        static_kwargs={},
        components={},
        variables=[(str(number), array) for number, array in enumerate(arrays)],
    )
    read = read_snapshot(write(dumps((network, network, network)))).tensorflow["Gs"].variables
    for number, array in enumerate(arrays):
        assert read[str(number)].tolist() == array.tolist()
        assert read[str(number)].shape == array.shape
