"""A prepared set: a STORED zip (or a folder) of equal-sized PNG or JPEG files.

Labels stand in `dataset.json`, `{"labels": [["00000/img00000000.png", 3], …]}`, as
StyleGAN2-ADA, StyleGAN3, EDM and R3GAN read and write them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from ..errors import GanctlError, UserError
from ..spec import ImageSpec
from .pixels import FORMATS, MAX_FILE, Pixels, Unreadable, as_stored, decode
from .preparation import encode_pixels

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_LIST = "dataset.json"
REPORT = "report.csv"
"""In a prepared zip: what became of every file of the source."""
MAX_CLASSES = 100_000
"""Labels are one-hot vectors: more than that is a mistake in the list."""


class Dataset:
    """A prepared set, opened. Reading decodes one image at a time."""

    def __init__(self, path: Path | str) -> None:
        """Raises `UserError` when there is no usable set at `path`."""
        self.path = Path(path)
        if not self.path.exists():
            raise UserError(f"{self.path}: no such file or folder")
        if (self.path / "manifest.sqlite").is_file() and (self.path / "pictures").is_dir():
            raise UserError(
                f"{self.path}: what `ganctl fetch` brought is not prepared yet: "
                f"ganctl prepare {self.path} --out SET.zip --resolution 64"
            )
        self._zip = None if self.path.is_dir() else _open_zip(self.path)
        self.names = self._list_images()
        if not self.names:
            raise UserError(f"{self.path}: no pictures in it (wanted: {_suffix_list()})")
        listing = self._read_list()
        self.prepared = listing is not None
        """Whether it has a list of its own, as sets have that were made for training."""
        self.preparation = _preparation(listing)
        """How `ganctl prepare` made it, as far as figures depend on it: `{"filter": "lanczos"}`."""
        self.labels, class_names = self._read_labels(listing)
        classes = 0 if self.labels is None else int(self.labels.max()) + 1
        self.spec = ImageSpec(
            *self._shape(self.names[0]), max(classes, len(class_names)), class_names
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of all images together; as uint8, their product is their bytes."""
        return len(self), self.spec.channels, self.spec.height, self.spec.width

    def read(self, index: int) -> Pixels:
        """Image `index` as uint8 (C, H, W). Raises `UserError` if it is not as the others."""
        return self.decode(index, self.encoded(index))

    def read_any(self, index: int) -> Pixels:
        """Image `index` in its own size, uint8 (3, H, W), as `Image.convert("RGB")` has it.

        That is what other tools evaluate: without alpha, not turned upright, colours as they
        are stored. Raises `UserError`.
        """
        pixels = self._decode(self.names[index], self.encoded(index), None)
        return np.array(pixels.transpose(2, 0, 1), order="C")

    def encoded(self, index: int) -> bytes:
        """The file of image `index`. Raises `UserError`."""
        return self._bytes(self.names[index])

    def decode(self, index: int, data: bytes) -> Pixels:
        """What `read` gives, of a file that has been read."""
        name = self.names[index]
        pixels = self._decode(name, data, self.spec.channels)
        if pixels.shape[:2] != (self.spec.height, self.spec.width):
            height, width = pixels.shape[:2]
            raise UserError(
                f"{self.path}: {name} is {height}x{width} but {self.names[0]} is "
                f"{self.spec.height}x{self.spec.width}; let ganctl make them equal: "
                f"ganctl prepare {self.path} --out SET.zip "
                f"--resolution {self.spec.height}x{self.spec.width}"
            )
        return np.array(pixels.transpose(2, 0, 1), order="C")

    def check(self, index: int) -> None:
        """Raise `UserError` if image `index` is not of the others' size: its header tells."""
        from PIL import Image

        size = self.spec.width, self.spec.height
        try:
            with self._open(self.names[index]) as file, Image.open(file, formats=FORMATS) as image:
                turned = size[0] != size[1] and "exif" in image.info
                if image.size == size and not turned:
                    return
        except Exception:  # damaged, or no picture: reading says so in a better way
            pass
        self.read(index)

    def other_file(self, name: str) -> bytes | None:
        """A file of the set that is no image; None if it has none of that name."""
        there = (self.path / name).exists() if self._zip is None else name in self._zip.namelist()
        return self._bytes(name) if there else None

    def fingerprint(self) -> str:
        """Changes when the pictures or labels do; reads names, sizes and checksums only."""
        if self._zip is not None:
            facts = sorted((i.filename, i.CRC, i.file_size) for i in self._zip.infolist())
        else:
            files = [(name, self.path / name) for name in (*self.names, _LIST)]
            stats = [(name, file.stat()) for name, file in files if file.exists()]
            facts = [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def content(self) -> str:
        """Changes with any byte of the pictures, their names or labels; folders are read."""
        if self._zip is not None:
            return self.fingerprint()
        total = hashlib.sha256()
        for name in (*self.names, _LIST):
            data = self.other_file(name) if name == _LIST else self._bytes(name)
            total.update(json.dumps([name, None if data is None else len(data)]).encode())
            total.update(data or b"")
        return total.hexdigest()

    def _list_images(self) -> list[str]:
        if self._zip is not None:
            names = [i.filename for i in self._zip.infolist() if not i.is_dir()]
        else:
            names = [
                (Path(folder) / file).relative_to(self.path).as_posix()
                for folder, _, files in os.walk(self.path)
                for file in files
            ]
        return sorted(name for name in names if is_image_name(name))

    def _open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb") if self._zip is None else self._zip.open(name)

    def _bytes(self, name: str) -> bytes:
        try:
            with self._open(name) as file:
                data = file.read(MAX_FILE + 1)  # the size that a zip declares may be a lie
            if len(data) > MAX_FILE:
                raise ValueError(f"over {MAX_FILE >> 20} MB")
            return data
        except Exception as error:  # damaged, encrypted, unknown compression, no permission …
            raise UserError(f"{self.path}: cannot read {name}: {error}") from None

    def _decode(self, name: str, data: bytes, channels: int | None) -> Pixels:
        """With so many channels, made right; None: as it is stored."""
        try:
            return as_stored(data) if channels is None else decode(data, channels)
        except Unreadable as error:
            raise UserError(f"{self.path}: cannot read {name}: {error}") from None

    def _shape(self, name: str) -> tuple[int, int, int]:
        """Height, width, channels of one picture, the right way up."""
        from PIL import Image

        data = self._bytes(name)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                channels = {"L": 1, "1": 1, "RGBA": 4}.get(image.mode, 3)
        except Exception:
            raise UserError(f"{self.path}: cannot read {name}: not a picture file") from None
        height, width, _ = self._decode(name, data, channels).shape
        return height, width, channels

    def _read_list(self) -> Any:
        data = self.other_file(_LIST)
        try:
            return None if data is None else json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path}: {_LIST} is not a list of labels: {error}") from None

    def _read_labels(self, listing: Any) -> tuple[np.ndarray[Any, Any] | None, tuple[str, ...]]:
        if listing is None:
            return None, ()
        try:
            pairs = listing.get("labels")
            if pairs is None:
                return None, ()
            by_name = {name: int(label) for name, label in pairs}
            names = tuple(str(name) for name in listing.get("label_names", ()))
            labels = np.array([by_name[name] for name in self.names], dtype=np.int64)
        except KeyError as error:
            raise UserError(f"{self.path}: {_LIST} has no label for {error}") from None
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{self.path}: {_LIST} is not a list of labels: {error}") from None
        if labels.min() < 0:
            raise UserError(f"{self.path}: {_LIST} holds a negative label")
        if labels.max() >= MAX_CLASSES:
            raise UserError(f"{self.path}: {_LIST} holds a label over {MAX_CLASSES:,}")
        return labels, names


def _preparation(listing: Any) -> dict[str, str]:
    found = listing.get("preparation") if isinstance(listing, dict) else None
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


class DatasetWriter:
    """Writes a prepared zip; the file appears under its name when all of it is on disk."""

    def __init__(
        self,
        path: Path,
        spec: ImageSpec,
        work: Path | None = None,
        preparation: dict[str, str] | None = None,
    ) -> None:
        """`work` is the folder for the unfinished file, else it lies hidden beside `path`.

        `preparation`: how the images were made, as far as figures depend on it.
        """
        self.path, self.spec, self._preparation = path, spec, preparation
        if work is None:
            self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        else:
            self._part = work / "set.part"
        self._labels: list[tuple[str, str]] = []
        self._count = 0

    def __enter__(self) -> DatasetWriter:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED)
        return self

    def add(self, pixels: Pixels, label: str | None) -> str:
        """One image, (H, W, C) uint8, as a PNG. Returns its name in the set."""
        return self.add_encoded(encode_pixels(pixels), ".png", label)

    def add_encoded(self, data: bytes, suffix: str, label: str | None) -> str:
        """One image file of the set's size. Returns its name in the set."""
        name = f"{self._count // 1000:05d}/img{self._count:08d}{suffix}"
        self.add_file(name, data)
        if label is not None:
            self._labels.append((name, label))
        self._count += 1
        return name

    def add_file(self, name: str, data: bytes) -> None:
        """A file that is no image."""
        with writing(self.path):
            self._zip.writestr(zipfile.ZipInfo(name), data)  # fixed date: same bytes

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with writing(self.path):
                    self._finish()
        finally:
            with suppress(OSError):  # it writes a directory; on a full disk that fails too
                self._zip.close()
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        listing: dict[str, Any] = {"labels": None}
        if self._preparation:
            listing["preparation"] = self._preparation
        if len(self._labels) == self._count:
            class_names = sorted({label for _, label in self._labels}, key=_natural)
            number = {name: i for i, name in enumerate(class_names)}
            listing["labels"] = [[name, number[label]] for name, label in self._labels]
            listing["label_names"] = class_names
        self._zip.writestr(zipfile.ZipInfo(_LIST), json.dumps(listing))
        self._zip.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)


def is_image_name(name: str) -> bool:
    """Whether a file of that name should be a picture (dot files and macOS litter are not)."""
    path = Path(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES


def _natural(label: str) -> tuple[int, int, str]:
    return (0, int(label), "") if label.isdecimal() else (1, 0, label)


def _suffix_list() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except Exception:  # BadZipFile; names that are not the UTF-8 they claim to be …
        raise UserError(f"{path}: not a zip file, or cut short") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within: what the disk refuses is a `GanctlError` that names the set."""
    try:
        yield
    except OSError as error:
        raise GanctlError(f"cannot write {path}: {error.strerror or error}") from None
