"""The options of a run itself: those that no plugin owns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..options import Opt


@dataclass(frozen=True)
class Settings:
    """What `ganctl train` is asked for. None stands for the architecture's recipe."""

    data: Annotated[str | None, Opt("Prepared set to train on: a zip or a folder.")] = None
    init_from: Annotated[
        str | None,
        Opt("A trained model to start from: a generator.safetensors, a checkpoint or a run."),
    ] = None
    freeze_d: Annotated[
        int, Opt("Keep the first so many layers of the discriminator as they are.", ge=0)
    ] = 0
    resolution: Annotated[
        str | None, Opt("Size of the images: 64, or 96x128 (height x width).")
    ] = None
    cache: Annotated[
        Literal["auto", "none", "memory", "disk", "device"],
        Opt("Where decoded images are kept while training; auto: the fastest with room for them."),
    ] = "auto"
    mirror: Annotated[bool, Opt("Show every image flipped left to right as well.")] = False
    cond: Annotated[bool, Opt("Condition both networks on the set's labels.")] = False
    kimg: Annotated[float | None, Opt("Length of the run in thousands of images.", gt=0)] = None
    batch: Annotated[int | None, Opt("Images per step.", ge=1)] = None
    micro_batch: Annotated[
        int | None,
        Opt("Images at a time: less memory, same result but for what is taken of batches.", ge=1),
    ] = None
    seed: Annotated[int, Opt("Every random draw of the run follows from it.", ge=0)] = 0
    run: Annotated[str | None, Opt("Run folder to create, else runs/NUMBER-ARCH-DATA.")] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Opt("Where to train; auto takes a GPU if it can.")
    ] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16"], Opt("Arithmetic of the networks (bf16 by autocast).")
    ] = "fp32"
    lr: Annotated[float | None, Opt("Learning rate of both players.", ge=0)] = None
    g_lr: Annotated[float | None, Opt("Learning rate of the generator.", ge=0)] = None
    d_lr: Annotated[float | None, Opt("Learning rate of the discriminator.", ge=0)] = None
    betas: Annotated[tuple[float, float] | None, Opt("Adam's betas, both players.", ge=0, lt=1)] = (
        None
    )
    g_betas: Annotated[tuple[float, float] | None, Opt("Adam's betas, generator.", ge=0, lt=1)] = (
        None
    )
    d_betas: Annotated[
        tuple[float, float] | None, Opt("Adam's betas, discriminator.", ge=0, lt=1)
    ] = None
    eps: Annotated[float | None, Opt("Adam's epsilon, both players.", gt=0)] = None
    lr_schedule: Annotated[
        str | None,
        Opt("Factor on both rates: constant, linear, cosine, or points KIMG:FACTOR,KIMG:FACTOR."),
    ] = None
    g_lr_schedule: Annotated[str | None, Opt("The same for the generator alone.")] = None
    d_lr_schedule: Annotated[str | None, Opt("The same for the discriminator alone.")] = None
    ema_kimg: Annotated[
        float | None, Opt("Half-life of the generator's moving average, kimg; 0 for none.", ge=0)
    ] = None
    ema_rampup: Annotated[
        float | None,
        Opt("Limit the half-life to this share of the images seen; 0 for no limit.", ge=0),
    ] = None
    evaluate: Annotated[
        str | None,
        Opt(
            "Evaluators, and how often: fid,kid:every=50kimg:samples=10000. The first one's best "
            "checkpoint is kept."
        ),
    ] = None
    log_every: Annotated[float | None, Opt("A line in log.jsonl every so many kimg.", gt=0)] = None
    sample_every: Annotated[float | None, Opt("A grid of samples every so many kimg.", gt=0)] = None
    checkpoint_every: Annotated[float | None, Opt("A checkpoint every so many kimg.", gt=0)] = None
    checkpoint_minutes: Annotated[
        float, Opt("A checkpoint at least every so many minutes.", gt=0)
    ] = 10.0
    keep: Annotated[int, Opt("How many checkpoints to keep, the newest.", ge=1)] = 3
    nonfinite: Annotated[
        Literal["skip", "clip"] | None,
        Opt(
            "What becomes of gradients that are not finite: skip leaves the update out; clip "
            "makes nan 0 and inf ±100,000, as StyleGAN2-ADA does."
        ),
    ] = None
    nonfinite_limit: Annotated[
        int, Opt("Stop after so many steps in a row whose gradients are not finite.", ge=1)
    ] = 100
