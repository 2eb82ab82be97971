"""What the author of a source on the web writes: terms, a plan, pages of items, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..errors import GanctlError
from ..options import dump
from ..plugin import Item, O, Source
from ..web import Unreachable
from .addresses import shown
from .secret import Secret

if TYPE_CHECKING:
    from .client import Web

MAX_BODY = 64 * 2**20
"""Bytes of an answer that is kept in memory, where a request does not say otherwise."""


class Withheld(Unreachable):
    """Whoever publishes the picture does not want it taken for this; the message says how."""


@dataclass(frozen=True)
class Terms:
    """The conditions of a service, as data.

    `training` says whether they allow training a model: for `"no"` the user has to accept
    this `version` by name and to assert a permission of their own, before anything is asked.
    """

    url: str
    version: str
    """A date, mostly: what the user accepts is `NAME@VERSION`."""
    training: Literal["yes", "no", "unclear"]
    clauses: tuple[tuple[str, str], ...] = ()
    """What they say of it, each as its text, in quotation marks if it is one, and its address."""
    instead: str = ""
    """What may be taken instead, for the message of a refusal."""

    def __post_init__(self) -> None:
        if self.training not in ("yes", "no", "unclear"):  # a misspelt "no" must not pass
            raise ValueError(f"Terms.training is yes, no or unclear, not {self.training!r}")


@dataclass(frozen=True)
class Plan:
    """What a fetch will come to, as far as can be said; None: unknown."""

    items: int | None = None
    bytes: int | None = None
    requests: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """Some items, and the cursor that continues after them; None after the last.

    `notes` are told to the user when the fetch ends, such as what was left out and why; they are
    kept with the folder, a line each.
    """

    items: tuple[Item, ...]
    cursor: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One question to a server.

    `every`: at least so many seconds between two to this host; they count from the end of the
    answer if `strict`, so that no two arrive closer, however long the way of one was.
    `limit`: bytes of the answer. `admit` is called with the headers of a good answer, and of
    each redirect, before a body is read; what it raises ends the request (`Withheld`).
    `digests`: checksums by name (md5, sha256, crc32c). `base`: the address that the user named,
    under which this one was found: only if that is on this machine may this one lead there;
    None: the user named `url` itself. Headers and form fields that are `Secret` go to the host
    of `url` alone and are never shown.
    """

    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    method: str = "GET"
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str | Secret] | None = None
    every: float = 0.0
    strict: bool = False
    limit: int = MAX_BODY
    digests: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    admit: Callable[[Sequence[tuple[str, str]]], None] | None = None


class WebSource(Source[O]):
    """Pictures from the web. The engine lists, downloads, checks, stores and resumes.

    Options hold no secrets: they are written into the manifest. Take those from the
    environment or a file, in `check` and again in `pages`.
    """

    def terms(self, options: O) -> Terms | None:
        """The conditions of the service; None where there is none to ask."""
        return None

    def base(self, options: O) -> str:
        """The service's address as the options name it, for which tests set a local one.

        What the service lists may lie on this machine only if this does.
        """
        return ""

    def limit(self, options: O) -> int | None:
        """How many items are listed at the most; the listing ends there. None: all."""
        return None

    def plan(self, options: O, web: Web) -> Plan:
        """What a fetch comes to, from a request or two. Raises as `pages` does."""
        return Plan()

    def pages(self, options: O, web: Web, cursor: str | None) -> Iterator[Page]:
        """What there is, lazily, page by page; from after `cursor` where one is given.

        Called in a thread of its own. A page is recorded together with its cursor, so that
        nothing is listed twice; an item whose key was listed before is passed over. Raises
        `GanctlError` when the listing cannot go on.
        """
        raise NotImplementedError

    def request(self, options: O, item: Item) -> Request:
        """What to ask for the picture: its `uri`, unless it needs headers or a pace."""
        return Request(item.uri, base=self.base(options))

    def fetch(self, options: O, item: Item, web: Web) -> bytes:
        """The encoded picture: the answer to `request`, unless it lies in an archive.

        Called from several threads. Raises `Unreadable` or `Withheld` for a picture that must be
        left out, `Unreachable` for one that may come another time: a web page in its place, too,
        which portals and gateways send for everything.
        """
        response = web.send(self.request(options, item))
        if response.headers.get("content-type", "").startswith("text/html"):
            raise Unreachable(f"{shown(response.url)}: a web page came, not a picture")
        return response.body

    def identity(self, options: O) -> Mapping[str, Any]:
        """What a folder's content depends on: one folder is for one identity."""
        return dump(options)

    def edition(self, options: O) -> str:
        """Changes when a listing is out of date: its file was edited, or labels shall be others.

        It is made again then: what is new is fetched, what is there already is not asked for,
        and what is not listed any more leaves the set.
        """
        return ""

    curated: ClassVar[bool] = False

    def items(self, options: O) -> Iterator[Item]:
        raise GanctlError("pictures from the web are fetched first: ganctl fetch")
