"""From a source's pictures, of any kind and size, to a prepared set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UserError
from ..options import dump
from ..plugin import Source
from ..spec import ImageSpec
from .dataset import DatasetWriter
from .pixels import Unreadable, decode, fit


@dataclass(frozen=True)
class Report:
    """What became of the pictures: how many were kept, and (key, why) of the others."""

    kept: int
    skipped: list[tuple[str, str]]


def prepared_path(
    folder: Path, name: str, source: Source[Any], options: Any, spec: ImageSpec
) -> Path:
    """Where the prepared set lies: the same pictures, options and size give the same name."""
    identity = json.dumps(
        [
            __version__,
            type(source).__module__,  # two distributions may offer one name
            *(name, dump(options), spec.size, source.fingerprint(options)),
        ],
        sort_keys=True,
    )
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return folder / f"{name.replace(':', '-')}-{spec.size}-{digest}.zip"


def prepare(
    source: Source[Any],
    options: Any,
    spec: ImageSpec,
    path: Path,
    advance: Callable[[int], None] = lambda count: None,
) -> Report:
    """Decode, crop, resize and store every picture; those that cannot be read are skipped.

    Raises `UserError` when none is left. `advance` is told how many are done.
    """
    kept, skipped = 0, []
    with DatasetWriter(path, spec) as writer:
        for count, item in enumerate(source.items(options), start=1):
            try:
                pixels = decode(source.open(options, item), spec.channels)
            except Unreadable as error:
                skipped.append((item.key, str(error)))
            else:
                writer.add(fit(pixels, spec), item.label)
                kept += 1
            advance(count)
        if not kept:
            why = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            raise UserError(f"no usable picture among {len(skipped)}{why}")
    return Report(kept, skipped)
