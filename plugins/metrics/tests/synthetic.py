"""A weights file of the real one's shapes, with random weights that keep signals alive."""

from pathlib import Path

import torch
from torch import Tensor

from ganctl_metrics.inception import EPS, Conv, Inception, file_shapes, from_file


def synthetic_state(seed: int = 0) -> dict[str, Tensor]:
    """He-initialised convolutions; batch normalisations calibrated on clouds, so that features are
    neither zero nor huge, and different for different images."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in file_shapes().items():
        if name.endswith("conv.weight"):
            fan_in = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=draw) * (2 / fan_in) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 0.75 + 0.5 * torch.rand(shape, generator=draw)
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
        elif name == "fc.weight":
            state[name] = torch.randn(shape, generator=draw) * 0.1
        else:
            state[name] = torch.randn(shape, generator=draw) * 0.1
    calibrate(state, clouds(16, draw))
    return state


def clouds(count: int, draw: torch.Generator) -> Tensor:
    """(count, 3, 299, 299): noise of falling strength at rising frequencies, as pictures have."""
    images = torch.zeros(count, 3, 299, 299)
    for octave in range(8):
        side = 2 + 2**octave
        noise = torch.randn(count, 3, side, side, generator=draw) / 2**octave
        images += torch.nn.functional.interpolate(noise, size=(299, 299), mode="bilinear")
    return images.tanh()


@torch.no_grad()
def calibrate(state: dict[str, Tensor], images: Tensor) -> None:
    """Set each running mean and variance to what the images give there, layer by layer."""
    network: Inception = from_file(state)

    def normalise(module: Conv, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        name = names[module]
        raw = torch.nn.functional.conv2d(
            inputs[0], state[f"{name}.conv.weight"], None, module.stride, module.padding
        )
        variance, mean = torch.var_mean(raw, dim=(0, 2, 3))
        state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"] = mean, variance
        scale = state[f"{name}.bn.weight"] / (variance + EPS).sqrt()
        shaped = (raw - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1)
        return (shaped + state[f"{name}.bn.bias"].view(-1, 1, 1)).relu()

    names = {m: n for n, m in network.named_modules() if isinstance(m, Conv)}
    handles = [module.register_forward_hook(normalise) for module in names]
    network(images)
    for handle in handles:
        handle.remove()


def write_weights(file: Path, seed: int = 0, legacy: bool = False) -> Path:
    torch.save(synthetic_state(seed), file, _use_new_zipfile_serialization=not legacy)
    return file
