"""The network of FID beside pytorch-fid 0.3.0, with the same weights."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganctl_metrics.frechet import Gaussian, frechet_distance, gaussian_of
from ganctl_metrics.inception import file_shapes, from_file
from ganctl_metrics.resize import for_inception


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> list[Path]:
    """Two folders of 24 pictures in one size each, of cats where the shared data is here."""
    root = tmp_path_factory.mktemp("pictures")
    shared = Path(__file__).resolve().parents[4] / "shared" / "data" / "cats256.zip"
    pictures = cats(shared) if shared.exists() else made()
    folders = []
    for number in range(2):
        folder = root / str(number)
        folder.mkdir()
        for index, picture in enumerate(pictures[number::2]):
            picture.save(folder / f"{index:02d}.png")
        folders.append(folder)
    return folders


def cats(file: Path) -> list[Image.Image]:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith((".jpg", ".png")))[:48]
        return [Image.open(archive.open(name)).convert("RGB") for name in names]


def made() -> list[Image.Image]:
    draw = np.random.RandomState(0)
    small = draw.randint(0, 256, (48, 12, 12, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((120, 90)) for pixels in small]


def read(folder: Path) -> Tensor:
    pixels = [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    shapes = file_shapes()
    assert len(shapes) == 566
    keys = Path(__file__).resolve().parents[4] / "shared" / "data" / "inception_keys.json"
    if not keys.exists():
        pytest.skip("inception_keys.json is not here")
    assert {name: list(shape) for name, shape in shapes.items()} == json.loads(keys.read_text())


@pytest.mark.slow
def test_features_and_distance_are_those_of_pytorch_fid(
    state: dict[str, Tensor], folders: list[Path]
) -> None:
    from pytorch_fid.fid_score import (
        calculate_activation_statistics,
        calculate_frechet_distance,
        get_activations,
    )

    peer, ours = oracle.pytorch_fid_network(state), from_file(state)
    sides = []
    for folder in folders:
        files = sorted(folder.iterdir())
        theirs = get_activations(files, peer, 16, 2048, "cpu", num_workers=0)
        with torch.inference_mode():
            features = ours(for_inception(read(folder), "pytorch-fid"))
        apart = np.abs(features.numpy() - theirs).max() / np.abs(theirs).max()
        assert apart < 1e-5
        assert features.std(dim=0).mean() > 0.1  # different pictures, different features
        mean, covariance = calculate_activation_statistics(files, peer, 16, 2048, "cpu", 0)
        known = Gaussian(torch.from_numpy(mean), torch.from_numpy(covariance), len(files))
        sides.append((known, gaussian_of(features)))
    theirs_fid = frechet_distance(sides[0][0], sides[1][0])
    ours_fid = frechet_distance(sides[0][1], sides[1][1])
    assert ours_fid == pytest.approx(theirs_fid, rel=1e-4)
    # Its own arithmetic too, on as many features as 24 images make a full covariance of.
    few = [[Gaussian(g.mean[:16], g.covariance[:16, :16], g.count) for g in side] for side in sides]
    (a, ours_a), (b, ours_b) = few
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_few = calculate_frechet_distance(
            a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy()
        )
    assert frechet_distance(ours_a, ours_b) == pytest.approx(theirs_few, rel=1e-4)


@pytest.mark.slow
def test_fid_of_a_command_is_that_of_pytorch_fids_own(
    weights_file: Path, folders: list[Path], tmp_path: Path
) -> None:
    """Both engines over the same two folders; pytorch-fid's root needs full covariances."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import oracle\n"
        "from ganctl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    common = ("--data", folders[1], "--weights", weights_file, "--weights-unverified", "--json")
    answers = {}
    for engine in ("ganctl", "pytorch-fid"):
        command = ["evaluate", folders[0], *common, "--metrics", "fid", "--engine", engine]
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, command)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"XDG_CACHE_HOME": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"},
            check=False,
        )
        answers[engine] = done
    assert answers["ganctl"].returncode == 0, answers["ganctl"].stderr
    ours = json.loads(answers["ganctl"].stdout)
    assert ours["figures"]["fd-custom"] > 0
    theirs = answers["pytorch-fid"]
    if theirs.returncode:  # 24 images: its matrix root may come out complex, and says so
        assert theirs.returncode == 1
        assert "--engine ganctl can" in theirs.stderr
        assert len(theirs.stderr.splitlines()) == 1
    else:
        document = json.loads(theirs.stdout)
        assert document["about"]["fid"]["engine"].startswith("pytorch-fid 0.3")
        assert document["figures"]["fd-custom"] == pytest.approx(
            ours["figures"]["fd-custom"], rel=1e-4
        )


def test_resizes_follow_their_definitions() -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 40, 64), generator=draw, dtype=torch.uint8)
    ours = for_inception(images, "tf1")
    for row, column in ((0, 0), (100, 17), (298, 298)):  # by hand, where TF 1 looks
        y, x = row * 40 / 299, column * 64 / 299
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, 39), min(x0 + 1, 63)
        corners = images[0, 0].double()
        top = corners[y0, x0] + (corners[y0, x1] - corners[y0, x0]) * (x - x0)
        bottom = corners[y1, x0] + (corners[y1, x1] - corners[y1, x0]) * (x - x0)
        value = (top + (bottom - top) * (y - y0) - 128) / 128
        assert float(ours[0, 0, row, column]) == pytest.approx(float(value), abs=1e-5)
    clean = (for_inception(images, "clean") * 128 + 128)[1, 2].numpy()
    channel = Image.fromarray(images[1, 2].numpy().astype(np.float32))
    pillow = np.asarray(channel.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
    assert np.abs(clean - pillow).max() < 0.01  # of 255; positions are float32 in torch
    same = torch.randint(0, 256, (1, 3, 299, 299), generator=draw, dtype=torch.uint8)
    for resize in ("tf1", "clean"):
        assert torch.equal(for_inception(same, resize), (same.float() - 128) / 128)
    assert torch.allclose(for_inception(same, "pytorch-fid"), same / 127.5 - 1, atol=1e-6)


def test_gray_and_transparent_images_are_taken_as_rgb() -> None:
    gray = torch.randint(0, 256, (1, 1, 20, 20), dtype=torch.uint8)
    assert torch.equal(
        for_inception(gray, "clean"), for_inception(gray.expand(-1, 3, -1, -1), "clean")
    )
    rgba = torch.randint(0, 256, (1, 4, 20, 20), dtype=torch.uint8)
    assert torch.equal(for_inception(rgba, "tf1"), for_inception(rgba[:, :3], "tf1"))


def test_a_file_that_does_not_fit_is_named(state: dict[str, Tensor]) -> None:
    broken = {**state, "Mixed_6c.branch7x7_2.conv.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"branch7x7_2\.conv\.weight should be"):
        from_file(broken)
    del broken["fc.weight"]
    broken.pop("Mixed_6c.branch7x7_2.conv.weight")
    with pytest.raises(ValueError, match="not there"):
        from_file(broken)
