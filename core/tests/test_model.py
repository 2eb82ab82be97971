"""A generator rebuilt from its file alone, with the plugin of a third party."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import ganctl
from ganctl import checkpoint, model
from ganctl.errors import GanctlError, UserError
from ganctl.images import Images, grid, labelled, sample_grid, to_pil
from ganctl.interfaces import to_pixels, to_uint8
from ganctl.model import Model, latents
from ganctl.registry import PluginError, find
from ganctl.spec import ImageSpec

SOURCE = '''
from dataclasses import dataclass
from typing import Annotated

from ganctl import Architecture, Opt, Recipe


@dataclass(frozen=True)
class Options:
    width: Annotated[int, Opt("Hidden width.", ge=1)] = 8


class Tiny(Architecture[Options], api=1):
    """The smallest generator."""

    def build(self, options, spec):
        import torch
        from torch import nn
        from ganctl import Discriminator, Generator

        class G(Generator):
            z_dim = 5

            def __init__(self):
                super().__init__()
                self.shape = (spec.channels, spec.height, spec.width)
                self.hidden = nn.Linear(5 + spec.classes, options.width)
                self.output = nn.Linear(options.width, spec.channels * spec.height * spec.width)
                self.register_buffer("shift", torch.zeros(()))
                self.step = None

            def at(self, progress):
                self.step = progress.step

            def forward(self, z, c=None):
                x = z if c is None else torch.cat([z, c], dim=1)
                x = self.output(torch.relu(self.hidden(x))) + self.shift
                return torch.tanh(x).view(-1, *self.shape)

        class D(Discriminator):
            def __init__(self):
                super().__init__()
                self.output = nn.Linear(1, 1)

        return G(), D()

    def recipe(self, options, spec, batch):
        return Recipe(objective="bce", batch=8, kimg=1, lr=1e-3, betas=(0.5, 0.99))
'''


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The architecture `tiny`, installed as pip would."""
    site = tmp_path / "site"
    info = site / "tinygan-2.5.dist-info"
    info.mkdir(parents=True)
    (site / "tinygan_module.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinygan\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[ganctl.architectures]\ntiny = tinygan_module:Tiny\n")
    monkeypatch.syspath_prepend(str(site))
    return find("architecture", "tiny")


def saved(tmp_path: Path, entry: Any, classes: int = 0, channels: int = 3, width: int = 16) -> Path:
    """A generator's file with random weights."""
    spec = ImageSpec(4, 6, channels, classes)
    architecture = entry.load()
    options = architecture.options_class(width=width)
    torch.manual_seed(0)
    generator, _ = architecture.build(options, spec)
    generator.shift.fill_(0.25)
    training = {"step": 12, "images": 96, "total": 1000}
    header = model.header(entry, options, spec, training)
    folder = tmp_path / "checkpoint"
    checkpoint.write(folder, {checkpoint.GENERATOR: (generator.state_dict(), header)})
    return folder / checkpoint.GENERATOR


def with_header(file: Path, **changes: Any) -> Path:
    """The same file with another header."""
    header = checkpoint.read_header(file) | changes
    save_file(load_file(file), file, {"ganctl": json.dumps(header)})
    return file


def test_a_model_is_rebuilt_from_its_file_alone(tmp_path: Path, tiny: Any) -> None:
    file = saved(tmp_path, tiny, classes=3)
    elsewhere = tmp_path / "shared by mail.safetensors"
    file.rename(elsewhere)
    loaded = ganctl.load(elsewhere)
    assert loaded.spec == ImageSpec(4, 6, 3, 3)
    assert loaded.generator.hidden.out_features == 16  # not the default: from the header
    assert loaded.generator.shift.item() == 0.25
    assert loaded.generator.step == 12
    assert not loaded.generator.training
    assert not any(p.requires_grad for p in loaded.generator.parameters())
    assert loaded.header["architecture"]["version"] == "2.5"


def test_a_model_from_elsewhere_is_saved_alone_or_with_its_players(
    tmp_path: Path, tiny: Any
) -> None:
    spec, architecture = ImageSpec(4, 6, 3), tiny.load()
    options = architecture.options_class(width=16)
    generator, discriminator = architecture.build(options, spec)
    generator.shift.fill_(0.5)
    made = (architecture, options, spec, generator)
    for _ in range(2):  # the second time in place of the first
        ganctl.save(tmp_path / "new/lone.safetensors", *made, source={"file": "a.pkl"})
        players = {"generator": generator, "discriminator": discriminator}
        ganctl.save(tmp_path / "new/both", *made, players)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["both", "lone.safetensors"]
    for path in ("lone.safetensors", "both"):
        loaded = ganctl.load(tmp_path / "new" / path)
        assert loaded.generator.shift.item() == 0.5
        assert loaded.header["architecture"]["distribution"] == "tinygan"
        assert loaded.header["training"] == {"step": 0, "images": 0, "total": 0}
        assert loaded.header.get("source") == ({"file": "a.pkl"} if path != "both" else None)
    tensors, _ = checkpoint.read(tmp_path / "new/both" / checkpoint.TRAINING)
    assert tensors.keys() >= {"generator.shift", "discriminator.output.weight"}
    ganctl.save(tmp_path / "new/both", *made)
    assert [p.name for p in (tmp_path / "new/both").iterdir()] == [checkpoint.GENERATOR]

    (tmp_path / "full").write_text("no folder")
    with pytest.raises(GanctlError, match="cannot write"):
        ganctl.save(tmp_path / "full/lone.safetensors", *made)

    class Uninstalled(ganctl.Architecture[ganctl.NoOptions], api=1):
        pass

    with pytest.raises(PluginError, match="no entry point names it"):
        ganctl.save(tmp_path / "x.safetensors", Uninstalled(), *made[1:])


def test_images_are_those_of_the_network(tmp_path: Path, tiny: Any) -> None:
    loaded = ganctl.load(saved(tmp_path, tiny))
    with torch.no_grad():
        wanted = to_pixels(loaded.generator(latents([3, 8], 5)))
    images = loaded.generate([3, 8])
    assert images.shape == (2, 4, 6, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images, wanted)


def test_the_same_seed_gives_the_same_picture_whatever_the_others(
    tmp_path: Path, tiny: Any
) -> None:
    loaded = ganctl.load(saved(tmp_path, tiny))
    several = loaded.generate([7, 0, 7, 2**32 - 1])
    assert np.array_equal(several[0], several[2])
    assert not np.array_equal(several[0], several[1])
    assert np.array_equal(several[1:2], loaded.generate([0]))
    assert np.array_equal(loaded.generate(range(40), batch=7), loaded.generate(range(40)))


def test_latents_are_those_of_stylegan() -> None:
    z = latents([0, 85], 4)
    assert z.dtype == torch.float32
    assert np.allclose(z[0], np.random.RandomState(0).randn(4))
    assert np.allclose(z[1], np.random.RandomState(85).randn(4))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_named(tmp_path: Path, tiny: Any, seed: int) -> None:
    with pytest.raises(UserError, match=f"seed {seed}: seeds go from 0 to 4294967295"):
        ganctl.load(saved(tmp_path, tiny)).generate([0, seed])


def test_no_seeds_are_refused(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UserError, match="no seeds"):
        ganctl.load(saved(tmp_path, tiny)).generate([])


def test_one_class_for_all_and_one_per_seed(tmp_path: Path, tiny: Any) -> None:
    loaded = ganctl.load(saved(tmp_path, tiny, classes=3))
    ones = loaded.generate([5, 5, 6], classes=2)
    each = loaded.generate([5, 5, 6], classes=[2, 1, 2])
    assert np.array_equal(ones[0], ones[1])
    assert np.array_equal(ones[[0, 2]], each[[0, 2]])
    assert not np.array_equal(each[0], each[1])


def test_without_a_class_a_conditional_model_shows_all_of_them(tmp_path: Path, tiny: Any) -> None:
    loaded = ganctl.load(saved(tmp_path, tiny, classes=3))
    seeds = [4, 5, 6, 4, 9]
    shown = loaded.generate(seeds, batch=2)
    assert np.array_equal(shown, loaded.generate(seeds, classes=[1, 2, 0, 1, 0]))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (3, "class 3: this model has classes 0 to 2"),
        (-1, "class -1: this model has classes 0 to 2"),
        ([0, 7], "class 7: this model has classes 0 to 2"),
        ([0], "1 classes for 2 seeds"),
        ([], "0 classes for 2 seeds"),
    ],
)
def test_classes_out_of_range_are_named(
    tmp_path: Path, tiny: Any, classes: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ganctl.load(saved(tmp_path, tiny, classes=3)).generate([0, 1], classes=classes)


def test_a_model_without_classes_refuses_one(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UserError, match="no classes: it was trained without labels"):
        ganctl.load(saved(tmp_path, tiny)).generate([0], classes=0)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_images_know_pil(tmp_path: Path, tiny: Any, channels: int, mode: str) -> None:
    images = ganctl.load(saved(tmp_path, tiny, channels=channels)).generate([0, 1, 2])
    assert isinstance(images, Images)
    pictures = images.pil()
    assert [p.mode for p in pictures] == [mode] * 3
    assert [p.size for p in pictures] == [(6, 4)] * 3
    assert np.array_equal(np.asarray(pictures[1]).reshape(4, 6, channels), images[1])


def test_a_grid_goes_row_by_row_and_fills_up_with_white() -> None:
    pictures = np.stack([np.full((64, 70, 1), value, np.uint8) for value in (10, 20, 30)])
    table = np.asarray(pictures.view(Images).grid())
    assert table.shape == (130, 142)
    assert [table[0, 0], table[0, 72], table[66, 0], table[66, 72]] == [10, 20, 30, 255]
    assert np.asarray(pictures.view(Images).grid(columns=3)).shape == (64, 214)
    assert grid(pictures, 1).shape == (192, 70, 1)


def test_small_images_are_enlarged_to_be_looked_at_with_seams_between() -> None:
    pictures = np.stack([np.full((32, 16, 1), value, np.uint8) for value in (10, 20, 30)])
    table = sample_grid(pictures, 2)[:, :, 0]
    assert table.shape == (2 * 64 + 2, 2 * 32 + 2)
    assert (table[:64, :32] == 10).all()
    assert (table[:64, 34:] == 20).all()
    assert (table[66:, :32] == 30).all()
    assert (table[64:66] == 255).all()
    assert (table[:, 32:34] == 255).all()
    assert sample_grid(np.zeros((2, 100, 70, 3), np.uint8), 2).shape == (100, 142, 3)
    assert to_pil(pictures[0]).size == (16, 32)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_table_has_names_above_and_beside_it(mode: str) -> None:
    black = {"L": 0, "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255)}[mode]
    picture = Image.new(mode, (64, 70), black)
    drawn = labelled([[None, picture], [picture]], ["1", "two\nlines"], ["", "7"])
    assert drawn.mode == mode
    pixels = np.asarray(drawn.convert("L"))
    left, top = pixels.shape[1] - 2 * 66, pixels.shape[0] - 2 * 72
    cells = pixels[top:, left:].reshape(2, 72, 2, 66).swapaxes(1, 2)[:, :, :70, :64]
    assert (cells[[0, 1], [1, 0]] == 0).all()
    assert (cells[[0, 1], [0, 1]] == 255).all()
    assert (pixels[:top, left + 66 :] < 128).any()
    assert (pixels[:top, : left + 66] == 255).all()
    beside = pixels[top:, :left].reshape(2, 72, left)
    assert (beside < 128).any(axis=(1, 2)).all()
    wide = labelled([[picture, picture]], [""], ["x" * 100, "y"])
    assert wide.width > 2 * (64 + 100)


def test_the_range_of_the_network_is_rounded_and_clamped_to_bytes() -> None:
    values = torch.tensor([-2.0, -1.0, -0.9961, 0.0, 0.004, 1.0, 3.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 128, 128, 255, 255]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)


def test_a_missing_plugin_is_named_with_how_to_get_it(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path, tiny)
    monkeypatch.setenv("GANCTL_PLUGINS", "nothing")
    with pytest.raises(UserError, match=r"'tiny' of tinygan 2\.5: pip install tinygan"):
        ganctl.load(file)


def test_a_file_that_is_no_generator_says_so(tmp_path: Path) -> None:
    checkpoint.write(
        tmp_path / "c", {checkpoint.TRAINING: ({"a": torch.zeros(2)}, {"step": 3, "images": 8})}
    )
    with pytest.raises(UserError, match="holds no generator"):
        ganctl.load(tmp_path / "c" / checkpoint.TRAINING)


def test_weights_that_do_not_fit_the_installed_plugin_are_refused(
    tmp_path: Path, tiny: Any
) -> None:
    file = saved(tmp_path, tiny)
    about = checkpoint.read_header(file)["architecture"]
    with_header(file, architecture=about | {"options": {"width": 32}})
    with pytest.raises(UserError, match="does not fit the installed tiny") as caught:
        ganctl.load(file)
    assert "\n" not in str(caught.value)


def test_options_that_the_installed_plugin_lacks_are_named(tmp_path: Path, tiny: Any) -> None:
    file = saved(tmp_path, tiny)
    about = checkpoint.read_header(file)["architecture"]
    with_header(file, architecture=about | {"options": {"width": 16, "depth": 3}})
    with pytest.raises(UserError, match=r"tiny\.depth: no such option"):
        ganctl.load(file)


@pytest.mark.parametrize("lacking", ["options", "distribution", "version", "name"])
def test_a_header_that_lacks_something_is_refused(
    tmp_path: Path, tiny: Any, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path, tiny)
    about = checkpoint.read_header(file)["architecture"]
    del about[lacking]
    with_header(file, architecture=about)
    if lacking == "version":  # it is told to those who lack the plugin
        monkeypatch.setenv("GANCTL_PLUGINS", "nothing")
    with pytest.raises(UserError, match=re.escape(str(file))):
        ganctl.load(file)


def test_a_model_is_its_generator_its_spec_and_its_header(tmp_path: Path, tiny: Any) -> None:
    loaded = ganctl.load(saved(tmp_path, tiny))
    assert isinstance(loaded, Model)
    assert loaded.device == torch.device("cpu")
    assert loaded.latents([1]).shape == (1, 5)
    assert loaded.header["training"] == {"step": 12, "images": 96, "total": 1000}
