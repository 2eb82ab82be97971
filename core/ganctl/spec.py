"""What the images of a run look like."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from .errors import UserError


@dataclass(frozen=True)
class ImageSpec:
    """Size in pixels, channels (1 gray, 3 RGB, 4 RGBA) and classes (0: unconditional)."""

    height: int
    width: int
    channels: int
    classes: int = 0
    class_names: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """`28x28x1`: height, width, channels."""
        return f"{self.height}x{self.width}x{self.channels}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ImageSpec:
        return cls(**{**value, "class_names": tuple(value.get("class_names", ()))})


def parse_resolution(text: str) -> tuple[int, int]:
    """`"64"` → (64, 64); `"96x128"` → height 96, width 128."""
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", text.strip())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (1 <= height <= 16384 and 1 <= width <= 16384):
        raise UserError(f"resolution: {text!r} is not a size such as 64 or 96x128 (height x width)")
    return height, width
