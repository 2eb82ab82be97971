"""The fetch beside a plain thread-pool downloader that checks nothing, in one run.

    python benchmarks/fetch_covers.py [--covers 2000] [--rounds 7] [--out FILE.json]

Both take the same JPEGs of 640 × 640 from a server on loopback with 8 connections, turn by turn,
each in a process of its own: the plain one through one `httpx2.Client` into files, ganctl with
all that a fetch does (decoding, hashes, syncing, the manifest, duplicates). Counted is from the
first request's preparation to the end, without the interpreter's start and imports. The server
competes for the machine, and so does whatever else runs on it: both shares are given.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx2
import numpy as np
from machine import machine
from PIL import Image
from report import publish, spread

from ganctl import Item, Opt, Page, Web, WebSource
from ganctl.fetch.engine import fetch

CONNECTIONS = 8
PROGRAMS = ("plain", "urllib", "ganctl")


def cover(number: int) -> bytes:
    """A picture with coarse and fine structure, of 57 to 75 kB."""
    random = np.random.default_rng(number)
    pixels = np.full((640, 640, 3), 128, np.float32)
    for side, contrast in ((5, 60), (40, 30), (160, 12)):
        for channel in range(3):
            noise = Image.fromarray(random.random((side, side), dtype=np.float32) * 2 - 1)
            smooth = noise.resize((640, 640), Image.Resampling.BICUBIC)
            pixels[:, :, channel] += contrast * np.asarray(smooth)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(buffer, "jpeg", quality=86 + number % 6)
    return buffer.getvalue()


class Files(asyncio.Protocol):
    """HTTP of the simplest kind, from memory; `/cpu` says what the server has used."""

    def __init__(self, files: dict[bytes, bytes]) -> None:
        self.files, self.asked = files, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.asked += data
        while b"\r\n\r\n" in self.asked:
            head, _, self.asked = self.asked.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            body = str(cpu()).encode() if path == b"/cpu" else self.files[path]
            self.transport.writelines(
                [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]
            )


async def serve(folder: Path) -> None:
    files = {f"/{file.name}".encode(): file.read_bytes() for file in folder.iterdir()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Files, files), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def cpu() -> float:
    """Seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def busy() -> float:
    """Seconds that all cores together were busy since the machine's start; 0: unknown."""
    try:
        ticks = [int(t) for t in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    except OSError:
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def plain(urls: list[str], folder: Path) -> None:
    folder.mkdir()
    with httpx2.Client() as client, ThreadPoolExecutor(CONNECTIONS) as pool:

        def take(url: str) -> None:
            answer = client.get(url).raise_for_status()
            (folder / url.rpartition("/")[2]).write_bytes(answer.content)

        list(pool.map(take, urls))


def by_urllib(urls: list[str], folder: Path) -> None:
    folder.mkdir()

    def take(url: str) -> None:
        with urllib.request.urlopen(url) as answer:
            (folder / url.rpartition("/")[2]).write_bytes(answer.read())

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(take, urls))


@dataclass(frozen=True)
class Options:
    base: Annotated[str, Opt("The server.")] = ""


def by_ganctl(urls: list[str], folder: Path) -> None:
    class Covers(WebSource[Options], api=1):
        def base(self, options: Options) -> str:
            return options.base

        def pages(self, options: Options, web: Web, cursor: str | None) -> Iterator[Page]:
            for begin in range(0, len(urls), 100):
                yield Page(tuple(Item(url, url) for url in urls[begin : begin + 100]), str(begin))

    report = fetch(Covers(), Options(urls[0]), folder, name="covers", workers=CONNECTIONS)
    assert report.stored == len(urls)


def measure(program: str, urls: list[str], folder: Path) -> None:
    """Run the program in this process, and print what it took."""
    work = {"plain": plain, "urllib": by_urllib, "ganctl": by_ganctl}[program]
    before, used, start = busy(), cpu(), time.perf_counter()
    work(urls, folder)
    seconds, used = time.perf_counter() - start, cpu() - used
    print(json.dumps({"seconds": seconds, "cpu": used, "all": busy() - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--covers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)  # program, address, folder
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.serve))
    if asked.run:
        program, address, folder = asked.run
        measure(
            program, [f"{address}/{n:05d}.jpg" for n in range(asked.covers)], Path(folder) / program
        )
        return

    here = [sys.executable, __file__, "--covers", str(asked.covers)]
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch) / "pictures"
        pictures.mkdir()
        with ProcessPoolExecutor() as pool:
            for number, data in enumerate(pool.map(cover, range(asked.covers), chunksize=20)):
                (pictures / f"{number:05d}.jpg").write_bytes(data)
        size = sum(file.stat().st_size for file in pictures.iterdir()) / asked.covers
        server = subprocess.Popen([*here, "--serve", pictures], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = f"http://127.0.0.1:{int(server.stdout.readline())}"

            def served() -> float:
                with urllib.request.urlopen(f"{address}/cpu") as answer:
                    return float(answer.read())

            for number in range(asked.rounds):
                rounds.append({})
                for program in PROGRAMS:
                    with tempfile.TemporaryDirectory(dir=scratch) as folder:
                        before = served()
                        done = subprocess.run(
                            [*here, "--run", program, address, folder],
                            env=os.environ | {"NO_PROXY": "127.0.0.1"},
                            check=True,
                            stdout=subprocess.PIPE,
                            text=True,
                        )
                        found = json.loads(done.stdout)
                        found["server"] = served() - before
                        others = found.pop("all") - found["cpu"] - found["server"]
                        found["others"] = max(0.0, others / found["seconds"])
                        rounds[-1][program] = found
                said = ", ".join(
                    f"{program} {found['seconds']:.2f} s (CPU {found['cpu']:.2f} s, "
                    f"others took {found['others']:.1f} cores)"
                    for program, found in rounds[-1].items()
                )
                print(f"round {number + 1}: {said}", flush=True)
        finally:
            server.kill()
            server.wait()

    def median(program: str, figure: str) -> float:
        return round(statistics.median(row[program][figure] for row in rounds), 2)

    ratios = [row["ganctl"]["seconds"] / row["plain"]["seconds"] for row in rounds]
    used = [row["ganctl"]["cpu"] / row["plain"]["cpu"] for row in rounds]
    report = {
        "work": f"{asked.covers} JPEGs of 640x640 and {size / 1e3:.0f} kB from loopback",
        "machine": machine(os.cpu_count() or 1),
        **spread(ratios),
        "cpu_ratio_median": spread(used)["ratio_median"],
        "rounds": len(rounds),
    }
    for program in PROGRAMS:
        for figure, name in (("seconds", "seconds"), ("cpu", "cpu_seconds")):
            report[f"{program}_{name}"] = median(program, figure)
        report[f"{program}_server_cpu_seconds"] = median(program, "server")
        report[f"{program}_cores_taken_by_others"] = median(program, "others")
    publish(report, asked.out)


if __name__ == "__main__":
    main()
