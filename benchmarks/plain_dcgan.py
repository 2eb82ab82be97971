"""The usual tutorial DCGAN: images in memory behind a DataLoader, BCELoss, eager Adam, .item().

Run by `dcgan_step.py` as a process of its own; prints {"images_per_second", "peak_memory_mb",
"cpu_seconds_per_kimg"}. The networks are those of ganctl's DCGAN with its default options.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import zipfile
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NZ, NGF, NDF = 100, 64, 64


def read(path: str) -> torch.Tensor:
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith((".png", ".jpg")))
        images = [np.asarray(Image.open(BytesIO(archive.read(n))).convert("RGB")) for n in names]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels.float().div_(255).sub_(0.5).div_(0.5)


def up(a: int, b: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(b), nn.ReLU(True)]


def down(a: int, b: int) -> list[nn.Module]:
    convolution = nn.Conv2d(a, b, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]


def build() -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        *up(NZ, NGF * 8, 1, 0),
        *up(NGF * 8, NGF * 4),
        *up(NGF * 4, NGF * 2),
        *up(NGF * 2, NGF),
        nn.ConvTranspose2d(NGF, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(3, NDF, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        *down(NDF, NDF * 2),
        *down(NDF * 2, NDF * 4),
        *down(NDF * 4, NDF * 8),
        nn.Conv2d(NDF * 8, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    for module in (*generator, *discriminator):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return generator, discriminator


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    asked = parser.parse_args()

    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(read(asked.data)), asked.batch, shuffle=True, drop_last=True)
    generator, discriminator = build()
    g_adam = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_adam = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    criterion = nn.BCELoss()

    seen, losses = 0, []
    start, cpu = time.perf_counter(), time.process_time()
    while seen < asked.images:
        for (reals,) in loader:
            discriminator.zero_grad()
            label = torch.full((len(reals),), 1.0)
            d_real = criterion(discriminator(reals).view(-1), label)
            d_real.backward()
            fakes = generator(torch.randn(len(reals), NZ, 1, 1))
            label.fill_(0.0)
            d_fake = criterion(discriminator(fakes.detach()).view(-1), label)
            d_fake.backward()
            d_adam.step()

            generator.zero_grad()
            label.fill_(1.0)
            g_loss = criterion(discriminator(fakes).view(-1), label)
            g_loss.backward()
            g_adam.step()

            losses.append((g_loss.item(), d_real.item() + d_fake.item()))
            seen += len(reals)
            if seen >= asked.images:
                break
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        json.dumps(
            {
                "images_per_second": seen / seconds,
                "cpu_seconds_per_kimg": cpu / seen * 1000,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
