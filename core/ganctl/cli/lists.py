"""Lists of numbers as they are typed: seeds, classes, styles, truncations."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..errors import UserError
from ..options import did_you_mean

if TYPE_CHECKING:
    from ..spec import ImageSpec

STYLES = {"coarse": (0, 3), "middle": (4, 7), "fine": (8, None)}
"""The first and the last style of 4²–8², of 16²–32² and of 64² and above, where every resolution
has two; Karras et al. 2019 (arXiv:1812.04948), section 3.1."""


def parse_seeds(text: str, name: str = "seeds") -> list[int]:
    """`"0-3,99"` → [0, 1, 2, 3, 99]. Raises `UserError`, which begins with `name`."""
    numbers: list[int] = []
    for part in text.split(","):
        bounds = _range(part)
        if bounds is None:
            raise UserError(f"{name}: {part.strip()!r} is not a number or a range such as 0-15")
        low, high = bounds
        if high < low or high >= 2**32 or high - low >= 1_000_000:
            raise UserError(
                f"{name}: {part.strip()}: seeds rise, go to {2**32 - 1}, and a range holds a "
                "million"
            )
        numbers.extend(range(low, high + 1))
    return numbers


def parse_truncations(text: str) -> list[float]:
    """`"0.5,-1"` → [0.5, -1.0], each once. Raises `UserError`."""
    found = []
    for part in text.split(","):
        try:
            value = float(part) + 0.0  # no -0.0
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"truncation: {part.strip()!r} is not a finite number")
        found.append(value)
    return list(dict.fromkeys(found))


def parse_classes(text: str, spec: ImageSpec) -> list[int]:
    """`"0,3"`, `"2-4"`, `"cats,dogs"` or `"all"` as a model's classes, each once.

    What looks like a number is one; a name may hold commas. Raises `UserError`.
    """
    if not spec.classes:
        raise UserError("this model has no classes: it was trained without labels")
    names, last = spec.class_names, spec.classes - 1
    numbers: list[int] = []
    for part in [text] if text in names else [part.strip() for part in text.split(",")]:
        bounds = _range(part) or ((names.index(part),) * 2 if part in names else None)
        if bounds is None and part == "all":
            bounds = 0, last
        if bounds is None:
            hint = did_you_mean(part, names) if len(names) <= 20 else ""
            raise UserError(f"class {part!r}: this model has classes 0 to {last}{hint}")
        low, high = bounds
        if not low <= high <= last:
            raise UserError(f"class {part}: this model has classes 0 to {last}")
        numbers.extend(range(low, high + 1))
    return list(dict.fromkeys(numbers))


def parse_styles(text: str, count: int) -> list[int]:
    """`"0-3,5"` or words of `STYLES` as numbers below `count`, each once. Raises `UserError`."""
    numbers: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        bounds = _range(part)
        if part in STYLES:
            low, high = STYLES[part]
            bounds = low, max(low, count - 1 if high is None else min(high, count - 1))
        if bounds is None:
            raise UserError(
                f"styles: {part!r} is not a number, a range such as 0-6, or one of "
                f"{', '.join(STYLES)}"
            )
        low, last = bounds
        if not low <= last < count:
            raise UserError(f"styles: {part}: this model has {count} styles, 0 to {count - 1}")
        numbers.extend(range(low, last + 1))
    return list(dict.fromkeys(numbers))


def psi_name(value: float) -> str:
    """`0.70`; more decimals only where they differ."""
    return f"{value:.2f}" if round(value, 2) == value else repr(value)


def class_name(number: int, spec: ImageSpec) -> str:
    """Its name, else its number."""
    return spec.class_names[number] if number < len(spec.class_names) else str(number)


def _range(text: str) -> tuple[int, int] | None:
    """`"3-5"` → (3, 5), `"3"` → (3, 3), else None."""
    match = re.fullmatch(r"([0-9]{1,12})(?:-([0-9]{1,12}))?", text.strip())
    return (int(match[1]), int(match[2] or match[1])) if match else None
