"""Networks of StyleGAN2-ADA's PyTorch code, and of StyleGAN3's for StyleGAN2.

The two write the same modules; the later one passes what concerns synthesis beside the other
arguments, and leaves out what it defaults to.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ganctl import ImageSpec, UserError

from ..snapshot import NetworkRecord
from .arguments import Arguments
from .found import LARGEST, LAYERS, Found

GENERATOR = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
DISCRIMINATOR = ("c_dim", "img_resolution", "img_channels")
"""The arguments that may come without their names."""

FILTER = ([1, 3, 3, 1],)
SLOPE = ("lrelu",)


class Defaults(NamedTuple):
    """What the code that wrote the file takes where it is told nothing."""

    half_resolutions: int
    conv_clamp: float | None


ADA, LATER = Defaults(0, None), Defaults(4, 256.0)


def defaults_of(generator: NetworkRecord) -> Defaults:
    """Which code wrote it: StyleGAN2-ADA's always names synthesis_kwargs."""
    return ADA if "synthesis_kwargs" in generator.init_kwargs else LATER


def generator(name: str, record: NetworkRecord, defaults: Defaults) -> Found:
    """Raises `UserError` for what is not StyleGAN2's, or cannot be represented."""
    _check_class(name, record, "Generator")
    every = _arguments(name, record, GENERATOR)
    synthesis = every.within("synthesis_kwargs")
    if defaults is LATER:
        synthesis = every
    options: dict[str, Any] = {
        "z_dim": every.whole("z_dim", None, 1, LARGEST),
        "w_dim": every.whole("w_dim", None, 1, LARGEST),
    }
    spec = _spec(every)
    mapping = every.within("mapping_kwargs")
    options["mapping_layers"] = _mapping(mapping, options["w_dim"], low=1)
    options["g_arch"] = synthesis.choice("architecture", "skip", "resnet", "orig")
    options |= _shared(synthesis, defaults)
    synthesis.only("activation", *SLOPE)
    synthesis.only("resample_filter", *FILTER)
    synthesis.only("use_noise", True)
    synthesis.only("kernel_size", 3)
    synthesis.ignore("fp16_channels_last", "fused_modconv_default")
    for arguments in (every, synthesis):
        arguments.end()
    return Found(name, spec, options, record.parameters | record.buffers)


def discriminator(name: str, record: NetworkRecord, defaults: Defaults) -> Found:
    """Raises `UserError` for what is not StyleGAN2's, or cannot be represented."""
    _check_class(name, record, "Discriminator")
    every = _arguments(name, record, DISCRIMINATOR)
    spec = _spec(every)
    options: dict[str, Any] = {"d_arch": every.choice("architecture", "resnet", "skip", "orig")}
    options |= _shared(every, defaults)
    projected = min(max(options["channel_base"] // 4, 1), options["channel_max"])
    every.only("cmap_dim", None, projected if spec.classes else 0)
    options["d_mapping_layers"] = _mapping(every.within("mapping_kwargs"), projected, low=0)

    blocks = every.within("block_kwargs")
    blocks.only("activation", *SLOPE)
    blocks.only("resample_filter", *FILTER)
    blocks.ignore("freeze_layers", "fp16_channels_last")
    blocks.end()

    epilogue = every.within("epilogue_kwargs")
    options["mbstd_group"] = epilogue.whole("mbstd_group_size", 4, 1, LARGEST)
    options["mbstd_features"] = epilogue.whole("mbstd_num_channels", 1, 1, LARGEST)
    epilogue.only("activation", *SLOPE)
    epilogue.end()
    every.end()
    return Found(name, spec, options, record.parameters | record.buffers)


def _check_class(name: str, record: NetworkRecord, expected: str) -> None:
    tensors = record.parameters | record.buffers
    if any(re.match(r"synthesis\.(input\.|L\d+_\d+_\d+\.)", key) for key in tensors):
        raise UserError(
            f"{name}: an alias-free generator (StyleGAN3), which ganctl has no network for"
        )
    if record.class_name != expected:
        raise UserError(f"{name}: its class is {record.class_name}, not StyleGAN2's {expected}")


def _arguments(name: str, record: NetworkRecord, order: tuple[str, ...]) -> Arguments:
    if len(record.init_args) > len(order):
        raise UserError(f"{name}: {len(record.init_args)} arguments without names")
    return Arguments(name, dict(zip(order, record.init_args, strict=False)) | record.init_kwargs)


def _spec(arguments: Arguments) -> ImageSpec:
    side = arguments.whole("img_resolution", None, 1, 2**14)
    channels = arguments.whole("img_channels", None, 1, LARGEST)
    return ImageSpec(side, side, channels, arguments.whole("c_dim", None, 0, LARGEST))


def _shared(arguments: Arguments, defaults: Defaults) -> dict[str, Any]:
    """What G and D have in common."""
    return {
        "channel_base": arguments.whole("channel_base", 32768, 1, 2**30),
        "channel_max": arguments.whole("channel_max", 512, 1, LARGEST),
        "half_resolutions": arguments.whole("num_fp16_res", defaults.half_resolutions, 0, LAYERS),
        "conv_clamp": arguments.limit("conv_clamp", defaults.conv_clamp),
    }


def _mapping(arguments: Arguments, width: int, low: int) -> int:
    """The layers of a mapping network whose styles are `width` numbers."""
    layers = arguments.whole("num_layers", 8, low, LAYERS)
    for name in ("embed_features", "layer_features"):
        arguments.only(name, None, width)
    arguments.only("activation", *SLOPE)
    arguments.only("lr_multiplier", 0.01)
    arguments.ignore("w_avg_beta")
    arguments.end()
    return layers
