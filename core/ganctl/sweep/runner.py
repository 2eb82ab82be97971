"""Trains trials, several at a time, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import FrameType

import tomli_w
from filelock import FileLock, Timeout

from ..errors import GanctlError, Interrupted
from ..files import write_atomically
from .trials import Trial

PROGRAM = "ganctl.cli.trial"
"""`ganctl`, ending when this process does."""
PAUSE = 0.1
"""Seconds between looks at the trials that run."""

Process = subprocess.Popen[bytes]


def train_trials(
    trials: list[Trial],
    jobs: int,
    threads: int,
    look: Callable[[list[Trial]], list[Trial]],
    ended: Callable[[Trial, str], None],
) -> None:
    """Train them all, or go on with them.

    `look` is told again and again which trials run, and returns those to be stopped. `ended` is
    told of each that has ended, and why if it failed. Raises `Interrupted` after Ctrl-C or
    SIGTERM; the trials have saved and stopped then. So they have when a callback raises.
    """
    waiting, running, told = list(trials), dict[Trial, Process](), set[Trial]()
    with _signals() as interrupted, _stopped(running, told):
        while waiting or running:
            for trial in list(islice(filter(_free, waiting), jobs - len(running))):
                waiting.remove(trial)
                running[trial] = _start(trial, threads)
            for trial in look(list(running)):
                _tell(trial, running, told)
            for trial, process in list(running.items()):
                if process.poll() is not None:
                    del running[trial]
                    _let_go(process)
                    ended(trial, "" if trial in told else _why(trial, process.returncode))
            if interrupted():
                raise Interrupted("stopped; every trial is saved")
            time.sleep(PAUSE)


def _start(trial: Trial, threads: int) -> Process:
    if (trial.folder / "config.toml").exists():
        words = ["resume", str(trial.folder)]
    else:
        write_atomically(trial.config_file, tomli_w.dumps(trial.config()).encode())
        words = ["train", "--config", str(trial.config_file), "--run", str(trial.folder)]
    try:
        with trial.log_file.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", PROGRAM, *words],
                env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for the sweep alone, which tells each trial once.
                start_new_session=True,
            )
    except OSError as error:
        raise GanctlError(f"cannot start {trial.name}: {error.strerror or error}") from None


def _free(trial: Trial) -> bool:
    """Whether nobody trains it: a trial may outlive, by a moment, a sweep that was killed."""
    file = trial.folder / ".lock"
    if not file.exists():
        return True
    try:
        with FileLock(file, timeout=0):
            return True
    except Timeout:
        return False


def _why(trial: Trial, status: int) -> str:
    """Why a trial failed, in one line; nothing for one that is done or was stopped."""
    if status in (0, 3):
        return ""
    if status < 0:
        hint = " (the system does that when memory runs out)" if status == -9 else ""
        return f"killed by signal {-status}{hint}"
    lines = trial.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("ganctl: error: ")] or lines[-1:]
    reason = errors[0].removeprefix("ganctl: error: ") if errors else ""
    return reason or f"exit status {status}"


def _tell(trial: Trial, running: dict[Trial, Process], told: set[Trial]) -> None:
    """Have it save and stop: as if this process had ended, which tells it no second time."""
    told.add(trial)
    _let_go(running[trial])


def _let_go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


@contextmanager
def _stopped(running: dict[Trial, Process], told: set[Trial]) -> Iterator[None]:
    """Afterwards nothing runs: trials save and stop; at another Ctrl-C they stop at once."""
    try:
        yield
    finally:
        try:
            for trial in running:
                _tell(trial, running, told)
            for process in running.values():
                process.wait()
        finally:
            for process in running.values():
                process.kill()
                process.wait()
                _let_go(process)


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Yields whether Ctrl-C (or SIGTERM) has come; a second one raises `KeyboardInterrupt`."""
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        print("ganctl: the trials save and stop; again to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: came
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
