"""Servers on loopback that speak the protocols of web services, for tests.

    with Spotify(Catalogue.make(500)) as spotify:
        spotify.script.on("/v1/search", Status(429, retry_after=2), requests={3})
        spotify.script.on("/image/*", Drop(after=1000), requests=lambda n: n % 10 == 0)
        ...  # the program under test, told spotify.api.url and spotify.accounts.url
        assert not spotify.journal.repeated(server="images")
        assert not spotify.journal.authorized("images")

A service is a set of servers with one journal and one script; `tls=Authority(folder)` makes them
speak TLS, and `authority.environment()` makes a program trust them.

| service | servers | what tests may set |
|---|---|---|
| `Spotify` | accounts, api, images, elsewhere | mode, naming, rate, forbidden, next_elsewhere |
| `CoverArt` | musicbrainz, coverart, archive, node | interval |
| `Kaggle` | api, storage | datasets, username, key, token |
| `Files` | web, elsewhere | `add(path, content)`, `redirect(path, to)` |

`spotify.people` is the accounts service: its app, its user, and the end of tokens.

Faults that answer: `Status`, `Html`, `Body`, `Redirect`, `Loop`. Of the connection: `Delay`,
`Drop`, `Drip`, `Length`, `Chunked`. Of the body and the headers: `Truncate`, `BitFlip`, `Gzip`,
`Set`, and `Ignore`, for a header of the request. `Call` does something at that moment: revokes
tokens (`spotify.people.revoke`), changes a data set, shortens a playlist.

`odd` has pictures and archives that are odd or broken; `browser.py` signs in where BROWSER names
it.
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
