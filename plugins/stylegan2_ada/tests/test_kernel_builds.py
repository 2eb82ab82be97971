"""How kernels come about: compilers, the cache on the disk, and what happens without them."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import emulation
import pytest
import torch

from ganctl_stylegan2_ada import bias_act_op, upfirdn2d_op
from ganctl_stylegan2_ada.bias_act import bias_act
from ganctl_stylegan2_ada.kernels import (
    BuildError,
    Constant,
    Cuda,
    Kernel,
    KernelWarning,
    Unavailable,
    cache,
)
from ganctl_stylegan2_ada.kernels.kernel import _spelled, _warn

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
CPU = torch.device("cpu")

DOUBLED = """
struct Arguments { const float* x; float* y; int count; };
extern "C" __global__ void doubled(Arguments a) {
  const int n = blockIdx.x * blockDim.x + threadIdx.x;
  if (n < a.count) a.y[n] = FACTOR * a.x[n];
}
"""


@pytest.fixture
def doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel of somebody else's, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _warn.cache_clear()
    file = tmp_path / "doubled.cu"
    file.write_text(DOUBLED)
    yield Kernel(file)
    _warn.cache_clear()


class Counting(emulation.Emulation):
    """The emulation, and how often it compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled = 0

    def compile(self, *facts: Any) -> bytes:
        self.compiled += 1
        return super().compile(*facts)


class WithNVRTC(emulation.Emulation):
    """NVRTC's compiler, for a GPU that is not here."""

    def architecture(self, device: torch.device) -> str:
        return "sm_90"

    def compile(self, *facts: Any) -> bytes:
        return Cuda.compile(self, *facts)


def run(kernel: Kernel, **constants: Constant) -> list[float] | None:
    """What it makes of 1, 2, 3."""
    import struct

    x, y = torch.tensor([1.0, 2, 3]), torch.zeros(3)
    launch = kernel.on(CPU, **constants)
    if launch is None:
        return None
    launch(1, 32, struct.pack("2Pi", x.data_ptr(), y.data_ptr(), 3))
    return y.tolist()


def sources() -> Iterator[tuple[Kernel, dict[str, Constant]]]:
    """What training asks for, and every other branch of the sources at least once."""
    for module in bias_act_op, upfirdn2d_op:
        for constants in module.used_in_training():
            yield module.KERNEL, constants
    common = {"CLAMP": True, "INDEX": "unsigned int", "TIMES": 2}
    for act, order in itertools.product(range(9), range(3)):
        bias = {"BIAS": 1 if order == 0 else 0, "VECTOR": 1, "TYPE": "bfloat16"}
        yield bias_act_op.KERNEL, {"ACT": act, "ORDER": order, **common, **bias}
    (large, *_) = upfirdn2d_op.used_in_training()
    yield upfirdn2d_op.KERNEL, {**large, "SEPARABLE": False, "INDEX": "unsigned long long"}
    rolled = {"KX": 24, "KY": 20, "ROWS": 1, "COLUMNS": 1, "VECTOR": 1, "ROLLED": 1}
    yield upfirdn2d_op.KERNEL, {**large, **rolled, "TYPE": "double", "SEPARABLE": False}
    yield upfirdn2d_op.KERNEL, {**large, **rolled, "TYPE": "bfloat16"}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_everything_without_a_warning(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cuda.bindings import nvrtc

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compile_program, said = nvrtc.nvrtcCompileProgram, []

    def listening(program: Any, *arguments: Any) -> Any:
        status = compile_program(program, *arguments)
        text = bytes(nvrtc.nvrtcGetProgramLogSize(program)[1])
        nvrtc.nvrtcGetProgramLog(program, text)
        said.append(text.rstrip(b"\0 \n"))
        return status

    monkeypatch.setattr(nvrtc, "nvrtcCompileProgram", listening)
    for kernel, constants in sources():
        code, how = kernel.build(Cuda(), architecture, constants)
        assert how == "compiled"
        assert code.startswith(b"\x7fELF")
    assert set(said) == {b""}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc, which is not here")
@pytest.mark.parametrize("module", [bias_act_op, upfirdn2d_op])
def test_nvcc_compiles_every_source_without_a_warning(module: Any, tmp_path: Path) -> None:
    (constants, *_) = module.used_in_training()
    others = [c for kernel, c in sources() if kernel is module.KERNEL][-3:]
    targets = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in ARCHITECTURES]
    for chosen in constants, *others:
        options = [f"-D{name}={_spelled(value)}" for name, value in chosen.items()]
        command = ["nvcc", "-std=c++17", "-Werror=all-warnings", "-fatbin", *targets, *options]
        out = str(tmp_path / "out")
        done = subprocess.run(
            [*command, "-o", out, module.KERNEL.file], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_gpu_that_the_compiler_does_not_know_gets_ptx(doubled: Kernel) -> None:
    code, _ = doubled.build(Cuda(), "sm_999", {"FACTOR": 2})
    assert b".target sm_" in code


def test_a_gpu_that_is_too_old_is_told_so(doubled: Kernel) -> None:
    with pytest.raises(Unavailable, match="sm_75 and newer, not for sm_70"):
        doubled.build(Cuda(), "sm_70", {"FACTOR": 2})


def test_what_was_compiled_is_found_by_the_next_process(driver: None, doubled: Kernel) -> None:
    with emulation.emulated(backend := Counting()):
        assert run(doubled, FACTOR=2) == [2, 4, 6]
        assert run(doubled, FACTOR=2) == [2, 4, 6]
        assert run(Kernel(doubled.file), FACTOR=2) == [2, 4, 6]
        assert backend.compiled == 1
        assert run(doubled, FACTOR=3) == [3, 6, 9]
        assert backend.compiled == 2


def test_another_source_header_or_compiler_is_another_build(
    driver: None, doubled: Kernel, tmp_path: Path
) -> None:
    class Newer(Counting):
        def compiler(self) -> str:
            return "another"

    copy = tmp_path / "copy"
    copy.mkdir()
    changed, beside = copy / "doubled.cu", copy / "beside.cuh"
    changed.write_text(doubled.file.read_text().replace("FACTOR *", "10 * FACTOR *"))
    with emulation.emulated(backend := Counting()):
        assert run(doubled, FACTOR=2) == [2, 4, 6]
        assert run(Kernel(changed), FACTOR=2) == [20, 40, 60]
        assert backend.compiled == 2
        beside.write_text("// another header")
        other = copy / "more"
        other.mkdir()
        shutil.copy(changed, other)
        shutil.copy(beside, other)
        assert run(Kernel(other / "doubled.cu"), FACTOR=2) == [20, 40, 60]
        assert backend.compiled == 3
    with emulation.emulated(newer := Newer()):
        assert run(Kernel(doubled.file), FACTOR=2) == [2, 4, 6]
        assert newer.compiled == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "a folder"])
def test_a_damaged_build_is_made_anew(driver: None, doubled: Kernel, damage: str) -> None:
    with emulation.emulated(backend := Counting()):
        run(doubled, FACTOR=2)
        (file,) = cache.folder().iterdir()
        data = file.read_bytes()
        file.unlink()
        match damage:
            case "cut":
                file.write_bytes(data[:-1])
            case "changed":
                file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
            case "emptied":
                file.touch()
            case _:
                file.mkdir()
        assert run(Kernel(doubled.file), FACTOR=2) == [2, 4, 6]
        assert backend.compiled == 2
        if damage != "a folder":
            assert file.read_bytes() == data


def test_a_disk_that_takes_nothing_only_costs_time(
    driver: None, doubled: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    occupied = tmp_path / "occupied"
    occupied.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    with emulation.emulated():
        assert run(doubled, FACTOR=2) == [2, 4, 6]


BUILD = """
import sys
from pathlib import Path
from ganctl_stylegan2_ada.kernels import Cuda, Kernel
sys.stdin.read(1)
print(Kernel(Path(sys.argv[1])).build(Cuda(), "sm_90", {"FACTOR": 2})[0][:4])
"""


@pytest.mark.slow
def test_eight_processes_may_build_at_once_and_one_may_be_killed(doubled: Kernel) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(doubled.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        for _ in range(8)
    ]
    left = cache.folder() / ".doubled.cubin.killed"  # of one that was killed while it wrote
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    answers = {process.communicate()[0] for process in processes}
    assert answers == {b"b'\\x7fELF'\n"}
    assert {process.returncode for process in processes} == {0}
    assert len(list(cache.folder().glob("*.cubin"))) == 1
    assert [file for file in cache.folder().glob(".*") if file != left] == []


def test_threads_of_one_process_build_once(driver: None, doubled: Kernel) -> None:
    found: list[list[float] | None] = []
    with emulation.emulated(backend := Counting()):
        threads = [
            threading.Thread(target=lambda: found.append(run(doubled, FACTOR=2))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [[2, 4, 6]] * 8
    assert backend.compiled == 1


def test_what_does_not_compile_is_told_once_with_the_compilers_last_lines(
    doubled: Kernel,
) -> None:
    doubled.file.write_text(DOUBLED.replace("a.count", "a.number"))
    with emulation.emulated(WithNVRTC()):
        with pytest.warns(KernelWarning) as warned:
            assert run(doubled, FACTOR=2) is None
        assert run(doubled, FACTOR=3) is None
    (warning,) = warned
    assert str(warning.message).startswith("the kernel doubled does not compile: ")
    assert '1 error detected in the compilation of "doubled.cu"' in str(warning.message)
    assert "slower and with more memory" in str(warning.message)
    with pytest.raises(BuildError, match='class "Arguments" has no member "number"'):
        doubled.build(Cuda(), "sm_90", {"FACTOR": 2})


WITHOUT = """
import builtins, sys, warnings
import torch
{prelude}
from ganctl_stylegan2_ada.bias_act import bias_act
from ganctl_stylegan2_ada.kernels import BACKENDS, Cuda
class Here(Cuda):
    def architecture(self, device):
        return "sm_90"
x = torch.linspace(-1, 1, 5).view(1, 5)
expected = bias_act(x, act="lrelu"), bias_act(x, act="swish")
BACKENDS["cpu"] = Here()
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = bias_act(x, act="lrelu"), bias_act(x, act="swish")
assert all(map(torch.equal, found, expected))
print(*(str(w.message) for w in warned), sep="\\n")
"""
NO_BINDINGS = "sys.modules['cuda.bindings'] = None"
NO_LIBRARY = """
from cuda.bindings import nvrtc
def absent(*arguments):
    raise RuntimeError("libnvrtc.so not found. Searched there.")
nvrtc.nvrtcVersion = absent
"""


@pytest.mark.parametrize(
    ("prelude", "advice"),
    [
        (NO_BINDINGS, 'the package cuda-bindings is missing: pip install "cuda-bindings==13.*"'),
        (NO_LIBRARY, "NVRTC, CUDA's compiler, is missing (libnvrtc.so not found"),
    ],
)
def test_without_a_compiler_training_goes_on_and_the_user_is_told_once(
    prelude: str, advice: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(prelude=prelude)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith(advice)
    assert "Plain PyTorch operators take the place of kernels" in line


def test_a_driver_that_refuses_is_told(driver: None, doubled: Kernel) -> None:
    class Wrong(emulation.Emulation):
        def compile(self, *facts: Any) -> bytes:
            return b"no machine code" * 10

    with emulation.emulated(Wrong()), pytest.warns(KernelWarning, match="CUDA_ERROR_INVALID_IMAGE"):
        assert run(doubled, FACTOR=2) is None


def test_whatever_else_fails_is_told_too(driver: None, doubled: Kernel) -> None:
    class Old(emulation.Emulation):
        def load(self, *facts: Any) -> Any:
            raise RuntimeError('Function "cuLibraryLoadData" not found')

    with emulation.emulated(Old()), pytest.warns(KernelWarning, match="RuntimeError: Function"):
        assert run(doubled, FACTOR=2) is None


def test_nothing_is_launched_for_nothing(driver: None, doubled: Kernel) -> None:
    with emulation.emulated():
        launch = doubled.on(CPU, FACTOR=2)
        assert launch is not None
        launch(0, 32, bytes(20))


def test_they_can_be_switched_off(tmp_path: Path) -> None:
    code = "from ganctl_stylegan2_ada.kernels import BACKENDS; print(BACKENDS)"
    environment = {**os.environ, "GANCTL_KERNELS": "off", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{}\n"


def ganctl(*arguments: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ganctl", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_command_builds_and_says_what_is_built(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    status, out, _ = ganctl("kernels", environment=environment)
    assert status == 0
    assert "NVRTC" in out
    assert f"{tmp_path / 'ganctl' / 'kernels'}: 0 builds" in out
    status, out, _ = ganctl("kernels", "--build", "--arch", "sm_90", environment=environment)
    assert status == 0
    assert "bias_act  10 compiled for sm_90, 0 found\nupfirdn2d 10 compiled for sm_90" in out
    status, out, _ = ganctl("kernels", "--build", "--arch", "sm_90", environment=environment)
    assert "bias_act  0 compiled for sm_90, 10 found" in out
    status, out, _ = ganctl("kernels", "--arch", "sm_90", environment=environment)
    assert "upfirdn2d 10 variants, 10 of them built for sm_90" in out


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--build"], 2, "--build: there is no NVIDIA GPU that PyTorch can use; --arch sm_90"),
        (["--bench"], 2, "--bench: there is no NVIDIA GPU that PyTorch can use"),
        (["--arch", "hopper"], 2, "--arch: 'hopper' is no architecture; write sm_90, say"),
        (["--build", "--arch", "sm_30"], 1, "kernels cannot be built: NVRTC"),
    ],
)
def test_the_command_says_what_cannot_be(
    arguments: list[str], status: int, said: str, tmp_path: Path
) -> None:
    found = ganctl("kernels", *arguments, environment={"XDG_CACHE_HOME": str(tmp_path)})
    assert found[0] == status
    assert found[2].startswith(f"ganctl: error: {said}")
    assert found[2].count("\n") == 1


def test_a_warning_is_one_line_for_who_types(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    from ganctl.cli.main import main

    with warnings.catch_warnings():
        assert main(["--version"]) == 0
        warnings.simplefilter("always")
        warnings.warn("the kernel does not compile", KernelWarning, stacklevel=1)
    assert capsys.readouterr().err == "ganctl: warning: the kernel does not compile\n"


def test_nothing_of_this_concerns_a_cpu() -> None:
    assert bias_act_op.KERNEL.on(CPU) is None
    assert bias_act(torch.ones(1, 3)).tolist() == [[1, 1, 1]]
