"""Inception features beside pytorch-fid's, from files to float32 rows, in one run.

    python benchmarks/features.py FOLDER [--rounds 5] [--images 96] [--out FILE.json]

Both take the same weights (random ones of the real shapes: time does not depend on their
values), one thread, and count CPU seconds of the process: decoding, resizing, network.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from machine import machine
from report import publish, spread

HERE = Path(__file__).parent
TESTS = HERE.parent / "plugins" / "metrics" / "tests"

PEER = """
import sys, time, pathlib, resource, torch
sys.path.insert(0, sys.argv[3])
from oracle import pytorch_fid_network
from synthetic import synthetic_state
from pytorch_fid.fid_score import get_activations
torch.set_num_threads(1)
model = pytorch_fid_network(synthetic_state())
files = sorted(pathlib.Path(sys.argv[1]).iterdir())[:int(sys.argv[2])]
start = time.process_time()
get_activations(files, model, batch_size=50, dims=2048, device="cpu", num_workers=0)
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""

OURS = """
import sys, time, pathlib, resource, torch
sys.path.insert(0, sys.argv[3])
from synthetic import synthetic_state
from ganctl.data.dataset import Dataset
from ganctl.data.picture_set import PictureSet
from ganctl_metrics.inception import from_file
from ganctl_metrics.resize import for_inception
torch.set_num_threads(1)
network = from_file(synthetic_state())
pictures = PictureSet(Dataset(sys.argv[1]), torch.device("cpu"), any_size=True)
start = time.process_time()
with torch.inference_mode():
    for batch in pictures.batches(torch.arange(int(sys.argv[2]))):
        for part in batch.images.split(8):
            network(for_inception(part, "pytorch-fid"))
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def cpu_seconds(program: str, folder: Path, images: int) -> tuple[float, float]:
    """(CPU seconds, peak memory in MB)."""
    command = [sys.executable, "-c", program, str(folder), str(images), str(TESTS)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, memory = map(float, out.split()[-2:])
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rounds = []
    for number in range(asked.rounds):
        peer, ours = (cpu_seconds(p, asked.folder, asked.images) for p in (PEER, OURS))
        rounds.append((peer, ours))
        print(f"round {number + 1}: {peer[0] / ours[0]:.2f}", flush=True)
    ratios = [peer[0] / ours[0] for peer, ours in rounds]
    report = {
        "work": f"Inception features of {asked.images} pictures, CPU seconds, 1 thread",
        "machine": machine(1),
        "python": platform.python_version(),
        **spread(ratios),
    }
    for index, name in enumerate(("pytorch_fid", "ganctl")):
        ms = statistics.median(pair[index][0] for pair in rounds) / asked.images * 1000
        report[f"{name}_cpu_ms_per_image"] = round(ms, 1)
        report[f"{name}_peak_memory_mb"] = round(
            statistics.median(pair[index][1] for pair in rounds), 1
        )
    publish(report, asked.out)


if __name__ == "__main__":
    main()
