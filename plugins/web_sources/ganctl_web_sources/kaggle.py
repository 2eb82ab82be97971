"""Kaggle's datasets: one version, downloaded as one archive and read picture by picture."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from ganctl import (
    GanctlError,
    Item,
    Opt,
    Page,
    Plan,
    Refused,
    Request,
    Terms,
    TooLarge,
    Unreachable,
    UserError,
    Web,
    WebSource,
)

from .archive import Archive, Member, check_total
from .kaggle_credentials import Credentials, credentials
from .services import check_service

API = "https://api.kaggle.com"
SERVICE = "/v1/datasets.DatasetApiService"
SETTINGS = "https://www.kaggle.com/settings"

PAGE = 500
"""Pictures that are recorded at a time."""

_SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_REFERENCE = re.compile(
    rf"(?:https?://(?:www\.)?kaggle\.com/datasets/)?(?P<owner>{_SLUG})/(?P<name>{_SLUG})"
    r"(?:(?:@|/versions/)(?P<version>[1-9]\d{0,8}))?(?:/(?:data)?)?(?:[?#].*)?"
)


@dataclass(frozen=True)
class KaggleOptions:
    """Which dataset, and how much of it."""

    dataset: Annotated[
        str, Opt("OWNER/DATASET, with @VERSION for another than the newest; or its web address.")
    ] = ""
    folder: Annotated[str, Opt("Only pictures below this folder of the archive.")] = ""
    label: Annotated[
        Literal["none", "folder"], Opt("Label pictures with the name of the folder they lie in.")
    ] = "none"
    limit: Annotated[int | None, Opt("At most so many pictures.", ge=1)] = None
    max_archive_gb: Annotated[float, Opt("Gigabytes that are downloaded at most.", gt=0)] = 20.0
    max_unpacked_gb: Annotated[
        float, Opt("Gigabytes that the pictures may unfold to, at most.", gt=0)
    ] = 40.0
    api_url: Annotated[str, Opt("Kaggle's API; for tests a server on this machine.")] = API


@dataclass(frozen=True)
class Dataset:
    """A dataset as the user names it; without a version, the newest is meant."""

    owner: str
    name: str
    version: int | None

    @property
    def address(self) -> str:
        return f"https://www.kaggle.com/datasets/{self.owner}/{self.name}"

    def __str__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        return f"{self.owner}/{self.name}{version}"


@dataclass(frozen=True)
class Facts:
    """What the API says of a dataset today."""

    newest: int
    licence: str
    """As Kaggle words it; empty where it names none."""
    bytes: int | None


class Kaggle(WebSource[KaggleOptions], api=1):
    """Pictures of a dataset on Kaggle, without an account where the dataset is public."""

    references = ("https://www.kaggle.com/docs/datasets: Kaggle on its datasets",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._archive: Archive | None = None

    def terms(self, options: KaggleOptions) -> Terms:
        return Terms("https://www.kaggle.com/terms", "licence-of-each-dataset", "unclear")

    def base(self, options: KaggleOptions) -> str:
        return options.api_url

    def check(self, options: KaggleOptions) -> None:
        _named(options)
        check_service("kaggle", "api_url", options.api_url, API)
        found = credentials()
        if found is not None and found.readable_by_others:
            print(f"ganctl: others can read {found.place}: chmod 600 it", file=sys.stderr)

    def identity(self, options: KaggleOptions) -> Mapping[str, Any]:
        identity = dict(super().identity(options))
        del identity["max_archive_gb"], identity["max_unpacked_gb"]  # may be raised later
        return {**identity, "dataset": str(_named(options))}

    def plan(self, options: KaggleOptions, web: Web) -> Plan:
        dataset = _named(options)
        facts = _facts(options, web)
        notes = [_licence_note(dataset, _version(dataset, facts), facts.licence)]
        if facts.bytes is not None:
            notes.append(
                f"the disk holds the archive ({facts.bytes / 1e9:.2f} GB) and the pictures "
                "until all are fetched, then the pictures alone"
            )
        return Plan(bytes=facts.bytes, requests=3, notes=tuple(notes))

    def pages(self, options: KaggleOptions, web: Web, cursor: str | None) -> Iterator[Page]:
        dataset, facts = _named(options), _facts(options, web)
        if cursor is None:
            version, listed = _version(dataset, facts), 0
        else:
            version, listed = json.loads(cursor)
        notes = [_licence_note(dataset, version, facts.licence)]
        if dataset.version is None and facts.newest > version:
            notes.append(
                f"{dataset}: version {facts.newest} is there by now; this folder stays with "
                f"version {version}: for the newest name another one"
            )
        # Before the download: from now on the folder is of that version.
        yield Page((), _cursor(version, listed), tuple(notes))
        members = _chosen(self._opened(options, version, web), options)
        meta = {"version": version, "licence": facts.licence}
        for begin in range(listed, len(members), PAGE):
            some = members[begin : begin + PAGE]
            items = [_item(dataset, member, options.label, meta) for member in some]
            yield Page(tuple(items), _cursor(version, begin + len(some)))

    def fetch(self, options: KaggleOptions, item: Item, web: Web) -> bytes:
        return self._opened(options, item.meta["version"], web).read(item.key)

    def _opened(self, options: KaggleOptions, version: int, web: Web) -> Archive:
        """The archive, downloaded if it is not there. Raises `GanctlError` when it cannot be had.

        Not `Unreachable`: without it there is no picture, so the fetch is over.
        """
        with self._lock:
            file = _download(options, version, web)
            if self._archive is None or self._archive.file != file:
                try:
                    self._archive = Archive(file)
                except GanctlError as error:
                    file.unlink(missing_ok=True)
                    raise GanctlError(
                        f"source kaggle: what came for {options.dataset} is not kept: {error}"
                    ) from None
            return self._archive


def _download(options: KaggleOptions, version: int, web: Web) -> Path:
    limit = int(options.max_archive_gb * 1e9)
    where = f"source kaggle: {options.dataset}: the archive of version {version}"
    found = credentials()
    request = _request(options, "DownloadDataset", found, limit, datasetVersionNumber=version)
    try:
        return web.file(request, f"version-{version}.zip")
    except TooLarge as error:
        raise UserError(
            f"{where}: {error}: --source.max-archive-gb, now {options.max_archive_gb:g}"
        ) from None
    except Refused as error:
        raise _refusal(error, where, found) from None
    except Unreachable as error:
        raise GanctlError(
            f"{where}: {error}; what has come is kept, and the same command goes on"
        ) from None


def _facts(options: KaggleOptions, web: Web) -> Facts:
    found = credentials()
    try:
        answer = web.json(_request(options, "GetDataset", found))
    except Refused as error:
        raise _refusal(error, f"source kaggle: {options.dataset}", found) from None
    answer = answer if isinstance(answer, dict) else {}
    newest, licence = _whole(answer.get("currentVersionNumber")), answer.get("licenseName")
    if not newest:
        raise GanctlError(f"source kaggle: {options.dataset}: Kaggle names no version of it")
    text = licence if isinstance(licence, str) and licence.isprintable() else ""
    return Facts(newest, text.strip()[:200], _whole(answer.get("totalBytes")))


def _request(
    options: KaggleOptions, call: str, found: Credentials | None, limit: int = 2**24, **more: int
) -> Request:
    dataset = _named(options)
    return Request(
        f"{options.api_url.rstrip('/')}{SERVICE}/{call}",
        headers={} if found is None else {"Authorization": found.authorization},
        method="POST",
        json={"ownerSlug": dataset.owner, "datasetSlug": dataset.name, **more},
        limit=limit,
    )


def _refusal(error: Refused, where: str, found: Credentials | None) -> GanctlError:
    """What the user reads of it: which credentials were sent, and what to do."""
    make = f"make a token at {SETTINGS} and put it into KAGGLE_API_TOKEN"
    if error.status == 401 and found is not None:
        return UserError(
            f"{where}: Kaggle does not accept the credentials from {found.place} (401): {make}, "
            "or take them away: public data need none"
        )
    if error.status in (401, 403, 404):
        sent = "no credentials were found" if found is None else f"asked as {found.place} says"
        return UserError(
            f"{where}: there is none, or not for you ({error.status}; {sent}): look whether its "
            f"page opens, and accept there what it asks; for private data {make}"
        )
    return GanctlError(f"{where}: {error}")


def _named(options: KaggleOptions) -> Dataset:
    found = _REFERENCE.fullmatch(options.dataset.strip())
    if found is None:
        raise UserError(
            f"source kaggle: not a dataset: {options.dataset!r}: say --source.dataset "
            "OWNER/DATASET, as in its address https://www.kaggle.com/datasets/OWNER/DATASET"
        )
    owner, name, version = found.group("owner", "name", "version")
    return Dataset(owner, name, None if version is None else int(version))


def _version(dataset: Dataset, facts: Facts) -> int:
    if (dataset.version or 0) > facts.newest:
        raise UserError(f"source kaggle: {dataset}: the newest version is {facts.newest}")
    return dataset.version or facts.newest


def _licence_note(dataset: Dataset, version: int, licence: str) -> str:
    named = f"licence: {licence}" if licence else "Kaggle names no licence"
    return f"{dataset.owner}/{dataset.name}, version {version}: {named} ({dataset.address})"


def _cursor(version: int, listed: int) -> str:
    return json.dumps([version, listed])


def _chosen(archive: Archive, options: KaggleOptions) -> list[Member]:
    """What is listed: of the folder, and up to the limit. Raises `UserError` for nothing."""
    folder = options.folder.strip("/")
    below = [
        m for m in archive.members.values() if m.name.startswith(f"{folder}/" if folder else "")
    ]
    if folder and not below:
        there = sorted({m.name.partition("/")[0] for m in archive.members.values() if m.folder})
        raise UserError(
            f"source kaggle: no folder {folder!r} in the archive; it has "
            f"{', '.join(there[:10]) or 'none'}{' …' if len(there) > 10 else ''}"
        )
    pictures = [number for number, member in enumerate(below, 1) if member.fault is None]
    if options.limit is not None and len(pictures) > options.limit:
        below = below[: pictures[options.limit - 1]]
    check_total(below, int(options.max_unpacked_gb * 1e9))
    return below


def _item(dataset: Dataset, member: Member, label: str, meta: Mapping[str, Any]) -> Item:
    return Item(
        key=member.name,
        uri=f"{dataset.address}/versions/{meta['version']}?select={quote(member.name, safe='')}",
        label=(member.folder or None) if label == "folder" else None,
        meta=meta,
    )


def _whole(value: object) -> int | None:
    """A number as JSON or, of 64 bits, as a text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value[:18])
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
