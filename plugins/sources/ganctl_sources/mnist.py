"""MNIST and Fashion-MNIST from their idx files: a folder that has them, else a download."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from ganctl import GanctlError, Item, Opt, Source, UserError

from .idx import read_idx

PARTS = {"train": "train", "test": "t10k"}
_downloads = threading.Lock()  # of several threads that want a file, one fetches it


@dataclass(frozen=True)
class MNISTOptions:
    """Where the four idx files are and which of them to take."""

    path: Annotated[
        str, Opt("Folder with the idx files, gzipped or not; if empty, they are downloaded there.")
    ] = "datasets"
    split: Annotated[Literal["train", "test", "all"], Opt("60,000, 10,000 or 70,000 images.")] = (
        "train"
    )
    url: Annotated[str, Opt("Folder to download from; empty for the usual mirror.")] = ""


class MNIST(Source[MNISTOptions], api=1):
    """Handwritten digits, 60,000 + 10,000, 28×28 gray."""

    references = ("LeCun, Cortes, Burges 1998, The MNIST database of handwritten digits",)
    curated = True
    mirror: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist"
    folder: ClassVar[str] = "mnist"
    # md5 of the gzipped files, as published; the download is refused if it differs.
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def channels(self, options: MNISTOptions) -> int:
        return 1

    def resolution(self, options: MNISTOptions) -> str:
        return "28"

    def count(self, options: MNISTOptions) -> int:
        return {"train": 60_000, "test": 10_000, "all": 70_000}[options.split]

    def items(self, options: MNISTOptions) -> Iterator[Item]:
        for part in self._parts(options):
            labels = read_idx(self._file(options, f"{part}-labels-idx1-ubyte"))
            for index, label in enumerate(labels):
                key = f"{part}/{index:05d}"
                yield Item(key=key, uri=f"{self.folder}:{key}", label=str(label))

    def open(self, options: MNISTOptions, item: Item) -> np.ndarray[Any, Any]:
        part, _, index = item.key.partition("/")
        images = read_idx(self._file(options, f"{part}-images-idx3-ubyte"))
        if int(index) >= len(images):
            raise UserError(f"{self.folder}: {len(images)} images, but more labels than that")
        pixels: np.ndarray[Any, Any] = images[int(index)]
        return pixels

    @staticmethod
    def _parts(options: MNISTOptions) -> list[str]:
        return list(PARTS.values()) if options.split == "all" else [PARTS[options.split]]

    def _file(self, options: MNISTOptions, name: str) -> Path:
        """The idx file where it lies already, else downloaded beside the others."""
        own = Path(options.path) / self.folder
        with _downloads:
            for folder in (Path(options.path), own):
                for candidate in (folder / name, folder / f"{name}.gz"):
                    if candidate.is_file():
                        return candidate
            target = own / f"{name}.gz"
            address = (options.url or self.mirror).rstrip("/")
            download(f"{address}/{target.name}", target, self.checksums[name])
            return target


class FashionMNIST(MNIST, api=1):
    """Articles of clothing, 60,000 + 10,000, 28×28 gray."""

    references = ("Xiao, Rasul, Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747 (MIT)",)
    mirror = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    folder = "fashion-mnist"
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }


def download(url: str, target: Path, md5: str) -> None:
    """Fetch a small file, check it, and put it in place in one move."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            data = response.read()
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise GanctlError(
            f"cannot download {url}: {reason}; put the file into {target.parent} yourself, "
            "or name a folder that has it: --source.path"
        ) from None
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        raise GanctlError(f"{url}: not the published file (its md5 is not {md5}); nothing kept")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GanctlError(f"cannot write {target}: {error.strerror}") from None
