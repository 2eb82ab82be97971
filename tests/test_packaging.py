"""The bundle and its parts: what they declare, what the wheel holds, how they install.

The slow tests make fresh virtual environments and use pip as this machine has it configured.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.numpy import load_file

import ganctl as package

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PARTS = [ROOT / "core", *sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))]

CLI = Any  # the fixture `ganctl` of conftest.py
Result = subprocess.CompletedProcess[str]


def project(folder: Path) -> dict[str, Any]:
    with (folder / "pyproject.toml").open("rb") as file:
        content: dict[str, Any] = tomllib.load(file)
    return content


def requirement(text: str) -> tuple[str, str]:
    """`"numpy>=1.26"` → ("numpy", ">=1.26"); names as pip compares them."""
    match = re.match(r"[A-Za-z0-9._-]+", text)
    assert match, text
    return re.sub(r"[-_.]+", "-", match[0]).lower(), text[match.end() :].replace(" ", "")


def entry_points(folder: Path) -> Counter[tuple[str, str, str]]:
    groups = project(folder)["project"].get("entry-points", {})
    return Counter(
        (group, name, to) for group, points in groups.items() for name, to in points.items()
    )


def packages(folder: Path) -> list[str]:
    wheel = project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]
    found: list[str] = wheel["packages"]
    return found


def test_the_bundle_announces_what_its_parts_announce() -> None:
    union = sum((entry_points(part) for part in PARTS), Counter())
    assert set(union.values()) == {1}  # and no two of them the same
    assert entry_points(ROOT) == union


def test_the_bundle_holds_the_packages_of_its_parts() -> None:
    of_parts = {f"{p.relative_to(ROOT).as_posix()}/{name}" for p in PARTS for name in packages(p)}
    assert set(packages(ROOT)) == of_parts
    tools = project(ROOT)["tool"]
    names = {path.rpartition("/")[2] for path in of_parts}
    assert set(tools["mypy"]["packages"]) == set(tools["importlinter"]["root_packages"]) == names
    for path in of_parts:
        assert (ROOT / path / "__init__.py").is_file()
        assert (ROOT / path / "py.typed").is_file()


def test_all_parts_have_one_version() -> None:
    for folder in (ROOT, *PARTS):
        about = project(folder)
        if "version" in about["project"]:
            assert about["project"]["version"] == package.__version__, folder
        else:
            file = folder / about["tool"]["hatch"]["version"]["path"]
            assert file.samefile(Path(package.__file__).parent / "__init__.py") or (
                f'__version__ = "{package.__version__}"' in file.read_text()
            )


def test_what_the_parts_require_the_bundle_requires() -> None:
    root = project(ROOT)["project"]
    extras = [text for texts in root["optional-dependencies"].values() for text in texts]
    bundle = dict(map(requirement, [*root["dependencies"], *extras]))
    for part in PARTS:
        for text in project(part)["project"]["dependencies"]:
            name, versions = requirement(text)
            if name != "ganctl":
                assert versions in ("", bundle.get(name)), f"{part.name}: {text}"
    core = project(ROOT / "core")["project"]
    needed = [*core["dependencies"], *core["optional-dependencies"]["web"]]
    # the plugins need nothing more
    assert dict(map(requirement, needed)) == dict(map(requirement, root["dependencies"]))
    assert core["scripts"] == root["scripts"]


def test_every_direct_requirement_is_pinned() -> None:
    root = project(ROOT)["project"]
    extras = [text for texts in root["optional-dependencies"].values() for text in texts]
    direct = {requirement(text)[0] for text in [*root["dependencies"], *extras]} - {"ganctl"}
    lines = CONSTRAINTS.read_text().splitlines()
    pins = dict(requirement(line) for line in lines if line and not line.startswith("#"))
    assert direct <= pins.keys()
    for name, pin in pins.items():
        assert re.fullmatch(r"==[0-9][0-9.]*", pin), f"{name}{pin}"  # no local build such as +cpu


@pytest.mark.slow
def test_the_wheel_holds_everything(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*build, tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        texts = {
            name.rpartition("/")[2]: archive.read(name).decode()
            for name in names
            if ".dist-info/" in name
        }
    assert wheel.name == f"ganctl-{package.__version__}-py3-none-any.whl"
    wanted = set()
    for path in packages(ROOT):
        folder = ROOT / path
        files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        wanted |= {p.relative_to(folder.parent).as_posix() for p in files}
    assert {"ganctl/py.typed", "ganctl_mlp/digits.npz", "ganctl_mlp/digits-LICENSE.txt"} <= wanted
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert "Apache License" in texts["LICENSE"]
    assert "CC BY 4.0" in texts["digits-LICENSE.txt"]
    for _, name, value in entry_points(ROOT):
        assert f"{name} = {value}\n" in texts["entry_points.txt"] + "\n"


class Environment:
    """A virtual environment of its own, and commands that run in it as in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder.parent / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        leave_out = ("GANCTL_", "PYTHON", "VIRTUAL_ENV", "COV_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(leave_out)}
        self.env["PATH"] = os.pathsep.join([str(self.scripts), self.env.get("PATH", os.defpath)])
        self.env["PIP_COMPILE"] = "0"  # the modules that are used compile when they are
        self.env["OMP_NUM_THREADS"] = "1"  # other tests may be running beside this one

    def __call__(self, command: str) -> Result:
        """A line for the shell, in the folder `work`."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.work,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *what: str | Path) -> None:
        paths = " ".join(shlex.quote(str(path)) for path in what)
        result = self(f"python -m pip install --quiet -c {shlex.quote(str(CONSTRAINTS))} {paths}")
        assert result.returncode == 0, result.stderr


def refused(result: Result, *parts: str) -> None:
    """One clear line on standard error and exit status 2."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("ganctl: error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


@pytest.mark.slow
def test_the_core_alone_and_then_with_the_mlp_gan(ganctl: CLI, tmp_path: Path) -> None:
    apart = Environment(tmp_path / "apart")
    apart.install(ROOT / "core")

    result = apart("ganctl list-plugins --json")
    assert result.returncode == 0, result.stdout
    assert [row["name"] for row in json.loads(result.stdout)] == ["fetched"]  # its own folders
    result = apart("ganctl list-plugins --kind architecture")
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)
    result = apart("ganctl --help")
    assert result.returncode == 0
    assert "doctor" in result.stdout
    result = apart("ganctl train --help")
    assert result.returncode == 0
    assert "--kimg" in result.stdout
    result = apart("ganctl doctor")
    assert result.returncode == 0, result.stdout
    assert "plugins: 1 installed" in result.stdout
    refused(apart("ganctl describe mlp"), "no plugin named 'mlp'")
    refused(apart("ganctl train"), "no architecture named 'mlp': none is installed")
    assert list(apart.work.iterdir()) == []

    apart.install(ROOT / "plugins/mlp")
    result = apart("ganctl list-plugins --check --json")
    assert result.returncode == 0, result.stdout
    rows = {(row["name"], row["distribution"], row["state"]) for row in json.loads(result.stdout)}
    own = {(name, "ganctl-mlp", "ok") for name in ("mlp", "bce", "digits")}
    assert rows == own | {("fetched", "ganctl", "ok")}

    train = ("train", "--kimg", "4", "--seed", "3", "--run", "run")
    result = apart(f"ganctl {shlex.join(train)}")
    assert result.returncode == 0, result.stderr
    assert ganctl(*train).returncode == 0
    one, other = (
        next(folder.glob("run/checkpoints/000004.*/generator.safetensors"))
        for folder in (apart.work, ganctl.folder)
    )
    trained_apart, trained_by_the_bundle = load_file(one), load_file(other)
    assert trained_apart.keys() == trained_by_the_bundle.keys()
    for name, tensor in trained_apart.items():
        assert tensor.tobytes() == trained_by_the_bundle[name].tobytes(), name
    assert ganctl("generate", one, "--seeds", "0").returncode == 0  # each reads the other's
    assert apart(f"ganctl generate {shlex.quote(str(other))} --seeds 0").returncode == 0


def first_command() -> str:
    """The first command of README.md."""
    match = re.search(r"^```sh\n(.+)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert match
    return match[1]


def test_the_readme_begins_with_the_two_commands() -> None:
    assert first_command() == "python -m pip install -c constraints.txt . && ganctl train"
    second = "\npython -m pip install -c constraints.txt '.[test]' && python -m pytest\n"
    assert second in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_readmes_first_command_ends_in_a_picture(tmp_path: Path) -> None:
    bundle = Environment(tmp_path / "bundle")
    here = {".": str(ROOT), "constraints.txt": str(CONSTRAINTS)}
    words = [shlex.quote(here.get(word, word)) for word in first_command().split()]
    command = " ".join(words).replace(shlex.quote("&&"), "&&")
    result = bundle(command)
    assert result.returncode == 0, result.stderr
    last = [line.partition(":") for line in result.stdout.splitlines()[-2:]]
    assert [name for name, _, _ in last] == ["picture", "model"]
    picture, model = (bundle.work / path.strip() for _, _, path in last)
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) >= 256
        assert len(image.getcolors() or []) > 32  # shades: not one flat colour
    assert load_file(model)
    assert f"checkpoints/{model.parent.name}/\n" in (ROOT / "README.md").read_text()
    assert sorted(p.name for p in bundle.work.iterdir()) == ["datasets", "runs"]
