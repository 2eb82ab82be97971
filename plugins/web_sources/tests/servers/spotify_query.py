"""Spotify's two small languages: search queries, and the `fields` filter."""

from __future__ import annotations

import re
from typing import Any

from .catalogue import Album

_TOKEN = re.compile(r'(?:(?P<field>[a-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<word>[^\s"]+))')
_FIELDS = frozenset(("year", "artist", "album", "genre", "tag", "upc"))


def matches(query: str, album: Album) -> bool:
    """Whether a search for albums finds this one.

    `artist:Miles Davis year:1955-1960 blue`: a filter takes the words up to the next one, a year
    takes one; free words may stand in the name and the artist.
    """
    free, filters = _parse(query)
    text = f"{album.name} {album.artist}".lower()
    if not all(word in text for word in free):
        return False
    for name, value in filters:
        if name == "year":
            first, _, last = value.partition("-")
            if not (first.isdecimal() and (last or first).isdecimal()):
                return False
            if not int(first) <= album.year <= int(last or first):
                return False
        else:
            texts = {"artist": album.artist, "album": album.name, "genre": album.genre}
            if value not in texts.get(name, "").lower():
                return False
    return True


def _parse(query: str) -> tuple[list[str], list[tuple[str, str]]]:
    free: list[str] = []
    filters: list[tuple[str, str]] = []
    still = False  # whether words go on the last filter
    for match in _TOKEN.finditer(query.lower()):
        name, quoted = match["field"], match["quoted"]
        value = quoted if quoted is not None else match["word"]
        if name in _FIELDS:
            filters.append((name, value))
            still = quoted is None and name != "year"
        elif still and quoted is None:
            filters[-1] = (filters[-1][0], f"{filters[-1][1]} {value}")
        else:
            free.append(value if name is None else f"{name}:{value}")
    return free, filters


Tree = dict[str, Any]


def select(content: Any, fields: str | None) -> Any:
    """What `fields` leaves: `total,items(added_at,item.album(id,images))`, `!` takes out."""
    return content if not fields else _keep(content, _tree(fields))


def _tree(text: str) -> Tree:
    """`"a,b(c,!d),e.f"` → {"a": {}, "b": {"c": {}, "!d": {}}, "e": {"f": {}}}"""
    root: Tree = {}
    stack, here = [root], root
    path: Tree = root
    for token in re.findall(r"[(),.]|!?[\w]+", text):
        if token == "(":
            stack.append(path)
            here = path
        elif token == ")":
            if len(stack) > 1:
                stack.pop()
            here = stack[-1]
        elif token == ",":
            path = here
        elif token != ".":
            path = path.setdefault(token, {})
        if token in "()":
            path = here
    return root


def _keep(content: Any, tree: Tree) -> Any:
    if not tree:
        return content
    if isinstance(content, list):
        return [_keep(each, tree) for each in content]
    if not isinstance(content, dict):
        return content
    without = {name[1:] for name in tree if name.startswith("!")}
    wanted = {name: rest for name, rest in tree.items() if not name.startswith("!")}
    return {
        name: _keep(value, wanted.get(name, {}))
        for name, value in content.items()
        if name not in without and (name in wanted or not wanted)
    }
