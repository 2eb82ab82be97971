"""The usual tutorial GAN: PIL transforms in a DataLoader, BCELoss, eager Adam, .item() each step.

Run by `mlp_step.py` as a process of its own; prints {"images_per_second", "peak_memory_mb"}.
The networks have the layers of ganctl's MLP GAN with the same options.
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
from torch.utils.data import DataLoader, Dataset


class ToTensor:
    def __call__(self, picture: Image.Image) -> torch.Tensor:
        array = np.array(picture, np.uint8, copy=True)
        tensor = torch.from_numpy(array).view(picture.size[1], picture.size[0], -1)
        return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class Normalize:
    def __init__(self, mean: list[float], std: list[float]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        mean = torch.as_tensor(self.mean).view(-1, 1, 1)
        std = torch.as_tensor(self.std).view(-1, 1, 1)
        return tensor.clone().sub_(mean).div_(std)


class Pictures(Dataset):
    """Images kept as one array, each made a PIL image when asked for, as in MNIST classes."""

    def __init__(self, path: str) -> None:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".png"))
            images = [np.asarray(Image.open(BytesIO(archive.read(n)))) for n in names]
        self.data = torch.from_numpy(np.stack(images))
        self.transforms = [ToTensor(), Normalize([0.5], [0.5])]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = Image.fromarray(self.data[index].numpy())
        for transform in self.transforms:
            image = transform(image)
        return image


def build(
    g_widths: list[int], d_widths: list[int], dropout: float, batch_norm: bool
) -> tuple[nn.Module, nn.Module]:
    layers: list[nn.Module] = []
    for index, (a, b) in enumerate(zip([100, *g_widths], g_widths, strict=False)):
        layers.append(nn.Linear(a, b))
        if batch_norm and index:
            layers.append(nn.BatchNorm1d(b))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    generator = nn.Sequential(*layers, nn.Linear(g_widths[-1], 784), nn.Tanh())
    layers = []
    for a, b in zip([784, *d_widths], d_widths, strict=False):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2, inplace=True)]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return generator, nn.Sequential(*layers, nn.Linear(d_widths[-1], 1), nn.Sigmoid())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--g-widths", required=True)
    parser.add_argument("--d-widths", required=True)
    parser.add_argument("--dropout", type=float, required=True)
    parser.add_argument("--batch-norm", action="store_true")
    asked = parser.parse_args()

    torch.manual_seed(0)
    widths = [list(map(int, text.split(","))) for text in (asked.g_widths, asked.d_widths)]
    generator, discriminator = build(*widths, asked.dropout, asked.batch_norm)
    adversarial_loss = nn.BCELoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader = DataLoader(Pictures(asked.data), batch_size=asked.batch, shuffle=True)

    done, began = 0, time.perf_counter()
    while done < asked.images:
        for images in loader:
            valid = torch.ones(images.size(0), 1)
            fake = torch.zeros(images.size(0), 1)
            real_images = images.view(images.size(0), -1)

            optimizer_g.zero_grad()
            gen_images = generator(torch.randn(images.size(0), 100))
            g_loss = adversarial_loss(discriminator(gen_images), valid)
            g_loss.backward()
            optimizer_g.step()

            optimizer_d.zero_grad()
            real_loss = adversarial_loss(discriminator(real_images), valid)
            fake_loss = adversarial_loss(discriminator(gen_images.detach()), fake)
            d_loss = (real_loss + fake_loss) / 2
            d_loss.backward()
            optimizer_d.step()

            _ = f"[D loss: {d_loss.item():f}] [G loss: {g_loss.item():f}]"
            done += images.size(0)
            if done >= asked.images:
                break
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"images_per_second": done / seconds, "peak_memory_mb": peak}))


if __name__ == "__main__":
    main()
