"""`--cache` and `--mirror`: where images are kept changes no result; what is shown may."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganctl import checkpoint

CLI = Any  # conftest.py's CommandLine
CACHES = ("none", "memory", "disk", "device", "auto")


def train(ganctl: CLI, tiny: tuple[str, ...], name: str, *options: str) -> Path:
    result = ganctl.here("train", *tiny, "--cond", "--kimg", "1", *options, "--run", name)
    assert result.returncode == 0, result.stderr
    return Path(ganctl.folder / name)


def results(run: Path) -> dict[str, bytes]:
    """Weights and pictures; logs and configurations tell times and options too."""
    generator = {p.relative_to(run): p for p in run.rglob(checkpoint.GENERATOR)}
    samples = {p.relative_to(run): p for p in run.glob("samples/*.png")}
    return {str(name): file.read_bytes() for name, file in (generator | samples).items()}


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [(), ("--mirror",)])
def test_the_choice_of_cache_changes_no_byte_of_the_results(
    ganctl: CLI, tiny: tuple[str, ...], mirror: tuple[str, ...]
) -> None:
    first, *others = (
        results(train(ganctl, tiny, f"from-{cache}", "--cache", cache, *mirror)) for cache in CACHES
    )
    assert len(first) >= 3
    assert all(other == first for other in others)
    assert len(list(ganctl.folder.glob("datasets/.*.zip.cache/*.u8"))) == 1


@pytest.mark.slow
def test_a_run_resumes_from_another_cache_but_not_with_other_images(
    ganctl: CLI, tiny: tuple[str, ...]
) -> None:
    longer = train(ganctl, tiny, "longer", "--mirror", "--kimg", "1.5")
    run = train(ganctl, tiny, "run", "--mirror", "--cache", "none")
    config = run / "config.toml"
    text = config.read_text()
    assert 'cache = "none"' in text
    assert "mirror = true" in text
    config.write_text(text.replace("mirror = true", "mirror = false"))
    result = ganctl.here("resume", "run", "--kimg", "1.5")
    assert result.returncode == 2
    assert result.stderr == (
        "ganctl: error: config.toml: mirror is False now, but the run was trained with True: "
        "only kimg, device and cache may change\n"
    )
    config.write_text(text.replace('cache = "none"', 'cache = "disk"'))
    result = ganctl.here("resume", "run", "--kimg", "1.5")
    assert result.returncode == 0, result.stderr
    last = f"checkpoints/{checkpoint.name_of(1536)}/{checkpoint.GENERATOR}"
    assert results(run)[last] == results(longer)[last]


@pytest.mark.parametrize("cache", CACHES)
def test_mixed_sizes_are_refused_before_training(
    ganctl: CLI, tiny: tuple[str, ...], cache: str
) -> None:
    (ganctl.folder / "set").mkdir()
    for index in range(70):
        Image.new("RGB", (8, 9 if index == 66 else 8)).save(ganctl.folder / f"set/{index}.png")
    before = ganctl.files()
    result = ganctl.here("train", *tiny, "--data", "set", "--cache", cache, "--run", "run")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "66.png is 9x8 but 0.png is 8x8" in result.stderr
    shutil.rmtree(ganctl.folder / ".set.cache", ignore_errors=True)
    assert ganctl.files() == before


def test_a_cache_that_is_none(ganctl: CLI, tiny: tuple[str, ...]) -> None:
    result = ganctl.here("train", *tiny, "--cache", "ram")
    assert result.returncode == 2
    assert "cache: 'ram' is not one of auto, none, memory, disk, device" in result.stderr
