"""The training loop. It knows neither networks nor objectives, only phases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, autocast

from .. import random
from ..data.loader import Loader
from ..interfaces import Batch, Phase, Progress, WrongResult
from .state import State
from .tally import Tally


def train(
    state: State,
    loader: Loader,
    phases: Sequence[Phase],
    tally: Tally,
    *,
    total: int,
    micro_batch: int,
    seed: int,
    precision: torch.dtype = torch.float32,
) -> Iterator[Progress]:
    """Train until `total` images were shown, yielding after every step.

    What the caller does between steps cannot change the result: each phase of each step is
    seeded anew, and the order of the data follows from the step.
    """
    device, players = loader.device, state.players
    cast: Callable[[], AbstractContextManager[object]] = nullcontext
    if precision != torch.float32:
        cast = partial(autocast, device.type, precision)
    while state.step * loader.batch < total:
        step, images = state.step, state.step * loader.batch
        progress = Progress(step, images, total)
        for network in state.networks():
            network.at(progress)
        batch = Batch(*loader(step), progress)
        micros = list(batch.split(micro_batch))
        for phase in phases:
            if step % phase.every or not phase.active:
                continue
            optimizer = state.optimizers[phase.player]
            for name, other in state.optimizers.items():
                other.train(name == phase.player)
            gain = phase.every if phase.lazy else 1
            for start, micro in micros:
                random.seed_everything(random.derive(seed, "step", step, phase.name))
                with random.rows(start, start + len(micro), len(batch)), cast():
                    loss = phase.loss(micro)
                if not isinstance(loss, Tensor) or loss.numel() != 1:
                    what = f"the loss of phase {phase.name} is no tensor of one number"
                    made_by = getattr(phase.loss, "func", phase.loss)  # of a functools.partial
                    raise WrongResult(getattr(made_by, "__module__", ""), what)
                share = gain * len(micro) / len(batch)
                (loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
                tally.add(f"loss/{phase.name}", loss.detach(), weight=len(micro))
            tally.add(f"grad_norm/{phase.name}", optimizer.step(progress, phase.name))
            if phase.after is not None:
                with torch.no_grad():
                    phase.after()
        if state.ema is not None:
            state.ema.update(players.generator, loader.batch, images)
        if players.augmenter is not None and "logits/real" in batch.reports:
            players.augmenter.adapt(torch.cat(batch.reports["logits/real"]), progress)
        for name, values in batch.reports.items():
            for value in values:
                tally.add(name, value.float().mean(), weight=value.shape[0] if value.ndim else 1)
        state.step += 1
        yield Progress(state.step, state.step * loader.batch, total)
