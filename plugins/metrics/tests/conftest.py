"""Fixtures: a weights file of the real one's shapes, pictures, the shared folder."""

from pathlib import Path

import pytest
import synthetic
import torch
from torch import Tensor

SHARED = Path(__file__).resolve().parents[4] / "shared"


@pytest.fixture(scope="session")
def state() -> dict[str, Tensor]:
    return synthetic.synthetic_state()


@pytest.fixture(scope="session")
def weights_file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the legacy format, as the real file is."""
    file = tmp_path_factory.mktemp("weights") / "synthetic.pth"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data is not here")
    return SHARED
