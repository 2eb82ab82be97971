"""Third-party distributions, really installed: good ones, broken ones, two of one name.

Each one is a project of one module, installed by pip into a folder of its own; a test puts the
folders that it wants on the path of the command line.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from third_parties import ARCHITECTURE, Install, Project, installer

CLI = Any  # the fixture `ganctl` of conftest.py

OBJECTIVE = """\
from ganctl import NoOptions, Objective


class Linear(Objective[NoOptions], api=1):
    pass
"""

BAD_OPTION = """\
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    width: int = 8


""" + ARCHITECTURE.replace("NoOptions", "Options").replace(
    "import Architecture, Options, Recipe", "import Architecture, Recipe"
)

HOOK = '''\
from ganctl import Hook, NoOptions, hookimpl


class Grumpy(Hook[NoOptions], api=1):
    """Fails whenever something is logged."""

    @hookimpl
    def tick(self):
        raise RuntimeError("I will not have it")
'''


LABELLED = '''\
from ganctl import NoOptions, Objective, UserError


class Labelled(Objective[NoOptions], api=1):
    """Needs labels."""

    def check(self, options, spec):
        if not spec.classes:
            raise UserError("objective: labelled needs labels: train with --cond")
'''


BRITTLE = '''\
from ganctl import Evaluation, Evaluator, NoOptions


class Brittle(Evaluation[NoOptions], api=1):
    """Breaks the second time."""

    def build(self, options, spec):
        class Counting(Evaluator):
            count = 0

            def update(self, batch, real):
                pass

            def compute(self):
                self.count += 1
                return {"brittle": 1 / (2 - self.count)}

            def forget_fakes(self):
                pass

        return Counting()
'''


def in_build(statement: str) -> str:
    """The architecture with a statement of its own at the beginning of `build`."""
    return ARCHITECTURE.replace("        shape =", f"        {statement}\n        shape =")


SLOW = """\
import os
import time
from pathlib import Path

Path(os.environ["IMPORTED"]).touch()
time.sleep(10)
"""


PROJECTS = {
    "good": Project(ARCHITECTURE),
    "twin": Project(ARCHITECTURE, entry="mlp"),
    "noisy": Project(
        "print('hello from the import')\n"
        + ARCHITECTURE.replace(
            "        shape =", "        print('hello from build')\n        shape ="
        )
    ),
    "clumsy": Project(in_build("1 / 0")),
    "undecided": Project(
        ARCHITECTURE.replace("        return Recipe", "        1 / 0\n        return Recipe")
    ),
    "part": Project("", "MLP", module="ganctl_mlp", entry="mlp"),  # as the bundle has it
    "slow": Project(SLOW + ARCHITECTURE),
    "labelled": Project(LABELLED, "Labelled", kind="objective"),
    "brittle": Project(BRITTLE, "Brittle", kind="evaluator"),
    "grumpy": Project(HOOK, "Grumpy", kind="hook"),
    "unimportable": Project("import no_such_requirement\n" + ARCHITECTURE),
    "nowhere": Project(ARCHITECTURE, module="no_such_module"),
    "nameless": Project(ARCHITECTURE, "Missing"),
    "unpointed": Project(ARCHITECTURE, ""),
    "mistaken": Project(OBJECTIVE),
    "functional": Project("def Linear():\n    pass\n"),
    "futuristic": Project(ARCHITECTURE.replace("api=1", "api=99")),
    "undated": Project(ARCHITECTURE.replace(", api=1", "")),
    "quitter": Project("raise SystemExit('goodbye')\n"),
    "ungrammatical": Project("class Linear(:\n"),
    "undeclared": Project(BAD_OPTION),
    "hookless": Project("import no_such_requirement\n", "Grumpy", kind="hook"),
}

BROKEN = {
    "unimportable": "ModuleNotFoundError: No module named 'no_such_requirement'",
    "nowhere": "ModuleNotFoundError: No module named 'no_such_module'",
    "nameless": "AttributeError: module 'ganctl_nameless' has no attribute 'Missing'",
    "mistaken": "ganctl_mistaken:Linear is not a subclass of ganctl.Architecture",
    "futuristic": "plugin API 99; this ganctl has 1",
    "quitter": "SystemExit: goodbye",
    "undeclared": "Options.width is not declared as Annotated[type, Opt(...)]",
    "hookless": "ModuleNotFoundError: No module named 'no_such_requirement'",
}
"""The projects that do not load, and what the message says of the reason."""

ALSO_BROKEN = {
    "functional": "ganctl_functional:Linear is not a subclass of ganctl.Architecture",
    "undated": "its class names no plugin API",
    "unpointed": "its entry point names no class",
    "ungrammatical": "SyntaxError",
}
"""More of them, which differ from the others in the message alone."""

SEVERAL = """\
import contextlib, io, json, sys
from ganctl.cli.main import main

results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    results.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""
"""Several commands in one process, which imports torch once for all of them."""


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    return installer(PROJECTS, tmp_path_factory)


def several(ganctl: CLI, *commands: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Status, standard output and standard error of each command."""
    result = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps(commands)],
        cwd=ganctl.folder,
        env=ganctl.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return [tuple(outcome) for outcome in json.loads(result.stdout)]


def listed(ganctl: CLI, *options: str, status: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    """What `list-plugins --json` says, by distribution and name."""
    result = ganctl("list-plugins", "--json", *options)
    assert result.returncode == status, result.stderr
    return {(row["distribution"], row["name"]): row for row in json.loads(result.stdout)}


def about(model: Path) -> dict[str, Any]:
    """What a model's header says of its architecture."""
    with safe_open(model, "np") as content:
        architecture: dict[str, Any] = json.loads(content.metadata()["ganctl"])["architecture"]
    return architecture


@pytest.mark.slow
def test_a_third_partys_architecture_trains_and_makes_pictures(
    ganctl: CLI, install: Install
) -> None:
    ganctl.env |= install("good")
    row = listed(ganctl, "--kind", "architecture", "--check")["ganctl-good", "good"]
    assert row["version"] == "1.2.3"
    assert row["summary"] == "One linear layer for each player."
    assert row["state"] == "ok"
    result = ganctl("train", "--arch", "good", "--kimg", "1", "--run", "run")
    assert result.returncode == 0, result.stderr
    (model,) = (ganctl.folder / "run/checkpoints").glob("000001.*/generator.safetensors")
    assert about(model) == {
        "name": "good",
        "distribution": "ganctl-good",
        "version": "1.2.3",
        "options": {},
    }
    result = ganctl("generate", model, "--seeds", "0-3")
    assert result.returncode == 0, result.stderr
    assert len(list((ganctl.folder / "generated").glob("*.png"))) == 4

    del ganctl.env["PYTHONPATH"]
    result = ganctl("generate", model)
    assert result.returncode == 2
    assert "pip install ganctl-good" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_named_and_breaks_nothing_else(
    ganctl: CLI, install: Install, tiny: tuple[str, ...], name: str
) -> None:
    ganctl.env |= install(name)
    owner = f"ganctl-{name} 1.2.3"

    result = ganctl("describe", name)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"ganctl: error: {PROJECTS[name].kind} {name!r} ({owner})")
    assert BROKEN[name] in result.stderr
    assert f"pip uninstall ganctl-{name}" in result.stderr
    assert result.stderr.count("\n") == 1

    state = "broken" if name == "nowhere" else "found"
    assert listed(ganctl)[f"ganctl-{name}", name]["state"] == state
    check, describe, train = several(
        ganctl,
        ("list-plugins", "--check", "--json"),
        ("describe", "mlp"),
        ("train", *tiny, "--kimg", "0.2"),
    )
    states = {row["name"]: row["state"] for row in json.loads(check[1])}
    assert check[0] == 1
    assert states.pop(name) == "broken"
    assert set(states.values()) == {"ok"}
    assert describe[0] == train[0] == 0
    warned = [line for line in train[2].splitlines() if "warning" in line]
    assert len(warned) == (PROJECTS[name].kind == "hook")  # hooks are part of every run
    assert all(owner in line for line in warned)


@pytest.mark.slow
def test_many_broken_plugins_are_each_named(ganctl: CLI, install: Install) -> None:
    reasons = BROKEN | ALSO_BROKEN
    ganctl.env |= install(*reasons)
    result = ganctl("doctor", "--json")
    assert result.returncode == 1
    details = {check["what"]: check["detail"] for check in json.loads(result.stdout)}
    checked = listed(ganctl, "--check", status=1)
    for name, reason in reasons.items():
        assert checked[f"ganctl-{name}", name]["state"] == "broken"
        detail = details[f"{PROJECTS[name].kind} {name}"]
        assert f"ganctl-{name} 1.2.3" in detail
        assert reason in detail


@pytest.mark.slow
def test_training_with_a_plugin_that_does_not_load_names_it(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("unimportable")
    result = ganctl("train", "--arch", "unimportable")
    assert result.returncode == 1
    assert "ganctl-unimportable 1.2.3" in result.stderr
    assert ganctl.files() == []


@pytest.mark.slow
def test_an_objective_that_needs_labels_says_so_before_anything_starts(
    ganctl: CLI, install: Install
) -> None:
    ganctl.env |= install("labelled")
    result = ganctl("train", "--objective", "labelled", "--run", "run")
    assert result.returncode == 2
    assert result.stderr == ("ganctl: error: objective: labelled needs labels: train with --cond\n")
    assert ganctl.files() == []


@pytest.mark.slow
def test_an_evaluator_that_fails_costs_nothing_of_what_was_trained(
    ganctl: CLI, install: Install, tiny: tuple[str, ...]
) -> None:
    ganctl.env |= install("brittle")
    rare = ("--checkpoint-every", "100", "--evaluate", "brittle:every=1kimg")
    result = ganctl("train", *tiny, *rare, "--run", "run")
    assert result.returncode == 1
    assert "ganctl-brittle 1.2.3" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    names = [folder.name for folder in (ganctl.folder / "run/checkpoints").iterdir()]
    assert sorted(names) == ["000001.024", "000002.048"]


@pytest.mark.slow
def test_two_of_one_name_are_told_apart_by_their_distributions(
    ganctl: CLI, install: Install, tiny: tuple[str, ...]
) -> None:
    ganctl.env |= install("twin")
    rows = listed(ganctl)
    assert rows["ganctl", "mlp"]["state"] == rows["ganctl-twin", "mlp"]["state"] == "duplicate"
    for command in (("train",), ("describe", "mlp")):
        result = ganctl(*command)
        assert result.returncode == 2
        assert result.stdout == ""
        for part in ("ganctl 0.", "ganctl-twin 1.2.3", "ganctl:mlp", "ganctl-twin:mlp"):
            assert part in result.stderr
    assert ganctl.files() == []

    assert "z-dim" in ganctl("describe", "ganctl:mlp").stdout
    result = ganctl("train", "--arch", "ganctl-twin:mlp", "--kimg", "0.2", "--run", "run")
    assert result.returncode == 0, result.stderr
    model = ganctl.folder / "run/checkpoints/000000.256/generator.safetensors"
    assert about(model)["distribution"] == "ganctl-twin"
    assert ganctl("generate", "run").returncode == 0  # the file says whose architecture it is


@pytest.mark.slow
def test_a_run_of_a_chosen_twin_resumes(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("twin")
    result = ganctl("train", "--arch", "ganctl-twin:mlp", "--kimg", "0.2", "--run", "run")
    assert result.returncode == 0, result.stderr
    result = ganctl("resume", "run", "--kimg", "0.4")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_what_a_plugin_prints_does_not_spoil_json(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("noisy")
    for command in (
        ("describe", "noisy", "--json"),
        ("list-plugins", "--check", "--json"),
        ("train", "--arch", "noisy", "--kimg", "0.1", "--json"),
    ):
        result = ganctl(*command)
        assert result.returncode == 0, result.stderr
        json.loads(result.stdout)
        assert "hello from the import" in result.stderr
        assert ("hello from build" in result.stderr) == (command[0] != "list-plugins")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clumsy", "undecided"])
def test_a_plugin_that_raises_is_named_in_one_line(
    ganctl: CLI, install: Install, name: str
) -> None:
    ganctl.env |= install(name)
    result = ganctl("train", "--arch", name, "--kimg", "0.1")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        f"ganctl: error: architecture {name!r} (ganctl-{name} 1.2.3) failed: ZeroDivisionError"
    )
    assert "Traceback" not in result.stderr
    ganctl.env["GANCTL_TRACEBACK"] = "1"
    assert "1 / 0" in several(ganctl, ("train", "--arch", name))[0][2]


@pytest.mark.slow
def test_a_bundle_beside_a_part_of_it_offers_its_plugins_once(
    ganctl: CLI, install: Install
) -> None:
    ganctl.env |= install("part")
    rows = listed(ganctl)
    assert rows["ganctl", "mlp"]["state"] == "found"
    assert ("ganctl-part", "mlp") not in rows
    assert ganctl("describe", "mlp").returncode == 0


@pytest.mark.slow
def test_listing_imports_no_plugin(ganctl: CLI, install: Install, tmp_path: Path) -> None:
    ganctl.env |= install("slow") | {"IMPORTED": str(tmp_path / "imported")}
    for command in (
        ("list-plugins",),
        ("list-plugins", "--json"),
        ("list-plugins", "--kind", "architecture"),
        ("--help",),
        ("train", "--help"),
        ("describe", "digits"),
    ):
        assert ganctl(*command).returncode == 0
        assert not (tmp_path / "imported").exists(), command
    assert "One linear layer" in ganctl("list-plugins").stdout  # read from the source

    process = ganctl.start("describe", "slow")  # and named, it is imported
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "imported").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_hook_that_raises_is_left_out_and_changes_nothing(
    ganctl: CLI, install: Install, tiny: tuple[str, ...], trained: Path
) -> None:
    ganctl.env |= install("grumpy")
    result = ganctl("train", *tiny, "--run", "run")
    assert result.returncode == 0
    (warning,) = [line for line in result.stderr.splitlines() if "grumpy" in line]
    assert "hook 'grumpy' (ganctl-grumpy 1.2.3) failed in tick()" in warning
    assert "I will not have it" in warning
    model = "checkpoints/000002.048/generator.safetensors"
    assert (ganctl.folder / "run" / model).read_bytes() == (trained / model).read_bytes()


def test_an_environment_variable_restricts_what_is_seen(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("good", "grumpy") | {"GANCTL_PLUGINS": "good, digits"}
    assert set(listed(ganctl)) == {("ganctl-good", "good"), ("ganctl", "digits")}
    result = ganctl("describe", "grumpy", "--kind", "hook")
    assert result.returncode == 2
    assert "hook 'grumpy' is installed but GANCTL_PLUGINS hides it" in result.stderr
    ganctl.env["GANCTL_PLUGINS"] = "ganctl-grumpy"  # distributions may be named too
    assert set(listed(ganctl)) == {("ganctl-grumpy", "grumpy")}
    ganctl.env["GANCTL_PLUGINS"] = ""
    assert listed(ganctl) == {}


@pytest.mark.parametrize("metadata", [None, "Metadata-Version: 2.1\nVersion: 1\n"])
def test_what_an_interrupted_pip_left_behind_is_passed_over(
    ganctl: CLI, metadata: str | None
) -> None:
    left = ganctl.folder / "site/ganctl_half-1.dist-info"
    left.mkdir(parents=True)
    (left / "entry_points.txt").write_text("[ganctl.architectures]\nhalf = ganctl_half:Half\n")
    if metadata is not None:
        (left / "METADATA").write_text(metadata)
    ganctl.env["PYTHONPATH"] = str(ganctl.folder / "site")
    result = ganctl("list-plugins")
    assert result.returncode == 0
    assert "mlp" in result.stdout
    assert "ganctl_half-1.dist-info" in result.stderr
