"""`ganctl prepare` beside one process of plain Pillow that does the same, in one run.

    python benchmarks/prepare.py [--pictures 2000] [--rounds 3] [--from FOLDER] [--out FILE.json]

JPEGs of 640 × 640 (enlarged from the pictures of a folder or zip, else drawn) become images of
256 × 256, cut from the middle with Lanczos and stored as JPEG of quality 95 without chroma
subsampling. Both rates count from the command's start to its end. The size of the set is compared
with the sum of the plain JPEGs' sizes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image, ImageFilter

PLAIN = """\
import sys
from pathlib import Path
from PIL import Image, ImageOps

source, target = Path(sys.argv[1]), Path(sys.argv[2])
target.mkdir()
for file in sorted(source.iterdir()):
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((256, 256), Image.Resampling.LANCZOS)
        image.save(target / file.name, quality=95, subsampling="4:4:4")
"""


def originals(given: Path | None) -> list[Image.Image]:
    """Some pictures of 640 × 640 with the detail of photographs."""
    if given is not None:
        with zipfile.ZipFile(given) as archive:
            names = [n for n in sorted(archive.namelist()) if n.endswith((".png", ".jpg"))][:100]
            pictures = [Image.open(io.BytesIO(archive.read(name))) for name in names]
            return [p.convert("RGB").resize((640, 640)) for p in pictures]
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(50):
        noise = random.integers(0, 256, (80, 80, 3), dtype=np.uint8)
        smooth = Image.fromarray(noise).resize((640, 640)).filter(ImageFilter.GaussianBlur(2))
        pictures.append(smooth)
    return pictures


def draw(folder: Path, count: int, given: Path | None) -> None:
    """`count` different JPEGs."""
    folder.mkdir()
    pictures = originals(given)
    for index in range(count):
        image = pictures[index % len(pictures)].rotate(90 * (index // len(pictures) % 4))
        image = image.point([min(255, v + index // (4 * len(pictures))) for v in range(256)] * 3)
        image.save(folder / f"{index:05d}.jpg", quality=90)


def timed(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--from", dest="given", type=Path, metavar="ZIP")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(folder / "pictures", asked.pictures, asked.given)
        for number in range(asked.rounds):
            plain = timed([sys.executable, "-c", PLAIN, "pictures", f"plain{number}"], folder)
            ours = timed(
                [
                    *(sys.executable, "-m", "ganctl", "prepare", "pictures"),
                    *("--source", "folder", "--out", f"set{number}.zip"),
                    *("--resolution", "256", "--format", "jpeg"),
                ],
                folder,
            )
            loose = sum(f.stat().st_size for f in (folder / f"plain{number}").iterdir())
            size = (folder / f"set{number}.zip").stat().st_size / loose
            rounds.append({"plain_s": plain, "ganctl_s": ours, "ratio": plain / ours, "size": size})
            print(
                f"round {number + 1}: plain {plain:.1f} s, ganctl {ours:.1f} s, "
                f"ratio {plain / ours:.2f}, size {size:.3f}",
                flush=True,
            )
    ratios = [r["ratio"] for r in rounds]
    report = {
        "work": f"{asked.pictures} JPEGs of 640x640 to 256x256 JPEG q95 4:4:4",
        "machine": machine(os.cpu_count() or 1),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "plain_pictures_per_second": round(
            asked.pictures / statistics.median(r["plain_s"] for r in rounds), 1
        ),
        "ganctl_pictures_per_second": round(
            asked.pictures / statistics.median(r["ganctl_s"] for r in rounds), 1
        ),
        "size_of_the_set_to_the_files": round(rounds[0]["size"], 4),
    }
    print(json.dumps(report, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
