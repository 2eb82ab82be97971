"""Writes a run's figures and sample grids as TensorBoard events into the run folder."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganctl import Hook, NoOptions, hookimpl

if TYPE_CHECKING:
    from ganctl import Progress


class TensorBoard(Hook[NoOptions], api=1):
    """Losses, figures and sample grids for TensorBoard, in the run folder."""

    _writer: Any = None

    def missing(self) -> str | None:
        if importlib.util.find_spec("tensorboard") is None:
            return "pip install 'ganctl[tensorboard]'"
        return None

    @hookimpl
    def start(self, session: Any) -> None:
        from torch.utils.tensorboard import SummaryWriter

        _hush_writer_thread()
        # Events after the checkpoint that a run resumes from are of a past that did not happen.
        batch = session.plan.settings.batch
        purge = session.state.step * batch + 1 if session.state.step else None
        self._writer = SummaryWriter(session.run.folder, purge_step=purge)

    @hookimpl
    def tick(self, progress: Progress, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, progress.images)

    @hookimpl
    def evaluate(self, progress: Progress, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"metrics/{name}", value, progress.images)

    @hookimpl
    def sample(self, progress: Progress, picture: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image("samples", pixels, progress.images, dataformats="HWC")

    @hookimpl
    def checkpoint(self) -> None:
        self._writer.flush()

    @hookimpl
    def end(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _hush_writer_thread() -> None:
    """TensorBoard writes in a thread and raises its errors again at the next call.

    That call is where they are reported; the thread's own traceback says it twice.
    """
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            before(args)

    threading.excepthook = hook
