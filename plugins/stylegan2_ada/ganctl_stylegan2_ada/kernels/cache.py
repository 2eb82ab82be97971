"""Compiled kernels on the disk. Nobody waits for anybody: who finds none compiles, and each file
appears whole, so that at worst the same is compiled twice."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """`$XDG_CACHE_HOME` or `~/.cache`, `/ganctl/kernels`; it may not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "ganctl" / "kernels"


def read(name: str) -> bytes | None:
    """What was written under this name, or None if nothing or something else is there."""
    try:
        data = (folder() / name).read_bytes()
    except OSError:
        return None
    digest, code = data[:DIGEST], data[DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def write(name: str, code: bytes) -> None:
    """Keep it for later processes, if the disk takes it: it can be made again."""
    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, part = tempfile.mkstemp(prefix=f".{name}.", dir=folder())
        try:
            with open(descriptor, "wb") as out:
                out.write(hashlib.sha256(code).digest() + code)
            os.replace(part, folder() / name)
        except OSError:
            os.unlink(part)
            raise
