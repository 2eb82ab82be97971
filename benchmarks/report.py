"""What a measurement came to, on the screen and in a file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def spread(ratios: Sequence[float]) -> dict[str, Any]:
    """Median and range of the ratios of all rounds."""
    return {
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def publish(report: Mapping[str, Any], out: Path | None) -> None:
    """Print it as JSON, and write it if asked."""
    text = json.dumps(report, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")
