"""What `--evaluate` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class Request:
    """Evaluators, the first of which ranks checkpoints; how often; on how many images."""

    names: tuple[str, ...]
    every: float | None = None
    samples: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Each goes to every evaluator that has it."""

    @classmethod
    def parse(cls, text: str) -> Request:
        """`"fid,kid:every=50kimg:samples=10000"`, `"swd:patches=128"`. Raises `UserError`."""
        names, *settings = text.split(":")
        found = tuple(name.strip() for name in names.split(",") if name.strip())
        if not found or len(set(found)) < len(found):
            raise UserError(f"evaluate: {text!r}: name evaluators once each, such as swd")
        values: dict[str, Any] = {}
        options: dict[str, str] = {}
        for setting in settings:
            key, given, value = (part.strip() for part in setting.partition("="))
            value = value if given else "true"
            if key in (*values, *options):
                raise UserError(f"evaluate: {key} is given twice")
            try:
                if key == "every":
                    values[key] = float(value.removesuffix("kimg"))
                elif key == "samples":
                    values[key] = int(value)
                else:
                    options[key.replace("-", "_")] = value
                    continue
            except ValueError:
                hint = "; evaluators come first, options last" if "," in value else ""
                raise UserError(f"evaluate: {key}: {value!r} is not a number{hint}") from None
            if not 0 < values[key] < float("inf"):
                raise UserError(f"evaluate: {key}: {value!r} must be more than 0")
        return cls(found, **values, options=options)
