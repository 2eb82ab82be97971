"""The label of a picture file: from `dataset.json` beside the pictures, else from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import PurePosixPath

from ganctl import UserError, is_image_name

LISTING = "dataset.json"
"""`{"labels": [["00000/img0.png", 3], …], "label_names": […]}`: StyleGAN2-ADA, StyleGAN3, EDM."""


def listed(data: bytes, where: str) -> dict[str, str]:
    """Labels by file name. Raises `UserError` when `data` is not such a listing."""
    try:
        listing = json.loads(data)
        names = listing.get("label_names") or []
        return {name: _text(label, names) for name, label in listing.get("labels") or ()}
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError) as error:
        raise UserError(f"{where}: {LISTING} is not a list of labels: {error}") from None


def _text(label: object, names: list[object]) -> str:
    if not isinstance(label, int) or isinstance(label, bool) or label < 0:
        raise TypeError("a label is not a whole number from 0 on")
    if names and label >= len(names):
        raise IndexError(f"label {label}, but {len(names)} label_names")
    return str(names[label]) if names else str(label)


def by_folder(names: Iterable[str]) -> Iterator[str | None]:
    """For each name the first folder in it, after those that all pictures share."""
    names = list(names)
    folders = {PurePosixPath(n).parts[:-1] for n in names if is_image_name(n)}
    folders = folders or {PurePosixPath(n).parts[:-1] for n in names}
    first, last = min(folders, default=()), max(folders, default=())
    shared = tuple(a for a, _ in takewhile(lambda ab: ab[0] == ab[1], zip(first, last)))  # noqa: B905
    for name in names:
        folder = PurePosixPath(name).parts[:-1]
        below = folder[len(shared) :] if folder[: len(shared)] == shared else ()
        yield below[0] if below else None
