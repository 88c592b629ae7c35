from pathlib import Path

import pytest

from tests.viewer.synthetic_run import write_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A whole RUN folder of 12 frames, scale unknown."""
    return write_run(tmp_path / "run")
