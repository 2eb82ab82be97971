"""Everything of a run that changes with a step, as named tensors."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from ..errors import UserError
from ..interfaces import Generator, Network, Players
from .ema import EMA
from .optim import PlayerOptimizer


class State:
    """Players, their optimisers, the average, and how many steps are done."""

    def __init__(
        self, players: Players, optimizers: dict[str, PlayerOptimizer], ema: EMA | None
    ) -> None:
        self.players, self.optimizers, self.ema = players, optimizers, ema
        self.step = 0

    @property
    def best_generator(self) -> Generator:
        """The average where there is one, else the live generator."""
        return self.players.generator if self.ema is None else self.ema.generator

    def networks(self) -> Iterator[Network]:
        """Everything that is told how far the run is."""
        yield self.players.generator
        yield self.players.discriminator
        if self.ema is not None:
            yield self.ema.generator
        if self.players.augmenter is not None:
            yield self.players.augmenter

    def tensors(self) -> dict[str, Tensor]:
        """The whole state but the best generator (which has a file of its own)."""
        tensors: dict[str, Tensor] = {}
        for name, module in self._modules():
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"optimizer.{name}.{k}": v for k, v in optimizer.tensors().items()}
        return tensors

    def load(self, generator: dict[str, Tensor], training: dict[str, Tensor], step: int) -> None:
        """Take back the tensors of both files of a checkpoint."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in training.items() if k.startswith(prefix)}

        try:
            self.best_generator.load_state_dict(generator)
            for name, module in self._modules():
                module.load_state_dict(part(f"{name}."))
            for name, optimizer in self.optimizers.items():
                optimizer.load(part(f"optimizer.{name}."))
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"the checkpoint does not fit this run's networks: {reason}") from None
        self.step = step

    def _modules(self) -> Iterator[tuple[str, nn.Module]]:
        if self.ema is not None:
            yield "generator", self.players.generator
        yield "discriminator", self.players.discriminator
        yield "objective", self.players.objective_state
        if self.players.augmenter is not None:
            yield "augmenter", self.players.augmenter
