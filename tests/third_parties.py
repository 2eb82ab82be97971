"""Distributions of third parties, really installed, for tests to put on the command line's path."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Install = Callable[..., dict[str, str]]

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2.3"
description = "Made by the tests"

[project.entry-points."ganctl.{kind}s"]
{entry} = "{value}"
"""

ARCHITECTURE = '''\
from ganctl import Architecture, NoOptions, Recipe


class Linear(Architecture[NoOptions], api=1):
    """One linear layer for each player."""

    resolution = 28

    def build(self, options, spec):
        from torch import nn

        from ganctl import Discriminator, Generator

        shape = (spec.channels, spec.height, spec.width)
        pixels = spec.channels * spec.height * spec.width

        class LinearGenerator(Generator):
            z_dim = 8

            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(8 + spec.classes, pixels)

            def forward(self, z, c=None):
                return self.layer(z).tanh().view(-1, *shape)

        class LinearDiscriminator(Discriminator):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(pixels, 1)

            def forward(self, x, c=None):
                return self.layer(x.flatten(1))

        return LinearGenerator(), LinearDiscriminator()

    def recipe(self, options, spec, batch):
        return Recipe(objective="bce", batch=64, kimg=1, lr=1e-3, betas=(0.5, 0.999))
'''


@dataclass(frozen=True)
class Project:
    """A distribution `ganctl-NAME` with one plugin NAME in the module `ganctl_NAME`."""

    source: str
    attribute: str = "Linear"
    kind: str = "architecture"
    module: str | None = None
    entry: str | None = None


def installer(projects: dict[str, Project], tmp_path_factory: pytest.TempPathFactory) -> Install:
    """`install("good", "slow")`: the environment in which these of the projects are installed."""
    installed: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in installed:
            project, target = tmp_path_factory.mktemp(name), tmp_path_factory.mktemp("site")
            _write(project, name, projects[name])
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
            options = ["--no-deps", "--no-build-isolation", "--no-compile", "--target", target]
            subprocess.run([*pip, "install", *options, project], check=True)
            installed[name] = target
        return installed[name]

    def environment(*names: str) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join(str(folder(name)) for name in names)}

    return environment


def _write(folder: Path, name: str, project: Project) -> None:
    value = f"{project.module or f'ganctl_{name}'}:{project.attribute}".removesuffix(":")
    text = PYPROJECT.format(
        name=f"ganctl-{name}", kind=project.kind, entry=project.entry or name, value=value
    )
    (folder / "pyproject.toml").write_text(text)
    (folder / f"ganctl_{name}.py").write_text(project.source)
