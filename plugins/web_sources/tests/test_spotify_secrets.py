"""Nothing that a fetch from Spotify leaves behind or says holds a secret."""

import base64
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from servers import Call, Catalogue, Redirect, Spotify, Status
from spotify_runs import BROWSER, Command, tiny


@pytest.fixture
def spotify() -> Iterator[Spotify]:
    with Spotify(Catalogue.make(60, (1960, 1962), odd=False)) as server:
        server.covers = tiny  # type: ignore[assignment]
        yield server


def command_lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Of the process, its threads and its children, as `ps` shows them, until it ends."""
    while process.poll() is None:
        family = [str(process.pid)]
        for pid in family:
            with suppress(OSError):  # it has just ended
                yield Path(f"/proc/{pid}/cmdline").read_text()
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    yield (thread / "comm").read_text()
                    family += (thread / "children").read_text().split()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_no_secret_is_left_anywhere(spotify: Spotify, tmp_path: Path) -> None:
    ganctl = Command(tmp_path, spotify)
    (tmp_path / "tmp").mkdir()
    ganctl.env |= {"BROWSER": BROWSER, "GANCTL_TRACEBACK": "1", "TMPDIR": str(tmp_path / "tmp")}
    app, script = spotify.people.app, spotify.script
    spotify.people.rotates = True
    script.on("/v1/playlists/*", Call(spotify.people.revoke), times=1)
    script.on("/v1/search", Call(spotify.people.revoke), requests={4})
    script.on("/image/*", Redirect(f"http://10.0.0.1/{app.secret}?{app.secret}"), requests={9})
    script.on("/image/*", Status(403, body=app.secret.encode()), requests={12})
    where = ("--source.years", "1960-1962", "--source.mine")

    process = ganctl.start(*where)
    shown = "\n".join(command_lines(process))
    printed, told = process.communicate()
    assert process.returncode == 1, told
    assert "an address in a private network" in told
    assert "sign in to Spotify in the browser" in told
    assert "browser.py" in shown

    again = ganctl(*where)
    assert again.returncode == 0, again.stderr
    assert len(ganctl.kept()) == 60
    spotify.people.revoke_refresh()
    ended = ganctl(*where, out="more")
    assert ended.returncode == 2
    assert "ended the sign-in" in ended.stderr
    signed_in = ganctl("--source.mine", out="more")
    assert signed_in.returncode == 0, signed_in.stderr  # nothing had come, so the folder is free
    mine = ganctl("--source.mine", out="mine")
    assert mine.returncode == 0, mine.stderr
    ganctl.env["SPOTIFY_CLIENT_SECRET"] = "wr0ng-secret-wr0ng"
    assert ganctl("--source.years", "1960", out="wrong").returncode == 2

    verifiers = {r.form["code_verifier"] for r in spotify.journal.requests("/api/token")
                 if "code_verifier" in r.form}  # fmt: skip
    secrets = spotify.people.secrets() | verifiers | {"wr0ng-secret-wr0ng"}
    assert len(secrets) > 10
    for secret in (app.secret, "wr0ng-secret-wr0ng"):
        pair = base64.b64encode(f"{app.id}:{secret}".encode()).decode()
        assert any(
            request.headers.get("Authorization") == f"Basic {pair}"
            for request in spotify.journal.requests("/api/token")
        )
        secrets |= {pair, base64.b64encode(secret.encode()).decode().rstrip("=")}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "manifest.sqlite" for file in files)
    keeper = ganctl.home / f".local/share/ganctl/spotify/{app.id}.json"
    assert keeper in files
    places = {str(file): file.read_bytes() for file in files if file != keeper}
    places["output"] = (printed + told + ganctl.said).encode()
    places["command lines"] = shown.encode()
    for place, content in places.items():
        for secret in secrets:
            assert secret.encode() not in content, f"{secret} in {place}"
    kept = [secret for secret in secrets if secret in keeper.read_text()]
    assert len(kept) == 1  # the refresh token
    assert kept[0].startswith("AQ")
