"""Networks of the TensorFlow code of StyleGAN2 and StyleGAN2-ADA.

The same networks in another layout: convolutions are (height, width, in, out), dense layers
(in, out), scales are written without the 1 that is added to them, and the filters of
transposed convolutions are turned round.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ganctl import ImageSpec, UserError

from ..snapshot import TensorFlowRecord
from .arguments import Arguments
from .found import LARGEST, LAYERS, Found

SLOPE = ("lrelu",)

HARMLESS = (
    *("func_name", "mapping_func", "synthesis_func", "is_training", "is_validation"),
    *("is_template_graph", "return_dlatents", "randomize_noise", "fused_modconv"),
    *("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val"),
    *("dlatent_avg_beta", "style_mixing_prob", "freeze_layers", "dlatent_broadcast"),
)
"""How it was trained or called; its images follow from the rest."""

FIRST_STYLEGAN = re.compile(r"(^|/)lod$|/StyleMod/|/AdaIN/|/ToRGB_lod\d|/FromRGB_lod\d")


def generator(name: str, record: TensorFlowRecord) -> Found:
    """Raises `UserError` for what is not StyleGAN2's, or cannot be represented."""
    arguments = _arguments(name, record)
    options: dict[str, Any] = {
        "z_dim": arguments.whole("latent_size", 512, 1, LARGEST),
        "w_dim": arguments.whole("dlatent_size", 512, 1, LARGEST),
        "mapping_layers": arguments.whole("mapping_layers", 8, 1, LAYERS),
        "g_arch": arguments.choice("architecture", "skip", "resnet", "orig"),
    }
    arguments.only("mapping_fmaps", None, options["w_dim"])
    arguments.only("mapping_lrmul", 0.01)
    arguments.only("normalize_latents", True)
    arguments.only("use_noise", True)
    spec, shared = _common(arguments)
    arguments.end()
    return Found(name, spec, options | shared, _renamed(name, record, GENERATOR))


def discriminator(name: str, record: TensorFlowRecord) -> Found:
    """Raises `UserError` for what is not StyleGAN2's, or cannot be represented."""
    arguments = _arguments(name, record)
    options: dict[str, Any] = {
        "d_arch": arguments.choice("architecture", "resnet", "skip", "orig"),
        "d_mapping_layers": arguments.whole("mapping_layers", 0, 0, LAYERS),
        "mbstd_group": arguments.whole("mbstd_group_size", 4, 1, LARGEST),
        "mbstd_features": arguments.whole("mbstd_num_features", 1, 1, LARGEST),
    }
    if options["d_mapping_layers"]:
        if "mapping_lrmul" not in arguments:
            raise UserError(f"{name}: mapping_lrmul is not 0.01 where it is left out")
        arguments.only("mapping_lrmul", 0.01)
    arguments.ignore("mapping_lrmul")
    spec, shared = _common(arguments)
    width = min(max(shared["channel_base"] // 4, 1), shared["channel_max"])
    arguments.only("mapping_fmaps", None, width)
    arguments.end()
    tensors = _renamed(name, record, DISCRIMINATOR)
    if spec.classes and "mapping.embed.weight" not in tensors:
        raise UserError(f"{name}: one output for each class, without a mapping of labels")
    return Found(name, spec, options | shared, tensors)


def _arguments(name: str, record: TensorFlowRecord) -> Arguments:
    if any(FIRST_STYLEGAN.search(key) for key in record.variables):
        raise UserError(f"{name}: of the first StyleGAN, which ganctl has no network for")
    return Arguments(name, record.static_kwargs)


def _common(arguments: Arguments) -> tuple[ImageSpec, dict[str, Any]]:
    """What G and D have in common; channels are reckoned for half the resolution there."""
    side = arguments.whole("resolution", 1024, 1, 2**14)
    channels = arguments.whole("num_channels", 3, 1, LARGEST)
    spec = ImageSpec(side, side, channels, arguments.whole("label_size", 0, 0, LARGEST))
    shared = {
        "channel_base": 2 * arguments.whole("fmap_base", 16384, 1, 2**29),
        "channel_max": arguments.whole("fmap_max", 512, 1, LARGEST),
        "half_resolutions": arguments.whole("num_fp16_res", 0, 0, LAYERS),
        "conv_clamp": arguments.limit("conv_clamp", None),
    }
    arguments.only("fmap_decay", 1.0, 1)
    arguments.only("fmap_min", 1)
    arguments.only("nonlinearity", *SLOPE)
    arguments.only("mapping_nonlinearity", *SLOPE)
    arguments.only("resample_kernel", [1, 3, 3, 1])
    arguments.only("dtype", "float32")
    arguments.ignore(*HARMLESS)
    return spec, shared


Rule = tuple[str, Callable[..., str], Callable[[Tensor], Tensor]]
"""A variable's name, our tensor's from its groups, and the change of layout."""


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _dense(x: Tensor) -> Tensor:
    return x.t()


def _convolution(x: Tensor) -> Tensor:
    return x.permute(3, 2, 0, 1)


def _transposed(x: Tensor) -> Tensor:
    return _convolution(x.flip(0, 1))


def _scale(x: Tensor) -> Tensor:
    return x + 1


def _noise(number: str) -> str:
    level, second = divmod(int(number) + 5, 2)
    return f"synthesis.b{2**level}.conv{second}.noise_const"


LABELS: list[Rule] = [
    (r"LabelEmbed/weight", lambda: "mapping.embed.weight", _dense),
    (r"LabelEmbed/bias", lambda: "mapping.embed.bias", _as_it_is),
    (r"(?:Dense|Mapping)(\d+)/weight", lambda n: f"mapping.fc{n}.weight", _dense),
    (r"(?:Dense|Mapping)(\d+)/bias", lambda n: f"mapping.fc{n}.bias", _as_it_is),
]

LAYER = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}

GENERATOR: list[Rule] = [
    *LABELS,
    (r"dlatent_avg", lambda: "mapping.w_avg", _as_it_is),
    (r"noise(\d{1,2})", _noise, lambda x: x[0, 0]),
    (r"4x4/Const/const", lambda: "synthesis.b4.const", lambda x: x[0]),
    *[
        (
            rf"(\d+)x\1/({kind})/{variable}",
            lambda side, kind, to=to: f"synthesis.b{side}.{LAYER[kind]}.{to}",
            change,
        )
        for kind, variable, to, change in [
            ("Conv0_up|Skip", "weight", "weight", _transposed),
            ("Conv|Conv1|ToRGB", "weight", "weight", _convolution),
            ("Conv|Conv0_up|Conv1|ToRGB", "bias", "bias", _as_it_is),
            ("Conv|Conv0_up|Conv1", "noise_strength", "noise_strength", _as_it_is),
            ("Conv|Conv0_up|Conv1|ToRGB", "mod_weight", "affine.weight", _dense),
            ("Conv|Conv0_up|Conv1|ToRGB", "mod_bias", "affine.bias", _scale),
        ]
    ],
]

SEEN = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip"}

DISCRIMINATOR: list[Rule] = [
    *LABELS,
    (
        r"(\d+)x\1/(FromRGB|Conv0|Conv1_down|Skip)/weight",
        lambda side, kind: f"b{side}.{SEEN[kind]}.weight",
        _convolution,
    ),
    (
        r"(\d+)x\1/(FromRGB|Conv0|Conv1_down)/bias",
        lambda side, kind: f"b{side}.{SEEN[kind]}.bias",
        _as_it_is,
    ),
    (r"4x4/Conv/weight", lambda: "b4.conv.weight", _convolution),
    (r"4x4/Conv/bias", lambda: "b4.conv.bias", _as_it_is),
    (r"4x4/Dense0/weight", lambda: "b4.fc.weight", _dense),
    (r"4x4/Dense0/bias", lambda: "b4.fc.bias", _as_it_is),
    (r"Output/weight", lambda: "b4.out.weight", _dense),
    (r"Output/bias", lambda: "b4.out.bias", _as_it_is),
]


def _place(variable: str, rules: list[Rule]) -> tuple[str, Callable[[Tensor], Tensor]] | None:
    """Our tensor's name, and the change of layout; None for a variable without a rule."""
    for pattern, rename, change in rules:
        if match := re.fullmatch(pattern, variable):
            return rename(*match.groups()), change
    return None


def _renamed(name: str, record: TensorFlowRecord, rules: list[Rule]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for full, value in record.variables.items():
        variable = re.sub(r"^(G_|D_)?(synthesis|mapping)/", "", full)
        if variable == "LabelConcat/weight":
            raise UserError(
                f"{name}: labels joined with latents before both are normalised (LabelConcat, "
                "StyleGAN2 of before ADA), which ganctl has no network for"
            )
        place = _place(variable, rules)
        if place is None:
            raise UserError(f"{name}: the variable {ascii(full)[1:-1]} is not known here")
        here, change = place
        if here in tensors:
            raise UserError(f"{name}: {here} is there twice")
        try:
            tensors[here] = change(value)
        except (RuntimeError, IndexError):
            raise UserError(
                f"{name}: {ascii(full)[1:-1]} has the shape {tuple(value.shape)}"
            ) from None
    return tensors
