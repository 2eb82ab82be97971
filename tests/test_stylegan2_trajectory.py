"""Steps of StyleGAN2's whole training, against the same written out with torch's own Adam."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganctl import Batch, ImageSpec, Progress, random
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.loader import Loader
from ganctl.training.loop import train
from ganctl.training.plan import resolve
from ganctl.training.session import build
from ganctl.training.tally import Tally

BATCH, STEPS, LR = 4, 6, 0.0025
PHASES = {"G": 1, "PL": 4, "D": 1, "R1": 16}
"""Which run at a step: those whose interval divides it, in this order."""


def test_it_is_the_published_loop(tmp_path: Path) -> None:
    plan, dataset = planned(tmp_path)
    device = torch.device("cpu")
    state, phases = build(plan, device)
    players = state.players
    assert [phase.name for phase in phases] == list(PHASES)
    live = copy.deepcopy({n: players[n] for n in ("generator", "discriminator")})
    average = copy.deepcopy(live["generator"])
    loader = Loader(dataset, BATCH, 0, device, False)
    loop = train(state, loader, phases, Tally(), total=BATCH * STEPS, micro_batch=BATCH, seed=0)
    for _ in loop:
        pass
    ours = {n: copy.deepcopy(players[n].state_dict()) for n in live}
    ours_average = copy.deepcopy(state.ema.generator.state_dict())
    pl_mean = players.objective_state.get_buffer("pl_mean")
    end = pl_mean.clone()

    # Back to the beginning, with torch's Adam. Lazy phases: lr·c, β^c, c = k/(k + 1).
    pl_mean.zero_()
    adams = {}
    for name, every in (("generator", 4), ("discriminator", 16)):
        players[name].load_state_dict(live[name].state_dict())
        c = every / (every + 1)
        adams[name] = torch.optim.Adam(
            players[name].parameters(), lr=LR * c, betas=(0.0, 0.99**c), eps=1e-8
        )
    for step in range(STEPS):
        for phase in phases:
            if step % PHASES[phase.name] == 0:
                one_phase(phase, players, adams[phase.player], loader, step)
        # Half-life: 10/32 kimg an image of the batch, or 5 % of what was seen.
        half_life = min(BATCH * 10 / 32 * 1000, step * BATCH * 0.05)
        beta = 0.5 ** (BATCH / max(half_life, 1e-8))
        for mean, now in zip(average.parameters(), players.generator.parameters(), strict=True):
            mean.data.copy_(now.data.lerp(mean.data, beta))
        average.mapping.w_avg.copy_(players.generator.mapping.w_avg)

    assert end > 0
    torch.testing.assert_close(pl_mean, end, rtol=1e-4, atol=0)
    for name in live:
        near(ours[name], players[name].state_dict())
    near(ours_average, average.state_dict())


def one_phase(phase: Any, players: Any, adam: Any, loader: Loader, step: int) -> None:
    for name in ("generator", "discriminator"):
        players[name].requires_grad_(name == phase.player)
    random.seed_everything(random.derive(0, "step", step, phase.name))
    batch = Batch(*loader(step), Progress(step, step * BATCH, BATCH * STEPS))
    adam.zero_grad(set_to_none=True)
    (phase.loss(batch) * PHASES[phase.name]).backward()
    # Adam counts the steps of each parameter: every one of the player's has to take part.
    assert all(p.grad is not None for p in players[phase.player].parameters()), phase.name
    adam.step()


def near(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=2e-5, msg=name)


def planned(folder: Path) -> tuple[Any, Dataset]:
    dice = np.random.RandomState(0)
    with DatasetWriter(folder / "set.zip", ImageSpec(16, 16, 3)) as writer:
        for _ in range(12):
            writer.add(dice.randint(0, 256, (16, 16, 3), dtype=np.uint8), None)
    core = {"data": str(folder / "set.zip"), "batch": BATCH, "kimg": 1, "device": "cpu"}
    arch = {"name": "stylegan2-ada", "z_dim": 8, "w_dim": 8, "channel_max": 8}
    return resolve(core, {"arch": arch, "augment": {"name": "none"}}), Dataset(core["data"])
