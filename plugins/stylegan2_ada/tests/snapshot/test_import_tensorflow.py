"""Networks of TensorFlow pickles become ours: the layouts, written here the other way round."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganctl import ImageSpec, UserError
from ganctl_stylegan2_ada.nvidia import Imported, convert
from ganctl_stylegan2_ada.snapshot import read_snapshot

Write = Callable[[bytes], Path]
Dumps = Callable[..., bytes]
Same = Callable[[Any, Any, ImageSpec], bool]
Variables = dict[str, np.ndarray[Any, Any]]

RGB = ImageSpec(32, 32, 3)


def array(x: Tensor) -> np.ndarray[Any, Any]:
    return x.detach().numpy().copy()


def kernel(x: Tensor) -> np.ndarray[Any, Any]:
    """(out, in, height, width) → (height, width, in, out)."""
    return array(torch.einsum("oihw->hwio", x))


def mapping_variables(mapping: Any, layer: str = "Dense") -> Variables:
    found = {}
    for index in range(mapping.layers):
        fc = mapping.get_submodule(f"fc{index}")
        found[f"{layer}{index}/weight"] = array(fc.weight.T)
        found[f"{layer}{index}/bias"] = array(fc.bias)
    if mapping.classes:
        found["LabelEmbed/weight"] = array(mapping.embed.weight.T)
        found["LabelEmbed/bias"] = array(mapping.embed.bias)
    return found


def synthesis_variables(synthesis: Any) -> Variables:
    found: Variables = {"4x4/Const/const": array(synthesis.b4.const)[None]}
    for name in synthesis.blocks:
        side = int(name[1:])
        block, exponent = synthesis.get_submodule(name), int(math.log2(side))
        layers = {"Conv" if side == 4 else "Conv1": block.conv1}
        found[f"noise{2 * exponent - 4}"] = array(block.conv1.noise_const)[None, None]
        if side > 4:
            layers["Conv0_up"] = block.conv0
            found[f"noise{2 * exponent - 5}"] = array(block.conv0.noise_const)[None, None]
        if block.torgb is not None:
            layers["ToRGB"] = block.torgb
        for kind, layer in layers.items():
            weight = kernel(layer.weight)
            scope = f"{side}x{side}/{kind}"
            found[f"{scope}/weight"] = weight[::-1, ::-1] if kind == "Conv0_up" else weight
            found[f"{scope}/bias"] = array(layer.bias)
            found[f"{scope}/mod_weight"] = array(layer.affine.weight.T)
            found[f"{scope}/mod_bias"] = array(layer.affine.bias - 1)
            if kind != "ToRGB":
                found[f"{scope}/noise_strength"] = array(layer.noise_strength)
        if hasattr(block, "skip"):
            found[f"{side}x{side}/Skip/weight"] = kernel(block.skip.weight)[::-1, ::-1]
    return found


def discriminator_variables(d: Any) -> Variables:
    found = {} if d.mapping is None else mapping_variables(d.mapping, "Mapping")
    for name in [*d.blocks, "b4"]:
        block, side = d.get_submodule(name), int(name[1:])
        parts = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
        for ours, theirs in parts.items():
            if (layer := getattr(block, ours, None)) is not None:
                found[f"{side}x{side}/{theirs}/weight"] = kernel(layer.weight)
                if layer.bias is not None:
                    found[f"{side}x{side}/{theirs}/bias"] = array(layer.bias)
    found["4x4/Conv/weight"] = kernel(d.b4.conv.weight)
    found["4x4/Conv/bias"] = array(d.b4.conv.bias)
    for ours, theirs in (("fc", "4x4/Dense0"), ("out", "Output")):
        found[f"{theirs}/weight"] = array(d.b4.get_submodule(ours).weight.T)
        found[f"{theirs}/bias"] = array(d.b4.get_submodule(ours).bias)
    return found


def g_kwargs(options: Any, spec: ImageSpec) -> dict[str, Any]:
    return {
        "num_channels": spec.channels,
        "resolution": spec.height,
        "label_size": spec.classes,
        "latent_size": options.z_dim,
        "dlatent_size": options.w_dim,
        "mapping_fmaps": options.w_dim,
        "mapping_layers": options.mapping_layers,
        "fmap_base": options.channel_base // 2,
        "fmap_max": np.int64(options.channel_max),
        "num_fp16_res": options.half_resolutions,
        "conv_clamp": options.conv_clamp,
        "architecture": options.g_arch,
        "randomize_noise": True,
    }


def d_kwargs(options: Any, spec: ImageSpec) -> dict[str, Any]:
    names = ("num_channels", "resolution", "label_size", "fmap_base", "fmap_max")
    every = g_kwargs(options, spec)
    return {
        **{name: every[name] for name in (*names, "num_fp16_res", "conv_clamp")},
        "architecture": options.d_arch,
        "mbstd_group_size": options.mbstd_group,
        "mbstd_num_features": options.mbstd_features,
        "mapping_layers": options.d_mapping_layers,
    }


@pytest.fixture
def made(names: SimpleNamespace, write: Write, dumps: Dumps) -> Callable[..., Imported]:
    """`made(g, g_kwargs, d, d_kwargs)`: what comes of a pickle with these, Gs like G."""

    def network(kwargs: dict[str, Any], variables: Variables, **components: Any) -> Any:
        return names.Network(
            version=4,
            name="N",
            static_kwargs=names.EasyDict(kwargs),
            components=names.EasyDict(components),
            # As TensorFlow gives them: what has no axes is a number.
            variables=[(k, v if v.ndim else v[()]) for k, v in variables.items()],
        )

    def made(
        g: Any,
        g_arguments: dict[str, Any],
        d: Any,
        d_arguments: dict[str, Any],
        change: Callable[[Variables], None] = lambda variables: None,
    ) -> Imported:
        styles = mapping_variables(g.mapping)
        change(styles)
        mapping = network(g_arguments, styles)
        synthesis = network(g_arguments, synthesis_variables(g.synthesis))
        mean = {"dlatent_avg": array(g.mapping.w_avg)}
        whole = network(g_arguments, mean, mapping=mapping, synthesis=synthesis)
        other = network(d_arguments, discriminator_variables(d))
        return convert(read_snapshot(write(dumps((whole, other, whole)))))

    return made


@pytest.mark.parametrize(
    ("spec", "others"),
    [
        (RGB, {}),
        (ImageSpec(16, 16, 1), {"g_arch": "resnet", "d_arch": "skip", "mbstd_features": 2}),
        (ImageSpec(16, 16, 3, 3), {"g_arch": "orig", "d_arch": "orig"}),
        (ImageSpec(8, 8, 3, 10), {"conv_clamp": 256.0, "half_resolutions": 4, "mbstd_group": 2}),
    ],
    ids=["rgb", "gray, resnet and skip", "orig, classes", "classes, clamped"],
)
def test_every_kind_of_network_comes_through(
    spec: ImageSpec,
    others: dict[str, Any],
    networks: Any,
    made: Any,
    same_pictures: Same,
    same_logits: Same,
) -> None:
    options, g, d = networks(spec, d_mapping_layers=0, **others)
    result = made(g, g_kwargs(options, spec), d, d_kwargs(options, spec))
    assert result.left_out is None
    assert result.options == options
    assert result.spec == spec
    assert same_pictures(result.generator, g, spec)
    assert result.players is not None
    assert same_logits(result.players[1], d, spec)
    assert result.found[0] == "networks of TensorFlow: G, D, Gs"
    assert result.found[1].startswith("Gs: ")


def test_the_names_may_have_their_components_names(
    networks: Any, names: SimpleNamespace, write: Write, dumps: Dumps, same_pictures: Same
) -> None:
    options, g, _ = networks(RGB)
    variables = {"dlatent_avg": array(g.mapping.w_avg)}
    variables |= {f"G_mapping/{k}": v for k, v in mapping_variables(g.mapping).items()}
    variables |= {f"G_synthesis/{k}": v for k, v in synthesis_variables(g.synthesis).items()}
    flat = names.Network(
        version=4,
        static_kwargs=g_kwargs(options, RGB),
        components={},
        variables=list(variables.items()),
    )
    result = convert(read_snapshot(write(dumps((flat, flat, flat)))))
    assert same_pictures(result.generator, g, RGB)
    assert result.left_out is not None  # D is a generator


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fmap_decay": 2.0}, "fmap_decay=2.0 is not supported"),
        ({"resample_kernel": [1, 2, 1]}, "resample_kernel=[1, 2, 1] is not supported"),
        ({"nonlinearity": "relu"}, "nonlinearity=relu is not supported"),
        ({"mapping_lrmul": 0.1}, "mapping_lrmul=0.1 is not supported"),
        ({"mapping_fmaps": 7}, "mapping_fmaps=7 is not supported"),
        ({"normalize_latents": False}, "normalize_latents=False is not supported"),
        ({"use_styles": True}, "use_styles=True is not known here"),
        ({"fmap_base": 128}, "of another size"),
    ],
)
def test_what_ours_cannot_be_is_refused_by_name(
    change: dict[str, Any], why: str, networks: Any, made: Any
) -> None:
    options, g, d = networks(RGB)
    with pytest.raises(UserError) as caught:
        made(g, {**g_kwargs(options, RGB), **change}, d, d_kwargs(options, RGB))
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("lod", 0.0, "of the first StyleGAN"),
        ("8x8/Conv1/StyleMod/weight", [[1.0]], "of the first StyleGAN"),
        ("LabelConcat/weight", [[1.0]], "before both are normalised (LabelConcat"),
        ("Rotor/weight", [[1.0]], "the variable mapping/Rotor/weight is not known"),
        ("noise4", [1.0], "noise4 has the shape (1,)"),
        ("noise99999999999", [1.0], "noise99999999999 is not known"),
        ("Dense0/weight", [1.0, 2.0], "mapping.fc0.weight is of another size"),
        ("Mapping0/weight", [[1.0]], "fc0.weight is there twice"),
    ],
)
def test_other_variables_are_refused_by_name(
    name: str, value: Any, why: str, networks: Any, made: Any
) -> None:
    options, g, d = networks(RGB)

    def change(variables: Variables) -> None:
        variables[name] = np.array(value, np.float32)

    with pytest.raises(UserError) as caught:
        made(g, g_kwargs(options, RGB), d, d_kwargs(options, RGB), change)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "change", "why"),
    [
        (0, {"fmap_base": 128}, "channel_base is 256, and 128 in Gs"),
        (0, {"score_max": 8}, "score_max=8 is not known here"),
        (3, {"mapping_layers": 8}, "mapping_lrmul is not 0.01 where it is left out"),
        (3, {"mapping_layers": 2, "mapping_lrmul": 0.1}, "mapping_lrmul=0.1 is not supported"),
    ],
)
def test_a_discriminator_that_ours_cannot_be_is_left_out(
    classes: int, change: dict[str, Any], why: str, networks: Any, made: Any, same_pictures: Same
) -> None:
    spec = ImageSpec(16, 16, 3, classes)
    options, g, d = networks(spec, d_mapping_layers=0)
    result = made(g, g_kwargs(options, spec), d, {**d_kwargs(options, spec), **change})
    assert result.players is None
    assert why in result.left_out
    assert same_pictures(result.generator, g, spec)
