import numpy as np
import pytest

from epipole.formats.run import RunFiles
from epipole.types.errors import InputError
from tests.runs import FRAMES, HEIGHT, WIDTH, K, true_depth, true_path, write_run


@pytest.fixture
def run(tmp_path) -> RunFiles:
    return RunFiles(write_run(tmp_path / "run", scale=0.5))


def test_everything_comes_back(run):
    assert len(run.depth) == len(run.log_variance) == len(run.path) == FRAMES
    np.testing.assert_allclose(run.depth[3], 0.5 * true_depth(3), rtol=1e-3)
    assert run.depth[3].dtype == np.float32
    np.testing.assert_allclose(run.path[:, :3, 3], 0.5 * true_path()[:, :3, 3], atol=1e-9)
    np.testing.assert_allclose(run.timestamps, np.arange(FRAMES) / 30)
    np.testing.assert_array_equal(run.intrinsics, K)
    assert run.image_size == (WIDTH, HEIGHT)
    assert run.finished


def test_frames_are_counted_as_in_a_list(run):
    np.testing.assert_array_equal(run.depth[-1], run.depth[FRAMES - 1])
    assert len(run.depth[2:5]) == 3
    assert len(list(run.depth)) == FRAMES
    with pytest.raises(IndexError):
        run.depth[FRAMES]


def test_only_the_frames_asked_for_are_read(run, monkeypatch):
    read = []
    archive = run.depth._archive
    get = type(archive).__getitem__
    monkeypatch.setattr(type(archive), "__getitem__", lambda self, name: read.append(name) or get(self, name))
    run.depth[7]
    assert read == ["000007"]


def test_what_is_no_run_is_refused(tmp_path):
    for text in (None, "", "a: [", "- 1"):
        if text is not None:
            (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(InputError):
            RunFiles(tmp_path)


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04 cut"])
def test_damaged_depth_is_refused(tmp_path, text):
    run = RunFiles(write_run(tmp_path))
    (tmp_path / "depth.npz").write_bytes(text)
    with pytest.raises(InputError):
        _ = run.depth


def test_an_unfinished_run_has_no_depth_yet(tmp_path):
    write_run(tmp_path, finished=False, intrinsics=None)
    (tmp_path / "depth.npz").unlink()
    run = RunFiles(tmp_path)
    assert not run.finished
    with pytest.raises(InputError):
        _ = run.depth
    with pytest.raises(InputError):
        _ = run.intrinsics
