"""Where images are kept: room is measured, files are made once and found again."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganctl.data import cache, disk_cache
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.disk_cache import has_room, map_images
from ganctl.data.memory import free_memory
from ganctl.data.parallel import AHEAD, cores, in_threads
from ganctl.errors import GanctlError
from ganctl.spec import ImageSpec

CPU = torch.device("cpu")
COUNT, SIZE = 9, 9 * 3 * 4 * 5


def write(path: Path, seed: int = 0, count: int = COUNT) -> Path:
    rng = np.random.default_rng(seed)
    with DatasetWriter(path, ImageSpec(4, 5, 3)) as writer:
        for _ in range(count):
            writer.add(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), None)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set in a folder of its own, and the user's cache in another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "sets").mkdir()
    return write(tmp_path / "sets/set.zip")


def pixels(path: Path) -> np.ndarray:
    dataset = Dataset(path)
    return np.stack([dataset.read(index) for index in range(len(dataset))])


def kept(path: Path) -> list[Path]:
    """The files of a set's cache, but for the lock."""
    folder = path.with_name(f".{path.name}.cache")
    return sorted(file for file in folder.iterdir() if file.name != "lock")


def nobody_writes_in(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """As if the folders were another user's; tests may be run by root, whom no mode stops."""
    mkdir = Path.mkdir

    def refuse(folder: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False):
        if any(folder.is_relative_to(closed) for closed in folders):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        mkdir(folder, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", refuse)


def test_the_file_holds_the_images_as_they_are(path: Path) -> None:
    told: list[int] = []
    images = map_images(Dataset(path), told.append)
    assert images.shape == (COUNT, 3, 4, 5)
    assert np.array_equal(images, pixels(path))
    assert told == list(range(1, COUNT + 1))
    (file,) = kept(path)
    assert file.suffix == ".u8"
    assert file.read_bytes() == pixels(path).tobytes()


def test_the_file_is_found_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    map_images(Dataset(path))
    monkeypatch.setattr(Dataset, "read", None)  # nothing is decoded any more
    told: list[int] = []
    assert map_images(Dataset(path), told.append).shape == (COUNT, 3, 4, 5)
    assert told == []


def test_the_images_cannot_be_changed(path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        map_images(Dataset(path))[0] = 0


def test_a_set_that_changed_gets_a_file_of_its_own_and_the_old_one_goes(path: Path) -> None:
    before = map_images(Dataset(path))
    old = before.copy()
    (first,) = kept(path)
    write(path, seed=1)
    assert np.array_equal(map_images(Dataset(path)), pixels(path))
    (second,) = kept(path)
    assert first != second
    if os.name == "posix":
        assert np.array_equal(before, old)  # a run that uses it goes on


def test_sets_beside_each_other_keep_their_files_apart(path: Path) -> None:
    other = write(path.with_name("other.zip"), seed=1)
    assert not np.array_equal(map_images(Dataset(path)), map_images(Dataset(other)))
    assert np.array_equal(map_images(Dataset(path)), pixels(path))


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_made_anew(path: Path, size: int) -> None:
    map_images(Dataset(path))
    (file,) = kept(path)
    file.write_bytes(bytes(size))
    assert np.array_equal(map_images(Dataset(path)), pixels(path))


def test_what_a_killed_process_left_is_no_obstacle(path: Path) -> None:
    map_images(Dataset(path))
    (file,) = kept(path)
    file.rename(file.with_suffix(".part"))
    assert np.array_equal(map_images(Dataset(path)), pixels(path))
    assert kept(path) == [file]


def test_folders_have_a_cache_beside_them_too(path: Path) -> None:
    folder = path.with_name("folder")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    assert np.array_equal(map_images(Dataset(folder)), pixels(path))
    assert len(kept(folder)) == 1
    assert len(Dataset(folder)) == COUNT


def test_where_one_cannot_write_the_users_own_cache_serves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_writes_in(monkeypatch, path.parent)
    images = map_images(Dataset(path))
    assert np.array_equal(images, pixels(path))
    assert [p.name for p in path.parent.iterdir()] == ["set.zip"]
    (file,) = (path.parents[1] / "own").rglob("*.u8")
    before = file.stat()
    map_images(Dataset(path))
    assert file.stat() == before


def test_where_one_cannot_write_anywhere_it_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_writes_in(monkeypatch, path.parents[1])
    with pytest.raises(GanctlError, match=r"Permission denied; use --cache none or --cache memory"):
        map_images(Dataset(path))


def test_a_full_disk_is_said_before_anything_is_decoded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SIZE - 1, total=SIZE))
    monkeypatch.setattr(Dataset, "read", None)
    with pytest.raises(GanctlError, match=r"No space left .* use --cache none or --cache memory"):
        map_images(Dataset(path))
    assert kept(path) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, before[1]))
    try:
        with pytest.raises(GanctlError, match=r"0 MB of images in .*; use --cache none") as caught:
            map_images(Dataset(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert kept(path) == []


def test_processes_that_build_at_once_all_end_well(path: Path) -> None:
    write(path, count=300)
    script = """
        import sys
        from ganctl.data.dataset import Dataset
        from ganctl.data.disk_cache import map_images
        print(int(map_images(Dataset(sys.argv[1])).sum(dtype=int)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = {int(worker.communicate(timeout=120)[0]) for worker in workers}
    assert sums == {int(pixels(path).sum(dtype=int))}
    assert len(kept(path)) == 1


@pytest.mark.parametrize(
    ("memory", "disk", "place"),
    [
        (2 * SIZE, 0, "memory"),
        (2 * SIZE - 1, 10 * SIZE, "disk"),
        (2 * SIZE - 1, 2 * SIZE - 1, "none"),
    ],
)
def test_auto_takes_the_fastest_place_with_room(
    path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, disk: int, place: str
) -> None:
    usage = SimpleNamespace(free=disk, total=10 * SIZE)
    monkeypatch.setattr(cache, "free_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert cache.choose(Dataset(path), CPU) == place


@pytest.mark.parametrize(("free", "place"), [(2 * SIZE, "device"), (2 * SIZE - 1, "memory")])
def test_auto_takes_a_gpu_that_has_room(
    path: Path, monkeypatch: pytest.MonkeyPatch, free: int, place: str
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    assert cache.choose(Dataset(path), torch.device("cuda")) == place


def test_images_that_are_on_the_disk_need_no_more_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SIZE, total=SIZE))
    map_images(Dataset(path))
    assert has_room(Dataset(path))
    write(path, seed=1)
    assert not has_room(Dataset(path))


def test_looking_for_room_makes_nothing(path: Path) -> None:
    assert has_room(Dataset(path))
    assert [p.name for p in path.parent.iterdir()] == ["set.zip"]
    assert [p.name for p in path.parents[1].iterdir()] == ["sets"]


def test_no_room_on_the_device_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset(path)
    monkeypatch.setattr(Dataset, "shape", (10**14, 3, 4, 5))  # 6 PB
    for place in ("memory", "device"):
        with pytest.raises(GanctlError, match=r"no room for .* use --cache disk or --cache none$"):
            cache.open_images(dataset, place, CPU, lambda count: None)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A root folder with those files; 1,000 kB are available."""
    files = {
        "proc/meminfo": "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\n",
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "9:name=systemd:/x\n4:cpu,memory:/box/a\n1:cpu:/\n"


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("", {}, 1_024_000),
        ("0::/\n", {}, 1_024_000),
        # version 2: our own group
        ("0::/a\n", {"a/memory.max": "5000\n", "a/memory.current": "2000\n"}, 3000),
        (
            "0::/a\n",
            {
                "a/memory.max": "5000",
                "a/memory.current": "2000",
                "a/memory.stat": "anon 7\ninactive_file 500\nactive_file 9\n",
            },
            3500,
        ),
        ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "2000\n"}, 1_024_000),
        ("0::/a\n", {"a/memory.max": "5000", "a/memory.current": "6000"}, 0),
        # the group above is narrower
        (
            "0::/a/b\n",
            {
                "a/memory.max": "900",
                "a/memory.current": "100",
                "a/b/memory.max": "5000",
                "a/b/memory.current": "0",
            },
            800,
        ),
        # a container that sees its group as the root
        ("0::/outside/it\n", {"memory.max": "700", "memory.current": "200"}, 500),
        ("0::/../other\n", {"memory.max": "700", "memory.current": "200"}, 500),
        # version 1
        (
            V1,
            {
                "memory/box/a/memory.limit_in_bytes": "6000",
                "memory/box/a/memory.usage_in_bytes": "2500",
                "memory/box/a/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
            },
            3800,
        ),
        (
            V1,
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": "2500",
            },
            1_024_000,
        ),
    ],
)
def test_free_memory_is_what_the_system_and_every_control_group_leave(
    tmp_path: Path, groups: str, files: dict[str, str], free: int
) -> None:
    assert free_memory(system(tmp_path, groups, files)) == free


def test_free_memory_of_this_machine_is_plausible() -> None:
    assert 2**20 < free_memory() < 2**50


def test_free_memory_is_guessed_where_nothing_tells(tmp_path: Path) -> None:
    assert free_memory(tmp_path) > 0


def test_work_in_threads_comes_in_order_and_not_too_far_ahead() -> None:
    begun: list[int] = []

    def square(number: int) -> int:
        begun.append(number)
        return number**2

    for count, result in enumerate(in_threads(square, range(1000))):
        assert result == count**2
        assert len(begun) <= count + (AHEAD + 1) * cores() + 1
    assert len(begun) == 1000


def test_an_error_in_a_thread_ends_the_work() -> None:
    begun: list[int] = []

    def fail(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise KeyError(number)
        return number

    results = in_threads(fail, range(10**6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)
    assert len(begun) < 10**4


def test_names_of_files_change_with_what_decodes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    map_images(Dataset(path))
    (before,) = kept(path)
    monkeypatch.setattr(disk_cache, "__version__", "another")
    map_images(Dataset(path))
    assert kept(path) != [before]
