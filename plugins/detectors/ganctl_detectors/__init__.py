"""Hooks that notice when a run goes wrong: each warns once, and says what to try.

Their figures go into log.jsonl, TensorBoard and `ganctl plot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganctl import Hook, NoOptions, hookimpl

if TYPE_CHECKING:
    from ganctl import Progress

    from .balance import Balance
    from .divergence import Divergence
    from .diversity import Diversity
    from .gradients import Gradients


class CollapseDetector(Hook[NoOptions], api=1):
    """Warns when generated images become alike (mode collapse)."""

    _diversity: Diversity

    @hookimpl
    def start(self, session: Any) -> None:
        from .diversity import Diversity

        self._diversity = Diversity(session)

    @hookimpl
    def measure(self) -> dict[str, float]:
        return self._diversity.measure()

    @hookimpl
    def tick(self, progress: Progress, figures: dict[str, float]) -> None:
        self._diversity.look(progress, figures)


class OneSidedDetector(Hook[NoOptions], api=1):
    """Warns when one player has won: D is always right, or always wrong."""

    _balance: Balance

    @hookimpl
    def start(self, session: Any) -> None:
        from .balance import Balance

        self._balance = Balance(session)

    @hookimpl
    def measure(self) -> dict[str, float]:
        return self._balance.measure()

    @hookimpl
    def tick(self, figures: dict[str, float]) -> None:
        self._balance.look(figures)


class GradientDetector(Hook[NoOptions], api=1):
    """Warns when gradients vanish or explode."""

    _gradients: Gradients

    @hookimpl
    def start(self, session: Any) -> None:
        from .gradients import Gradients

        self._gradients = Gradients(session)

    @hookimpl
    def tick(self, figures: dict[str, float]) -> None:
        self._gradients.look(figures)


class DivergenceDetector(Hook[NoOptions], api=1):
    """Warns when losses or logits run away."""

    _divergence: Divergence

    @hookimpl
    def start(self, session: Any) -> None:
        from .divergence import Divergence

        self._divergence = Divergence(session)

    @hookimpl
    def tick(self, figures: dict[str, float]) -> None:
        self._divergence.look(figures)
