"""The networks and the objective against what the reference implementation computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference_networks import load_network, options_and_spec
from torch import Tensor
from torch.nn.functional import softplus

import ganctl_stylegan2_ada.discriminator
import ganctl_stylegan2_ada.synthesis
from ganctl import random
from ganctl_stylegan2_ada.discriminator import StyleGAN2Discriminator
from ganctl_stylegan2_ada.generator import StyleGAN2Generator

pytestmark = pytest.mark.usefixtures("operators")


@pytest.fixture
def networks(
    vectors: Callable[[str], Any],
) -> tuple[Any, StyleGAN2Generator, StyleGAN2Discriminator]:
    file = vectors("net_uncond.npz")
    (case,) = file.cases
    made_with = options_and_spec(case["params"]["G_kwargs"], case["params"]["D_kwargs"])
    g, d = StyleGAN2Generator(*made_with), StyleGAN2Discriminator(*made_with)
    load_network(g, file, "G/")
    load_network(d, file, "D/")
    return file, g.eval(), d.eval()


def near(file: Any, key: str, value: Tensor, tolerance: float = 2e-5) -> None:
    expected = file[key]
    assert value.shape == expected.shape, key
    error = (value.detach() - expected).abs().max() / expected.abs().max().clamp(1e-30)
    assert error <= tolerance, (key, error.item())


def test_images_and_styles(networks: Any) -> None:
    file, g, _ = networks
    z = file["z"]
    for psi, cutoff, name in ((1, None, "psi1"), (0.7, None, "psi07"), (0.5, 3, "psi05_cut3")):
        ws = g.mapping(z, None, psi, cutoff)
        near(file, f"ws_{name}", ws)
        near(file, f"img_const_{name}", g.synthesis(ws, "const"))
    near(file, "img_none_psi07", g.synthesis(g.mapping(z, None, 0.7), "none"))


def test_noise_is_drawn_layer_by_layer(networks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file, g, _ = networks
    draws = iter(file.cases[0]["params"]["random_noise_draws"])

    def drawn(n: int, *shape: int, device: torch.device) -> Tensor:
        draw = next(draws)
        assert draw["shape"] == [n, *shape]
        return file[draw["key"]]

    monkeypatch.setattr(random, "randn", drawn)
    near(file, "img_random_psi1", g(file["z"]))
    assert next(draws, None) is None


def test_logits(networks: Any) -> None:
    file, _, d = networks
    near(file, "logits_img_in", d(file["img_in"]))
    near(file, "logits_img_in_first3", d(file["img_in"][:2]))
    near(file, "logits_fake", d(file["img_const_psi1"]))


def test_mean_style(networks: Any) -> None:
    file, g, _ = networks
    g.train()
    untracked = g.mapping.w_avg.clone()
    near(file, "ws_train", g.mapping(file["z"], track=False))
    assert torch.equal(g.mapping.w_avg, untracked)
    g.mapping(file["z"])
    near(file, "w_avg_after", g.mapping.w_avg)


def test_activations(networks: Any) -> None:
    file, g, d = networks
    seen = {}
    for letter, network in (("G", g), ("D", d)):
        for name, module in network.named_modules():
            key = f"act/{letter}.{name}"
            module.register_forward_hook(lambda _m, _i, out, key=key: seen.setdefault(key, out))
    g.synthesis(file["ws_psi1"], "const")
    d(file["img_in"][:2])
    keys = [key for key in file.arrays if key.startswith("act/")]
    assert len(keys) > 20
    for key in keys:
        out = seen[key][0] if isinstance(seen[key], tuple) else seen[key]
        near(file, key, out[: len(file[key])])


def test_gradients(networks: Any) -> None:
    file, g, d = networks
    z = file["z"].clone().requires_grad_()
    loss = softplus(-d(g.synthesis(g.mapping(z), "const"))).mean()
    near(file, "gloss_const", loss)
    loss.backward()
    near(file, "gloss_const/dz", z.grad)
    for name, parameter in g.named_parameters():
        near(file, f"gloss_const/d:{name}", parameter.grad, 1e-4)


def test_r1(networks: Any) -> None:
    file, _, d = networks
    images = file["img_in"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
    penalty = gradient.square().sum((1, 2, 3))
    near(file, "r1/grad_img", gradient)
    near(file, "r1/penalty", penalty)
    penalty.mean().backward()
    for name, parameter in d.named_parameters():
        if parameter.grad is not None:
            near(file, f"r1/d:{name}", parameter.grad, 1e-4)


def test_float16(
    vectors: Callable[[str], Any], networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, _ = networks
    monkeypatch.setattr(
        ganctl_stylegan2_ada.synthesis,
        "compute_dtype",
        lambda float16, device: torch.float16 if float16 else torch.float32,
    )
    monkeypatch.setattr(
        ganctl_stylegan2_ada.discriminator,
        "compute_dtype",
        ganctl_stylegan2_ada.synthesis.compute_dtype,
    )
    (case,) = file.cases
    made_with = options_and_spec(
        case["params"]["G_kwargs"], case["params"]["D_kwargs"], half_resolutions=4, conv_clamp=256.0
    )
    g, d = StyleGAN2Generator(*made_with).eval(), StyleGAN2Discriminator(*made_with).eval()
    load_network(g, file, "G/")
    load_network(d, file, "D/")
    near(file, "img_const_psi07_fp16", g.synthesis(file["ws_psi07"], "const"), 1e-2)
    near(file, "logits_img_in_fp16", d(file["img_in"]), 1e-2)
