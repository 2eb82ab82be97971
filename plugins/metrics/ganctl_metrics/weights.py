"""Published weights: found on this machine or downloaded, and never taken for what they are not."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganctl import GanctlError, Unreachable, UserError, download

MIRROR = "GANCTL_WEIGHTS_URL"
"""This environment variable names a folder on the web that is asked instead of the publisher."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Published:
    """A file of weights as its authors published it."""

    name: str
    url: str
    size: int
    """In bytes; 0: not published."""
    sha256: str
    """Whole, or the first digits where no more are published. Empty: nothing is published, and
    the file is not downloaded."""
    variable: str
    """The environment variable that may name a copy of it."""
    option: str = "--weights"
    """The option that may."""


@dataclass(frozen=True)
class Found:
    """A file of weights on this machine."""

    path: Path
    sha256: str
    genuine: bool
    """False: another file, which the user asked for nevertheless."""


def find(published: Published, path: str | None = None, unverified: bool = False) -> Found:
    """The file at `path`, else where the environment variable says, else in torch hub's cache,
    else downloaded there.

    Raises `UserError` for a file that is not the published one, unless `unverified`, and
    `GanctlError` when it can neither be found nor downloaded. Nothing takes its place.
    """
    named = path or os.environ.get(published.variable)
    target = Path(torch.hub.get_dir()) / "checkpoints" / published.name
    file = Path(named) if named else target
    if named and not file.is_file():
        said = published.option if path else f"${published.variable}"
        raise UserError(f"{said}: {file}: no such file")
    if not file.is_file():
        if not published.sha256:
            raise UserError(
                f"{published.name} is not downloaded, as no hash of it is published: fetch "
                f"{published.url} and put it at {target}, or name it with "
                f"{published.option} FILE or ${published.variable}"
            )
        _download(published, target)
    found = Found(file, digest(file), genuine=True)
    if found.sha256.startswith(published.sha256):
        return found
    if unverified:
        return Found(file, found.sha256, genuine=False)
    size = file.stat().st_size
    what = (
        f"{size:,} bytes of {published.size:,}: cut short"
        if size < published.size
        else f"not {published.name}: its sha256 is {found.sha256}, not {published.sha256}"
    )
    right = "name the right one" if named else "delete it, and it is downloaded again"
    raise UserError(
        f"{file}: {what}; {right}, or take this one, with another name for its figures, by "
        "--weights-unverified"
    )


def digest(file: Path) -> str:
    """The file's sha256. Raises `GanctlError` if it cannot be read."""
    total = hashlib.sha256()
    try:
        with file.open("rb") as data:
            while block := data.read(_BLOCK):
                total.update(block)
    except OSError as error:
        raise GanctlError(f"cannot read {file}: {error.strerror}") from None
    return total.hexdigest()


def _download(published: Published, target: Path) -> None:
    """Whole and with the right hash, or not at all."""
    base = os.environ.get(MIRROR)
    url = f"{base.rstrip('/')}/{published.name}" if base else published.url
    otherwise = (
        f"fetch {published.url} ({published.size / 1e6:.0f} MB) elsewhere and put it at {target}, "
        f"or name it with {published.option} FILE or ${published.variable}"
    )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    print(f"downloading {url} ({published.size / 1e6:.0f} MB) to {target}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out, closing(_fetch(url, published)) as body:
            for block in body:
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    except _Unfit as fault:
        raise GanctlError(f"{url}: {fault}; nothing was kept; {otherwise}") from None
    except Unreachable as error:
        raise GanctlError(f"{error}; {otherwise}") from None
    except OSError as error:
        raise GanctlError(
            f"cannot write {target}: {error.strerror or error}; {otherwise}; $TORCH_HOME moves "
            "the cache"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


class _Unfit(Exception):
    """What came is not the file."""


def _fetch(url: str, published: Published) -> Generator[bytes]:
    """The body of `url`, counted and hashed. Raises `_Unfit`, `Unreachable`."""
    if not url.startswith(("https://", "http://")):
        raise Unreachable(f"cannot download {url}: not a web address")
    total, seen = hashlib.sha256(), 0
    for block in download(url, published.size, anywhere=True):  # its hash is checked
        seen += len(block)
        total.update(block)
        yield block
    if seen < published.size:
        raise _Unfit(f"{seen:,} bytes of {published.size:,} came")
    if not total.hexdigest().startswith(published.sha256):
        raise _Unfit(f"its sha256 is {total.hexdigest()}, not {published.sha256}")


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, by name; torch's restricted reader runs no code of the file.

    Raises `UserError` when it holds anything else.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # UnpicklingError, RuntimeError, EOFError …: all say: no such file of tensors
        raise UserError(f"{file}: not a file of weights") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{file}: not a file of weights: it should hold tensors by name")
    return state
