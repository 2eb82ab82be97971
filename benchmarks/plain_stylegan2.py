"""StyleGAN2 written plainly from the formulas of its papers, as it is usually computed on CPUs.

The networks and losses of ganctl's stylegan2-ada and stylegan2 for square images without labels,
with tensors of the same names: modulated weights are built for each image to find the
demodulation, resampling inserts zeros, pads, filters and drops samples, biases and activations
are operations of their own, and autograd differentiates all of it, twice where it must.

Karras et al. 2020a (arXiv:1912.04958) and 2020b (arXiv:2006.06676). Run by `stylegan2_step.py`.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

W, LAYERS, CLAMP, GROUP = 512, 2, 256.0, 4
PL_EVERY, R1_EVERY, PL_WEIGHT, MIXING = 4, 16, 2.0, 0.9


def zeros_between(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return F.pad(x.reshape(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * h, 2 * w)


def blur(x: Tensor, before: int, after: int, gain: float = 1) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps.outer(taps) * gain).repeat(x.shape[1], 1, 1, 1)
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=x.shape[1])


def act(x: Tensor, bias: Tensor, gain: float = 1) -> Tensor:
    x = F.leaky_relu(x + bias.reshape(1, -1, 1, 1), 0.2) * (math.sqrt(2) * gain)
    return x.clamp(-CLAMP * gain, CLAMP * gain)


class Linear(nn.Module):
    def __init__(self, i: int, o: int, lr: float = 1, bias: float = 0, act: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i) / lr)
        self.bias = nn.Parameter(torch.full((o,), float(bias)))
        self.lr, self.gain, self.act = lr, lr / math.sqrt(i), act

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.gain, self.bias * self.lr)
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if self.act else x


class Mapping(nn.ModuleDict):
    def __init__(self, num_ws: int):
        super().__init__({f"fc{n}": Linear(W, W, lr=0.01, act=True) for n in range(LAYERS)})
        self.register_buffer("w_avg", torch.zeros(W))
        self.num_ws = num_ws

    def forward(self, z: Tensor, track: bool = True) -> Tensor:
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.values():
            x = layer(x)
        if track:
            self.w_avg.copy_(x.detach().mean(0).lerp(self.w_avg, 0.995))
        return x.unsqueeze(1).repeat(1, self.num_ws, 1)


class StyleConv(nn.Module):
    def __init__(self, i: int, o: int, side: int, up: bool = False):
        super().__init__()
        self.affine, self.side, self.up = Linear(W, i, bias=1), side, up
        self.weight = nn.Parameter(torch.randn(o, i, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(o))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles, noise = self.affine(w), torch.randn(len(x), 1, self.side, self.side)
        own = self.weight * styles[:, None, :, None, None]  # (N, O, I, 3, 3)
        d = (own.square().sum((2, 3, 4)) + 1e-8).rsqrt()
        x = x * styles[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = blur(x, 1, 1, gain=4)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        return act(torch.addcmul(noise * self.noise_strength, x, d[:, :, None, None]), self.bias)


class ToRGB(nn.Module):
    def __init__(self, i: int):
        super().__init__()
        self.affine, self.gain = Linear(W, i, bias=1), 1 / math.sqrt(i)
        self.weight = nn.Parameter(torch.randn(3, i, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = F.conv2d(x * (self.affine(w) * self.gain)[:, :, None, None], self.weight)
        return (x + self.bias.reshape(1, -1, 1, 1)).clamp(-CLAMP, CLAMP)


class Synthesis(nn.ModuleDict):
    def __init__(self, channels: dict[int, int]):
        super().__init__()
        for side, o in channels.items():
            layers = {"conv1": StyleConv(o, o, side), "torgb": ToRGB(o)}
            if side > 4:
                layers["conv0"] = StyleConv(channels[side // 2], o, side, up=True)
            self[f"b{side}"] = nn.ModuleDict(layers)
        self["b4"].const = nn.Parameter(torch.randn(channels[4], 4, 4))

    def forward(self, ws: Tensor) -> Tensor:
        """Style n goes to convolution n, and to the image before it."""
        first, *others = self.values()
        x = first["conv1"](first.const.repeat(len(ws), 1, 1, 1), ws[:, 0])
        image = first["torgb"](x, ws[:, 1])
        for n, block in enumerate(others):
            x = block["conv1"](block["conv0"](x, ws[:, 2 * n + 1]), ws[:, 2 * n + 2])
            image = blur(zeros_between(image), 2, 1, gain=4) + block["torgb"](x, ws[:, 2 * n + 3])
        return image


class Conv(nn.Module):
    """`gain` goes on top of the activation's; the 1×1 that halves is linear, without bias."""

    def __init__(self, i: int, o: int, kernel: int = 3, down: bool = False):
        super().__init__()
        self.down, self.pad, self.gain = down, kernel // 2, 1 / math.sqrt(i * kernel**2)
        self.weight = nn.Parameter(torch.randn(o, i, kernel, kernel))
        self.bias = None if down and kernel == 1 else nn.Parameter(torch.zeros(o))

    def forward(self, x: Tensor, gain: float = 1) -> Tensor:
        weight = self.weight * self.gain
        if self.bias is None:
            return F.conv2d(blur(x, 1, 1)[:, :, ::2, ::2], weight) * gain
        if self.down:
            return act(F.conv2d(blur(x, 2, 2), weight, stride=2), self.bias, gain)
        return act(F.conv2d(x, weight, padding=self.pad), self.bias, gain)


class Discriminator(nn.ModuleDict):
    def __init__(self, channels: dict[int, int]):
        super().__init__()
        for side in sorted(channels, reverse=True)[:-1]:
            i, o = channels[side], channels[side // 2]
            layers = {"conv0": Conv(i, i), "conv1": Conv(i, o, down=True)}
            self[f"b{side}"] = nn.ModuleDict({**layers, "skip": Conv(i, o, 1, down=True)})
        self[f"b{max(channels)}"]["fromrgb"] = Conv(3, channels[max(channels)], 1)
        o = channels[4]
        last = {"conv": Conv(o + 1, o), "fc": Linear(o * 16, o, act=True), "out": Linear(o, 1)}
        self["b4"] = nn.ModuleDict(last)

    def forward(self, x: Tensor) -> Tensor:
        *blocks, last = self.values()
        x = blocks[0]["fromrgb"](x)
        for block in blocks:
            y = block["skip"](x, math.sqrt(0.5))
            x = y + block["conv1"](block["conv0"](x), math.sqrt(0.5))
        groups = x.reshape(GROUP, -1, *x.shape[1:])
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(GROUP)
        x = torch.cat([x, spread[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        return last["out"](last["fc"](last["conv"](x).flatten(1)))


class Training:
    """A phase adds up gradients; `step` runs the phases of its turn, Adam and the average."""

    def __init__(self, side: int, channel_base: int, channel_max: int, batch: int):
        sides = [4 << n for n in range(side.bit_length() - 2)]
        channels = {s: min(channel_base // s, channel_max) for s in sides}
        synthesis, mapping = Synthesis(channels), Mapping(2 * len(sides))
        self.g = nn.ModuleDict({"synthesis": synthesis, "mapping": mapping})
        self.d, self.ema = Discriminator(channels), copy.deepcopy(self.g).requires_grad_(False)
        self.gamma, self.pl_mean = 0.0002 * side**2 / batch, torch.zeros(())
        self.adam = {self.g: adam(self.g, PL_EVERY), self.d: adam(self.d, R1_EVERY)}

    def fakes(self, n: int, batch: int) -> tuple[Tensor, Tensor]:
        z, mapping = torch.randn(batch, W)[:n], self.g["mapping"]
        ws = mapping(z)
        layer, mixed = torch.randint(1, ws.shape[1], ()), torch.rand(()) < MIXING
        others = mapping(torch.randn_like(z), track=False)
        ws = torch.cat([ws[:, :layer], others[:, layer:]], 1) if mixed else ws
        return self.g["synthesis"](ws), ws

    def g_main(self, reals: Tensor) -> None:
        F.softplus(-self.d(self.fakes(len(reals), len(reals))[0])).mean().backward()

    def g_path(self, reals: Tensor) -> None:
        images, ws = self.fakes(len(reals) // 2, len(reals))
        y = torch.randn_like(images) / images.shape[2]
        (slope,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        mean = self.pl_mean.lerp(lengths.mean(), 0.01)
        self.pl_mean = mean.detach()
        ((lengths - mean).square().mean() * (PL_WEIGHT * PL_EVERY)).backward()

    def d_main(self, reals: Tensor) -> None:
        with torch.no_grad():
            fakes, _ = self.fakes(len(reals), len(reals))
        F.softplus(self.d(fakes)).mean().backward()
        F.softplus(-self.d(reals)).mean().backward()

    def d_r1(self, reals: Tensor) -> None:
        reals = reals.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.d(reals).sum(), reals, create_graph=True)
        (slope.square().sum((1, 2, 3)).mean() * (self.gamma / 2 * R1_EVERY)).backward()

    def step(self, number: int, reals: Tensor) -> None:
        g, d, batch = self.g, self.d, len(reals)
        lazy = (self.g_path, g, PL_EVERY), (self.d_r1, d, R1_EVERY)
        for phase, network, every in (self.g_main, g, 1), lazy[0], (self.d_main, d, 1), lazy[1]:
            if number % every == 0:
                g.requires_grad_(network is g)
                d.requires_grad_(network is d)
                phase(reals)
                for p in network.parameters():
                    if p.grad is not None:
                        p.grad.nan_to_num_(0, 1e5, -1e5)
                self.adam[network].step()
                self.adam[network].zero_grad()
        half_life = max(min(batch * 10000 / 32, number * batch * 0.05), 1e-8)
        for average, p in zip(self.ema.parameters(), g.parameters(), strict=True):
            average.copy_(p.detach().lerp(average, 0.5 ** (batch / half_life)))
        self.ema["mapping"].w_avg.copy_(g["mapping"].w_avg)


def adam(network: nn.Module, every: int) -> torch.optim.Adam:
    """Slower by what a lazy phase's own steps add."""
    c = every / (every + 1)
    return torch.optim.Adam(network.parameters(), 0.0025 * c, (0.0, 0.99**c), 1e-8)
