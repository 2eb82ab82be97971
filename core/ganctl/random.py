"""Every random draw of a run is a function of (seed, purpose, step) and of the row it is for.

Nothing about randomness has to be saved: a run that resumes at step 1,000 seeds step 1,000
as the first run did. And a draw made through `randn`, `rand` or `dropout_mask` for some rows of a
batch equals those rows of the draw for the whole batch, so micro-batches see what the
batch would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of a run."""
    text = "/".join(map(str, (seed, *purpose))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(value: int) -> None:
    """Seed torch's default generators: CPU and whichever accelerator is in use."""
    torch.default_generator.manual_seed(value)
    # torch.manual_seed would do all this too, but formats a stack trace on each call
    # while CUDA is not initialised, and this runs once per phase of every step.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)


def states(device: torch.device) -> list[bytes]:
    """Of torch's default generators, the CPU's and the device's: they change with every draw."""
    return [state.numpy().tobytes() for state in _states(device)]


@contextmanager
def preserved(device: torch.device) -> Iterator[None]:
    """Within: draws on the CPU and the device change nothing of those that come after."""
    cpu, *others = _states(device)
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        for state in others:
            if device.type == "cuda":
                torch.cuda.set_rng_state(state, device)
            else:
                torch.mps.set_rng_state(state)


def _states(device: torch.device) -> list[Tensor]:
    found = [torch.get_rng_state()]
    if device.type == "cuda":
        found.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        found.append(torch.mps.get_rng_state())
    return found


@dataclass(frozen=True)
class _Rows:
    start: int
    stop: int
    total: int


_rows: _Rows | None = None


@contextmanager
def rows(start: int, stop: int, total: int) -> Iterator[None]:
    """Within: draws for `stop - start` rows are those rows of a draw for `total` rows."""
    global _rows  # noqa: PLW0603 (one run per process, and the context restores it)
    before, _rows = _rows, _Rows(start, stop, total)
    try:
        yield
    finally:
        _rows = before


def _drawn_rows(n: int) -> tuple[int, slice | None, int]:
    """(how many rows to draw, which of them to keep, copies): `n` may be several batches."""
    if _rows is None or _rows.stop - _rows.start == _rows.total:
        return n, None, 1
    copies, rest = divmod(n, _rows.stop - _rows.start)
    if not copies:  # for the first rows of the micro-batch
        return _rows.total, slice(_rows.start, _rows.start + n), 1
    if rest:
        return n, None, 1  # not a draw for the batch's rows
    return copies * _rows.total, slice(_rows.start, _rows.stop), copies


def _keep(drawn: Tensor, part: slice | None, copies: int) -> Tensor:
    if part is None:
        return drawn
    by_batch = drawn.view(copies, -1, *drawn.shape[1:])
    # A copy: a view would keep the whole draw alive as long as autograd keeps it.
    return by_batch[:, part].flatten(0, 1).clone()


def randn(n: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """Standard normal float32 of shape (n, *shape)."""
    total, part, copies = _drawn_rows(n)
    return _keep(torch.randn(total, *shape, device=device), part, copies)


def rand(n: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """Uniform in [0, 1), float32 of shape (n, *shape)."""
    total, part, copies = _drawn_rows(n)
    return _keep(torch.rand(total, *shape, device=device), part, copies)


def dropout_mask(like: Tensor, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p), in the shape and dtype of `like` (N, ...).

    p is rounded to 1/65536: one 64-bit draw makes four decisions, which on a CPU costs a
    tenth of `torch.nn.functional.dropout`.
    """
    total, part, copies = _drawn_rows(like.shape[0])
    width = like[0].numel()
    words = torch.empty((total * width + 3) // 4, dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None)
    bits = words.view(torch.int16)[: total * width].view(total, *like.shape[1:])
    threshold = min(round(p * 65536), 65535) - 32768
    kept = torch.empty_like(like, requires_grad=False)
    return torch.ge(_keep(bits, part, copies), threshold, out=kept).mul_(1 / (1 - p))
