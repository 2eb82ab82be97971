"""Pictures at addresses that the user lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from ganctl import Item, Opt, Page, Plan, Request, UserError, Web, WebSource, Withheld

from .addresses import edition_of, read_addresses
from .robots import opposition

PAGE = 500
"""Addresses that are listed at a time."""


@dataclass(frozen=True)
class URLsOptions:
    """Where the list is, and how fast it is worked through."""

    path: Annotated[
        str,
        Opt("A text file with an address a line, or a .csv with columns url, label and key."),
    ] = ""
    every: Annotated[float, Opt("Seconds between two requests to one host.", ge=0)] = 0.2


class URLs(WebSource[URLsOptions], api=1):
    """Pictures at the addresses of a list; a publisher's `X-Robots-Tag: noai` is heeded."""

    def check(self, options: URLsOptions) -> None:
        if not read_addresses(_list(options)):
            raise UserError(f"source urls: no address in {options.path}")

    def identity(self, options: URLsOptions) -> Mapping[str, Any]:
        """A folder is for lists of one name, wherever they lie: it follows what they hold."""
        return {"list": _list(options).name}

    def edition(self, options: URLsOptions) -> str:
        return edition_of(_list(options))

    def plan(self, options: URLsOptions, web: Web) -> Plan:
        addresses = read_addresses(_list(options))
        hosts = Counter(urlsplit(address.url).hostname for address in addresses)
        ((host, most),) = hosts.most_common(1) or [("none", 0)]
        time = timedelta(seconds=round(most * options.every))
        pace = (
            f"{len(hosts):,} hosts; {most:,} pictures are at {host}: with {options.every:g} s "
            f"between two {time} (h:mm:ss) or more"
        )
        return Plan(items=len(addresses), requests=len(addresses), notes=(pace,))

    def pages(self, options: URLsOptions, web: Web, cursor: str | None) -> Iterator[Page]:
        """Without cursors: the list is at hand, and what was listed before is passed over."""
        items = [Item(a.key, a.url, a.label) for a in read_addresses(_list(options))]
        for begin in range(0, len(items), PAGE):
            yield Page(tuple(items[begin : begin + PAGE]), None)

    def request(self, options: URLsOptions, item: Item) -> Request:
        return Request(item.uri, every=options.every, admit=_admit)


def _list(options: URLsOptions) -> Path:
    if not options.path:
        raise UserError("source urls: say where the list is: --source.path FILE")
    return Path(options.path)


def _admit(headers: Sequence[tuple[str, str]]) -> None:
    if rule := opposition(headers):
        raise Withheld(f"X-Robots-Tag: {rule}")
