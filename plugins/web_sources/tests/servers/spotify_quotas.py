"""What Spotify allows in its three quota modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .spotify_objects import Naming

Mode = Literal["dev2026", "legacy-dev", "extended"]


@dataclass(frozen=True)
class Quota:
    """What a quota mode allows."""

    search_limit: int
    search_default: int
    deprecated: bool
    """Whether /tracks, batches, /browse and /users are there; otherwise they are 403."""
    others: bool
    """Whether the items of other people's public playlists may be read; otherwise 403."""
    editorial: bool
    """Whether Spotify's own playlists are there; otherwise they are 404."""
    naming: Naming
    """What the content of a playlist's entry is called: `item`, `track`, or both."""
    reduced: bool


QUOTAS: dict[Mode, Quota] = {
    "dev2026": Quota(10, 5, False, False, False, "item", True),
    "legacy-dev": Quota(50, 20, True, True, False, "track", False),
    "extended": Quota(50, 20, True, True, True, "both", False),
}
