"""`ganctl fetch --source kaggle` as a process: what is printed, the status, what a kill leaves."""

import base64
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import (
    Authority,
    Body,
    Call,
    Drip,
    Drop,
    Kaggle,
    Redirect,
    Status,
    archive,
    jpeg,
    picture,
)
from servers.kaggle import SERVICE

COVERS = {f"covers/{i}.jpg": jpeg(picture(i, 64)) for i in range(10)}
WHOLE = archive(COVERS | {"about.bin": random.Random(0).randbytes(400_000)})


@pytest.fixture
def server() -> Iterator[Kaggle]:
    with Kaggle() as server:
        server.add("someone/covers", WHOLE, license="CC0: Public Domain")
        yield server


class User:
    """Somebody with a home and a folder for pictures, who types commands."""

    def __init__(self, home: Path) -> None:
        self.home, self.out = home, home / "out"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("KAGGLE", "GANCTL"))}
        self.env |= {"HOME": str(home), "OMP_NUM_THREADS": "1"}

    def start(self, server: Kaggle, *more: str, size: int | None = None) -> subprocess.Popen[str]:
        """`size`: bytes that a file may have at the most, as on a disk that is full."""
        words = ["fetch", "--source", "kaggle", "--source.dataset", "someone/covers"]
        words += ["--source.api-url", server.api.url, "--out", str(self.out), *more]
        limited = [] if size is None else ["sh", "-c", f'ulimit -f {size // 512}; exec "$@"', "sh"]
        return subprocess.Popen(
            [*limited, sys.executable, "-m", "ganctl", *words],
            env=self.env,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, server: Kaggle, *more: str, size: int | None = None) -> tuple[int, str]:
        """Its status, and what it printed."""
        process = self.start(server, *more, size=size)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out + err

    def pictures(self) -> dict[str, bytes]:
        db = sqlite3.connect(self.out / "manifest.sqlite")
        found = db.execute("SELECT key, file FROM items WHERE state = 'stored' ORDER BY number")
        pictures = {key: (self.out / "pictures" / file).read_bytes() for key, file in found}
        db.close()
        return pictures


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def wait_for_bytes(server: Kaggle, request: int, count: int) -> None:
    """Until the archive's request of that number was sent so much of it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        entries = server.journal.requests("*.zip")
        if len(entries) >= request and entries[request - 1].sent >= count:
            return
        time.sleep(0.005)
    raise AssertionError("it does not come")


@pytest.mark.slow
def test_over_tls_with_a_private_authority(authority: Authority, user: User) -> None:
    with Kaggle(tls=authority) as server:
        server.add("someone/covers", WHOLE)
        status, said = user.run(server)
        assert status == 1
        assert "its certificate is not trusted" in said
        assert "SSL_CERT_FILE may name a file" in said
        user.env |= authority.environment()
        status, said = user.run(server)
        assert status == 0
        assert user.pictures() == COVERS
        assert "someone/covers, version 1: licence: CC0: Public Domain (https" in said
        assert "left out 1: unreadable (about.bin: not a picture by its name)" in said
        assert all(entry.secure for entry in server.journal.requests())


@pytest.mark.slow
def test_interrupted_and_killed_it_goes_on_with_the_same_version(
    server: Kaggle, user: User
) -> None:
    server.script.on("*.zip", Drip(4_000, 0.02), requests={1, 2})
    process = user.start(server)
    wait_for_bytes(server, 1, 60_000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 3, said
    assert "the same command goes on" in said
    process = user.start(server)
    wait_for_bytes(server, 2, 60_000)
    process.kill()
    process.communicate()
    server.datasets["someone", "covers"].publish(archive({"new.jpg": jpeg(picture(99, 64))}))
    status, said = user.run(server)
    assert status == 0
    assert user.pictures() == COVERS
    assert "version 2 is there by now; this folder stays with version 1" in said
    begins = [int(e.headers["Range"][6:-1]) for e in server.journal.requests("*.zip")[1:]]
    assert len(begins) == 2
    assert 40_000 < begins[0] < begins[1] < len(WHOLE)
    assert {entry.path.split("/")[4] for entry in server.journal.requests("*.zip")} == {"1"}
    assert user.run(server)[0] == 0
    assert len(server.journal.requests("*.zip")) == 3


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_what_came(server: Kaggle, user: User) -> None:
    status, said = user.run(server, size=200 * 1024)
    assert status == 1
    assert said.count("\n") == 3  # of the terms, where to, and why not
    assert "version-1.zip: File too large" in said
    status, said = user.run(server)
    assert status == 0
    assert user.pictures() == COVERS
    assert server.journal.requests("*.zip")[1].headers["Range"] == f"bytes={200 * 1024}-"


def test_a_folder_that_cannot_be_written(server: Kaggle, user: User) -> None:
    user.out.write_bytes(b"a file, where a folder is wanted")
    status, said = user.run(server)
    assert status == 2
    assert f"{user.out}: cannot be written" in said
    assert not len(server.journal)


def test_what_is_no_archive_is_one_line(server: Kaggle, user: User) -> None:
    server.script.on("*.zip", Body(b'{"error": "try later"}', "application/json"), requests={1})
    status, said = user.run(server)
    assert status == 1
    assert said.count("\n") == 3
    assert "not kept: it is no zip archive" in said
    assert user.run(server)[0] == 0
    assert user.pictures() == COVERS


@pytest.mark.slow
def test_a_private_dataset_and_its_secrets(server: Kaggle, user: User) -> None:
    """Refused without and with wrong ones; with the right ones they are left nowhere."""
    server.datasets["someone", "covers"].private = True
    status, said = user.run(server)
    assert status == 2
    assert "none, or not for you (403; no credentials were found)" in said
    assert "make a token at https://www.kaggle.com/settings" in said
    user.env["KAGGLE_API_TOKEN"] = "KGAT_wrong0123456789"
    status, said = user.run(server)
    assert status == 2
    assert "does not accept the credentials from KAGGLE_API_TOKEN (401)" in said
    assert "KGAT_wrong" not in said
    del user.env["KAGGLE_API_TOKEN"]

    secrets = [server.key, base64.b64encode(f"{server.username}:{server.key}".encode()).decode()]
    file = user.home / ".kaggle/kaggle.json"
    file.parent.mkdir()
    file.write_text(f'{{"username": "{server.username}", "key": "{server.key}"}}')
    echo = {"X-Key": server.key, "Retry-After": "0", "Location": f"/{secrets[1]}"}
    server.script.on(f"{SERVICE}/*", Status(500, body=secrets[1].encode(), headers=echo), times=1)
    server.script.on("*.zip", Redirect(f"/{secrets[1]}/{server.key}"), times=1)
    status, told = user.run(server)
    assert status == 1  # the redirect leads nowhere
    assert "[secret]" in told
    server.script.on("*.zip", Drop(after=100_000), times=1)
    status, said = user.run(server)
    assert status == 0
    assert f"others can read {file}: chmod 600 it" in said
    assert user.pictures() == COVERS
    assert server.journal.authorized("api")
    assert not server.journal.authorized("storage")
    left = [path for path in user.out.rglob("*") if path.is_file()]
    assert len(left) > len(COVERS)
    for secret in (*secrets, server.token):
        assert secret not in told + said
        for path in left:
            assert secret.encode() not in path.read_bytes(), path


def test_what_a_fetch_comes_to(server: Kaggle, user: User) -> None:
    status, said = user.run(server, "--dry-run")
    assert status == 0
    assert "kaggle: about 0 MB, about 3 requests\n" in said
    assert "licence: CC0: Public Domain" in said
    assert not user.out.exists()
    assert [e.path for e in server.journal.requests()] == [f"{SERVICE}/GetDataset"]


def test_a_command_shows_no_secret_to_other_processes(server: Kaggle, user: User) -> None:
    """Its title, while it waits for the archive, as `ps` shows it."""
    user.env["KAGGLE_API_TOKEN"] = server.token
    titles: list[bytes] = []

    def look() -> None:
        titles.extend(f.read_bytes() for f in Path("/proc").glob("[0-9]*/cmdline") if f.exists())

    server.script.on("*.zip", Call(look))
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("needs /proc")
    assert user.run(server)[0] == 0
    assert any(b"someone/covers" in title for title in titles)
    assert not any(server.token.encode() in title for title in titles)
