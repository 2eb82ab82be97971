"""Weights are found, checked and downloaded; nothing takes their place."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from ganctl import GanctlError, UserError
from ganctl_metrics import weights


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("WEIGHTS_TEST", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


DATA = bytes(range(256)) * 5000


def published(url: str) -> weights.Published:
    digest = hashlib.sha256(DATA).hexdigest()
    return weights.Published("some.pth", f"{url}/some.pth", len(DATA), digest, "WEIGHTS_TEST")


def test_a_download_is_checked_and_kept_where_torch_hub_looks(
    server: tuple[Path, str], hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, url = server
    (folder / "some.pth").write_bytes(DATA)
    found = weights.find(published(url))
    assert found == weights.Found(hub / "some.pth", hashlib.sha256(DATA).hexdigest(), True)
    assert (hub / "some.pth").read_bytes() == DATA
    assert "downloading" in capsys.readouterr().err
    (folder / "some.pth").unlink()
    assert weights.find(published(url)) == found  # from the cache now
    assert capsys.readouterr().err == ""


def test_a_mirror_is_asked_instead(
    server: tuple[Path, str], hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    (folder / "some.pth").write_bytes(DATA)
    monkeypatch.setenv("GANCTL_WEIGHTS_URL", url + "/")
    assert weights.find(published("https://nowhere.invalid")).genuine


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (DATA[:-1], "came"),
        (DATA + b"x", "more than"),
        (b"y" + DATA[1:], "its sha256 is"),
        (None, "404"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    server: tuple[Path, str], hub: Path, body: bytes | None, expected: str
) -> None:
    folder, url = server
    if body is not None:
        (folder / "some.pth").write_bytes(body)
    with pytest.raises(GanctlError, match=expected) as caught:
        weights.find(published(url))
    for part in (url, str(hub / "some.pth"), "1 MB", "--weights", "$WEIGHTS_TEST"):
        assert part in str(caught.value)
    assert not list(hub.glob("*"))
    assert not list(hub.glob(".*"))


def test_offline_says_what_to_fetch_and_where_to_put_it(hub: Path) -> None:
    with pytest.raises(GanctlError, match="cannot download") as caught:
        weights.find(published("http://127.0.0.1:1"))
    assert str(hub / "some.pth") in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(
    server: tuple[Path, str], hub: Path, tmp_path: Path
) -> None:
    folder, url = server
    (folder / "some.pth").write_bytes(DATA)
    (tmp_path / "torch").write_text("a file where the folder should be")
    with pytest.raises(GanctlError, match=r"cannot write .*TORCH_HOME"):
        weights.find(published(url))


def test_a_named_file_comes_first_and_must_be_the_right_one(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong, short = (tmp_path / name for name in ("right", "wrong", "short"))
    right.write_bytes(DATA)
    wrong.write_bytes(DATA[::-1])
    short.write_bytes(DATA[:100])
    wanted = published("http://127.0.0.1:1")
    assert weights.find(wanted, str(right)).genuine
    monkeypatch.setenv("WEIGHTS_TEST", str(right))
    assert weights.find(wanted).path == right
    with pytest.raises(UserError, match="its sha256 is"):
        weights.find(wanted, str(wrong))
    with pytest.raises(UserError, match="100 bytes of 1,280,000: cut short"):
        weights.find(wanted, str(short))
    with pytest.raises(UserError, match=r"--weights: .*no such file"):
        weights.find(wanted, str(tmp_path / "absent"))
    taken = weights.find(wanted, str(wrong), unverified=True)
    assert not taken.genuine
    monkeypatch.setenv("WEIGHTS_TEST", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"\$WEIGHTS_TEST"):
        weights.find(wanted)


def test_a_damaged_file_in_the_cache_is_no_reason_to_download_over_it(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "some.pth").write_bytes(DATA[:5])
    with pytest.raises(UserError, match="cut short; delete it"):
        weights.find(published("http://127.0.0.1:1"))
    assert (hub / "some.pth").read_bytes() == DATA[:5]


def test_a_file_runs_no_code_and_holds_tensors_alone(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    file = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, file)
    with pytest.raises(UserError, match="not a file of weights"):
        weights.read(file)
    assert not (tmp_path / "executed").exists()
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="not a file of weights"):
        weights.read(file)
    torch.save([1, 2], file)
    with pytest.raises(UserError, match="tensors by name"):
        weights.read(file)
