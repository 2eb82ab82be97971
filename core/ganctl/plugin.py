"""Plugins: one torch-free descriptor class per thing that a distribution offers.

A descriptor names its options, is found through an entry point, and builds the real
object when asked. It must not import torch at module level: listing and `--help` stay fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, get_args

from .spec import ImageSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from .evaluator import Evaluator
    from .interfaces import Augmenter, Discriminator, Generator, Phase, Players

SUPPORTED = frozenset({1})
"""Plugin API versions that this ganctl loads."""


@dataclass(frozen=True)
class NoOptions:
    """For plugins that have nothing to set."""


Check = tuple[str, bool | None, str]
"""What was looked at; whether it works (None: worth knowing); what was found, what to do."""


O = TypeVar("O")  # noqa: E741  (the options dataclass of a plugin)


class Plugin(Generic[O]):
    """What every kind of plugin shares: an options dataclass and an API version.

    `class DCGAN(Architecture[DCGANOptions], api=1)`: the type argument is the options
    dataclass, `api` the plugin API version it was written against (one of `SUPPORTED`).
    The first line of the docstring is the summary that `ganctl list-plugins` shows.
    """

    kind: ClassVar[str]
    api: ClassVar[int | None] = None
    options_class: ClassVar[type[Any]] = NoOptions
    references: ClassVar[tuple[str, ...]] = ()
    """Papers and sources, as `ganctl describe` prints them."""

    def missing(self) -> str | None:
        """What it needs and is not installed, as advice; None when it can work."""
        return None

    def checks(self) -> Iterable[Check]:
        """What `ganctl doctor` says of the machine on its behalf; it may compute for seconds."""
        return ()

    def __init_subclass__(cls, api: int | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if api is not None:
            cls.api = api
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type):
                    cls.options_class = argument


@dataclass(frozen=True)
class Recipe:
    """An architecture's training defaults. The user may override every one of them.

    `lr` and `betas` are Adam's, for both players; `d_lr` and `d_betas` set the
    discriminator apart. `lr_schedule` is a factor over images shown: `constant`, `linear`,
    `cosine`, or points `KIMG:FACTOR,…`. `ema_kimg` is the half-life of the generator's
    moving average in thousands of images (None: no average); `ema_rampup` limits it to
    that fraction of the images seen so far. Updates whose gradients are not finite are left
    out (`nonfinite="skip"`), or made with nan as 0 and inf as ±100,000 (`"clip"`).
    `objective_options` and `augment_options` are defaults for the objective and the augmenter
    named here, as long as the user takes no other. `transfer` holds those fields of this recipe
    that are others in a run that starts from a trained model (`--init-from`).
    """

    objective: str
    batch: int
    kimg: float
    lr: float
    betas: tuple[float, float]
    d_lr: float | None = None
    d_betas: tuple[float, float] | None = None
    eps: float = 1e-8
    lr_schedule: str = "constant"
    ema_kimg: float | None = None
    ema_rampup: float | None = None
    augment: str | None = None
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    augment_options: Mapping[str, Any] = field(default_factory=dict)
    nonfinite: Literal["skip", "clip"] = "skip"
    transfer: Mapping[str, Any] = field(default_factory=dict)


class Architecture(Plugin[O]):
    """A pair of networks and the recipe that trains them."""

    kind = "architecture"
    resolution: ClassVar[int] = 64
    """Side in pixels of what it makes when the user names none."""

    def build(self, options: O, spec: ImageSpec) -> tuple[Generator, Discriminator]:
        """Both networks, freshly initialised from torch's current random state.

        Raises `UserError` when it cannot make images of this `spec`.
        """
        raise NotImplementedError

    def recipe(self, options: O, spec: ImageSpec, batch: int | None) -> Recipe:
        """Training defaults for this spec; `batch` is what the user asked for, if anything."""
        raise NotImplementedError


class Objective(Plugin[O]):
    """What the players optimise: a list of phases."""

    kind = "objective"

    def check(self, options: O, spec: ImageSpec) -> None:
        """Raise `UserError` when it cannot train on such images, such as those without labels."""

    def phases(self, players: Players, options: O) -> list[Phase]:
        """The phases of one training step, in order. State lives in `players.buffer(...)`."""
        raise NotImplementedError


class Augmentation(Plugin[O]):
    """What the discriminator sees real and generated images through."""

    kind = "augmenter"

    def build(self, options: O, spec: ImageSpec) -> Augmenter:
        raise NotImplementedError


class Evaluation(Plugin[O]):
    """A measure of generated images against a dataset."""

    kind = "evaluator"
    better: ClassVar[Literal["lower", "higher"]] = "lower"
    """Which way its first figure gets better."""
    against_set: ClassVar[bool] = True
    """Whether it holds images against a set's."""
    looks_at: ClassVar[Literal["images", "generator"]] = "images"
    """Whether images do, or it probes a generator: then pictures cannot be evaluated."""

    def build(self, options: O, spec: ImageSpec) -> Evaluator:
        """A fresh evaluator; `spec` is that of the set, else of what is evaluated.

        Raises `UserError` when it cannot evaluate such images, or lacks weights.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Item:
    """One picture of a source: a stable `key`, where it is, and its label if it has one."""

    key: str
    uri: str
    label: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


class Source(Plugin[O]):
    """Where pictures come from. Listing is lazy; nothing is decoded before `open`."""

    kind = "source"
    curated: ClassVar[bool] = False
    """A published set, kept whole: duplicates and blank pictures stay unless asked otherwise."""

    def reads(self, path: Path) -> bool:
        """Whether it takes this path as its option `path`: how `ganctl prepare PATH` finds it.

        Looks at names and at most a few bytes; the path exists.
        """
        return False

    def check(self, options: O) -> None:
        """Raise `UserError` when the options cannot work. Touches no network."""

    def channels(self, options: O) -> int:
        """1 for gray, 3 for RGB: what the pictures are converted to."""
        return 3

    def resolution(self, options: O) -> str | None:
        """The pictures' own size (`"32"`, `"48x64"`) when they all share one, else None."""
        return None

    def fingerprint(self, options: O) -> str:
        """Changes when the pictures may have changed; a prepared set is reused until then."""
        return ""

    def count(self, options: O) -> int | None:
        """How many pictures there are, where that is known without a long search."""
        return None

    def items(self, options: O) -> Iterator[Item]:
        """Everything that may be a picture, in a fixed order, the same at every call."""
        raise NotImplementedError

    def open(self, options: O, item: Item) -> bytes | np.ndarray[Any, Any]:
        """An encoded image file, or uint8 pixels of shape (H, W) or (H, W, C), C 1, 3 or 4.

        Called from several threads at once. Raises `Unreadable` for a picture that must be
        left out, `UserError` when nothing more can be read.
        """
        raise NotImplementedError


class Hook(Plugin[O]):
    """Watches runs. Its methods marked `@hookimpl` follow the specifications in `hooks`.

    A hook that is `missing()` something stays out of runs.
    """

    kind = "hook"


class Command(Plugin[NoOptions]):
    """A command of `ganctl` beside its own; the entry point's name is what people type.

    The class's docstring is what `ganctl NAME --help` begins with.
    """

    kind = "command"

    def main(self, *args: Any, **kwargs: Any) -> int:
        """What the command does; returns the exit status.

        Written with parameters of its own, annotated for Typer, which parses the command line
        by them: `def main(self, file: Annotated[str, typer.Argument(help="…")]) -> int`. What
        is raised, a `UserError` or `GanctlError`, is shown as one line.
        """
        raise NotImplementedError


KINDS: dict[str, type[Plugin[Any]]] = {
    base.kind: base
    for base in (Architecture, Objective, Augmentation, Evaluation, Source, Hook, Command)
}
GROUPS = {kind: f"ganctl.{kind}s" for kind in KINDS}
"""Entry-point group of each kind: `ganctl.architectures` and so on."""
