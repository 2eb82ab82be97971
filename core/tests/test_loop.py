"""The loop on small real networks: who moves when, micro-batches, resuming, state."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from ganctl import random
from ganctl.data.dataset import Dataset, DatasetWriter
from ganctl.data.loader import Loader
from ganctl.errors import UserError
from ganctl.interfaces import (
    Augmenter,
    Batch,
    Discriminator,
    Generator,
    Phase,
    Players,
    Progress,
)
from ganctl.spec import ImageSpec
from ganctl.training.ema import EMA
from ganctl.training.loop import train
from ganctl.training.optim import AdamSettings, PlayerOptimizer
from ganctl.training.state import State
from ganctl.training.tally import Tally

BATCH, COUNT, CLASSES = 8, 20, 3
CPU = torch.device("cpu")


class SmallGenerator(Generator):
    z_dim = 4

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(self.z_dim + classes, 16)
        self.last = nn.Linear(16, 12)
        self.told: list[int] = []

    def at(self, progress: Progress) -> None:
        self.told.append(progress.step)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z if c is None else torch.cat([z, c], dim=1)
        x = leaky_relu(self.first(x), 0.2)
        return torch.tanh(self.last(x)).view(-1, 1, 3, 4)


class SmallDiscriminator(Discriminator):
    rowwise = True

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(12 + classes, 16)
        self.last = nn.Linear(16, 1)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        if c is not None:
            x = torch.cat([x, c], dim=1)
        x = leaky_relu(self.first(x), 0.2)
        if self.training:
            x = x * random.dropout_mask(x, 0.4)
        logits: Tensor = self.last(x)
        return logits


class Flipper(Augmenter):
    """Adds a share of noise that grows with what it is told, as ADA's p does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(()))
        self.adapted: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        noise = random.randn(x.shape[0], *x.shape[1:])
        return x + self.share * noise

    def adapt(self, real_logits: Tensor, progress: Progress) -> None:
        self.adapted.append(len(real_logits))
        self.share.add_(real_logits.sign().mean().abs() / 100)


class Rig:
    """Everything that `train` takes, built from one seed."""

    def __init__(
        self,
        dataset: Dataset,
        make_phases: Callable[[Players], list[Phase]],
        *,
        classes: int = 0,
        ema: bool = False,
        augment: bool = False,
    ) -> None:
        random.seed_everything(1)
        generator, discriminator = SmallGenerator(classes), SmallDiscriminator(classes)
        self.players = Players(generator, discriminator, Flipper() if augment else None)
        self.phases = make_phases(self.players)
        settings = AdamSettings(0.01, (0.5, 0.99), 1e-8, lambda progress: 1.0)
        optimizers = {
            player: PlayerOptimizer(
                self.players[player], settings, [p for p in self.phases if p.player == player]
            )
            for player in ("generator", "discriminator")
        }
        average = EMA(generator, 0.05, None) if ema else None
        self.state = State(self.players, optimizers, average)
        self.loader = Loader(dataset, BATCH, 0, CPU, conditional=bool(classes))
        self.tally = Tally()

    def steps(
        self, total: int, micro_batch: int = BATCH, seed: int = 0, **rest: Any
    ) -> Iterator[Progress]:
        return train(
            self.state,
            self.loader,
            self.phases,
            self.tally,
            total=total,
            micro_batch=micro_batch,
            seed=seed,
            **rest,
        )

    def run(self, steps: int, **rest: Any) -> dict[str, Tensor]:
        """Train so many steps; all of the state afterwards."""
        for _ in self.steps(steps * BATCH, **rest):
            pass
        return self.snapshot()

    def snapshot(self) -> dict[str, Tensor]:
        everything = {
            **{f"best.{k}": v for k, v in self.state.best_generator.state_dict().items()},
            **self.state.tensors(),
        }
        return {name: tensor.detach().clone() for name, tensor in everything.items()}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose time on a second thread, much of it where others work too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    drawn = np.random.default_rng(0)
    with DatasetWriter(tmp_path / "set.zip", ImageSpec(3, 4, 1)) as writer:
        for index in range(COUNT):
            pixels = drawn.integers(0, 256, (3, 4, 1), dtype=np.uint8)
            writer.add(pixels, str(index % CLASSES))
    return Dataset(tmp_path / "set.zip")


def plain(players: Players) -> list[Phase]:
    """The non-saturating objective, fakes drawn anew for D."""

    def generator_loss(batch: Batch) -> Tensor:
        return softplus(-players.critic(players.generate(batch), batch.labels)).mean()

    def discriminator_loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            fakes = players.generate(batch)
        real, fake = players.judge(batch, fakes)
        batch.report("logits/real", real)
        return softplus(-real).mean() + softplus(fake).mean()

    return [
        Phase("G", "generator", generator_loss),
        Phase("D", "discriminator", discriminator_loss),
    ]


def scripted(calls: list[tuple[str, int]], **every: int) -> Callable[[Players], list[Phase]]:
    """Phases that note when they run and with how many rows; `d2=5` runs D every 5 steps."""

    def make(players: Players) -> list[Phase]:
        def loss(name: str, player: str) -> Callable[[Batch], Tensor]:
            def compute(batch: Batch) -> Tensor:
                calls.append((name, batch.progress.step))
                return torch.cat([p.flatten() for p in players[player].parameters()]).sum()

            return compute

        owners = {name: "generator" if name[0] == "g" else "discriminator" for name in every}
        return [
            Phase(name, owners[name], loss(name, owners[name]), every=interval)
            for name, interval in every.items()
        ]

    return make


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(one[k].float(), other[k].float(), rtol=tolerance, atol=tolerance)
        for k in one
    )


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_progress_counts_steps_and_images_up_to_the_total(dataset: Dataset) -> None:
    seen = list(Rig(dataset, plain).steps(3 * BATCH))
    assert [(p.step, p.images, p.total) for p in seen] == [(1, 8, 24), (2, 16, 24), (3, 24, 24)]


def test_the_last_step_may_go_over_the_total(dataset: Dataset) -> None:
    assert [p.images for p in Rig(dataset, plain).steps(17)] == [8, 16, 24]


def test_phases_run_in_order_at_the_steps_that_their_interval_divides(dataset: Dataset) -> None:
    calls: list[tuple[str, int]] = []
    Rig(dataset, scripted(calls, g=2, d=1, dreg=4)).run(6)
    assert calls == [
        *[("g", 0), ("d", 0), ("dreg", 0), ("d", 1), ("g", 2), ("d", 2), ("d", 3)],
        *[("g", 4), ("d", 4), ("dreg", 4), ("d", 5)],
    ]


def test_each_phase_moves_only_its_player(dataset: Dataset) -> None:
    for mover, other in (("generator", "discriminator"), ("discriminator", "generator")):

        def only(players: Players, mover: str = mover) -> list[Phase]:
            return [phase for phase in plain(players) if phase.player == mover]

        rig = Rig(dataset, only)
        before = {n: copy.deepcopy(rig.players[n].state_dict()) for n in (mover, other)}
        rig.run(3)
        after = {n: rig.players[n].state_dict() for n in (mover, other)}
        assert not any(torch.equal(before[mover][k], after[mover][k]) for k in after[mover])
        assert equal(before[other], after[other])


def test_only_the_player_whose_phase_it_is_takes_gradients(dataset: Dataset) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def watching(players: Players) -> list[Phase]:
        def watch(phase: Phase) -> Phase:
            def loss(batch: Batch) -> Tensor:
                flags = [
                    next(players[n].parameters()).requires_grad
                    for n in ("generator", "discriminator")
                ]
                others = [players["discriminator"], players["generator"]]
                unwanted = others[0] if phase.player == "generator" else others[1]
                assert all(p.grad is None for p in unwanted.parameters())
                seen.append((phase.name, *flags))
                return phase.loss(batch)

            return Phase(phase.name, phase.player, loss)

        return [watch(phase) for phase in plain(players)]

    Rig(dataset, watching).run(2)
    assert seen == [("G", True, False), ("D", False, True)] * 2


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_micro_batches_give_what_the_batch_gives(
    dataset: Dataset, micro_batch: int, classes: int
) -> None:
    whole = Rig(dataset, plain, classes=classes, ema=True).run(5)
    parts = Rig(dataset, plain, classes=classes, ema=True).run(5, micro_batch=micro_batch)
    assert close(whole, parts, 1e-4)


def test_micro_batches_see_the_noise_of_the_batch_through_an_augmenter(dataset: Dataset) -> None:
    whole = Rig(dataset, plain, augment=True)
    parts = Rig(dataset, plain, augment=True)
    assert close(whole.run(5), parts.run(5, micro_batch=3), 1e-4)
    assert isinstance(whole.players.augmenter, Flipper)
    assert whole.players.augmenter.share > 0
    assert whole.players.augmenter.adapted == [BATCH] * 5


def test_a_loss_over_micro_batches_weighs_every_row_the_same(dataset: Dataset) -> None:
    def mean_of_rows(players: Players) -> list[Phase]:
        def loss(batch: Batch) -> Tensor:
            weight = players.generator.get_parameter("last.bias")[0]
            return weight * batch.images.mean()

        return [Phase("G", "generator", loss)]

    norms = []
    for micro_batch in (BATCH, 3):  # 3 + 3 + 2 rows
        rig = Rig(dataset, mean_of_rows)
        rig.run(1, micro_batch=micro_batch)
        norms.append(rig.tally.flush()["grad_norm/G"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_a_lazy_phase_is_scaled_by_its_interval(dataset: Dataset) -> None:
    norms = {}
    for lazy in (False, True):

        def make(players: Players, lazy: bool = lazy) -> list[Phase]:
            bias = players.discriminator.get_parameter("last.bias")
            return [Phase("R", "discriminator", lambda batch: bias.sum(), every=4, lazy=lazy)]

        rig = Rig(dataset, make)
        rig.run(1)
        norms[lazy] = rig.tally.flush()["grad_norm/R"]
    assert norms == {False: 1.0, True: 4.0}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(dataset: Dataset) -> None:
    first = Rig(dataset, plain).run(4)
    assert equal(first, Rig(dataset, plain).run(4))
    assert not equal(first, Rig(dataset, plain).run(4, seed=1))


def test_every_phase_of_every_step_draws_for_itself(dataset: Dataset) -> None:
    drawn: list[float] = []

    def drawing(players: Players) -> list[Phase]:
        def loss(batch: Batch) -> Tensor:
            drawn.append(float(players.latents(batch)[0, 0]))
            return players.generator.get_parameter("last.bias").sum()

        return [Phase(name, "generator", loss) for name in ("one", "two")]

    Rig(dataset, drawing).run(3)
    assert len(set(drawn)) == 6


def test_what_happens_between_steps_cannot_change_the_result(dataset: Dataset) -> None:
    undisturbed = Rig(dataset, plain).run(4)
    rig = Rig(dataset, plain)
    for _ in rig.steps(4 * BATCH):
        torch.manual_seed(99)
        torch.randn(1000)
    assert equal(rig.snapshot(), undisturbed)


@pytest.mark.parametrize("stop", [1, 3])
def test_state_taken_back_continues_with_the_same_bytes(dataset: Dataset, stop: int) -> None:
    options: dict[str, Any] = {"classes": CLASSES, "ema": True, "augment": True}
    whole = Rig(dataset, plain, **options).run(6)
    first = Rig(dataset, plain, **options)
    first.run(stop)
    generator = {k: v.clone() for k, v in first.state.best_generator.state_dict().items()}
    training = {k: v.clone() for k, v in first.state.tensors().items()}
    second = Rig(dataset, plain, **options)
    second.state.load(generator, training, first.state.step)
    assert equal(second.run(6), whole)


def test_the_average_follows_the_live_generator_after_every_step(dataset: Dataset) -> None:
    rig = Rig(dataset, plain, ema=True)
    average = copy.deepcopy(rig.players.generator)
    beta = 0.5 ** (BATCH / 50)
    for _ in rig.steps(5 * BATCH):
        with torch.no_grad():
            for mean, live in zip(
                average.parameters(), rig.players.generator.parameters(), strict=True
            ):
                mean.mul_(beta).add_(live, alpha=1 - beta)
    best = rig.state.best_generator.state_dict()
    assert close(best, average.state_dict(), 1e-5)
    assert not close(best, rig.players.generator.state_dict(), 1e-5)


def test_without_an_average_the_live_generator_is_the_best_one(dataset: Dataset) -> None:
    rig = Rig(dataset, plain)
    assert rig.state.best_generator is rig.players.generator


def counting(players: Players) -> list[Phase]:
    """An objective with a state of its own: a running mean that enters the loss."""
    mean = players.buffer("mean", torch.zeros(()))

    def loss(batch: Batch) -> Tensor:
        logits = players.critic(players.generate(batch), batch.labels)
        mean.lerp_(logits.detach().mean(), 0.1)
        return (logits - mean).square().mean()

    return [Phase("G", "generator", loss), *plain(players)[1:]]


def test_an_objectives_buffers_are_saved_and_come_back(dataset: Dataset) -> None:
    whole = Rig(dataset, counting)
    result = whole.run(6)
    assert result["objective.mean"] != 0
    first = Rig(dataset, counting)
    first.run(3)
    generator = {k: v.clone() for k, v in first.state.best_generator.state_dict().items()}
    training = {k: v.clone() for k, v in first.state.tensors().items()}
    second = Rig(dataset, counting)
    second.state.load(generator, training, 3)
    assert equal(second.run(6), result)


def test_a_state_of_other_networks_is_refused(dataset: Dataset) -> None:
    state = Rig(dataset, plain).state
    other = Rig(dataset, plain, classes=CLASSES).state
    with pytest.raises(UserError, match="does not fit this run's networks"):
        state.load(other.best_generator.state_dict(), other.tensors(), 1)


def test_a_state_without_the_objectives_buffers_is_refused(dataset: Dataset) -> None:
    state, other = Rig(dataset, counting).state, Rig(dataset, plain).state
    with pytest.raises(UserError, match="mean"):
        state.load(other.best_generator.state_dict(), other.tensors(), 1)


def test_networks_are_told_of_every_step_before_it(dataset: Dataset) -> None:
    rig = Rig(dataset, plain, ema=True)
    rig.run(3)
    assert isinstance(rig.players.generator, SmallGenerator)
    assert rig.players.generator.told == [0, 1, 2]
    assert isinstance(rig.state.best_generator, SmallGenerator)
    assert rig.state.best_generator.told == [0, 1, 2]


def test_memo_lives_for_the_phases_of_one_step_and_one_micro_batch(dataset: Dataset) -> None:
    found: list[tuple[int, int]] = []

    def remembering(players: Players) -> list[Phase]:
        def leave(batch: Batch) -> Tensor:
            assert "rows" not in batch.memo
            batch.memo["rows"] = batch.pixels
            return players.critic(players.generate(batch), batch.labels).mean()

        def take(batch: Batch) -> Tensor:
            assert batch.memo["rows"] is batch.pixels
            found.append((batch.progress.step, len(batch)))
            return players.critic(batch.images, batch.labels).mean()

        return [Phase("G", "generator", leave), Phase("D", "discriminator", take)]

    Rig(dataset, remembering).run(2, micro_batch=5)
    assert found == [(0, 4), (0, 4), (1, 4), (1, 4)]


def test_reals_and_fakes_in_one_pass_give_the_logits_of_two(dataset: Dataset) -> None:
    rig = Rig(dataset, plain)
    rig.players.discriminator.eval()  # dropout draws differently for 16 rows and for twice 8
    images, labels = rig.loader(0)
    batch = Batch(images, labels, Progress(0, 0, 8))
    fakes = rig.players.generate(batch)
    together = rig.players.judge(batch, fakes)
    rig.players.discriminator.rowwise = False
    apart = rig.players.judge(batch, fakes)
    for one, other in zip(together, apart, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights(dataset: Dataset) -> None:
    kinds: list[torch.dtype] = []

    def watching(players: Players) -> list[Phase]:
        def loss(batch: Batch) -> Tensor:
            logits = players.critic(players.generate(batch), batch.labels)
            kinds.append(logits.dtype)
            return softplus(-logits).float().mean()

        return [Phase("G", "generator", loss)]

    rig = Rig(dataset, watching)
    state = rig.run(2, precision=torch.bfloat16)
    assert kinds == [torch.bfloat16] * 2
    assert all(t.dtype == torch.float32 for name, t in state.items() if name.startswith("best."))


def test_the_tally_holds_losses_norms_and_reports(dataset: Dataset) -> None:
    rig = Rig(dataset, plain)
    rig.run(2, micro_batch=3)
    figures = rig.tally.flush()
    assert figures.keys() == {
        *("loss/G", "loss/D", "grad_norm/G", "grad_norm/D", "logits/real"),
    }
    assert all(np.isfinite(value) for value in figures.values())
    assert rig.tally.flush() == {}


def test_a_tally_is_a_weighted_mean_over_finite_values() -> None:
    tally = Tally()
    tally.add("a", torch.tensor(1.0), weight=3)
    tally.add("a", torch.tensor(5.0), weight=1)
    tally.add("a", torch.tensor(float("nan")), weight=100)
    tally.add("a", torch.tensor(float("inf")), weight=100)
    tally.add("b", torch.tensor(float("nan")))
    figures = tally.flush()
    assert figures["a"] == 2.0
    assert np.isnan(figures["b"])
