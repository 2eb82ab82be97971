"""Checkpoints: whole or not at all, same state same bytes, damage named."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganctl import checkpoint
from ganctl.errors import GanctlError, UserError

TENSORS = {
    "weight": torch.arange(6.0).view(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "step": torch.tensor(7),
}
HEADER = {"images": 64, "name": "é", "nested": {"b": [1, 2], "a": None}}


def write(folder: Path, size: int = 3) -> Path:
    files = {
        checkpoint.GENERATOR: (TENSORS, HEADER),
        checkpoint.TRAINING: ({"moments": torch.zeros(size)}, {"step": 1}),
    }
    checkpoint.write(folder, files)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Within, no file of this process can grow over `limit` bytes: what a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    folder = write(tmp_path / "run/000001.000")
    tensors, header = checkpoint.read(folder / checkpoint.GENERATOR)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)
    assert all(tensors[k].dtype == TENSORS[k].dtype for k in TENSORS)
    assert {k: header[k] for k in HEADER} == HEADER
    assert checkpoint.read_header(folder / checkpoint.TRAINING)["step"] == 1


def test_the_folder_holds_the_two_files_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "000001.000")
    assert names(tmp_path) == [
        "000001.000",
        "000001.000/generator.safetensors",
        "000001.000/training.safetensors",
    ]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), tmp_path / "other"
    backwards = dict(reversed(list(TENSORS.items())))
    header = dict(reversed(list(HEADER.items())))
    checkpoint.write(other, {checkpoint.GENERATOR: (backwards, header)})
    assert (one / checkpoint.GENERATOR).read_bytes() == (other / checkpoint.GENERATOR).read_bytes()


def test_parts_of_tensors_are_written_for_themselves(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"column": whole[:, 1], "turned": whole.T, "live": torch.nn.Parameter(whole)}
    checkpoint.write(tmp_path / "c", {checkpoint.GENERATOR: (tensors, {})})
    back, _ = checkpoint.read(tmp_path / "c" / checkpoint.GENERATOR)
    assert torch.equal(back["column"], torch.tensor([1.0, 5.0, 9.0]))
    assert torch.equal(back["turned"], whole.T)
    assert torch.equal(back["live"], whole)


def test_no_file_is_a_pickle(tmp_path: Path) -> None:
    folder = write(tmp_path / "c")
    for file in folder.iterdir():
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        listing = json.loads(content[8 : 8 + length])
        assert json.loads(listing["__metadata__"]["ganctl"])["format"] == checkpoint.FORMAT


@pytest.mark.parametrize("limit", [10, 2000])
def test_a_full_disk_leaves_the_other_checkpoints_and_no_litter(tmp_path: Path, limit: int) -> None:
    before = write(tmp_path / "000001.000")
    content = (before / checkpoint.GENERATOR).read_bytes()
    assert 10 < len(content) < 2000  # the second limit strikes in the second file
    with (
        small_files(limit),
        pytest.raises(
            GanctlError, match=r"cannot write checkpoint .*000002\.000: File too large"
        ) as caught,
    ):
        write(tmp_path / "000002.000", size=1000)
    assert caught.value.exit_status == 1
    assert checkpoint.list_all(tmp_path) == [before]
    assert not [p for p in tmp_path.iterdir() if p.name != "000001.000"]
    assert (before / checkpoint.GENERATOR).read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GanctlError, match="cannot write checkpoint"):
        write(tmp_path / "file" / "000001.000")


def test_what_a_killed_process_left_is_overwritten_and_cleaned(tmp_path: Path) -> None:
    for litter in (".000001.000.part", ".000000.064.old"):
        (tmp_path / litter).mkdir()
        (tmp_path / litter / checkpoint.GENERATOR).write_text("half")
    write(tmp_path / "000001.000")
    checkpoint.clean(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["000001.000"]
    assert checkpoint.read(tmp_path / "000001.000" / checkpoint.GENERATOR)[1]["images"] == 64


def test_cleaning_a_run_without_checkpoints_does_nothing(tmp_path: Path) -> None:
    checkpoint.clean(tmp_path / "nowhere")
    assert checkpoint.list_all(tmp_path / "nowhere") == []


@pytest.mark.parametrize("share", [0, 4, 8, 100, 0.5, -1])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path, share: float) -> None:
    file = write(tmp_path / "c") / checkpoint.GENERATOR
    content = file.read_bytes()
    length = int(len(content) * share) if isinstance(share, float) else share
    file.write_bytes(content[:length])
    with pytest.raises(UserError) as caught:
        checkpoint.read(file)
    assert str(caught.value).startswith(f"{file}: damaged or cut short")


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "picture.safetensors"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(UserError, match=r"picture\.safetensors: damaged"):
        checkpoint.read(file)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"ganctl": "no json"}])
def test_a_safetensors_file_of_others_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, file, metadata)
    with pytest.raises(UserError, match="not one that ganctl wrote"):
        checkpoint.read(file)


def test_a_file_of_a_later_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    file = tmp_path / "later.safetensors"
    later = json.dumps({"format": checkpoint.FORMAT + 1})
    save_file({"a": torch.zeros(2)}, file, {"ganctl": later})
    with pytest.raises(UserError, match="upgrade ganctl"):
        checkpoint.read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.safetensors: no such file"):
        checkpoint.read(tmp_path / "nowhere.safetensors")


def test_names_sort_by_age() -> None:
    images = [0, 1, 999, 1000, 1001, 25_600, 999_999, 1_000_000, 25_000_000, 999_999_999]
    listed = [checkpoint.name_of(i) for i in images]
    assert listed == sorted(listed)
    assert checkpoint.name_of(200_064) == "000200.064"


def test_a_runs_checkpoints_are_listed_oldest_first_without_drafts(tmp_path: Path) -> None:
    for name in ("000010.000", "000002.048", ".000011.000.part", ".000001.000.old"):
        (tmp_path / name).mkdir()
    (tmp_path / "000012.000").write_text("a file")
    assert [p.name for p in checkpoint.list_all(tmp_path)] == ["000002.048", "000010.000"]


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_pruning_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    for number in range(4):
        write(tmp_path / checkpoint.name_of(number * 1000))
    checkpoint.prune(tmp_path, keep)
    wanted = [checkpoint.name_of(n * 1000) for n in range(4)][-keep:]
    assert sorted(p.name for p in tmp_path.iterdir()) == wanted
    assert all((tmp_path / name / checkpoint.GENERATOR).is_file() for name in wanted)


def test_a_model_is_found_from_file_checkpoint_or_run(tmp_path: Path) -> None:
    write(tmp_path / "run/checkpoints/000001.000")
    newest = write(tmp_path / "run/checkpoints/000002.000") / checkpoint.GENERATOR
    for path in (newest, newest.parent, tmp_path / "run"):
        assert checkpoint.find_generator(path) == newest


def test_a_place_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model in this folder"):
        checkpoint.find_generator(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        checkpoint.find_generator(tmp_path / "nowhere")


def test_what_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "model")
    before = names(tmp_path)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(GanctlError, match="Input/output error"):
        checkpoint.write(folder, {checkpoint.GENERATOR: ({}, {})}, replace=True)
    assert names(tmp_path) == before
    assert checkpoint.read_header(folder / checkpoint.GENERATOR)["images"] == 64
