"""The whole line: `ganctl train --arch mlp --source spotify …`, from a search to a picture."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from servers import Authority, Catalogue, Spotify
from spotify_runs import TERMS, Command, tiny


@pytest.mark.slow
def test_from_a_search_to_a_picture(tmp_path: Path, authority: Authority) -> None:
    with Spotify(Catalogue.make(80, (1960, 1963), odd=False), tls=authority) as spotify:
        spotify.covers = tiny  # type: ignore[assignment]
        command = Command(tmp_path, spotify)
        line = [
            *(sys.executable, "-m", "ganctl", "train", "--arch", "mlp", "--source", "spotify"),
            *("--source.query", "rivers,gardens", "--source.years", "1960-1963", "--cond"),
            *("--source.label", "query", *TERMS, "--resolution", "16"),
            *("--source.api-url", spotify.api.url, "--source.accounts-url", spotify.accounts.url),
            *("--batch", "8", "--kimg", "0.1", "--arch.g-widths", "32", "--arch.d-widths", "32"),
        ]
        environment = command.env | authority.environment() | {"OMP_NUM_THREADS": "1"}

        def train() -> str:
            done = subprocess.run(
                line,
                cwd=command.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        said = train()
        asked = len(spotify.journal)
        again = train()
        assert len(spotify.journal) == asked, "what is fetched and prepared is used again"
    assert "fetching spotify into" in said
    assert "preparing spotify as" in said
    assert "preparing" not in again
    picture = next(text for text in said.splitlines() if text.startswith("picture: "))
    with Image.open(command.folder / picture.removeprefix("picture: ")) as grid:
        assert min(grid.size) > 16
    manifest = next((command.folder / "datasets").glob("*/manifest.sqlite"))
    with sqlite3.connect(manifest) as db:
        ((terms,),) = db.execute("SELECT DISTINCT terms FROM items WHERE state = 'stored'")
        labels = {label for (label,) in db.execute("SELECT label FROM items")}
    assert "the labels, 2026-01-01" in terms
    assert labels == {"rivers", "gardens"}
    secret = spotify.people.app.secret
    left = [p for p in tmp_path.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]
    assert not left
    assert secret not in said
    model = next(command.folder.glob("runs/*/checkpoints/*/generator.safetensors"))
    with safe_open(model, "pt") as file:  # type: ignore[no-untyped-call]
        assert secret not in str(file.metadata())
