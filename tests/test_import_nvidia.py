"""`ganctl import-nvidia` from end to end, on a snapshot that leaves a file behind if it is run."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import ganctl as package

CLI = Any  # the fixture `ganctl` of conftest.py

FOUND = """\
networks of PyTorch: G, D, G_ema
G_ema: 32x32x3, no classes, 32,507 parameters
D: 18,297 parameters
left out: Python source, which was not run, augment_pipe, training_set_kwargs (data.zip)
"""


@pytest.fixture
def snapshot(shared: Callable[[str], Path]) -> Path:
    return shared("vectors/snapshot-uncond32.pkl")


def refused(result: Any, why: str, status: int = 2) -> None:
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("downloading ")]
    assert len(lines) == 1, lines
    assert re.search(why, lines[0]), lines[0]
    assert lines[0].startswith("ganctl: error: ")
    assert result.stdout == ""


def header(file: Path) -> dict[str, Any]:
    with safe_open(file, "np") as content:
        found: dict[str, Any] = json.loads(content.metadata()["ganctl"])
    return found


def test_a_snapshot_becomes_a_model_that_makes_pictures(ganctl: CLI, snapshot: Path) -> None:
    result = ganctl("import-nvidia", snapshot, "--out", "models/art.safetensors")
    assert result.returncode == 0, result.stderr
    assert result.stdout == FOUND + "model: models/art.safetensors\n"
    assert result.stderr == (
        "ganctl: note: models/art.safetensors has no discriminator; to train on with it, write a "
        "folder: --out models/art\n"
    )
    model = ganctl.folder / "models/art.safetensors"
    assert ganctl.files() == ["models", "models/art.safetensors"]  # and nothing was executed
    about = header(model)
    assert about["source"] == {
        "file": "snapshot-uncond32.pkl",
        "sha256": hashlib.sha256(snapshot.read_bytes()).hexdigest(),
    }
    assert str(snapshot.parent) not in json.dumps(about)
    assert about["architecture"]["name"] == "stylegan2-ada"
    assert about["architecture"]["options"]["channel_max"] == 16

    loaded = package.load(model)
    assert loaded.generate([0, 1]).shape == (2, 32, 32, 3)
    with np.load(snapshot.with_name("net_uncond.npz")) as arrays:
        expected = arrays["img_const_psi07"]
        z = loaded.latents([0]).new_tensor(arrays["z"])
    style: Any = loaded.generator
    images = style.synthesis(style.mapping(z, None, 0.7), noise="const").numpy()
    assert np.abs(images - expected).max() <= 1e-4
    assert ganctl("generate", model, "--seeds", "0-3", "--grid").returncode == 0


def test_a_folder_also_holds_what_training_goes_on_from(ganctl: CLI, snapshot: Path) -> None:
    result = ganctl("import-nvidia", snapshot, "--out", "art")
    assert (result.returncode, result.stdout, result.stderr) == (0, FOUND + "model: art\n", "")
    assert ganctl.files() == ["art", "art/generator.safetensors", "art/training.safetensors"]
    tensors = load_file(ganctl.folder / "art/training.safetensors")
    with np.load(snapshot.with_name("net_uncond.npz")) as arrays:
        known = {"G": "generator", "D": "discriminator"}
        parts = {key: key.partition("/") for key in arrays if key[:2] in ("G/", "D/")}
        names = {f"{known[of]}.{name}": key for key, (of, _, name) in parts.items()}
        assert tensors.keys() == names.keys()
        for name, key in names.items():
            assert np.array_equal(tensors[name], arrays[key]), name
    about = header(ganctl.folder / "art/training.safetensors")
    assert about["source"]["file"] == "snapshot-uncond32.pkl"
    result = ganctl("generate", "art", "--seeds", "0", "--out", "pictures")
    assert result.returncode == 0, result.stderr


def test_nothing_is_overwritten_unasked(ganctl: CLI, snapshot: Path) -> None:
    run, there = ("import-nvidia", snapshot, "--out"), "exists already; --force replaces it"
    for out in ("art", "art.safetensors"):
        assert ganctl.here(*run, out).returncode == 0
        before = {name: (ganctl.folder / name).stat().st_mtime_ns for name in ganctl.files()}
        refused(ganctl.here(*run, out), there)
        assert before == {n: (ganctl.folder / n).stat().st_mtime_ns for n in ganctl.files()}
        assert ganctl.here(*run, out, "--force").returncode == 0
        assert sorted(before) == ganctl.files()
    (ganctl.folder / "art/notes.txt").write_text("mine")
    refused(ganctl.here(*run, "art", "--force"), "holds other things than a model")
    assert (ganctl.folder / "art/notes.txt").read_text() == "mine"
    refused(ganctl.here(*run, "art/notes.txt"), "is a file, and the model is a folder")
    (ganctl.folder / "x.safetensors").mkdir()
    refused(ganctl.here(*run, "x.safetensors", "--force"), "is a folder")
    refused(ganctl.here(*run, "art/notes.txt/model"), "cannot be written there")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"not a pickle", "not a pickle"),
        (b"\x80\x04cposix\nsystem\n(X\x05\x00\x00\x00touchtR.", "posix.system"),
        (b"\x80\x04}.", "none of G, D, G_ema is there"),
        (-1000, "ends early"),
    ],
    ids=["absent", "text", "global", "empty", "truncated"],
)
def test_what_is_no_snapshot_is_one_line(
    ganctl: CLI, snapshot: Path, content: bytes | int | None, why: str
) -> None:
    file = ganctl.folder / "network.pkl"
    if content is not None:
        cut = snapshot.read_bytes()[:content] if isinstance(content, int) else content
        file.write_bytes(cut)
    before = ganctl.files()
    refused(ganctl.here("import-nvidia", "network.pkl", "--out", "art"), f"network.pkl: .*{why}")
    assert ganctl.files() == before


@pytest.fixture
def server(snapshot: Path) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/away.pkl":
                self.send_response(302)
                self.send_header("Location", "https://192.168.0.1/art.pkl")
                self.end_headers()
                return
            body = {"/my%20art.pkl": snapshot.read_bytes(), "/page.pkl": b"<html>"}.get(path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_snapshot_is_taken_from_the_web(ganctl: CLI, server: str, tmp_path: Path) -> None:
    ganctl.env["TMPDIR"] = str(tmp_path)
    url = f"{server}/my%20art.pkl?token=secret"
    result = ganctl("import-nvidia", url, "--out", "art")
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"downloading {url}\n"
    assert header(ganctl.folder / "art/generator.safetensors")["source"]["file"] == "my art.pkl"
    assert ganctl.files() == ["art", "art/generator.safetensors", "art/training.safetensors"]


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/absent.pkl", 1, "cannot download http.*404"),
        ("/away.pkl", 1, "redirects to https://192.168.0.1/art.pkl: an address in a private"),
        ("/page.pkl", 2, "/page.pkl: not a readable network snapshot: not a pickle"),
    ],
)
def test_what_does_not_come_is_one_line(
    ganctl: CLI, server: str, path: str, status: int, why: str
) -> None:
    result = ganctl.here("import-nvidia", server + path, "--out", "art", env={"NO_PROXY": "*"})
    refused(result, why, status)
    assert ganctl.files() == []


@pytest.mark.parametrize("url", ["http://example.org/a.pkl", "file:///etc/passwd"])
def test_other_addresses_are_not_asked(ganctl: CLI, url: str) -> None:
    refused(ganctl.here("import-nvidia", url, "--out", "art"), "https alone|not a web address")
