"""Plugins that give what they should not, ask for what is taken, or were made for an older core.

Each gets one line that names its distribution, and everything else works. What does not even load
is in test_registry.py.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from third_parties import ARCHITECTURE, Install, Project, installer

CLI = Any  # the fixture `ganctl` of conftest.py

FLAGS = (
    """\
from dataclasses import dataclass
from typing import Annotated

from ganctl import Opt


@dataclass(frozen=True)
class Flags:
    batch: Annotated[int, Opt("Named like a flag of train.")] = 3
    run: Annotated[str, Opt("Named like another.")] = "x"
    help: Annotated[str, Opt("Named like the flag of all commands.")] = "y"
    arch: Annotated[str, Opt("Named like its own table.")] = "z"


"""
    + ARCHITECTURE
).replace("Architecture[NoOptions]", "Architecture[Flags]")

RESERVED = FLAGS.replace("    batch:", "    name:")

AUGMENTER = '''\
from ganctl import Augmentation, NoOptions


class Absent(Augmentation[NoOptions], api=1):
    """Builds nothing."""

    def build(self, options, spec):
        return None
'''

OBJECTIVE = '''\
from ganctl import NoOptions, Objective, Phase


class Wordy(Objective[NoOptions], api=1):
    """Its loss is a text."""

    def phases(self, players, options):
        return [Phase("G", "generator", lambda batch: "low"), "D"][:KEPT]
'''

OLD = '''\
from ganctl import Hook, NoOptions, hookimpl


class Old(Hook[NoOptions], api=1):
    """Made when hooks had fewer arguments."""

    @hookimpl
    def tick(self, figures):
        print("figures:", len(figures) > 0)

    @hookimpl
    def end(self):
        print("the end")
'''


def changed(old: str, new: str) -> Project:
    assert old in ARCHITECTURE
    return Project(ARCHITECTURE.replace(old, new))


PROJECTS = {
    "flags": Project(FLAGS),
    "reserved": Project(RESERVED),
    "nothing": changed("return LinearGenerator(), LinearDiscriminator()", "return None"),
    "swapped": changed(
        "return LinearGenerator(), LinearDiscriminator()",
        "return LinearDiscriminator(), LinearGenerator()",
    ),
    "undecided": changed("return Recipe(", "return dict("),
    "cropped": changed(".view(-1, *shape)", ".view(-1, *shape)[:, :, 1:]"),
    "flat": changed("return self.layer(x.flatten(1))", "return self.layer(x.flatten(1))[:, 0]"),
    "late": changed(
        "return self.layer(x.flatten(1))", "return self.layer(x.flatten(1)) / {}['none']"
    ),
    "undefined": changed("return self.layer(z).tanh()", "return (self.layer(z) * float('nan'))"),
    "absent": Project(AUGMENTER, "Absent", kind="augmenter"),
    "wordy": Project(OBJECTIVE.replace("KEPT", "1"), "Wordy", kind="objective"),
    "mixed": Project(OBJECTIVE.replace("KEPT", "2"), "Wordy", kind="objective"),
    "old": Project(OLD, "Old", kind="hook"),
    "older": Project(ARCHITECTURE),
}

WRONG = {
    "nothing": "TypeError: cannot unpack non-iterable NoneType object",
    "swapped": "TypeError: it gives LinearDiscriminator, not Generator",
    "undecided": "TypeError: its recipe is a dict, not a Recipe",
    "cropped": "WrongResult: LinearGenerator gives images of (32, 1, 27, 28), not (32, 1, 28, 28)",
    "flat": "WrongResult: LinearDiscriminator gives logits of (64,), not (64, 1)",
    "late": "KeyError: 'none'",
    "absent": "TypeError: it gives NoneType, not Augmenter",
    "wordy": "WrongResult: the loss of phase G is no tensor of one number",
    "mixed": "TypeError: it gives str, not Phase",
}
"""What gives something of a wrong kind, and the reason that the message ends with."""

CHOSEN = {"architecture": "--arch", "augmenter": "--augment", "objective": "--objective"}


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    return installer(PROJECTS, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_what_gives_something_wrong_is_named_in_one_line(
    ganctl: CLI, install: Install, tiny: tuple[str, ...], name: str
) -> None:
    kind = PROJECTS[name].kind
    ganctl.env |= install(name)
    result = ganctl("train", CHOSEN[kind], name, "--kimg", "0.1", "--run", "run")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "error" in line]
    assert line.startswith(f"ganctl: error: {kind} {name!r} (ganctl-{name} 1.2.3) failed: ")
    assert WRONG[name] in line
    assert ganctl("train", *tiny, "--run", "other").returncode == 0


@pytest.mark.slow
def test_images_that_are_no_numbers_end_with_advice_and_not_silently(
    ganctl: CLI, install: Install
) -> None:
    ganctl.env |= install("undefined")
    result = ganctl("train", "--arch", "undefined", "--kimg", "100", "--run", "run")
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "not finite" in errors[0]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_options_may_be_named_like_flags(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("flags")
    own = ("--arch.batch", "5", "--arch.run", "a", "--arch.help", "b", "--arch.arch", "c")
    result = ganctl(
        "train", "--arch", "flags", *own, "--batch", "32", "--kimg", "0.1", "--run", "run"
    )
    assert result.returncode == 0, result.stderr
    config = tomllib.loads((ganctl.folder / "run/config.toml").read_text())
    assert config["arch"] == {"name": "flags", "batch": 5, "run": "a", "help": "b", "arch": "c"}
    assert config["batch"] == 32
    assert "Named like a flag of train." in ganctl("train", "--arch", "flags", "--help").stdout


@pytest.mark.slow
def test_an_option_may_not_take_the_name_of_a_plugins_name(ganctl: CLI, install: Install) -> None:
    ganctl.env |= install("reserved")
    result = ganctl("describe", "reserved")
    assert result.returncode == 1
    assert "(ganctl-reserved 1.2.3) does not load" in result.stderr
    assert "Flags.name: 'name' is reserved for the plugin's own name" in result.stderr
    assert result.stderr.count("\n") == 1


NEWER = """\
import sys
from ganctl import hooks, interfaces, plugin

# A later core: its hooks tell more, its interfaces have a method more, with a default.
original = hooks.HookSpecs.tick
def tick(self, session, progress, figures, weather=None): ...
tick.__qualname__ = original.__qualname__  # by which pluggy knows that there is a self
for name, value in vars(original).items():
    setattr(tick, name, value)
hooks.HookSpecs.tick = tick
plugin.Architecture.suggestions = lambda self, options: ()
interfaces.Generator.warm_up = lambda self: None

call = hooks.Hooks.call
def telling(self, event, **arguments):
    if event == "tick":
        arguments["weather"] = "fine"
    return call(self, event, **arguments)
hooks.Hooks.call = telling

from ganctl.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_plugin_made_for_this_core_works_with_one_that_tells_and_asks_more(
    ganctl: CLI, install: Install, tmp_path: Path
) -> None:
    ganctl.env |= install("old", "older")
    arguments = ["train", "--arch", "older", "--kimg", "0.2", "--batch", "64", "--run", "run"]
    done = subprocess.run(
        [sys.executable, "-c", NEWER, *arguments],
        cwd=ganctl.folder,
        env=ganctl.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    said = done.stdout + done.stderr
    assert "figures: True" in said
    assert "the end" in said
    rows = json.loads(ganctl("list-plugins", "--json", "--check").stdout)
    states = {row["name"]: row["state"] for row in rows}
    assert states["old"] == states["older"] == "ok"
