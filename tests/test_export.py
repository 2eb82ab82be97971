"""`ganctl export`: what ONNX Runtime makes of the files is what PyTorch makes of the model."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ganctl as package
from ganctl import Generator, ImageSpec, onnx_export
from ganctl.errors import GanctlError
from ganctl.model import Model

CLI = Any  # conftest.py's CommandLine

LINE = re.compile(r"(\S+): (.+) → (\w+), within (\S+) of PyTorch")


def session(file: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(file, providers=["CPUExecutionProvider"])


def run(file: Path, **inputs: Tensor | float) -> np.ndarray[Any, Any]:
    given = {name: np.asarray(value, dtype=np.float32) for name, value in inputs.items()}
    (found,) = session(file).run(None, given)
    return np.asarray(found)


def shapes(file: Path) -> dict[str, list[int | str]]:
    opened = session(file)
    assert {v.type for v in (*opened.get_inputs(), *opened.get_outputs())} == {"tensor(float)"}
    return {value.name: value.shape for value in (*opened.get_inputs(), *opened.get_outputs())}


def inputs_of(model: Model, seeds: range) -> dict[str, Tensor]:
    classes = model.spec.classes
    labels = {"c": torch.eye(classes)[[seed % classes for seed in seeds]]} if classes else {}
    return {"z": model.latents(seeds)} | labels


def alike(images: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> None:
    """(N, C, H, W) in [-1, 1] and (N, H, W, C) in bytes."""
    assert abs(images).max() <= 1
    levels = (images.transpose(0, 2, 3, 1) + 1) * 127.5
    assert levels.shape == wanted.shape
    assert abs(levels - wanted).max() < 0.6


def exported(ganctl: CLI, model: Path) -> list[str]:
    """The names of the files that the command tells of."""
    pytest.importorskip("onnxruntime")
    result = ganctl("export", model, "--onnx", "deep/g.onnx")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    told = [LINE.fullmatch(line) for line in result.stdout.splitlines()]
    assert all(line is not None and float(line[4]) < 1e-4 for line in told), result.stdout
    files = [line[1] for line in told if line]
    assert sorted(["deep", *files]) == ganctl.files()
    return files


@pytest.mark.slow
def test_a_generator_is_one_file(ganctl: CLI, trained: Path) -> None:
    assert exported(ganctl, trained) == ["deep/g.onnx"]
    file, model = ganctl.folder / "deep/g.onnx", package.load(trained)
    assert shapes(file) == {"z": ["batch", 16], "image": ["batch", 1, 28, 28]}
    for seeds in (range(3, 4), range(5)):
        alike(run(file, **inputs_of(model, seeds)), model.generate(seeds))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (ImageSpec(16, 16, 3, 5), {"attention": 8}),
        (ImageSpec(16, 24, 1), {"normalisation": "dataset"}),
    ],
)
def test_dcgan_too(
    ganctl: CLI, untrained: Callable[..., Path], spec: ImageSpec, options: dict[str, Any]
) -> None:
    source = untrained("dcgan", spec, ngf=4, ndf=4, **options)
    exported(ganctl, source)
    file, model = ganctl.folder / "deep/g.onnx", package.load(source)
    assert ("c" in shapes(file)) == (spec.classes > 0)
    for seeds in (range(3, 4), range(5)):
        alike(run(file, **inputs_of(model, seeds)), model.generate(seeds))


@pytest.mark.slow
def test_a_style_generator_is_three_files(ganctl: CLI, styled: Path) -> None:
    files = [ganctl.folder / file for file in exported(ganctl, styled)]
    assert [file.name for file in files] == ["g.onnx", "g-mapping.onnx", "g-synthesis.onnx"]
    whole, mapping, synthesis = files
    given = {"z": ["batch", 16], "c": ["batch", 3]}
    image = {"image": ["batch", 3, 16, 32]}
    assert shapes(whole) == given | image
    assert shapes(mapping) == given | {"truncation_psi": [], "ws": ["batch", 6, 16]}
    assert shapes(synthesis) == {"ws": ["batch", 6, 16]} | image
    model = package.load(styled)
    for seeds in (range(3, 4), range(5)):
        inputs = inputs_of(model, seeds)
        alike(run(whole, **inputs), model.generate(seeds))
        for psi in (1.0, 0.5, 0.0, -1.0):
            ws = run(mapping, **inputs, truncation_psi=psi)
            wanted = model.styles(seeds, truncation=psi)
            assert np.allclose(ws, wanted, atol=1e-5)
            alike(run(synthesis, ws=torch.from_numpy(ws)), model.generate(seeds, truncation=psi))


@pytest.mark.slow
def test_what_differs_is_not_left_behind(
    ganctl: CLI, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    (ganctl.folder / "g.onnx").write_text("before")
    result = ganctl.here("export", trained, "--onnx", "g.onnx")
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(
        r"ganctl: error: the exported graph's image differs from PyTorch's by \S+ "
        r"\(numbers drawn in the generator\?\): nothing was written\n",
        result.stderr,
    )
    assert ganctl.files() == ["g.onnx"]
    assert (ganctl.folder / "g.onnx").read_text() == "before"


class Straight(Generator):
    """One layer, for its subclasses to do something odd with."""

    z_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 12)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.layer(z).tanh().view(-1, 3, 2, 2)


class Restless(Straight):
    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(z) + torch.randn(z.shape[0], 3, 2, 2)


class Counting(Straight):
    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(z) * torch.ones(len(z), 1, 1, 1)


class Branching(Straight):
    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = super().forward(z)
        return x if x.sum() > 0 else -x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Restless, r"image differs from PyTorch's by .* \(numbers drawn in the generator\?\)"),
        (Counting, r"cannot be exported: it fixes how many images it makes \(x\.shape\[0\] does"),
        (Branching, r"cannot be exported: Could not guard on data-dependent expression"),
    ],
)
def test_generators_that_cannot_be_exported(generator: type[Straight], message: str) -> None:
    pytest.importorskip("onnxruntime")
    (graph,) = onnx_export.graphs_of(Model(generator().eval(), ImageSpec(2, 2, 3), {}))
    with pytest.raises(GanctlError, match=message) as caught:
        onnx_export.convert(graph)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_it_says_how_to_get_it(
    ganctl: CLI, trained: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    result = ganctl.here("export", trained, "--onnx", "g.onnx")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"ganctl: error: ONNX needs the package {missing}: pip install 'ganctl[onnx]'\n"
    )
    assert ganctl.files() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--onnx", "g.pt"), "--onnx g.pt: give a file whose name ends in .onnx"),
        (("--onnx", ".onnx"), "--onnx .onnx: give a file whose name ends in .onnx"),
        (("--onnx", "somewhere/"), "give a file whose name ends in .onnx"),
        ((), "Missing option '--onnx'"),
    ],
)
def test_a_command_line_that_is_wrong(
    ganctl: CLI, trained: Path, options: tuple[str, ...], message: str
) -> None:
    result = ganctl.here("export", trained, *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert ganctl.files() == []


def test_a_model_that_is_not_there(ganctl: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "find_onnx", lambda: None)
    result = ganctl.here("export", "nowhere", "--onnx", "g.onnx")
    assert result.returncode == 2
    assert result.stderr == "ganctl: error: nowhere: no such file or folder\n"
    assert ganctl.files() == []
