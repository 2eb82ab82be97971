"""Networks of PyTorch snapshots become ours, with the same pictures, or are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganctl import ImageSpec, UserError
from ganctl_stylegan2_ada.nvidia import Imported, convert
from ganctl_stylegan2_ada.snapshot import read_snapshot

Write = Callable[[bytes], Path]
Dumps = Callable[..., bytes]
Same = Callable[[Any, Any, ImageSpec], bool]

RGB = ImageSpec(32, 32, 3)


@pytest.fixture
def imported(write: Write, dumps: Dumps) -> Callable[..., Imported]:
    """`imported(G=…, D=…)`: what comes of a file with these networks."""

    def imported(**content: Any) -> Imported:
        return convert(read_snapshot(write(dumps({"training_set_kwargs": None, **content}))))

    return imported


def g_kwargs(options: Any, spec: ImageSpec, later: bool = False) -> dict[str, Any]:
    """As the reference's training scripts write them, but for what they leave out."""
    synthesis = {
        "channel_base": options.channel_base,
        "channel_max": options.channel_max,
        "num_fp16_res": options.half_resolutions,
        "conv_clamp": options.conv_clamp,
        "architecture": options.g_arch,
    }
    return {
        "z_dim": options.z_dim,
        "w_dim": options.w_dim,
        "c_dim": spec.classes,
        "img_resolution": spec.height,
        "img_channels": spec.channels,
        "mapping_kwargs": {"num_layers": options.mapping_layers},
        **(synthesis if later else {"synthesis_kwargs": synthesis}),
    }


def d_kwargs(options: Any, spec: ImageSpec) -> dict[str, Any]:
    return {
        "c_dim": spec.classes,
        "img_resolution": spec.height,
        "img_channels": spec.channels,
        "channel_base": options.channel_base,
        "channel_max": options.channel_max,
        "num_fp16_res": options.half_resolutions,
        "conv_clamp": options.conv_clamp,
        "architecture": options.d_arch,
        "block_kwargs": {"freeze_layers": 0},
        "mapping_kwargs": {"num_layers": options.d_mapping_layers},
        "epilogue_kwargs": {
            "mbstd_group_size": options.mbstd_group,
            "mbstd_num_channels": options.mbstd_features,
        },
    }


def test_the_shared_snapshot_makes_the_reference_pictures(
    shared_snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = convert(read_snapshot(shared_snapshot))
    assert result.left_out is None
    assert result.players is not None
    g, (live, d) = result.generator.eval(), result.players
    with np.load(shared_snapshot.with_name("net_uncond.npz")) as arrays:
        file = {key: torch.from_numpy(arrays[key]) for key in arrays}
    for psi, cutoff, name in ((1, None, "psi1"), (0.7, None, "psi07"), (0.5, 3, "psi05_cut3")):
        for one in (g, live.eval()):
            ws = one.mapping(file["z"], None, psi, cutoff)
            expected = file[f"img_const_{name}"]
            assert (one.synthesis(ws, noise="const") - expected).abs().max() <= 1e-4
    assert torch.allclose(d(file["img_in"]), file["logits_img_in"], rtol=1e-4, atol=1e-4)
    assert result.spec == ImageSpec(32, 32, 3)
    assert (result.options.mapping_layers, result.options.d_mapping_layers) == (2, 8)
    assert (result.options.half_resolutions, result.options.conv_clamp) == (0, None)
    assert not list(tmp_path.rglob("EXECUTED*"))


@pytest.mark.parametrize(
    ("spec", "others"),
    [
        (RGB, {}),
        (ImageSpec(16, 16, 1), {"g_arch": "resnet", "d_arch": "skip", "mbstd_features": 2}),
        (ImageSpec(16, 16, 4, 3), {"g_arch": "orig", "d_arch": "orig", "d_mapping_layers": 2}),
        (ImageSpec(8, 8, 3, 10), {"conv_clamp": 256.0, "half_resolutions": 4, "mbstd_group": 2}),
    ],
    ids=["rgb", "gray, resnet and skip", "rgba, orig, classes", "classes, clamped"],
)
@pytest.mark.parametrize("later", [False, True], ids=["ada", "later"])
def test_every_kind_of_network_comes_through(
    spec: ImageSpec,
    others: dict[str, Any],
    later: bool,
    networks: Any,
    persistent: Any,
    imported: Any,
    same_pictures: Same,
    same_logits: Same,
) -> None:
    options, g, d = networks(spec, **others)
    result = imported(
        G_ema=persistent(g, "Generator", g_kwargs(options, spec, later)),
        D=persistent(d, "Discriminator", d_kwargs(options, spec)),
    )
    assert result.options == options
    assert result.spec == spec
    assert same_pictures(result.generator, g, spec)
    assert result.players is not None
    assert same_logits(result.players[1], d, spec)


def test_what_is_left_out_is_what_the_writer_defaults_to(
    networks: Any, persistent: Any, imported: Any
) -> None:
    options, g, d = networks(RGB, mapping_layers=8, channel_base=32768, channel_max=512)
    g_all, d_all = g_kwargs(options, RGB), d_kwargs(options, RGB)
    g_few = {k: g_all[k] for k in ("z_dim", "w_dim", "c_dim", "img_resolution", "img_channels")}
    d_few = {k: d_all[k] for k in ("c_dim", "img_resolution", "img_channels")}
    d_made = persistent(d, "Discriminator", d_few)
    ada = imported(G=persistent(g, "Generator", {**g_few, "synthesis_kwargs": {}}), D=d_made)
    later = imported(G=persistent(g, "Generator", g_few), D=d_made)
    assert ada.options == options
    assert (later.options.half_resolutions, later.options.conv_clamp) == (4, 256)
    assert ada.players is not None
    assert later.players is not None
    order = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    unnamed = persistent(
        g, "Generator", {"synthesis_kwargs": {}}, tuple(g_few[name] for name in order)
    )
    assert imported(G_ema=unnamed).spec == RGB


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "resample_filter=[1, 2, 1] is not"),
        ({"synthesis_kwargs": {"activation": "relu"}}, "activation=relu is not supported"),
        ({"synthesis_kwargs": {"architecture": "new"}}, "architecture=new is not supported"),
        ({"synthesis_kwargs": {"use_noise": False}}, "use_noise=False is not supported"),
        ({"synthesis_kwargs": {"conv_clamp": -1}}, "conv_clamp=-1 is not supported"),
        ({"synthesis_kwargs": {"channel_base": 10**12}}, "channel_base=1000000000000 is not"),
        ({"synthesis_kwargs": {"twist": 3}}, "twist=3 is not known here"),
        ({"synthesis_kwargs": 3}, "synthesis_kwargs=3 is not supported"),
        ({"mapping_kwargs": {"lr_multiplier": 0.1}}, "lr_multiplier=0.1 is not supported"),
        ({"mapping_kwargs": {"embed_features": 7}}, "mapping_kwargs: embed_features=7 is not"),
        ({"mapping_kwargs": {"layer_features": 7}}, "mapping_kwargs: layer_features=7 is not"),
        ({"mapping_kwargs": {"num_layers": 10**9}}, "num_layers=1000000000 is not supported"),
        ({"img_channels": 2}, "images of 2 channels"),
        ({"img_resolution": 33}, "does not make|sides of 8, 16"),
        ({"img_resolution": True}, "img_resolution=True is not supported"),
        ({"z_dim": None}, "z_dim=None is not supported"),
        ({"rendering_kwargs": {}}, "rendering_kwargs={} is not known here"),
        ({"c_dim": 3}, "mapping.embed"),
        ({"img_resolution": 64}, "tensors such as synthesis.b64"),
        ({"mapping_kwargs": {"num_layers": 3}}, "tensors such as mapping.fc2.bias are not there"),
        ({"w_dim": 25}, "of another size"),
        ({"img_resolution": 2**14}, "not there"),
    ],
)
def test_what_ours_cannot_be_is_refused_by_name(
    change: dict[str, Any], why: str, networks: Any, persistent: Any, imported: Any
) -> None:
    options, g, _ = networks(RGB)
    kwargs = g_kwargs(options, RGB)
    for name, value in change.items():
        nested = isinstance(value, dict) and name in kwargs
        kwargs[name] = {**kwargs[name], **value} if nested else value
    with pytest.raises(UserError) as caught:
        imported(G_ema=persistent(g, "Generator", kwargs))
    message = str(caught.value)
    assert any(part in message for part in why.split("|")), message
    assert len(message.splitlines()) == 1


def test_later_networks_and_other_classes_are_recognised(
    networks: Any, persistent: Any, imported: Any, names: Any
) -> None:
    options, g, d = networks(RGB)
    alias_free = torch.nn.Module()
    alias_free.synthesis = torch.nn.Module()
    alias_free.synthesis.add_module("L0_36_512", torch.nn.Linear(2, 2))
    kwargs = {**g_kwargs(options, RGB, later=True), "filter_size": 6}
    with pytest.raises(UserError, match=r"G_ema: an alias-free generator \(StyleGAN3\)"):
        imported(G_ema=persistent(alias_free, "Generator", kwargs))
    with pytest.raises(UserError, match="filter_size=6 is not known here"):
        imported(G_ema=persistent(g, "Generator", kwargs))
    with pytest.raises(UserError, match="its class is TriPlane, not StyleGAN2's Generator"):
        imported(G_ema=persistent(g, "TriPlane", kwargs))
    with pytest.raises(UserError, match="no generator in it, but only D"):
        imported(D=persistent(d, "Discriminator", d_kwargs(options, RGB)))


def test_tensors_that_are_too_many_or_of_another_filter_are_refused(
    networks: Any, persistent: Any, imported: Any
) -> None:
    options, g, _ = networks(RGB)
    kwargs = g_kwargs(options, RGB)
    g.synthesis.b8.resample_filter *= 2
    with pytest.raises(UserError, match=r"b8\.resample_filter is another filter"):
        imported(G=persistent(g, "Generator", kwargs))
    g.synthesis.b8.resample_filter /= 2
    g.mapping.extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(UserError, match=r"mapping\.extra is not known here"):
        imported(G=persistent(g, "Generator", kwargs))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"channel_max": 8}, "channel_max is 8, and 12 in G"),
        ({"conv_clamp": 256}, "conv_clamp is 256.0, and None in G"),
        ({"num_fp16_res": 4}, "half_resolutions is 4, and 0 in G"),
        ({"img_channels": 1}, "for other images than G"),
        ({"cmap_dim": 7}, "cmap_dim=7 is not supported"),
        ({"epilogue_kwargs": {"mbstd_group_size": None}}, "mbstd_group_size=None is not"),
        ({"epilogue_kwargs": {"mbstd_num_channels": 0}}, "mbstd_num_channels=0 is not"),
        ({"block_kwargs": {"activation": "swish"}}, "block_kwargs: activation=swish is not"),
        ({"architecture": "skip"}, "tensors such as b16.fromrgb"),
        ({"class_name": "x"}, "class_name=x is not known here"),
    ],
)
def test_a_discriminator_that_ours_cannot_be_is_left_out(
    change: dict[str, Any],
    why: str,
    networks: Any,
    persistent: Any,
    imported: Any,
    same_pictures: Same,
) -> None:
    options, g, d = networks(RGB)
    kwargs = {**d_kwargs(options, RGB), **change}
    result = imported(
        G=persistent(g, "Generator", g_kwargs(options, RGB)),
        D=persistent(d, "Discriminator", kwargs),
    )
    assert result.players is None
    assert result.left_out is not None
    assert why in result.left_out
    assert same_pictures(result.generator, g, RGB)


def test_training_goes_on_from_the_live_generator_and_pictures_come_from_the_average(
    networks: Any,
    persistent: Any,
    imported: Any,
    same_pictures: Same,
) -> None:
    options, g, d = networks(RGB)
    kwargs, made = g_kwargs(options, RGB), {}
    made["D"] = persistent(d, "Discriminator", d_kwargs(options, RGB))
    made["G"] = persistent(g, "Generator", kwargs)
    average = networks(RGB)[1]
    average.synthesis.b32.torgb.bias += 1
    made["G_ema"] = persistent(average, "Generator", kwargs)
    result = imported(**made)
    assert same_pictures(result.generator, average, RGB)
    assert result.players is not None
    assert same_pictures(result.players[0], g, RGB)
    assert result.found[0] == "networks of PyTorch: G, D, G_ema"
    assert result.found[1].startswith("G_ema: 32x32x3, no classes, ")
