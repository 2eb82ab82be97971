"""A network snapshot from its file: opened, limited in size, unpickled here, and taken apart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ganctl import UserError

from . import machine
from .allowed import Allowed
from .limits import MAX_FILE, Budget, Refused
from .networks import network, settings, tensorflow_network
from .records import Snapshot
from .stream import Stream
from .values import kind

NETWORKS = ("G", "D", "G_ema")
TENSORFLOW = ("G", "D", "Gs")


def read_snapshot(path: str | os.PathLike[str], name: str | None = None) -> Snapshot:
    """Read a .pkl of StyleGAN2-ADA, or of its TensorFlow forerunners, without running any of it.

    Raises `UserError`, of one line, for whatever is not such a file; `name` is what it calls
    the file there, if not by its path.
    """
    try:
        return _snapshot(_content(Path(path)))
    except OSError as error:
        raise UserError(f"{name or path}: {error.strerror or error}") from None
    except MemoryError:
        raise UserError(f"{name or path}: too large for this machine's memory") from None
    except Refused as refusal:
        raise UserError(f"{name or path}: not a readable network snapshot: {refusal}") from None


def _content(path: Path) -> memoryview:
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Refused("not a file")
        if status.st_size > MAX_FILE:
            raise Refused(f"larger than {MAX_FILE >> 30} GiB")
        return memoryview(file.read(status.st_size))


def _open(path: str, flags: int) -> int:
    # A named pipe would otherwise wait for a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _snapshot(data: memoryview) -> Snapshot:
    budget = Budget(len(data))
    stream = Stream(data)
    value = machine.run(stream, Allowed(budget), budget)
    if stream.left:
        raise Refused(f"{stream.left:,} bytes after the end")
    match value:
        case dict():
            found = {name: network(value[name]) for name in NETWORKS if value.get(name) is not None}
            if not found:
                raise Refused(f"none of {', '.join(NETWORKS)} is there")
            has_data = value.get("training_set_kwargs") is not None
            pipe = value.get("augment_pipe")
            return Snapshot(
                networks=found,
                training_set_kwargs=settings(value, "training_set_kwargs") if has_data else None,
                augment_pipe=None if pipe is None else network(pipe),
            )
        case (_, _, _):
            named = zip(TENSORFLOW, value, strict=True)
            return Snapshot(tensorflow={name: tensorflow_network(each) for name, each in named})
    raise Refused(f"it holds {kind(value)}, not networks")
