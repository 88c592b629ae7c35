"""Shapes are checked in tests; data sets beside the project are used when they are there."""

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("epipole", "beartype.beartype")
torch.set_num_threads(1)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of small real data sets; tests that ask for it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data sets are not beside the project")
    return SHARED


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
