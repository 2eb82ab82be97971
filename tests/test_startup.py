"""What must answer at once: little CPU time, and no torch."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ganctl as package

CLI = Any  # the fixture `ganctl` of conftest.py

QUICK = (
    ("--help",),
    ("--version",),
    ("list-plugins",),
    ("list-plugins", "--json"),
    ("list-plugins", "--kind", "source"),
)
BUDGET = 0.2
"""Seconds of CPU time, of the user and of the system together, interpreter included."""

HEAVY = ("torch", "numpy", "typer", "rich", "PIL", "matplotlib", "ganctl_mlp")


def loaded_by(code: str) -> set[str]:
    """Which of the heavy modules a process has loaded after running `code`."""
    tell = f"import json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def cpu_seconds(ganctl: CLI, *arguments: str) -> float:
    """What one run of the command takes, from the accounts of the operating system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = ganctl(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_the_front_door_answers_at_once(ganctl: CLI, arguments: tuple[str, ...]) -> None:
    best = min(cpu_seconds(ganctl, *arguments) for _ in range(5))
    assert best < BUDGET, f"{best * 1000:.0f} ms at best"


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_the_front_door_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = f"from ganctl.cli.main import main; assert main({list(arguments)}) == 0"
    assert loaded_by(code) == set()


def test_the_check_of_what_is_loaded_can_fail() -> None:
    assert loaded_by("import numpy") == {"numpy"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import ganctl") == set()


def test_what_a_descriptor_needs_loads_no_torch() -> None:
    names = "Architecture, Augmentation, Evaluation, Hook, ImageSpec, Item, NoOptions, Objective"
    more = "Opt, Recipe, Source, UserError, hookimpl"
    assert loaded_by(f"from ganctl import {names}, {more}") == set()


@pytest.mark.parametrize("module", ["ganctl_mlp", "ganctl_sources.pictures", "ganctl_tensorboard"])
def test_first_party_descriptors_load_no_torch(module: str) -> None:
    assert "torch" not in loaded_by(f"import {module}")


def test_every_public_name_is_there() -> None:
    assert package.__all__ == sorted(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        package.no_such_name  # noqa: B018


def test_the_installed_command_is_the_front_door() -> None:
    script = Path(sys.executable).with_name("ganctl")
    for command in ([script], [sys.executable, "-m", "ganctl"]):
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert result.stdout == f"ganctl {package.__version__}\n"
