"""What a publisher says in `X-Robots-Tag`: whether a picture may be taken for a model."""

from __future__ import annotations

import re
from collections.abc import Iterable

AGENT = "ganctl"
OPPOSED = ("noai", "noimageai")
WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)
"""Rules with a colon of their own: what stands before it is no robot's name."""

_ROBOT = re.compile(r"\s*([^\s:,]+)\s*:(.*)", re.DOTALL)


def opposition(headers: Iterable[tuple[str, str]]) -> str | None:
    """The rule that says no to training; None when none does.

    Each header holds rules with commas between them: for every robot, or from a `name:` on for
    the robot of that name, as Google describes it (search/docs/crawling-indexing/
    robots-meta-tag). `noindex` and the like are about search results and say nothing here.
    """
    for name, text in headers:
        if name.lower() == "x-robots-tag" and (rule := _opposed(text)):
            return rule
    return None


def _opposed(text: str) -> str | None:
    ours = True
    for part in text.lower().split(","):
        rule = part
        if (found := _ROBOT.fullmatch(part)) and found[1] not in WITH_VALUE:
            ours, rule = found[1] in (AGENT, "*"), found[2]
        if ours and rule.strip() in OPPOSED:
            return rule.strip()
    return None
