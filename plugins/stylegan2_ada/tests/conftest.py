"""Figures of the reference implementation, where they are at hand; kernels, emulated."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import emulation
import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(__file__).resolve().parents[3].parent / "shared"


class Vectors:
    """One file of shared/vectors: cases, and the arrays that they name."""

    def __init__(self, folder: Path, name: str) -> None:
        index = json.loads((folder / "index.json").read_text())
        entry = next(entry for entry in index["files"] if entry["file"] == name)
        with np.load(folder / name) as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        self.cases: list[dict[str, Any]] = entry["cases"]
        self.tolerance = max(3 * entry["noise_max_rel"], 1e-6)
        self.errors: dict[str, float] = {}

    def __getitem__(self, key: str) -> Tensor:
        return self.arrays[key]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.cases)

    def compare(self, case: Mapping[str, Any], **results: Tensor) -> None:
        """Note how far each of the case's outputs is off, relative to its largest value."""
        assert results.keys() == case["outputs"].keys()
        for role, result in results.items():
            expected = self[case["outputs"][role]]
            assert result.shape == expected.shape, (case["id"], role)
            error = (result.detach() - expected).abs().max() / expected.abs().max().clamp(1e-30)
            self.errors[f"{case['id']} {role}"] = error.item()

    def check(self, cases: int) -> None:
        assert len({key.split()[0] for key in self.errors}) == len(self.cases) == cases
        wrong = {key: error for key, error in self.errors.items() if not error <= self.tolerance}
        assert not wrong
        print(f"{cases} cases, {len(self.errors)} arrays, error {max(self.errors.values()):.2g}")


@pytest.fixture
def vectors(request: pytest.FixtureRequest) -> Callable[[str], Vectors]:
    """`vectors("conv.npz")`, or a skip that names it."""

    def load(name: str) -> Vectors:
        folder = Path(request.config.getoption("--shared", str(SHARED))) / "vectors"
        if not (folder / name).exists():
            pytest.skip(f"needs shared/vectors/{name}, which is not here")
        return Vectors(folder, name)

    return load


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> None:
    """CUDA's, for a device that is the CPU."""
    if not emulation.possible():
        pytest.skip("needs g++, which is not here")
    emulation.load_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kernels are kept."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def kernels(driver: None, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels take the place of plain operators, on the CPU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    with emulation.emulated():
        yield


@pytest.fixture(params=["plain", pytest.param("kernels", marks=pytest.mark.slow)])
def operators(request: pytest.FixtureRequest) -> None:
    """A test with it runs twice: with plain operators, and with the kernels."""
    if request.param == "kernels":
        request.getfixturevalue("kernels")
