"""TensorBoard events: really written, really readable, in step with the run's own log."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganctl import ImageSpec
from ganctl.data.dataset import DatasetWriter
from ganctl_tensorboard import TensorBoard

pytest.importorskip("tensorboard")

OPTIONS = (
    *("--device", "cpu", "--batch", "64", "--arch.z-dim", "16"),
    *("--arch.g-widths", "32", "--arch.d-widths", "32"),
    *("--log-every", "0.5", "--sample-every", "1", "--checkpoint-every", "1"),
)


def ganctl(folder: Path, *arguments: str, limit: int | None = None) -> str:
    """Run the command line; what it said on standard error."""

    def before() -> None:
        if limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(
        [sys.executable, "-m", "ganctl", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return result.stderr


def events(run: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_events_hold_the_figures_of_the_log_and_the_samples_also_after_resuming(
    tmp_path: Path,
) -> None:
    ganctl(tmp_path, "train", *OPTIONS, "--kimg", "2", "--run", "run")
    ganctl(tmp_path, "resume", "run", "--kimg", "3")
    found, lines = events(tmp_path / "run"), log(tmp_path / "run")
    assert len(lines) >= 6
    for name in ("loss/G", "loss/D", "logits/real", "grad_norm/D"):
        scalars = found.Scalars(name)
        assert [s.step for s in scalars] == [line["images"] for line in lines]
        assert [s.value for s in scalars] == pytest.approx([line[name] for line in lines])
    pictures = found.Images("samples")
    assert len(pictures) >= 4
    assert {p.step for p in pictures} >= {0, 1024, 2048}
    assert pictures[-1].encoded_image_string.startswith(b"\x89PNG")
    with Image.open(tmp_path / "run/samples/000003.008.png") as last:
        assert (pictures[-1].width, pictures[-1].height) == last.size


@pytest.mark.slow
def test_a_disk_too_full_for_events_costs_one_warning_and_not_the_run(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "set.zip", ImageSpec(28, 28, 1)) as writer:
        for index in range(64):
            writer.add(np.full((28, 28, 1), index, np.uint8), None)
    # A checkpoint of these networks takes 0.6 MB, the events of so many samples more than that.
    options = (*OPTIONS, "--data", "set.zip", "--kimg", "4", "--sample-every", "0.2")
    said = ganctl(tmp_path, "train", *options, "--run", "run", limit=800_000)
    warnings = [line for line in said.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "tensorboard" in warnings[0]
    assert "left out from now on" in warnings[0]
    assert log(tmp_path / "run")[-1]["images"] == 4032


def test_nothing_is_missing_where_tensorboard_is_installed() -> None:
    assert TensorBoard().missing() is None


def test_where_tensorboard_is_not_installed_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert TensorBoard().missing() == "pip install 'ganctl[tensorboard]'"
