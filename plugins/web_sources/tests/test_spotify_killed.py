"""A fetch from Spotify that is killed, again and again."""

import random
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import Catalogue, Delay, Spotify
from spotify_runs import Command, tiny

from ganctl.fetch.engine import PAGES_AHEAD
from ganctl.fetch.pictures import stem_of

KILLS = 10


@pytest.mark.slow
def test_killed_ten_times_it_comes_to_the_same_set(tmp_path: Path) -> None:
    catalogue = Catalogue.make(500, (1960, 1969), odd=False)
    where = ("--source.years", "1960-1969", "--source.label", "year")
    moment = random.Random(7)
    with Spotify(catalogue) as spotify:
        spotify.covers = tiny  # type: ignore[assignment]
        spotify.script.on("/image/*", Delay(0.01))
        ganctl = Command(tmp_path, spotify)
        targets = {
            stem_of(album.id): urlsplit(spotify.shapes.covers(album)[0]["url"]).path
            for album in catalogue.albums
        }
        images = "/image/*"
        stored: set[str] = set()
        for number in range(KILLS + 1):
            seen = len(spotify.journal.requests(images))
            if number < KILLS:
                process = ganctl.start(*where)
                count = len(spotify.journal) + moment.randrange(1, 90)
                assert spotify.journal.wait_for(count), process.poll()
                time.sleep(moment.uniform(0, 0.03))
                process.kill()
                process.communicate()
            else:
                done = ganctl(*where)
                assert done.returncode == 0, done.stderr
            asked = {request.target for request in spotify.journal.requests(images)[seen:]}
            assert not asked & stored, f"run {number}"
            stored = {targets[name.partition(".")[0]] for name in ganctl.kept()}
        assert len(stored) == 500
        searches = spotify.journal.requests("/v1/search", status=200)
        assert len(searches) <= 50 + (PAGES_AHEAD + 2) * KILLS  # what was on its way, and listed

        whole = ganctl(*where, out="whole")
        assert whole.returncode == 0, whole.stderr
        assert ganctl.kept() == ganctl.kept("whole")
        rows, others = ganctl.rows(), ganctl.rows("whole")
        for name in ("number", "key", "uri", "label", "meta", "state", "file", "sha256"):
            assert [row[name] for row in rows] == [row[name] for row in others], name
