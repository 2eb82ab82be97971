"""Every phase of the objective against the reference: gradients, statistics, means."""

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference_networks import load_network, options_and_spec
from torch import Tensor

from ganctl import Batch, Phase, Players, Progress, random
from ganctl_stylegan2_ada import StyleGAN2ObjectiveOptions
from ganctl_stylegan2_ada.augment.pipeline import AugmentationPipeline
from ganctl_stylegan2_ada.discriminator import StyleGAN2Discriminator
from ganctl_stylegan2_ada.generator import StyleGAN2Generator
from ganctl_stylegan2_ada.objective import stylegan2_phases

NAMES = {"G": "G", "D": "D", "PL": "Greg", "R1": "Dreg"}
STATISTICS = {
    "logits/real": "scores/real",
    "logits/fake": "scores/fake",
    "sign/real": "signs/real",
    "sign/fake": "signs/fake",
    "penalty/path_length": "pl_penalty",
    "penalty/r1": "r1_penalty",
}


class Replay:
    """Draws of the reference, in its order, in the shapes that are asked for here.

    Where the reference draws two numbers for each image, these are two draws here.
    """

    def __init__(self, file: Any, draws: list[dict[str, Any]]) -> None:
        self.left = deque(
            piece for draw in draws for piece in self._pieces(draw, file[draw["key"]])
        )

    def _pieces(self, draw: dict[str, Any], value: Tensor) -> list[Tensor]:
        if not draw["label"].startswith("aug."):
            return [value]
        return list(value.flatten(1).unbind(1)) if value.ndim > 1 else [value]

    def __call__(self, *shape: int, device: Any = None) -> Tensor:
        value = self.left.popleft()
        assert value.shape == shape
        return value


class ForLabels(Players):
    """Reals have labels of their own: here fakes have those of the reals."""

    real_labels: Tensor | None = None
    reals: Tensor
    z: Tensor
    replay: Replay

    def latents(self, batch: Batch) -> Tensor:
        return self.z

    def critic(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().critic(x, self.real_labels if x.data_ptr() == self.reals.data_ptr() else c)


pytestmark = pytest.mark.usefixtures("operators")


@pytest.fixture
def trial(
    vectors: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any]], tuple[ForLabels, list[Phase], Batch]]:
    file = vectors("loss_phases.npz")

    def prepare(case: dict[str, Any]) -> tuple[ForLabels, list[Phase], Batch]:
        params, prefix = case["params"], case["params"]["cfg"]
        made_with = options_and_spec(params["net_kwargs"]["G"], params["net_kwargs"]["D"])
        g, d = StyleGAN2Generator(*made_with), StyleGAN2Discriminator(*made_with)
        load_network(g, file, f"{prefix}/G/")
        load_network(d, file, f"{prefix}/D/")
        augmenter: Any = None
        if params["augment_p"] is not None:
            augmenter = AugmentationPipeline(params["augment_kwargs"], params["augment_p"])
        players = ForLabels(g.train(), d.train(), augmenter)
        options = {**params["loss_kwargs"]}
        options["style_mixing"] = options.pop("style_mixing_prob")
        if params["phase"].endswith("both"):
            options |= {"r1_every": 1, "pl_every": 1}
        phases = stylegan2_phases(players, StyleGAN2ObjectiveOptions(**options))
        players.objective_state.get_buffer("pl_mean").fill_(params["pl_mean_before"])
        reals = file[f"{prefix}/real_img"]
        labels = file.arrays.get(f"{prefix}/gen_c")
        players.real_labels, players.reals = file.arrays.get(f"{prefix}/real_c"), reals
        batch = Batch(torch.zeros(reals.shape, dtype=torch.uint8), labels, Progress(0, 0, 1))
        batch._images = reals
        players.z = file[f"{prefix}/gen_z"]
        players.replay = replay = Replay(file, params["draws"])
        monkeypatch.setattr(random, "randn", replay)
        monkeypatch.setattr(random, "rand", replay)
        monkeypatch.setattr(torch, "rand", lambda shape: replay(*shape))
        monkeypatch.setattr(torch, "randint", lambda low, high, shape: replay(*shape))
        return players, phases, batch

    return prepare


def test_phases(vectors: Callable[[str], Any], trial: Any) -> None:
    file = vectors("loss_phases.npz")
    for case in file:
        params = case["params"]
        players, phases, batch = trial(case)
        wanted = params["phase"].removesuffix("main").removesuffix("both")
        (phase,) = (p for p in phases if NAMES[p.name] == wanted)
        for name in ("generator", "discriminator"):
            players[name].requires_grad_(name == phase.player)
        (phase.loss(batch) * params["gain"]).backward()
        assert not players.replay.left, case["id"]
        results = {"pl_mean": players.objective_state.get_buffer("pl_mean")}
        results["w_avg"] = players.generator.mapping.w_avg
        for name, parameter in players[phase.player].named_parameters():
            grad = parameter.grad
            results[f"grad/{name}"] = torch.zeros_like(parameter) if grad is None else grad
        for ours, theirs in STATISTICS.items():
            if ours in batch.reports:
                (value,) = batch.reports[ours]
                results[f"stat/Loss/{theirs}"] = value.flatten()
        expected = {role: key for role, key in case["outputs"].items() if role in results}
        left = case["outputs"].keys() - expected
        assert all(role.endswith(("/loss", "/reg")) for role in left)
        results = {role: results[role] for role in expected}
        file.compare({**case, "outputs": expected}, **results)
    file.check(15)
