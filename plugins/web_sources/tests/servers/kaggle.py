"""Kaggle's API for datasets, and the store that it sends downloads to."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import zipfile
from binascii import Error as BadBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .faults import Fault, Set
from .messages import Request, Response, file_response, json_response
from .server import Router, Service
from .tls import Authority

SERVICE = "/v1/datasets.DatasetApiService"


def archive(members: Mapping[str, bytes]) -> bytes:
    """A zip of these files, stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Blob:
    """An object of the store."""

    content: bytes

    @cached_property
    def md5(self) -> bytes:
        return hashlib.md5(self.content, usedforsecurity=False).digest()

    @cached_property
    def hashes(self) -> str:
        """As `x-goog-hash` says them."""
        crc = base64.b64encode(crc32c(self.content).to_bytes(4)).decode()
        return f"crc32c={crc},md5={base64.b64encode(self.md5).decode()}"


@dataclass
class Dataset:
    """A dataset and its versions; tests may change it between requests."""

    owner: str
    name: str
    versions: list[Blob] = field(default_factory=list)
    license: str | None = "CC0: Public Domain"
    private: bool = False
    title: str = "Album covers"

    def publish(self, content: bytes) -> int:
        """A new version; its number."""
        self.versions.append(Blob(content))
        return len(self.versions)

    def replace(self, content: bytes, version: int | None = None) -> None:
        """Other bytes under a version's address, the last one's if none is named."""
        self.versions[(version or len(self.versions)) - 1] = Blob(content)


class Refused(Exception):
    """An error of the API."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = json_response({"code": status, "message": message}, status)


class Kaggle(Service):
    """`api`, and `storage` on another port, which refuses requests with an Authorization header.

    `username` with `key` (Basic) and `token` (Bearer) are the credentials that are right.
    """

    def __init__(self, *, tls: Authority | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(tls=tls, host=host)
        self.username, self.key = "someone", "0123456789abcdef0123456789abcdef"
        self.token = "KGAT_0123456789abcdef"
        self.datasets: dict[tuple[str, str], Dataset] = {}
        self._links: set[str] = set()
        self.api = self.listen("api", self._answer)
        self.storage = self.listen("storage", self._store)
        self._routes = Router(
            [
                ("POST", f"{SERVICE}/GetDataset", self._get),
                ("POST", f"{SERVICE}/DownloadDataset", self._download),
            ]
        )

    def add(self, reference: str, content: bytes, **more: object) -> Dataset:
        """`add("owner/name", zip)`: a dataset of one version."""
        owner, _, name = reference.partition("/")
        dataset = Dataset(owner, name, **more)  # type: ignore[arg-type]
        dataset.publish(content)
        self.datasets[owner, name] = dataset
        return dataset

    def end_links(self) -> None:
        """The signed links given up to now are refused from now on, as they are after a while."""
        self._links.clear()

    # The API

    def _answer(self, request: Request) -> Response:
        try:
            return self._routes(request)
        except Refused as refused:
            return refused.response

    def _signed_in(self, request: Request) -> bool:
        """Whether good credentials came; False where there are none."""
        text = request.headers.get("Authorization")
        if text is None:
            return False
        scheme, _, given = text.partition(" ")
        if scheme == "Bearer" and given == self.token:
            return True
        try:
            pair = base64.b64decode(given).decode()
        except (BadBase64, UnicodeDecodeError):
            pair = ""
        if scheme == "Basic" and pair == f"{self.username}:{self.key}":
            return True
        raise Refused(401, "Unauthenticated")

    def _dataset(self, request: Request) -> Dataset:
        signed_in = self._signed_in(request)
        try:
            wanted = request.json
            owner, name = wanted["ownerSlug"], wanted["datasetSlug"]
        except (ValueError, KeyError, TypeError):
            raise Refused(400, "Invalid request") from None
        dataset = self.datasets.get((owner, name))
        if dataset is None or (dataset.private and not signed_in):
            raise Refused(403, "Permission 'datasets.get' was denied")
        return dataset

    def _get(self, request: Request) -> Response:
        dataset = self._dataset(request)
        reference = f"{dataset.owner}/{dataset.name}"
        content = {
            "id": 1,
            "ref": reference,
            "subtitle": "",
            "creatorName": dataset.owner,
            "totalBytes": len(dataset.versions[-1].content),
            "url": f"https://www.kaggle.com/datasets/{reference}",
            "lastUpdated": "2024-03-01T10:20:30.123Z",
            "downloadCount": 100,
            "isPrivate": dataset.private,
            "licenseName": dataset.license,
            "ownerName": dataset.owner.title(),
            "ownerRef": dataset.owner,
            "title": dataset.title,
            "currentVersionNumber": len(dataset.versions),
            "usabilityRating": 0.75,
            "tags": [{"ref": "music", "name": "music"}],
            "files": [],
            "versions": [
                {"versionNumber": i + 1, "creationDate": "2024-03-01T10:20:30.123Z"}
                for i in range(len(dataset.versions))
            ],
        }
        return json_response({k: v for k, v in content.items() if v is not None})

    def _download(self, request: Request) -> Response:
        dataset = self._dataset(request)
        version = request.json.get("datasetVersionNumber") or len(dataset.versions)
        if not isinstance(version, int) or not 1 <= version <= len(dataset.versions):
            raise Refused(404, "Dataset version not found")
        signature = secrets.token_hex(16)
        self._links.add(signature)
        where = f"/kaggle-data-sets/{dataset.owner}/{dataset.name}/{version}/bundle/archive.zip"
        link = f"{self.storage.url}{where}?X-Goog-Expires=259200&X-Goog-Signature={signature}"
        return Response(302, {"Location": link, "Content-Type": "text/html"})

    # The store

    def _store(self, request: Request) -> Response:
        if "Authorization" in request.headers:
            return _xml("InvalidArgument", "Only one authorization mechanism is allowed", 400)
        if request.query.get("X-Goog-Signature") not in self._links:
            return _xml("ExpiredToken", "The provided token has expired.", 400)
        _, _, owner, name, version, *_ = request.path.split("/")
        blob = self.datasets[owner, name].versions[int(version) - 1]
        headers = {
            "x-goog-hash": blob.hashes,
            "x-goog-storage-class": "STANDARD",
            "x-goog-stored-content-length": str(len(blob.content)),
            "Content-Disposition": "attachment; filename=archive.zip",
        }
        return file_response(
            request, blob.content, "application/zip", blob.md5.hex(), headers=headers
        )


def wrong_hash() -> Fault:
    """A sum in `x-goog-hash` that is not the content's."""
    return Set({"x-goog-hash": Blob(b"something else").hashes})


def crc32c(content: bytes) -> int:
    """The Castagnoli sum, RFC 3720: 0xE3069283 for b"123456789"."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_row(value) for value in range(256)]


def _xml(code: str, message: str, status: int) -> Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
    text += f"<Message>{message}</Message></Error>"
    return Response(status, {"Content-Type": "application/xml"}, text.encode())
