"""Servers on loopback that speak the protocols of web services, for tests.

    with Spotify() as spotify:
        spotify.script.on("/v1/search", Status(429, retry_after=2), requests={3})
        ...  # spotify.api.url, spotify.accounts.url
        assert len(spotify.journal.requests("/image/*")) == 500

A service is a set of servers (`spotify.api`, `spotify.images`, …) with one journal and one script
of faults. `Authority` makes certificates for TLS.
"""

from .catalogue import Album, Catalogue, Entry, Playlist, entries
from .coverart import CoverArt, mbid
from .faults import (
    BitFlip,
    Body,
    Call,
    Chunked,
    Delay,
    Drip,
    Drop,
    Fault,
    Gzip,
    Html,
    Ignore,
    Length,
    Loop,
    Redirect,
    Set,
    Status,
    Truncate,
)
from .kaggle import Dataset, Kaggle, archive, wrong_hash
from .messages import Request, Response
from .pictures import Covers, jpeg, picture
from .spotify import Spotify
from .spotify_accounts import App
from .tls import Authority
from .urls import Files

__all__ = [
    "Album",
    "App",
    "Authority",
    "BitFlip",
    "Body",
    "Call",
    "Catalogue",
    "Chunked",
    "CoverArt",
    "Covers",
    "Dataset",
    "Delay",
    "Drip",
    "Drop",
    "Entry",
    "Fault",
    "Files",
    "Gzip",
    "Html",
    "Ignore",
    "Kaggle",
    "Length",
    "Loop",
    "Playlist",
    "Redirect",
    "Request",
    "Response",
    "Set",
    "Spotify",
    "Status",
    "Truncate",
    "archive",
    "entries",
    "jpeg",
    "mbid",
    "picture",
    "wrong_hash",
]
