"""Hooks: each behind a wall of its own, called with what it asks for."""

from pathlib import Path
from typing import Any

import pytest

from ganctl.hooks import Hooks, hookimpl
from ganctl.interfaces import Progress

NOW = Progress(3, 192, 2000)
EVENTS: dict[str, dict[str, Any]] = {
    "start": {"session": "s"},
    "step": {"session": "s", "progress": NOW},
    "tick": {"session": "s", "progress": NOW, "figures": {"loss/G": 1.0}},
    "sample": {"session": "s", "progress": NOW, "picture": Path("a.png")},
    "checkpoint": {"session": "s", "progress": NOW, "folder": Path("c")},
    "end": {"session": "s", "progress": NOW, "outcome": "done"},
}


class Everything:
    """Notes every event with all of its arguments."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    @hookimpl
    def start(self, session: Any) -> None:
        self.seen.append(("start", session))

    @hookimpl
    def step(self, session: Any, progress: Progress) -> None:
        self.seen.append(("step", session, progress))

    @hookimpl
    def tick(self, session: Any, progress: Progress, figures: dict[str, float]) -> None:
        self.seen.append(("tick", session, progress, figures))

    @hookimpl
    def sample(self, session: Any, progress: Progress, picture: Path) -> None:
        self.seen.append(("sample", session, progress, picture))

    @hookimpl
    def checkpoint(self, session: Any, progress: Progress, folder: Path) -> None:
        self.seen.append(("checkpoint", session, progress, folder))

    @hookimpl
    def end(self, session: Any, progress: Progress, outcome: str) -> None:
        self.seen.append(("end", session, progress, outcome))


class Some:
    """Asks for a few arguments, in an order of its own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def tick(self, figures: dict[str, float], progress: Progress) -> None:
        self.seen.append((progress.images, figures))

    @hookimpl
    def end(self) -> None:
        self.seen.append("end")


class Raising:
    def __init__(self) -> None:
        self.calls = 0

    @hookimpl
    def tick(self) -> None:
        self.calls += 1
        raise OSError("disk\n  full")

    @hookimpl
    def end(self) -> None:
        self.calls += 1


def test_every_event_comes_with_all_of_its_arguments() -> None:
    plugin = Everything()
    hooks = Hooks([("everything", plugin)])
    for event, arguments in EVENTS.items():
        hooks.call(event, **arguments)
    assert plugin.seen == [(event, *arguments.values()) for event, arguments in EVENTS.items()]


def test_a_hook_takes_any_subset_of_the_arguments() -> None:
    plugin = Some()
    hooks = Hooks([("some", plugin)])
    for event, arguments in EVENTS.items():
        hooks.call(event, **arguments)
    assert plugin.seen == [(192, {"loss/G": 1.0}), "end"]


def test_a_hook_that_raises_is_reported_once_and_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising, before, after = Raising(), Some(), Some()
    hooks = Hooks([("before", before), ("hook 'bad' (dist 1.0)", raising), ("after", after)])
    for _ in range(3):
        hooks.call("tick", **EVENTS["tick"])
    hooks.call("end", **EVENTS["end"])
    assert raising.calls == 1
    assert len(before.seen) == len(after.seen) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "ganctl: warning: hook 'bad' (dist 1.0) failed in tick() and is left out from now on: "
        "OSError: disk full\n"
    )


def test_a_hook_may_not_swallow_ctrl_c() -> None:
    class Interrupted:
        @hookimpl
        def step(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks([("x", Interrupted())]).call("step", **EVENTS["step"])


def test_a_method_for_no_event_is_reported_and_the_hook_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Misspelt:
        @hookimpl
        def tikc(self) -> None:
            raise AssertionError

    Hooks([("hook 'typo' (dist 1.0)", Misspelt())]).call("tick", **EVENTS["tick"])
    error = capsys.readouterr().err
    assert error.startswith("ganctl: warning: hook 'typo' (dist 1.0) does not fit: ")
    assert "tikc" in error
    assert error.count("\n") == 1


def test_an_argument_that_no_event_has_is_reported_and_the_hook_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Curious:
        @hookimpl
        def tick(self, losses: dict[str, float]) -> None:
            raise AssertionError

    Hooks([("hook 'curious' (dist 1.0)", Curious())]).call("tick", **EVENTS["tick"])
    error = capsys.readouterr().err
    assert "does not fit" in error
    assert "losses" in error
    assert error.count("\n") == 1


def test_whether_anyone_listens_is_known() -> None:
    hooks = Hooks([("some", Some())])
    assert hooks.listens("tick")
    assert not hooks.listens("step")
    assert not Hooks().listens("tick")


def test_two_hooks_of_one_class_are_both_called() -> None:
    one, other = Some(), Some()
    Hooks([("one", one), ("other", other)]).call("end", **EVENTS["end"])
    assert one.seen == other.seen == ["end"]


def third_party(folder: Path, module: str, source: str, entry: str) -> None:
    """An installed distribution with one hook, as pip would leave it."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[ganctl.hooks]\n{entry} = {module}:Plugin\n")


HOOK = """
from ganctl import Hook, NoOptions, hookimpl


class Plugin(Hook[NoOptions], api=1):
    def missing(self):
        return {missing}

    @hookimpl
    def tick(self, progress):
        print("heard", progress.images)
"""


def test_installed_hooks_that_work_are_called_and_broken_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    third_party(tmp_path, "hooks_good", HOOK.format(missing="None"), "good")
    third_party(tmp_path, "hooks_idle", HOOK.format(missing="'pip install x'"), "idle")
    third_party(tmp_path, "hooks_torn", HOOK.format(missing="1 / 0"), "torn")
    third_party(tmp_path, "hooks_broken", "import not_there_at_all", "broken")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("GANCTL_PLUGINS", "good,idle,torn,broken")
    Hooks.installed().call("tick", **EVENTS["tick"])
    captured = capsys.readouterr()
    assert captured.out == "heard 192\n"
    warnings = captured.err.splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("ganctl: warning: ") for line in warnings)
    assert "hooks_broken 1.5" in captured.err
    assert "not_there_at_all" in captured.err
    assert "hooks_torn 1.5" in captured.err
    assert "ZeroDivisionError" in captured.err


@pytest.mark.parametrize(
    "measured", ["text", 7, [1.0], {"a": "x"}, {"a": [1, 2]}, {"images": 3.0}, {"step": 1}]
)
def test_what_is_no_figure_drops_its_hook_and_leaves_the_others(
    measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Good:
        @hookimpl
        def measure(self, progress: Progress) -> dict[str, float]:
            return {"mine": progress.kimg}

    class Bad:
        @hookimpl
        def measure(self) -> Any:
            return measured

    hooks = Hooks([("bad", Bad()), ("good", Good())])
    for _ in range(2):
        assert hooks.measure(session="s", progress=NOW) == {"mine": 0.192}
    told = capsys.readouterr().err
    assert told.count("bad failed in measure()") == 1
    assert len(told.splitlines()) == 1
