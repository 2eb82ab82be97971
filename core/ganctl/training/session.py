"""One training run from its plan: builds the parts, trains, logs, samples, saves."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .. import checkpoint, model, random
from ..data.dataset import Dataset
from ..data.loader import Loader
from ..data.statistics import read_account
from ..errors import GanctlError, Interrupted, UserError
from ..files import write_atomically
from ..hooks import Hooks, as_figures
from ..images import sample_grid, save_png, to_pil
from ..interfaces import (
    Augmenter,
    Discriminator,
    Generator,
    Phase,
    Players,
    Progress,
    to_pixels,
)
from ..registry import blamed
from ..signals import interruptible
from .device import peak_memory, pick_device
from .ema import EMA
from .judge import Judge
from .loop import train
from .optim import AdamSettings, PlayerOptimizer
from .plan import Plan
from .run import WARNINGS, Run, read_log
from .schedule import parse_schedule
from .state import State
from .tally import Tally
from .transfer import FILE, Origin, Report, freeze, take_over

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Session:
    """A run in this process. Hooks get it whole: `plan`, `run`, `state`, `loader`, `warn` …"""

    run: Run

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        hooks: Hooks,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        settings = plan.settings
        self.plan, self.hooks = plan, hooks
        self.device = pick_device(settings.device)
        check_size(dataset, _given(settings.batch))
        self.total = round(_given(settings.kimg) * 1000)
        self._dataset = dataset
        self._fingerprint = dataset.fingerprint()
        self.state, self.phases = build(plan, self.device)
        self.loader = Loader(
            dataset,
            _given(settings.batch),
            settings.seed,
            self.device,
            settings.cond,
            advance,
            cache=settings.cache,
            mirror=settings.mirror,
        )
        self._tally = Tally()
        self._logged = (time.monotonic(), 0)  # when, at how many images
        self.warned: set[str] = set()
        """What the user was warned of: the subjects."""
        self._judge = None
        if plan.evaluation is not None:
            self._judge = Judge(plan, plan.evaluation, dataset, self.device)
        self._seconds = 0.0  # of training before this process
        self.taken_over: Report | None = None
        """What a run that begins took from a trained model, if it was given one."""

    @property
    def images(self) -> int:
        """Shown to the discriminator so far."""
        return self.state.step * self.loader.batch

    def look_at_set(self, advance: Callable[[int], None] = lambda count: None) -> None:
        """The evaluators, if there are any, see what they hold generated images against."""
        if self._judge is not None:
            self._judge.see_reals(advance)

    def begin(self) -> None:
        """A new run: the networks see what they will be trained on, and take over a model.

        Raises `UserError`.
        """
        plan = self.plan
        with plan.architecture.entry.guard():
            for network in self.state.networks():
                network.fit(self.loader)
        if plan.settings.init_from is not None:
            origin = Origin.read(plan.settings.init_from, plan.architecture.entry.name)
            self.taken_over = take_over(origin, self.state)

    def resume(self, folder: Path) -> None:
        """Continue from a checkpoint. Raises `UserError` if it does not fit run or dataset."""
        generator, _ = checkpoint.read(folder / checkpoint.GENERATOR)
        training, header = checkpoint.read(folder / checkpoint.TRAINING)
        if header["dataset"] != self._fingerprint:
            raise UserError(f"{self._dataset.path}: the set has changed since this run began")
        if header["threads"] != torch.get_num_threads() and self.device.type == "cpu":
            print(
                f"ganctl: note: this run used {header['threads']} threads, now it has "
                f"{torch.get_num_threads()}: results will differ in the last digits",
                file=sys.stderr,
            )
        for name, value in self._identity().items():
            before = header.get(name, type(value)())  # a run older than the setting: without it
            if before != value:
                raise UserError(
                    f"config.toml: {name} is {value} now, but the run was trained with "
                    f"{before}: only kimg, device and cache may change"
                )
        self.state.load(generator, training, header["step"])
        self._seconds = header["seconds"]

    def train(self, run: Run) -> Path:
        """Train to the end, writing into `run`. Returns the last sample grid.

        Raises `Interrupted` after saving when the user stops it, `GanctlError` when the
        gradients stay non-finite or the disk refuses.
        """
        self.run, settings, batch = run, self.plan.settings, self.loader.batch
        self.warned = {str(record.get("about")) for record in read_log(run.folder, WARNINGS)}
        if self.taken_over is not None:
            write_atomically(run.folder / FILE, self.taken_over.text().encode())
        judge = self._judge
        if judge is not None:
            judge.begin(run)
        progress = Progress(self.state.step, self.images, self.total)
        self.hooks.call("start", session=self)
        listening = self.hooks.listens("step")
        outcome = "failed"
        plan = self.plan
        written = [c.entry for c in (plan.architecture, plan.objective, plan.augment) if c]
        try:
            with blamed(written):
                picture = self._sample(progress)
                self._logged, saved_at = (time.monotonic(), progress.images), time.monotonic()
                with interruptible("finishing this step and saving") as interrupted:
                    for progress in train(
                        self.state,
                        self.loader,
                        self.phases,
                        self._tally,
                        total=self.total,
                        micro_batch=_given(settings.micro_batch),
                        seed=settings.seed,
                        precision=PRECISIONS[settings.precision],
                    ):
                        if listening:
                            self.hooks.call("step", session=self, progress=progress)
                        stop = (
                            interrupted.is_set()
                        )  # read once: a signal from here on is for the next step
                        done = progress.images >= self.total
                        last = done or stop
                        better = False
                        if judge is not None and (
                            done or _passed(progress.images, batch, judge.every)
                        ):
                            better = self._judge_or_save(judge, progress)
                        minutes = (time.monotonic() - saved_at) / 60
                        save = (
                            last
                            or better
                            or _passed(progress.images, batch, settings.checkpoint_every)
                            or minutes >= settings.checkpoint_minutes
                        )
                        if save or _passed(progress.images, batch, settings.log_every):
                            self._tick(progress)
                        if last or _passed(progress.images, batch, settings.sample_every):
                            picture = self._sample(progress)
                        if save:
                            self._save(progress)
                            saved_at = time.monotonic()
                        if stop and progress.images < self.total:
                            outcome = "interrupted"
                            raise Interrupted(
                                f"stopped after {progress.kimg:.3f} kimg; everything is saved. "
                                f"To continue: ganctl resume {self.run.folder}"
                            )
            outcome = "done"
            return picture
        except KeyboardInterrupt:
            outcome = ""  # at once: hooks could keep it waiting
            raise
        except Interrupted:
            raise
        except GanctlError as error:
            latest = self.run.latest()
            kept = f"the last checkpoint, {latest}, is intact" if latest else "nothing was saved"
            told = GanctlError(f"{error} ({kept}; run: {self.run.folder})")
            raise told from error.__cause__
        finally:
            if outcome:
                self.hooks.call("end", session=self, progress=progress, outcome=outcome)

    def _tick(self, progress: Progress) -> None:
        (then, images_then), self._logged = self._logged, (time.monotonic(), progress.images)
        seconds, images = self._logged[0] - then, progress.images - images_then
        self._seconds += seconds
        figures = self._tally.flush()
        for name, optimizer in self.state.optimizers.items():
            clips = optimizer.nonfinite == "clip"
            count = float(optimizer.skipped)
            figures[f"{'clipped' if clips else 'skipped'}/{name}"] = count
            if count:
                what = "their nan and inf were clipped" if clips else "those updates were left out"
                self.warn(
                    f"{name} not finite",
                    f"the {name}'s gradients were not finite {count:.0f} times "
                    f"by step {progress.step}; {what}; log.jsonl counts them",
                )
            for phase, streak in optimizer.streaks.items():
                self._check_finite(name, phase, float(streak))
        figures |= {
            "images_per_second": images / seconds if seconds else 0.0,
            "seconds": self._seconds,
            "peak_memory_mb": peak_memory(self.device) / 1e6,
        }
        figures |= self._augmenter_figures()
        figures |= self.hooks.measure(session=self, progress=progress)
        record = {"images": progress.images, "step": progress.step}
        self.run.log(record | {k: v if math.isfinite(v) else None for k, v in figures.items()})
        self.hooks.call("tick", session=self, progress=progress, figures=figures)

    def _augmenter_figures(self) -> dict[str, float]:
        choice, augmenter = self.plan.augment, self.state.players.augmenter
        if choice is None or augmenter is None:
            return {}
        with choice.entry.guard():
            found = as_figures(augmenter.figures())
        return {f"augment/{name}": value for name, value in found.items()}

    def _check_finite(self, player: str, phase: str, streak: float) -> None:
        if streak >= self.plan.settings.nonfinite_limit:
            flag = "--g-lr" if player == "generator" else "--d-lr"
            raise GanctlError(
                f"the {player}'s gradients (phase {phase}) were not finite {streak:.0f} times in a "
                f"row: try a "
                f"lower learning rate ({flag}), --precision fp32, or another objective"
            )

    def warn(self, about: str, message: str) -> None:
        """Tell the user, once per run and subject, also in the run's warnings.jsonl."""
        if about in self.warned:
            return
        self.warned.add(about)
        progress = Progress(self.state.step, self.images, self.total)
        record = {"images": progress.images, "step": progress.step, "about": about}
        self.run.log({**record, "warning": message}, WARNINGS)
        print(f"ganctl: warning: at {progress.kimg:,.1f} kimg: {message}", file=sys.stderr)

    def _judge_or_save(self, judge: Judge, progress: Progress) -> bool:
        """An evaluator that fails ends the run, but costs nothing of what was trained."""
        start = time.monotonic()
        try:
            better = judge.measure(self, progress)
        except GanctlError:
            self._tick(progress)
            self._save(progress)
            raise
        then, images = self._logged
        self._logged = then + time.monotonic() - start, images  # the rate is that of training
        return better

    def _sample(self, progress: Progress) -> Path:
        """A grid from the latents of seeds 0, 1, 2, …: what `ganctl generate` gives for them."""
        spec, generator = self.plan.spec, self.state.best_generator
        columns = max(2, min(8, 2048 // spec.width))
        rows = max(2, min(8, 2048 // spec.height))
        count = rows * columns
        picture = self.run.samples / f"{checkpoint.name_of(progress.images)}.png"
        if picture.exists():  # resumed here
            return picture
        generator.at(progress)
        was_training = generator.training
        maker = model.Model(generator.eval(), spec, {})
        images = maker.generate(range(count))
        generator.train(was_training)
        save_png(to_pil(sample_grid(images, columns)), picture)
        reals = self.run.samples / "reals.png"
        if not reals.exists():
            shown = self.loader.gather(torch.arange(min(count, len(self._dataset))))
            pixels = to_pixels(shown.float() / 127.5 - 1)
            save_png(to_pil(sample_grid(pixels, columns)), reals)
        self.hooks.call("sample", session=self, progress=progress, picture=picture)
        return picture

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must share with the run that it continues."""
        return {
            "batch": self.loader.batch,
            "seed": self.plan.settings.seed,
            "mirror": self.plan.settings.mirror,
            "freeze_d": self.plan.settings.freeze_d,
            "objective": self.plan.objective.config(),
            "ema_kimg": self.plan.settings.ema_kimg,
        }

    def _save(self, progress: Progress) -> None:
        plan = self.plan
        training = {
            "images": progress.images,
            "step": progress.step,
            "total": self.total,
            "filter": self._dataset.preparation.get("filter"),
            **self._identity(),
        }
        about = model.header(
            plan.architecture.entry, plan.architecture.options, plan.spec, training
        )
        rest = training | {
            "dataset": self._fingerprint,
            "threads": torch.get_num_threads(),
            "seconds": self._seconds,
        }
        folder = self.run.checkpoints / checkpoint.name_of(progress.images)
        checkpoint.write(
            folder,
            {
                checkpoint.GENERATOR: (self.state.best_generator.state_dict(), about),
                checkpoint.TRAINING: (self.state.tensors(), rest),
            },
        )
        best = None if self._judge is None else self._judge.best
        if best is not None and best.checkpoint == folder.name:
            best.write(self.run.folder)
        spare = None if best is None else best.checkpoint
        checkpoint.prune(self.run.checkpoints, plan.settings.keep, spare)
        self.hooks.call("checkpoint", session=self, progress=progress, folder=folder)


def build(plan: Plan, device: torch.device) -> tuple[State, list[Any]]:
    """Networks, optimisers, average and phases of a plan, initialised from its seed."""
    settings = plan.settings
    random.seed_everything(random.derive(settings.seed, "init"))
    with plan.architecture.entry.guard():
        generator, discriminator = plan.architecture.plugin.build(
            plan.architecture.options, plan.spec
        )
        _expect(generator, Generator)
        _expect(discriminator, Discriminator)
    for network in generator, discriminator:
        network.to(device).train()
    freeze(discriminator, settings.freeze_d)
    augmenter = None
    if plan.augment is not None:
        with plan.augment.entry.guard():
            augmenter = plan.augment.plugin.build(plan.augment.options, plan.spec)
            _expect(augmenter, Augmenter)
        augmenter.to(device)
    players = Players(generator, discriminator, augmenter)
    with plan.objective.entry.guard():
        phases = list(plan.objective.plugin.phases(players, plan.objective.options))
        for phase in phases:
            _expect(phase, Phase)
    optimizers = {
        player: PlayerOptimizer(
            players[player],
            AdamSettings(
                _given(getattr(settings, f"{letter}_lr")),
                _given(getattr(settings, f"{letter}_betas")),
                _given(settings.eps),
                parse_schedule(
                    _given(getattr(settings, f"{letter}_lr_schedule")), f"{letter}_lr_schedule"
                ),
            ),
            [phase for phase in phases if phase.player == player],
            _given(settings.nonfinite),
        )
        for player, letter in (("generator", "g"), ("discriminator", "d"))
    }
    ema = None
    if settings.ema_kimg:
        ema = EMA(generator, settings.ema_kimg, settings.ema_rampup or None)
    return State(players, optimizers, ema), phases


def _expect(thing: object, kind: type) -> None:
    if not isinstance(thing, kind):
        raise TypeError(f"it gives {type(thing).__name__}, not {kind.__name__}")


def check_size(dataset: Dataset, batch: int) -> None:
    """Raise `UserError` when the set cannot fill one batch."""
    if len(dataset) < batch:
        count = len(dataset)
        what = "1 image is" if count == 1 else f"{count} images are"
        account = read_account(dataset)
        again = (
            sum(n for why, n in account.left_out.items() if "duplicate" in why) if account else 0
        )
        s = " was" if again == 1 else "s were"
        why = f" ({again:,} duplicate{s} left out)" if again else ""
        smaller = f" or use --batch {count // 2}" if count > 1 else ""
        raise UserError(
            f"{dataset.path}: {what} fewer than one batch of {batch}{why}: "
            f"add {'other ' if again else ''}pictures{smaller}"
        )


def _passed(images: int, batch: int, every_kimg: float | None) -> bool:
    """Whether the step that ended at `images` crossed a multiple of the interval."""
    assert every_kimg is not None
    every = every_kimg * 1000
    return images // every > (images - batch) // every


def _given(value: Any) -> Any:
    """A setting that `plan.resolve` has filled."""
    assert value is not None
    return value
