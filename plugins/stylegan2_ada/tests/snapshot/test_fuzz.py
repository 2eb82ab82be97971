"""Damaged snapshots are read or refused, soon and within little memory."""

import pickletools
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ganctl import UserError
from ganctl_stylegan2_ada.snapshot import read_snapshot

Write = Callable[[bytes], Path]
Dumps = Callable[..., bytes]

SECONDS = 2.0
"""Of CPU time, for one file."""
MIB = 2**20

TELLING = [
    *(b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00"),
    *(b"R", b"b", b"\x81", b"\x93", b"t", b"u", b"s", b"0", b"1", b"(", b"}", b"]", b"\x8f", b"N"),
    *(b"h\x00", b"h\x05", b"j\x10\x00\x00\x00", b"\x94", b".", b"Q", b"\x85", b"\x86", b"\x87"),
    *(b"\x82\x01", b"cos\nsystem\n", b"ios\nsystem\n", b"\x8e", b"B", b"X", b"\x8b", b"\x8a"),
    *(b"K\xff", b"J\xff\xff\xff\xff", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x88", b"G"),
]


class Pickle(NamedTuple):
    """A file that is well, and where its opcodes begin."""

    content: bytes
    opcodes: list[int]


def mutated(good: Pickle, other: Pickle, draw: random.Random) -> bytes:
    """One to four changes: bits, bytes, opcodes, cuts, repeats, and splices."""
    content = good.content
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        until = min(at + draw.choice([1, 2, 4, 30, 300]), len(data))
        if draw.random() < 0.7:  # whole opcodes
            first = draw.randrange(len(good.opcodes))
            last = min(first + draw.choice([1, 1, 2, 5, 30]), len(good.opcodes) - 1)
            at, until = (min(good.opcodes[each], len(data)) for each in (first, last))
        match draw.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                data[at:until] = draw.randbytes(until - at)
            case 2:
                data[at:at] = draw.choice(TELLING)
            case 3:
                telling = draw.choice(TELLING)
                data[at : at + len(telling)] = telling
            case 4:
                del data[at:until]
            case 5:
                data[at:at] = data[at:until] * draw.choice([1, 2, 20])
            case 6:
                start = draw.choice(other.opcodes)
                data[at:until] = other.content[start : start + until - at]
            case _ if draw.random() < 0.2:
                del data[at:]
    return bytes(data)


def attack(write: Write, contents: list[bytes], cases: int, seed: int) -> dict[str, float]:
    """Reads that many damaged files, and says how it went."""
    draw = random.Random(seed)
    good = [Pickle(each, [at for _, _, at in pickletools.genops(each)]) for each in contents]
    read, refused, longest = 0, set(), 0.0
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(cases):
            file = write(mutated(draw.choice(good), draw.choice(good), draw))
            start = time.process_time()
            try:
                read_snapshot(file)
                read += 1
            except UserError as error:
                refused.add(str(error))
            longest = max(longest, time.process_time() - start)
            assert longest < SECONDS
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert all(len(reason.splitlines()) == 1 for reason in refused)
    assert [path.name for path in file.parent.iterdir()] == ["network.pkl"]
    found = {"read": read, "reasons": len(refused), "longest": longest, "MiB": peak / MIB}
    print(found)
    return found


@pytest.fixture
def contents(
    torch_snapshot: dict[str, Any], tensorflow_snapshot: tuple[Any, ...], dumps: Dumps
) -> list[bytes]:
    framed = [dumps(snapshot) for snapshot in (torch_snapshot, tensorflow_snapshot)]
    # Without its frame, whose length is checked, a change gets further.
    return framed + [content[:2] + content[11:] for content in framed]


def test_two_thousand_damaged_files_raise_nothing_else(contents: list[bytes], write: Write) -> None:
    found = attack(write, contents, 2_000, seed=1)
    assert found["read"] > 20  # some only have other numbers
    assert found["reasons"] > 100
    assert found["MiB"] < 8


@pytest.mark.slow
def test_twenty_thousand_damaged_files_raise_nothing_else(
    contents: list[bytes], write: Write
) -> None:
    found = attack(write, contents, 20_000, seed=2)
    assert found["MiB"] < 8


@pytest.mark.slow
def test_the_shared_snapshot_damaged_raises_nothing_else(
    shared_snapshot: Path, write: Write
) -> None:
    found = attack(write, [shared_snapshot.read_bytes()], 300, seed=3)
    assert found["MiB"] < 16


def test_every_beginning_of_a_file_is_refused(contents: list[bytes], write: Write) -> None:
    for content in contents[2:]:
        for end in range(0, len(content), 11):
            with pytest.raises(UserError):
                read_snapshot(write(content[:end]))
