"""The Kaggle server speaks Kaggle's protocol: kagglehub, with another host, works with it."""

import base64
import http.client
import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers import BitFlip, Call, Drop, Html, Ignore, Kaggle, archive, jpeg, picture, wrong_hash
from servers.kaggle import SERVICE, Blob, crc32c

MEMBERS = {f"covers/{i}.jpg": jpeg(picture(i, 64)) for i in range(5)}


@pytest.fixture
def server() -> Iterator[Kaggle]:
    with Kaggle() as server:
        server.add("someone/covers", archive(MEMBERS), license="CC BY-SA 4.0")
        yield server


@pytest.fixture
def kagglehub(
    server: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> ModuleType:
    """kagglehub without credentials, an empty cache, and the server for Kaggle."""
    hub: ModuleType = pytest.importorskip("kagglehub")
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.api.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return hub


def call(server: Kaggle, what: str, **headers: str) -> http.client.HTTPResponse:
    """A call by hand; redirects are not followed."""
    parts = urlsplit(server.api.url)
    body = json.dumps({"ownerSlug": "someone", "datasetSlug": "covers"})
    with closing(http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)) as client:
        client.request("POST", f"{SERVICE}/{what}", body, headers)
        response = client.getresponse()
        response.content = response.read()  # type: ignore[attr-defined]
        return response


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_kagglehub_downloads_public_data(server: Kaggle, kagglehub: ModuleType) -> None:
    folder = Path(kagglehub.dataset_download("someone/covers"))
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.jpg")}
    assert found == MEMBERS
    assert folder.name == "1"
    assert [e.path.rpartition("/")[2] for e in server.journal.requests()] == [
        "GetDataset",
        "DownloadDataset",
        "archive.zip",
    ]
    assert not any("Authorization" in e.headers for e in server.journal.requests())
    server.datasets["someone", "covers"].publish(archive({"a.jpg": b"a"}))
    assert Path(kagglehub.dataset_download("someone/covers")).name == "2"
    assert Path(kagglehub.dataset_download("someone/covers/versions/1")) == folder


@pytest.mark.parametrize("kind", ["Bearer", "Basic"])
def test_kagglehub_signs_in(
    server: Kaggle, kagglehub: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    server.datasets["someone", "covers"].private = True
    if kind == "Bearer":
        monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
    else:
        monkeypatch.setenv("KAGGLE_USERNAME", server.username)
        monkeypatch.setenv("KAGGLE_KEY", server.key)
    assert Path(kagglehub.dataset_download("someone/covers")).is_dir()
    for entry in server.journal.requests(server="api"):
        assert entry.headers["Authorization"].startswith(f"{kind} ")
    assert not server.journal.authorized("storage")


def test_kagglehub_is_refused(
    server: Kaggle, kagglehub: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglehub.exceptions import DataCorruptionError, KaggleApiHTTPError

    for wrong in ("someone/nothing", "someone/covers/versions/9"):
        with pytest.raises(KaggleApiHTTPError):
            kagglehub.dataset_download(wrong)
    server.script.on("*.zip", wrong_hash(), requests={1})
    server.script.on("*.zip", BitFlip(), requests={2})
    for _ in range(2):
        with pytest.raises(DataCorruptionError):
            kagglehub.dataset_download("someone/covers")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong")
    with pytest.raises(KaggleApiHTTPError, match="401"):
        kagglehub.dataset_download("someone/covers")


def test_kagglehub_resumes(server: Kaggle, kagglehub: ModuleType) -> None:
    import requests

    grain = random.Random(0).randbytes(1_500_000)  # it writes a MiB at a time
    server.datasets["someone", "covers"].replace(archive({"a": grain}))
    server.script.on("*.zip", Drop(after=1_200_000), requests={1})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        kagglehub.dataset_download("someone/covers")
    folder = Path(kagglehub.dataset_download("someone/covers"))
    assert (folder / "a").read_bytes() == grain
    resumed = server.journal.requests("*.zip")[-1]
    assert (resumed.headers["Range"], resumed.status) == ("bytes=1048576-", 206)


def test_the_licence_and_the_version_are_told(server: Kaggle) -> None:
    answer = json.loads(call(server, "GetDataset").content)
    assert (answer["licenseName"], answer["currentVersionNumber"]) == ("CC BY-SA 4.0", 1)
    server.datasets["someone", "covers"].license = None
    assert "licenseName" not in json.loads(call(server, "GetDataset").content)
    sdk = pytest.importorskip("kagglesdk.datasets.types.dataset_api_service")
    assert sdk.ApiDataset.from_dict(answer).license_name == "CC BY-SA 4.0"
    assert set(answer) <= {field.json_name for field in sdk.ApiDataset._fields}


def test_credentials(server: Kaggle) -> None:
    server.datasets["someone", "covers"].private = True
    pair = base64.b64encode(f"{server.username}:{server.key}".encode()).decode()
    assert call(server, "GetDataset").status == 403
    assert call(server, "GetDataset", Authorization=f"Basic {pair}").status == 200
    assert call(server, "GetDataset", Authorization=f"Bearer {server.token}").status == 200
    assert call(server, "GetDataset", Authorization="Bearer wrong").status == 401
    assert call(server, "GetDataset", Authorization="Basic ???").status == 401


def test_the_store(server: Kaggle) -> None:
    whole = archive(MEMBERS)
    link = call(server, "DownloadDataset").headers["Location"]
    assert link.startswith(server.storage.url)
    status, headers, body = fetch(link)
    assert (status, body, headers["x-goog-hash"]) == (200, whole, Blob(whole).hashes)
    assert headers["Accept-Ranges"] == "bytes"
    ranged = {"Range": "bytes=100-", "If-Range": headers["ETag"]}
    assert fetch(link, ranged)[::2] == (206, whole[100:])
    assert fetch(link, {"Authorization": "Bearer x"})[0] == 400
    server.script.on("*.zip", Ignore("Range"), requests={1})
    server.script.on("*.zip", Html(), requests={2})
    changed = archive({"other.jpg": b"other"})
    dataset = server.datasets["someone", "covers"]
    server.script.on("*.zip", Call(lambda: dataset.replace(changed)), requests={3})
    assert fetch(link, ranged)[::2] == (200, whole)
    assert fetch(link, ranged)[1].get_content_type() == "text/html"
    assert fetch(link, ranged)[::2] == (200, changed)
    server.end_links()
    assert fetch(link)[0] == 400


def test_the_sum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert Blob(b"").hashes == "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="
