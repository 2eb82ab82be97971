"""Kaggle's credentials: the places, their order, and that nothing shows them."""

import base64
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from ganctl import UserError
from ganctl_web_sources.kaggle import Kaggle, KaggleOptions
from ganctl_web_sources.kaggle_credentials import credentials


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def write(file: Path, text: str, mode: int = 0o600) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def pair(username: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{key}".encode()).decode()


def sent() -> str:
    found = credentials()
    assert found is not None
    value = found.authorization.reveal()
    for shown in (repr(found), str(found), f"{found.authorization}"):
        assert value.partition(" ")[2] not in shown
    return value


def test_the_first_place_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert credentials() is None
    write(home / ".kaggle/kaggle.json", json.dumps({"username": "me", "key": "key-of-json"}))
    assert sent() == pair("me", "key-of-json")
    write(home / "elsewhere/kaggle.json", json.dumps({"username": "i", "key": "key-elsewhere"}))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / "elsewhere"))
    assert sent() == pair("i", "key-elsewhere")
    monkeypatch.setenv("KAGGLE_KEY", "key-of-environment")
    assert sent() == pair("i", "key-elsewhere")  # without the name
    monkeypatch.setenv("KAGGLE_USERNAME", "you")
    assert sent() == pair("you", "key-of-environment")
    write(home / ".kaggle/access_token", " KGAT_of-file\n")
    assert sent() == "Bearer KGAT_of-file"
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_of-environment")
    assert sent() == "Bearer KGAT_of-environment"
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(write(home / "token", "KGAT_of-named-file")))
    assert sent() == "Bearer KGAT_of-named-file"
    assert "token" in str(credentials())


@pytest.fixture(scope="module")
def kagglehub() -> ModuleType:
    """Kaggle's own client; it remembers the HOME that there is when it is imported."""
    config: ModuleType = pytest.importorskip("kagglehub.config")
    return config


def test_kaggles_own_client_takes_the_same(
    kagglehub: ModuleType, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / ".kaggle"))
    steps = (
        lambda: write(home / ".kaggle/kaggle.json", '{"username": "me", "key": "key-of-json"}'),
        lambda: monkeypatch.setenv("KAGGLE_USERNAME", "you"),
        lambda: monkeypatch.setenv("KAGGLE_KEY", "key-of-environment"),
        lambda: write(home / ".kaggle/access_token", "KGAT_of-file"),
        lambda: monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_of-environment"),
        lambda: monkeypatch.setenv("KAGGLE_API_TOKEN", str(write(home / "t", "KGAT_named"))),
    )
    for step in steps:
        step()
        theirs = kagglehub.get_kaggle_credentials()
        assert theirs is not None
        wanted = (
            f"Bearer {theirs.api_key}"
            if theirs.api_key
            else pair(str(theirs.username), str(theirs.key))
        )
        assert sent() == wanted


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "wanted"),
        ("two words", "one word is wanted"),
        ("l1ne\nl2ne", "one word is wanted"),
        ("tökèn", "one word is wanted"),
        ("x" * 100_000, "too large"),
        ("\udcff", "not a text file"),
    ],
)
def test_a_file_without_a_token(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: str, says: str
) -> None:
    file = home / "token"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(file))
    with pytest.raises(UserError, match=says) as error:
        credentials()
    assert str(file) in str(error.value)
    assert "l1ne" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": "abc"}', '{"username": 1, "key": 2}'])
def test_a_kaggle_json_that_is_none(home: Path, content: str) -> None:
    write(home / ".kaggle/kaggle.json", content)
    with pytest.raises(UserError, match=r"kaggle\.json: .*make a new one"):
        credentials()


def test_a_path_that_leads_nowhere_is_not_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(home / "gone"))
    with pytest.raises(UserError, match="path of a file that is not there"):
        credentials()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "k" * 5000)  # too long for a path: a token
    assert sent() == f"Bearer {'k' * 5000}"


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_others_that_can_read_it_are_a_warning(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(home / ".kaggle/access_token", "KGAT_of-file", 0o644)
    Kaggle().check(KaggleOptions("owner/name"))
    assert capsys.readouterr().err == f"ganctl: others can read {file}: chmod 600 it\n"
    file.chmod(0o600)
    Kaggle().check(KaggleOptions("owner/name"))
    assert capsys.readouterr().err == ""
