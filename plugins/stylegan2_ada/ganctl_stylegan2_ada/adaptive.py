"""Adaptive discriminator augmentation: as strong as D's overfitting asks for."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ganctl import Augmenter, Progress, UserError

from .augment.pipeline import AugmentationPipeline
from .mirror import Mirror

CEILING = 0.8
"""The largest p unless told otherwise. Karras et al. 2020b, section 2.2: below about 0.8
augmentations are unlikely to leak into what G makes; with too few images p rises for ever, and at
1 no image is seen untransformed."""


class AdaptiveAugmenter(Augmenter):
    """Augmentations whose probability p follows r_t = E[sign(D(real))].

    Karras et al. 2020b, section 3: every `interval` steps p moves by the images shown since, over
    `ramp_kimg` thousand: up where r_t was above `target`, down where below. p goes from 0 to 1 in
    500,000 images at the least (100,000 are usual when a trained network is trained on).

    `names` are augmentations, for instance `PRESETS["bgc"]`; `p` is where p starts. p stays within
    [0, ceiling]. With `target=None` p stays as it is. Raises `UserError` for values out of range.
    """

    signs: Tensor
    judged: Tensor
    calls: Tensor
    counted: Tensor

    def __init__(
        self,
        names: Iterable[str],
        *,
        p: float = 0.0,
        target: float | None = 0.6,
        interval: int = 4,
        ramp_kimg: float = 500,
        ceiling: float = CEILING,
    ) -> None:
        super().__init__()
        highest = 1.0 if target is None else ceiling
        if not 0 <= ceiling <= 1:
            raise UserError(f"the ceiling of p is {ceiling}; it has to be in [0, 1]")
        if not 0 <= p <= highest:
            raise UserError(f"the augmentations' p is {p}; it has to be in [0, {highest}]")
        if interval < 1 or ramp_kimg <= 0:
            raise UserError("interval has to be at least 1, and ramp_kimg more than 0")
        self.target = target
        self.interval = interval
        self.ramp = ramp_kimg * 1000
        self.ceiling = ceiling
        self.pipeline = AugmentationPipeline(names, p)
        self.register_buffer("signs", torch.zeros(()))  # sum since p last moved
        self.register_buffer("judged", torch.zeros(()))  # logits in that sum
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        # Images shown when p last moved; -1 before the first step.
        self.register_buffer("counted", torch.full((), -1, dtype=torch.int64))
        self._judged, self._calls, self._counted = Mirror(), Mirror(), Mirror()

    @property
    def p(self) -> Tensor:
        """The probability of every transformation: a buffer (), float32."""
        return self.pipeline.p

    def figures(self) -> dict[str, float]:
        return {"p": float(self.p)}

    def forward(self, x: Tensor) -> Tensor:
        augmented: Tensor = self.pipeline(x)
        return augmented

    @torch.no_grad()
    def adapt(self, real_logits: Tensor, progress: Progress) -> None:
        """Note the signs of real_logits (N, 1); at every `interval`-th call, move p."""
        if self.target is None:
            return
        counted = self._counted.read(self.counted)
        if counted < 0 or counted > progress.images:  # a new run, maybe from another's p
            counted = progress.images
            self._counted.write(self.counted, counted)
        self.signs += real_logits.sign().nan_to_num().sum()
        judged = self._judged.read(self.judged) + real_logits.numel()
        self._judged.write(self.judged, judged)
        calls = self._calls.read(self.calls) + 1
        self._calls.write(self.calls, calls)
        if calls < self.interval:
            return
        # `progress` counts up to the beginning of this step, and a step's images may have
        # been judged more than once.
        batch = progress.images // progress.step if progress.step else len(real_logits)
        shown = progress.images + batch
        # Here, and nowhere else, the CPU waits for the device.
        direction = (self.signs.cpu() / judged - self.target).sign()
        moved = self.pipeline.strength() + direction * ((shown - counted) / self.ramp)
        self.pipeline.set_strength(moved.clamp(0, self.ceiling).item())
        self._counted.write(self.counted, shown)
        self.signs.zero_()
        self._judged.write(self.judged, 0)
        self._calls.write(self.calls, 0)
