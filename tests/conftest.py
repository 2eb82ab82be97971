"""Fixtures of the tests that go across the parts: the real command line, and trained runs."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganctl import ImageSpec, checkpoint, model, registry
from ganctl.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

TINY = (
    *("--device", "cpu", "--batch", "64", "--kimg", "2"),
    *("--arch.z-dim", "16", "--arch.g-widths", "32", "--arch.d-widths", "32"),
    *("--log-every", "0.5", "--sample-every", "1", "--checkpoint-every", "1"),
)
"""Options for `ganctl train` that make it a matter of a second."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shared", default=str(SHARED), help="folder with the real data sets")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept in the user's cache is kept elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class CommandLine:
    """`ganctl` as people run it: a process of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GANCTL_")}
        self.env |= {"PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1", "COLUMNS": "100"}
        # Two busy test workers with two threads each would spend their time waiting.
        self.env["OMP_NUM_THREADS"] = "1"

    def __call__(
        self,
        *arguments: object,
        env: dict[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end. A traceback fails the test, whatever it is about."""
        result = subprocess.run(
            [sys.executable, "-m", "ganctl", *map(str, arguments)],
            cwd=self.folder,
            env=self.env | (env or {}),
            preexec_fn=preexec_fn,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in result.stdout + result.stderr, result.stderr
        return result

    def here(
        self, *arguments: object, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same within this process: quick, for what ends before a process would matter.

        An exception that the command line lets through fails the test, and so do warnings.
        """
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            patch.chdir(self.folder)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            words = list(map(str, arguments))
            status = main(words)
        return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """A command that goes on while the test does something to it."""
        return subprocess.Popen(
            [sys.executable, "-m", "ganctl", *map(str, arguments)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self) -> list[str]:
        """Everything below the folder, dot files included."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*"))


@pytest.fixture
def ganctl(tmp_path: Path) -> CommandLine:
    """`ganctl("train", "--kimg", 2)` in the test's own empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def command_line() -> type[CommandLine]:
    """For fixtures that need a command line in a folder of their own."""
    return CommandLine


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """`shared("data/mnist")`: that folder or file, or a skip that names it."""

    def path(name: str) -> Path:
        found = Path(request.config.getoption("--shared")) / name
        if not found.exists():
            pytest.skip(f"needs shared/{name}, which is not here")
        return found

    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits, for tests that read it or copy it: leave it as it is."""
    return _train(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits with their labels; leave it as it is."""
    return _train(tmp_path_factory.mktemp("conditional"), "--cond")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`untrained("mlp", ImageSpec(…), z_dim=8)`: a generator's file; no bias or gain is 0."""

    def write(name: str, spec: ImageSpec, **options: Any) -> Path:
        entry = registry.find("architecture", name)
        architecture = entry.load()
        chosen = architecture.options_class(**options)
        torch.manual_seed(0)
        generator, _ = architecture.build(chosen, spec)  # type: ignore[attr-defined]
        tensors = generator.state_dict()
        for tensor in tensors.values():
            if tensor.is_floating_point() and tensor.ndim < 2:
                tensor.add_(torch.rand_like(tensor))
        training = {"step": 0, "images": 0, "total": 1000}
        about = model.header(entry, chosen, spec, training)
        folder = tmp_path_factory.mktemp("untrained") / "model"
        checkpoint.write(folder, {checkpoint.GENERATOR: (tensors, about)})
        return folder / checkpoint.GENERATOR

    return write


@pytest.fixture(scope="session")
def styled(untrained: Callable[..., Path]) -> Path:
    """A StyleGAN2 of 16x32, not trained, with 6 styles and 3 classes with names."""
    small = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
    spec = ImageSpec(16, 32, 3, 3, ("cats", "dogs", "fish, fried"))
    return untrained("stylegan2-ada", spec, **small)


def _train(folder: Path, *options: str) -> Path:
    result = CommandLine(folder)("train", *TINY, *options, "--run", "run")
    assert result.returncode == 0, result.stderr
    return folder / "run"
