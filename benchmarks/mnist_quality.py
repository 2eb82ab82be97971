"""How good an MLP GAN trained on MNIST is, judged by a small CNN trained on the labels.

    python benchmarks/mnist_quality.py MODEL --mnist FOLDER [--out FILE.json]

MODEL is a generator.safetensors or a run folder, FOLDER holds the idx files. Prints (and
writes) the share of each of the ten classes among 10,000 samples, the CNN's mean confidence
(beside its confidence on the 10,000 real test images), and the Fréchet distance between
samples and test images in the CNN's 128 features (beside that of 10,000 training images):
a figure of its own, not FID.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import ganctl
from ganctl_sources.mnist import read_idx

SAMPLES = 10_000


class Judge(nn.Module):
    """Two convolutions and two dense layers; 128 features before the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU()),
        )
        self.logits = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.logits(features)


def load_split(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """uint8 images (N, 1, 28, 28) and labels (N,)."""

    def idx(name: str) -> Tensor:
        file = folder / name
        return torch.from_numpy(read_idx(file if file.exists() else file.with_suffix(".gz")).copy())

    return idx(f"{part}-images-idx3-ubyte")[:, None], idx(f"{part}-labels-idx1-ubyte").long()


def train_judge(images: Tensor, labels: Tensor, epochs: int = 2) -> Judge:
    torch.manual_seed(0)
    judge = Judge()
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(128):
            _, logits = judge(images[rows].float() / 255)
            nn.functional.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return judge.eval()


@torch.no_grad()
def judged(judge: Judge, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 128) float64 and class probabilities (N, 10)."""
    parts = [judge(chunk.float() / 255) for chunk in images.split(500)]
    features = torch.cat([f for f, _ in parts]).double().numpy()
    return features, torch.cat([logits.softmax(1) for _, logits in parts]).numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), float64; the root by symmetric eigenvalues."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(mean + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    train_images, train_labels = load_split(asked.mnist, "train")
    test_images, test_labels = load_split(asked.mnist, "t10k")
    judge = train_judge(train_images, train_labels)
    test_features, test_probabilities = judged(judge, test_images)
    train_features, _ = judged(judge, train_images[:SAMPLES])
    reports = []
    for name in asked.models:
        model = ganctl.load(name)
        samples = torch.from_numpy(np.asarray(model.generate(range(SAMPLES)))).permute(0, 3, 1, 2)
        features, probabilities = judged(judge, samples)
        shares = np.bincount(probabilities.argmax(1), minlength=10) / SAMPLES
        report = {
            "model": model.header["architecture"]["options"],
            "training": model.header["training"],
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
            f"torch {torch.__version__}",
            "judge_test_accuracy": float(
                (test_probabilities.argmax(1) == test_labels.numpy()).mean()
            ),
            "samples": SAMPLES,
            "class_share": [round(float(share), 4) for share in shares],
            "smallest_class_share": float(shares.min()),
            "mean_confidence": float(probabilities.max(1).mean()),
            "mean_confidence_on_test_images": float(test_probabilities.max(1).mean()),
            "frechet_distance": frechet(features, test_features),
            "frechet_distance_of_training_images": frechet(train_features, test_features),
        }
        print(json.dumps(report, indent=2))
        reports.append(report)
    if asked.out:
        text = json.dumps(reports[0] if len(reports) == 1 else reports, indent=2)
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
