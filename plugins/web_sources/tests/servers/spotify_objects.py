"""The Web API's objects as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from .catalogue import Album, Entry, Playlist, base62

Json = dict[str, Any]
Naming = Literal["item", "track", "both"]

SIZES = {640: "ab67616d0000b273", 300: "ab67616d00001e02", 64: "ab67616d00004851"}
"""Side in pixels, and how names of such images begin."""


@dataclass
class Shapes:
    """Objects as one quota mode shows them."""

    api: str
    """Base URL of the Web API, with /v1."""
    images: str
    """Base URL of the images."""
    naming: Naming
    reduced: bool
    """Without the fields that development mode lost in February 2026."""

    def album(self, album: Album, *, whole: bool = False) -> Json:
        content = self._common("album", album.id) | {
            "album_type": "album",
            "total_tracks": 10,
            "available_markets": ["DE", "GB", "US"],
            "images": self.covers(album),
            "name": album.name,
            "release_date": album.release_date,
            "release_date_precision": album.precision,
            "artists": [self.artist(album.artist)],
        }
        if whole:
            content |= {
                "tracks": self.page(
                    f"{self.api}/albums/{album.id}/tracks", [self._track(album)], 0, 50, 1
                ),
                "copyrights": [{"text": f"{album.year} Nobody", "type": "C"}],
                "external_ids": {"upc": f"{album.index:012}"},
                "genres": [],
                "label": "No Label",
                "popularity": album.index % 101,
            }
        return self._reduce(content)

    def covers(self, album: Album) -> list[Json]:
        """Widest first."""
        if not album.images:
            return []
        return [
            {
                "url": f"{self.images}/image/{prefix}{album.quality:02x}{album.cover:022x}",
                "height": side if album.sizes_known else None,
                "width": side if album.sizes_known else None,
            }
            for side, prefix in SIZES.items()
        ]

    def artist(self, name: str) -> Json:
        return self._common("artist", base62("artist", name)) | {"name": name}

    def track(self, album: Album) -> Json:
        return self._reduce(
            self._track(album)
            | {
                "album": self.album(album),
                "external_ids": {"isrc": f"XX{album.index:010}"},
                "popularity": album.index % 101,
            }
        )

    def entry(self, entry: Entry, *, episodes: bool, naming: Naming | None = None) -> Json | None:
        """A place in a playlist. Without `episodes` in additional_types, those are null."""
        if entry.kind == "null entry":
            return None
        item: Json | None = None
        if entry.kind == "track" and entry.album is not None:
            item = self.track(entry.album)
        elif entry.kind == "local":
            item = self._local()
        elif entry.kind == "episode" and episodes:
            item = self._episode()
        names = {"both": ("item", "track")}.get(naming or self.naming, (naming or self.naming,))
        return {
            "added_at": entry.added_at,
            "added_by": self._common("user", "listener"),
            "is_local": entry.kind == "local",
            "primary_color": None,
        } | dict.fromkeys(names, item)

    def playlist(self, playlist: Playlist, items: Json | None) -> Json:
        """A playlist; `items`: the page of its entries, or None for who may not see them."""
        link = f"{self.api}/playlists/{playlist.id}"
        content = self._common("playlist", playlist.id) | {
            "collaborative": bool(playlist.collaborators),
            "description": "",
            "images": self._mosaic(playlist),
            "name": playlist.name,
            "owner": self.user(playlist.owner),
            "public": playlist.public,
            "snapshot_id": base62("snapshot", playlist.id, len(playlist.entries)),
        }
        short = {"total": len(playlist.entries)}
        if self.naming != "track" and items is not None:
            content["items"] = {"href": f"{link}/items"} | short | items
        if self.naming != "item" and items is not None:
            content["tracks"] = {"href": f"{link}/tracks"} | short | items
        return content

    def user(self, name: str) -> Json:
        return self._common("user", name) | {"display_name": name.title()}

    def page(
        self,
        link: str,
        items: Sequence[Any],
        offset: int,
        limit: int,
        total: int,
        *,
        next_link: Callable[[str], str] = str,
        last: int | None = None,
        query: dict[str, str] | None = None,
    ) -> Json:
        """A paging object. `last`: the greatest offset that may be asked for."""

        def at(offset: int) -> str:
            return f"{link}?{urlencode((query or {}) | {'offset': offset, 'limit': limit})}"

        more = offset + limit < total and (last is None or offset + limit <= last)
        return {
            "href": at(offset),
            "limit": limit,
            "next": next_link(at(offset + limit)) if more else None,
            "offset": offset,
            "previous": next_link(at(max(0, offset - limit))) if offset else None,
            "total": total,
            "items": list(items),
        }

    def _common(self, kind: str, identifier: str) -> Json:
        return {
            "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{identifier}"},
            "href": f"{self.api}/{kind}s/{identifier}",
            "id": identifier,
            "type": kind,
            "uri": f"spotify:{kind}:{identifier}",
        }

    def _track(self, album: Album) -> Json:
        return self._common("track", base62("track", album.index)) | {
            "artists": [self.artist(album.artist)],
            "available_markets": ["DE", "GB", "US"],
            "disc_number": 1,
            "duration_ms": 200_000 + album.index,
            "explicit": False,
            "is_local": False,
            "name": f"{album.name}, first",
            "preview_url": None,
            "track_number": 1,
        }

    def _local(self) -> Json:
        """A file on somebody's disk: no identifiers, no pictures."""
        nobody = {"external_urls": {}, "href": None, "id": None, "type": "artist", "uri": None}
        return {
            "album": {
                "album_type": None,
                "artists": [],
                "available_markets": [],
                "images": [],
                "external_urls": {},
                "href": None,
                "id": None,
                "name": "At home",
                "release_date": None,
                "release_date_precision": None,
                "type": "album",
                "uri": None,
            },
            "artists": [nobody | {"name": "Me"}],
            "available_markets": [],
            "disc_number": 0,
            "duration_ms": 1000,
            "explicit": False,
            "external_ids": {},
            "external_urls": {},
            "href": None,
            "id": None,
            "is_local": True,
            "name": "Demo",
            "popularity": 0,
            "preview_url": None,
            "track_number": 0,
            "type": "track",
            "uri": "spotify:local:Me:At+home:Demo:1",
        }

    def _episode(self) -> Json:
        link = f"{self.images}/image/{SIZES[640]}58{0xE0E0E0:022x}"
        both = {
            "description": "",
            "explicit": False,
            "html_description": "",
            "images": [{"url": link, "height": 640, "width": 640}],
            "is_externally_hosted": False,
            "languages": ["en"],
            "name": "Talking",
        }
        show = {
            "available_markets": ["DE", "GB", "US"],
            "copyrights": [],
            "media_type": "audio",
            "publisher": "Somebody",
            "total_episodes": 1,
        }
        episode = {
            "audio_preview_url": None,
            "duration_ms": 1_000_000,
            "is_playable": True,
            "release_date": "2024-01-01",
            "release_date_precision": "day",
            "resume_point": {"fully_played": False, "resume_position_ms": 0},
            "show": self._common("show", base62("show")) | both | show,
        }
        return self._common("episode", base62("episode")) | both | episode

    def _mosaic(self, playlist: Playlist) -> list[Json]:
        covers = [e.album for e in playlist.entries if e.album is not None and e.album.images]
        return self.covers(covers[0])[:1] if covers and playlist.images else []

    def _reduce(self, content: Json) -> Json:
        lost = ("available_markets", "external_ids", "label", "popularity") if self.reduced else ()
        return {name: value for name, value in content.items() if name not in lost}
