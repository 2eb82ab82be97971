"""Commands that plugins add: found, helped with, run, and kept from harming the core's own."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

CLI = Any  # the fixture `ganctl` of conftest.py
Offer = Callable[..., None]

SHOUT = '''\
from typing import Annotated

import typer

from ganctl import Command, UserError


class Shout(Command, api=1):
    """Say a word loudly.

    As loudly as is asked for.
    """

    def main(
        self,
        word: Annotated[str, typer.Argument(metavar="WORD", help="What to say.")],
        times: Annotated[int, typer.Option(help="How often.", min=1)] = 1,
    ) -> int:
        if word == "nothing":
            raise UserError("shout: there is nothing to say")
        if word == "broken":
            raise BrokenPipeError
        print(" ".join([word.upper() + "!"] * times))
        return 4 if word == "four" else 1 // len(word.strip("x"))
'''


@pytest.fixture
def offer(ganctl: CLI) -> Offer:
    """`offer("ganctl-loud", "shout")`: from now on that distribution offers this command."""

    def offer(distribution: str, name: str, source: str = SHOUT) -> None:
        module = distribution.replace("-", "_")
        site = ganctl.folder.parent / f"{ganctl.folder.name}-{module}"
        about = site / f"{module}-1.2.3.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n"
        )
        (about / "entry_points.txt").write_text(f"[ganctl.commands]\n{name} = {module}:Shout\n")
        (site / f"{module}.py").write_text(source)
        before = ganctl.env.get("PYTHONPATH")
        ganctl.env["PYTHONPATH"] = os.pathsep.join([str(site), *([before] if before else [])])

    return offer


def test_a_plugins_command_is_listed_and_runs(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "shout")
    lines = ganctl("--help").stdout.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names.index("shout") > names.index("doctor")
    assert "Say a word loudly." in lines[lines.index("Commands:") + 1 + names.index("shout")]

    result = ganctl("shout", "hello", "--times", "2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "HELLO! HELLO!\n", "")
    assert ganctl("shout", "four").returncode == 4

    for words in (("shout", "--help"), ("shout", "-h"), ("help", "shout")):
        text = ganctl(*words).stdout
        assert "Usage: ganctl shout " in text
        assert "WORD" in text
        assert "As loudly as is asked for." in text
        assert "--times" in text


def test_what_is_typed_wrongly_is_one_line(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "shout")
    for words, message in (
        (("shuot",), "shuot: no such command; did you mean 'shout'?"),
        (("trian",), "trian: no such command; did you mean 'train'?"),
        (("ganctl-loud:shuot",), "ganctl-loud:shuot: no such command"),
        (("other:shout",), "other offers no command 'shout': write ganctl-loud:shout"),
        (("shout",), "shout: Missing argument 'WORD'."),
        (("shout", "x", "--times", "0"), "shout: Invalid value for '--times'"),
        (("shout", "nothing"), "shout: there is nothing to say"),
    ):
        result = ganctl(*words)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"ganctl: error: {message}")
        assert result.stderr.count("\n") == 1


def test_a_command_that_raises_is_named_with_its_distribution(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "shout")
    result = ganctl("shout", "xxx")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "ganctl: error: command 'shout' (ganctl-loud 1.2.3) failed: ZeroDivisionError"
    )
    assert result.stderr.count("\n") == 1
    result = ganctl("shout", "broken")  # its reader has left
    assert (result.returncode, result.stderr) == (1, "")


def test_a_command_that_does_not_load_is_named_and_breaks_nothing_else(
    ganctl: CLI, offer: Offer
) -> None:
    offer("ganctl-ill", "shout", "import no_such_requirement\n" + SHOUT)
    assert "Say a word loudly." in ganctl("--help").stdout  # read, not imported
    result = ganctl("shout", "hello")
    assert result.returncode == 1
    assert result.stderr.startswith("ganctl: error: command 'shout' (ganctl-ill 1.2.3) does not")
    assert "no_such_requirement" in result.stderr
    assert result.stderr.count("\n") == 1
    assert ganctl("describe", "digits").returncode == 0


def test_of_two_of_one_name_the_distribution_chooses(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "shout")
    offer("ganctl-louder", "shout", SHOUT.replace('"!"', '"!!!"'))
    result = ganctl("shout", "hello")
    assert result.returncode == 2
    for part in ("ganctl-loud 1.2.3", "ganctl-louder 1.2.3", "ganctl-louder:shout"):
        assert part in result.stderr
    assert ganctl("ganctl-louder:shout", "hello").stdout == "HELLO!!!\n"
    text = ganctl("--help").stdout
    assert "  ganctl-loud:shout " in text
    assert "  ganctl-louder:shout " in text
    assert "Usage: ganctl ganctl-loud:shout" in ganctl("ganctl-loud:shout", "--help").stdout


def test_a_name_of_the_cores_cannot_be_taken(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "plot")
    assert "Draw a run's losses" in ganctl("plot", "--help").stdout
    assert ganctl("ganctl-loud:plot", "hello").stdout == "HELLO!\n"
    text = ganctl("--help").stdout
    assert "  plot " in text
    assert "  ganctl-loud:plot " in text
    (row,) = (
        row for row in json.loads(ganctl("list-plugins", "--json").stdout) if row["name"] == "plot"
    )
    assert (row["kind"], row["state"]) == ("command", "duplicate")
    assert row["problem"].endswith("this one is ganctl-loud:plot")
    checks = json.loads(ganctl("doctor", "--json").stdout)
    (said,) = (check for check in checks if check["what"] == "command plot")
    assert said["ok"] is None
    assert "ganctl-loud 1.2.3" in said["detail"]
    assert "ganctl-loud:plot" in said["detail"]


def test_commands_are_plugins_like_others(ganctl: CLI, offer: Offer) -> None:
    offer("ganctl-loud", "shout")
    rows = json.loads(ganctl("list-plugins", "--kind", "command", "--check", "--json").stdout)
    (row,) = (row for row in rows if row["name"] == "shout")
    assert row["state"] == "ok"
    text = ganctl("describe", "shout").stdout
    assert text.startswith("shout: Say a word loudly.\ncommand of ganctl-loud 1.2.3\n")
    assert "`ganctl shout --help`" in text

    hidden = {"GANCTL_PLUGINS": "digits"}
    assert "shout" not in ganctl("--help", env=hidden).stdout
    result = ganctl("shout", "hello", env=hidden)
    assert result.returncode == 2
    assert "is installed but GANCTL_PLUGINS hides it" in result.stderr
