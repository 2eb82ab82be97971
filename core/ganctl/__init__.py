"""ganctl: train GANs from plugins.

The names below are what a plugin author imports. Importing this module imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .adversarial import AdversarialOptions as AdversarialOptions
    from .adversarial import adversarial_phases as adversarial_phases
    from .adversarial import squared_gradient as squared_gradient
    from .data.dataset import is_image_name as is_image_name
    from .data.pixels import Unreadable as Unreadable
    from .errors import GanctlError as GanctlError
    from .errors import UserError as UserError
    from .evaluator import Evaluator as Evaluator
    from .evaluator import Extractor as Extractor
    from .evaluator import ImageBatch as ImageBatch
    from .evaluator import ImageSet as ImageSet
    from .fetch.answers import Refused as Refused
    from .fetch.answers import Response as Response
    from .fetch.answers import TooLarge as TooLarge
    from .fetch.client import Web as Web
    from .fetch.secret import Secret as Secret
    from .fetch.source import Page as Page
    from .fetch.source import Plan as Plan
    from .fetch.source import Request as Request
    from .fetch.source import Terms as Terms
    from .fetch.source import WebSource as WebSource
    from .fetch.source import Withheld as Withheld
    from .hooks import hookimpl as hookimpl
    from .interfaces import Augmenter as Augmenter
    from .interfaces import Batch as Batch
    from .interfaces import Discriminator as Discriminator
    from .interfaces import Generator as Generator
    from .interfaces import Noise as Noise
    from .interfaces import Phase as Phase
    from .interfaces import Players as Players
    from .interfaces import Progress as Progress
    from .interfaces import Reals as Reals
    from .interfaces import StyleGenerator as StyleGenerator
    from .model import Model as Model
    from .model import load as load
    from .model import save as save
    from .options import Opt as Opt
    from .plugin import Architecture as Architecture
    from .plugin import Augmentation as Augmentation
    from .plugin import Command as Command
    from .plugin import Evaluation as Evaluation
    from .plugin import Hook as Hook
    from .plugin import Item as Item
    from .plugin import NoOptions as NoOptions
    from .plugin import Objective as Objective
    from .plugin import Recipe as Recipe
    from .plugin import Source as Source
    from .spec import ImageSpec as ImageSpec
    from .web import Unreachable as Unreachable
    from .web import download as download

_HOME = {
    "adversarial": ["AdversarialOptions", "adversarial_phases", "squared_gradient"],
    "data.dataset": ["is_image_name"],
    "data.pixels": ["Unreadable"],
    "spec": ["ImageSpec"],
    "errors": ["GanctlError", "UserError"],
    "evaluator": ["Evaluator", "Extractor", "ImageBatch", "ImageSet"],
    "fetch.answers": ["Refused", "Response", "TooLarge"],
    "fetch.client": ["Web"],
    "fetch.secret": ["Secret"],
    "fetch.source": ["Page", "Plan", "Request", "Terms", "WebSource", "Withheld"],
    "hooks": ["hookimpl"],
    "interfaces": [
        *("Augmenter", "Batch", "Discriminator", "Generator"),
        *("Noise", "Phase", "Players", "Progress", "Reals", "StyleGenerator"),
    ],
    "model": ["Model", "load", "save"],
    "options": ["Opt"],
    "plugin": [
        *("Architecture", "Augmentation", "Command", "Evaluation", "Hook", "Item"),
        *("NoOptions", "Objective", "Recipe", "Source"),
    ],
    "web": ["Unreachable", "download"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted([*_MODULE, "random"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'ganctl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ganctl.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
