"""Our networks from the arguments and arrays of the reference's."""

from typing import Any

from torch import nn

from ganctl import ImageSpec
from ganctl_stylegan2_ada import StyleGAN2Options


def options_and_spec(
    g: dict[str, Any], d: dict[str, Any], **others: Any
) -> tuple[StyleGAN2Options, ImageSpec]:
    """From the arguments that the reference's networks were made with."""
    side = g["img_resolution"]
    options = StyleGAN2Options(
        z_dim=g["z_dim"],
        w_dim=g["w_dim"],
        mapping_layers=g["mapping_kwargs"]["num_layers"],
        channel_base=g["synthesis_kwargs"]["channel_base"],
        channel_max=g["synthesis_kwargs"]["channel_max"],
        d_mapping_layers=d.get("mapping_kwargs", {}).get("num_layers", 8),
        mbstd_group=d["epilogue_kwargs"]["mbstd_group_size"],
        **{"half_resolutions": 0, "conv_clamp": None, **others},
    )
    return options, ImageSpec(side, side, g["img_channels"], g["c_dim"])


def load_network(network: nn.Module, file: Any, prefix: str) -> None:
    """Its tensors from those whose keys begin with `prefix`: all names and shapes agree."""
    tensors = {k.removeprefix(prefix): v for k, v in file.arrays.items() if k.startswith(prefix)}
    network.load_state_dict(tensors)
