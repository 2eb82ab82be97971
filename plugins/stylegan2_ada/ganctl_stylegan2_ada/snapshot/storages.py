"""The blob that torch.save writes for one storage in its format before 1.6.

A magic number, a protocol number and the writer's system as pickles; a pickle that is one
persistent id; the list of keys as a pickle; then for each key the number of elements, and these.
"""

from __future__ import annotations

from typing import Any

from . import machine
from .limits import Budget, Refused
from .stream import Stream
from .tensors import STORAGES
from .values import Global, Storage, kind, shown, whole

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def load(data: object, budget: Budget) -> Storage:
    """The storage, whose data are the bytes in the blob."""
    if not isinstance(data, memoryview):
        raise Refused(f"a storage in {kind(data)}")
    stream, policy = Stream(data), _Policy()
    for expected in (MAGIC, PROTOCOL):
        if machine.run(stream, policy, budget) != expected:
            raise Refused("a storage that torch.save did not write")
    system = machine.run(stream, policy, budget)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("a storage of a big-endian machine")
    storage = machine.run(stream, policy, budget)
    if not isinstance(storage, Storage) or len(policy.storages) != 1:
        raise Refused(f"a storage that is {kind(storage)}")
    keys = machine.run(stream, policy, budget)
    if not isinstance(keys, list) or keys != list(policy.storages):
        raise Refused("a storage without its key")
    if stream.unsigned(8) != storage.numel:
        raise Refused("a storage of two lengths")
    storage.data = stream.take(storage.numel * STORAGES[storage.type_name].itemsize)
    if stream.left:
        raise Refused("a storage with bytes after its end")
    return storage


class _Policy:
    """Storages are named and declared; nothing is called or built."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}

    def find(self, name: str) -> Global:
        if name not in STORAGES:
            raise Refused(f"it asks for {shown(name)} in a storage")
        return Global(name)

    def persistent(self, key: object) -> Storage:
        match key:
            # view_metadata, the last, is for views of storages, which PyTorch 0.4 had last
            case ("storage", Global(name=name), str(text), str(), numel, None):
                storage = Storage(name, whole(numel, "a storage's length"))
                return self.storages.setdefault(text, storage)
        raise Refused("a storage that is declared in an unknown way")

    def call(self, function: Global, arguments: tuple[Any, ...]) -> object:
        raise Refused(f"{function.name} is called in a storage")

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> object:
        raise Refused(f"{cls.name} is made in a storage")

    def build(self, instance: object, state: object) -> None:
        raise Refused(f"{kind(instance)} is built in a storage")
