"""Parts of gpu.py about training: how fast, the same losses, and where the time goes."""

from __future__ import annotations

import gc
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from gpu_setting import Row, Setting
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganctl import ImageSpec, Players, random
from ganctl.training.ema import EMA
from ganctl.training.loop import train
from ganctl.training.optim import AdamSettings, PlayerOptimizer
from ganctl.training.state import State
from ganctl.training.tally import Tally
from ganctl_stylegan2_ada import (
    ADA,
    ADAOptions,
    StyleGAN2,
    StyleGAN2ADA,
    StyleGAN2ObjectiveOptions,
    StyleGAN2Options,
)
from ganctl_stylegan2_ada.kernels import plain_operators

P = 0.2
"""Of the augmentations, at the start of a step."""

LAST = 1_000_000
"""Steps that are asked for: never reached."""

SMALL = {"channel_base": 256, "channel_max": 16, "z_dim": 16, "w_dim": 16}
"""Networks to try the script with."""

KINDS = {"main": (1, 12), "with path lengths": (4, 3), "with R1 too": (16, 1)}
"""Steps with G and D alone and with the lazy phases: one's number, and how many 16 steps hold."""

CASES = (
    (256, "auto", False),
    (256, "auto", True),
    (1024, "auto", False),
    (256, "paper256", False),
    (1024, "auto", True),
    (256, "paper256", True),
    (1024, "paper256", False),
    (1024, "paper256", True),
)
"""Side, recipe, and whether images are augmented; what matters most comes first."""

SECONDS, MOST = 1.0, 8
"""About so long is a row of steps that is timed, and at most so many."""

BATCHES = {256: (32, 64, 128), 1024: (16, 32), 16: (4, 8)}


class Noise:
    """Random pictures in place of a set, on the device."""

    def __init__(self, batch: int, side: int, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self._pixels = torch.randint(256, (batch, 3, side, side), dtype=torch.uint8, device=device)

    def __call__(self, step: int) -> tuple[torch.Tensor, None]:
        return self._pixels, None


class Training:
    """A run of `ganctl train --arch stylegan2-ada`, without its set, log and checkpoints."""

    def __init__(
        self, side: int, batch: int, device: torch.device, *, augment: bool = False, **options: Any
    ) -> None:
        spec, architecture, chosen = (
            ImageSpec(side, side, 3),
            StyleGAN2ADA(),
            StyleGAN2Options(**options),
        )
        recipe = architecture.recipe(chosen, spec, batch)
        random.seed_everything(random.derive(0, "init"))
        networks = architecture.build(chosen, spec)
        augmenter = ADA().build(ADAOptions(), spec).to(device) if augment else None
        if augmenter is not None:
            augmenter.pipeline.p.fill_(P)
        players = Players(*(network.to(device).train() for network in networks), augmenter)
        objective = StyleGAN2ObjectiveOptions(**recipe.objective_options)
        phases = StyleGAN2().phases(players, objective)
        adam = AdamSettings(recipe.lr, recipe.betas, recipe.eps, lambda progress: 1.0)
        optimizers = {
            player: PlayerOptimizer(
                players[player],
                adam,
                [phase for phase in phases if phase.player == player],
                recipe.nonfinite,
            )
            for player in ("generator", "discriminator")
        }
        ema = EMA(players.generator, recipe.ema_kimg, recipe.ema_rampup)
        self.state, self.tally, self.batch = State(players, optimizers, ema), Tally(), batch
        self._progress = train(
            self.state,
            Noise(batch, side, device),
            phases,
            self.tally,
            total=LAST * batch,
            micro_batch=batch,
            seed=0,
        )

    def step(self, number: int) -> None:
        """One step as if so many had been done; the number tells which phases it has."""
        self.state.step = number
        next(self._progress)


def networks(setting: Setting) -> dict[str, int]:
    """Options that make them small."""
    return SMALL if setting.small else {}


class Operations(TorchDispatchMode):
    """Within, counts those of convolutions and matrix products, in both directions.

    PyTorch's own counter looks after modules too, which it cannot do in double backward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        count = flop_registry.get(operator._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def training(setting: Setting) -> Iterator[Row]:
    """Images per second, with kernels and with plain operators, at the batch that is best."""
    cases = CASES if not setting.small else ((16, "auto", False), (16, "auto", True))
    best: dict[int, int] = {}
    for side, recipe, augment in cases:
        found = []
        for batch in (best[side],) if side in best else BATCHES[side]:
            row = _pace_row(setting, setting.kernels, side, recipe, augment, batch)
            found.append(row)
            yield {"operators": "kernels", **row}
        fastest = max(found, key=lambda row: row.get("images_per_second", 0))
        best[side] = batch = fastest["batch"]
        row = _pace_row(setting, plain_operators, side, recipe, augment, batch)
        while "error" in row and batch > 1:  # beside the kernels, as many images as there is room
            yield {"operators": "plain", **row}
            batch //= 2
            row = _pace_row(setting, plain_operators, side, recipe, augment, batch)
        if "images_per_second" in row and "images_per_second" in fastest:
            row["kernels_are_faster_by"] = fastest["images_per_second"] / row["images_per_second"]
        yield {"operators": "plain", **row}


def switches(setting: Setting) -> Iterator[Row]:
    """What PyTorch's own switches would give the same step."""
    side, batch = (16, 4) if setting.small else (256, 64)
    backends = torch.backends
    for name, holder, switch in (
        ("as it is", None, ""),
        ("cudnn.benchmark", backends.cudnn, "benchmark"),
        ("matmul in TF32", backends.cuda.matmul, "allow_tf32"),
    ):
        before = None if holder is None else getattr(holder, switch)
        try:
            if holder is not None:
                setattr(holder, switch, True)
            yield {
                "switch": name,
                **_pace_row(setting, setting.kernels, side, "auto", False, batch),
            }
        finally:
            if holder is not None:
                setattr(holder, switch, before)


def same_losses(setting: Setting) -> Iterator[Row]:
    """Twenty steps from one seed: with kernels, with plain operators, and with these again.

    How far the last two are apart is what the device itself, which adds in no fixed order, makes
    of equal work.
    """
    side, batch, steps = (16, 4, 5) if setting.small else (128, 16, 20)
    for name, half in (("float32", 0), ("float16", 4)):
        runs = [
            _losses(setting, operators, side, batch, steps, half)
            for operators in (setting.kernels, plain_operators, plain_operators)
        ]
        yield {
            "precision": name,
            "side": side,
            "batch": batch,
            "largest_difference": _apart(runs[0], runs[1]),
            "largest_difference_of_plain_runs": _apart(runs[2], runs[1]),
            "kernels": runs[0],
            "plain": runs[1],
        }


def profiles(setting: Setting) -> Iterator[Row]:
    """What the device does in one step, who waits for it, and what the step has to compute."""
    side, batch = (16, 4) if setting.small else (256, 64)
    for augment in (False, True):
        _forget(setting.device)
        with setting.kernels():
            run = Training(side, batch, setting.device, augment=augment, **networks(setting))
            for number, _ in KINDS.values():
                run.step(number)
            for kind, (number, _) in KINDS.items():
                about = {"step": kind, "batch": batch, "augment": augment}
                yield about | _profiled(run, number, setting.device)
                if setting.device.type == "cuda":
                    yield about | {"waits": _waits(run, number)}
                with Operations() as operations:
                    run.step(number)
                yield about | {"operations": operations.total}
            del run


def _pace_row(
    setting: Setting,
    operators: Callable[[], AbstractContextManager[object]],
    side: int,
    recipe: str,
    augment: bool,
    batch: int,
) -> Row:
    """One run's pace and memory, or that there is too little of it."""
    row: Row = {"side": side, "recipe": recipe, "augment": augment, "batch": batch}
    device, options = setting.device, {"recipe": recipe, **networks(setting)}
    cuda = device.type == "cuda"
    _forget(device)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        with operators():
            times = _times(Training(side, batch, device, augment=augment, **options), device)
    except Exception as error:  # for which the others need not suffer
        row["error"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    else:
        cycle = sum(times[kind] * count for kind, (_, count) in KINDS.items()) / 16
        row["images_per_second"] = batch / cycle
        row["seconds_per_kimg"] = 1000 * cycle / batch
        row["seconds_of_step"] = times
    if cuda:
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        row["peak_reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    return row


def _times(run: Training, device: torch.device) -> dict[str, float]:
    """Seconds of one step of each kind, in rows of them, so that a GPU is never waited for."""

    def spent(number: int, steps: int) -> float:
        _finish(device)
        start = time.perf_counter()
        for _ in range(steps):
            run.step(number)
        _finish(device)
        return (time.perf_counter() - start) / steps

    for number, _ in reversed(KINDS.values()):  # memory is found, kernels are chosen
        run.step(number)
    return {
        kind: spent(number, max(min(int(SECONDS / spent(number, 1)), MOST), 1))
        for kind, (number, _) in KINDS.items()
    }


def _losses(
    setting: Setting,
    operators: Callable[[], AbstractContextManager[object]],
    side: int,
    batch: int,
    steps: int,
    half: int,
) -> list[dict[str, float]]:
    """Of every step, by phase."""
    found = []
    _forget(setting.device)
    with operators():
        run = Training(side, batch, setting.device, half_resolutions=half, **networks(setting))
        for number in range(steps):
            run.step(number)
            figures = run.tally.flush()
            found.append({k: v for k, v in figures.items() if k.startswith("loss/")})
    return found


def _apart(a: list[dict[str, float]], b: list[dict[str, float]]) -> dict[str, Any]:
    """The largest relative difference of two runs, and where it is."""
    pairs = [
        (abs(mine[name] - other[name]) / max(abs(other[name]), 1e-3), step, name)
        for step, (mine, other) in enumerate(zip(a, b, strict=True))
        for name in other
    ]
    difference, step, name = max(pairs)
    return {"relative": difference, "step": step, "of": name}


def _profiled(run: Training, number: int, device: torch.device) -> Row:
    """Where the time of one step goes: by the kernels that PyTorch's profiler saw."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    _finish(device)
    start = time.perf_counter()
    run.step(number)
    _finish(device)
    wall = time.perf_counter() - start
    with profile(activities=activities) as profiler:
        run.step(number)
        _finish(device)
    averages = profiler.key_averages()

    def spent(event: Any) -> float:  # microseconds
        return float(event.self_device_time_total if cuda else event.self_cpu_time_total)

    # On a GPU an operator has the time of the kernels that it launched, which are there themselves.
    host = [event for event in averages if event.device_type == torch.autograd.DeviceType.CPU]
    device_side = [event for event in averages if event not in host] if cuda else host
    return {
        "seconds": wall,
        "seconds_on_device": sum(map(spent, device_side)) / 1e6,
        "kernels": sum(event.count for event in device_side),
        "top": _longest(device_side, spent),
        "top_operators": _longest(host, spent),
    }


def _longest(events: list[Any], spent: Callable[[Any], float]) -> list[Row]:
    return [
        {"name": event.key[:160], "ms": spent(event) / 1000, "calls": event.count}
        for event in sorted(events, key=spent, reverse=True)[:25]
    ]


def _waits(run: Training, number: int) -> dict[str, int]:
    """Where in one step the host waits for the device, and how often."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run.step(number)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = (
        f"{'/'.join(Path(warning.filename).parts[-2:])}:{warning.lineno}"
        for warning in caught
        if "called a synchronizing" in str(warning.message)
    )
    return dict(Counter(places).most_common())


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _forget(device: torch.device) -> None:
    """Give back what a run held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
