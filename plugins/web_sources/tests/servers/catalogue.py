"""A made-up world of albums, playlists and people: the same for the same arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

GENRES = ("rock", "jazz", "electronic", "hip hop", "classical", "folk", "metal", "soul")
_FIRST = ("Silent", "Golden", "Broken", "Electric", "Paper")
_FIRST += ("Northern", "Hollow", "Crimson", "Distant", "Velvet")
_SECOND = ("Rivers", "Machines", "Gardens", "Windows", "Horses")
_SECOND += ("Signals", "Harbours", "Mirrors", "Seasons", "Cities")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Kind = Literal["track", "local", "episode", "null item", "null entry"]


def base62(*what: object) -> str:
    """An identifier of 22 characters, as Spotify's."""
    number = int.from_bytes(hashlib.sha256(repr(what).encode()).digest())
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


@dataclass
class Album:
    """One album, and what is odd about it."""

    index: int
    name: str
    artist: str
    year: int
    genre: str
    cover: int
    """Seed of its picture: editions of an album share it."""
    quality: int = 88
    precision: Literal["year", "month", "day"] = "day"
    images: bool = True
    """Whether there are any."""
    sizes_known: bool = True
    """Whether width and height are given."""

    @property
    def id(self) -> str:
        return base62("album", self.index)

    @property
    def release_date(self) -> str:
        month, day = self.index % 12 + 1, self.index % 28 + 1
        texts = {"year": f"{self.year}", "month": f"{self.year}-{month:02}"}
        return texts.get(self.precision, f"{self.year}-{month:02}-{day:02}")


@dataclass
class Entry:
    """A place in a playlist."""

    kind: Kind = "track"
    album: Album | None = None
    added_at: str | None = "2024-05-01T12:00:00Z"


@dataclass
class Playlist:
    """A playlist; tests may change it between requests."""

    name: str
    owner: str
    entries: list[Entry]
    public: bool = True
    collaborators: Sequence[str] = ()
    id: str = ""
    images: bool = True

    def __post_init__(self) -> None:
        prefix = "37i9dQZF1" if self.owner == "spotify" else ""  # as Spotify's own begin
        self.id = self.id or prefix + base62("playlist", self.owner, self.name)[len(prefix) :]

    def shrink(self, count: int) -> None:
        """So many entries go, from the start: what follows moves up."""
        del self.entries[:count]

    def belongs_to(self, user: str | None) -> bool:
        """Whether that user owns it or collaborates on it."""
        return user is not None and (user == self.owner or user in self.collaborators)


@dataclass
class Catalogue:
    """Albums in the order in which a search finds them."""

    albums: list[Album]
    _by_id: dict[str, Album] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id = {album.id: album for album in self.albums}

    @classmethod
    def make(
        cls,
        count: int = 200,
        years: tuple[int, int] = (1960, 2023),
        *,
        odd: bool = True,
        first_cover: int = 0,
    ) -> Catalogue:
        """`count` albums, spread evenly over the years and genres.

        `odd`: of every 25, one has no images, one no image sizes, one no name (it was taken
        down), one is the edition before it again, and one that edition recompressed.
        """
        span = years[1] - years[0] + 1
        albums = []
        for i in range(count):
            first, second = _FIRST[i % 10], _SECOND[i // 10 % 10]
            album = Album(
                index=i,
                name=f"{first} {second} {i // 100 + 1}",
                artist=f"The {_SECOND[i * 7 % 10]} of {_FIRST[i * 3 // 10 % 10]}",
                year=years[0] + i % span,
                genre=GENRES[i % len(GENRES)],
                cover=first_cover + i,
                precision=("day", "month", "year")[i % 3],
            )
            if odd:
                _make_odd(album, albums)
            albums.append(album)
        return cls(albums)

    def get(self, identifier: str) -> Album | None:
        return self._by_id.get(identifier)

    def __len__(self) -> int:
        return len(self.albums)


def _make_odd(album: Album, before: Sequence[Album]) -> None:
    match album.index % 25:
        case 5:
            album.images = False
        case 10:
            album.sizes_known = False
        case 15:
            album.name = ""
        case 20:
            album.cover = before[-1].cover
        case 21:
            album.cover, album.quality = before[-2].cover, 60


def entries(albums: Iterable[Album], *, odd: bool = False) -> list[Entry]:
    """A track of each album.

    `odd`: among them a null item, a null entry, a local file, an episode, a track a second
    time, and one of unknown date.
    """
    found = [Entry("track", album) for album in albums]
    if odd:
        others: tuple[Kind, ...] = ("null item", "local", "episode", "null entry")
        for place, kind in enumerate(others):
            found.insert(min(3 * place + 1, len(found)), Entry(kind))
        if tracks := [entry for entry in found if entry.kind == "track"]:
            found += [Entry("track", tracks[0].album), Entry("track", tracks[-1].album, None)]
    return found
