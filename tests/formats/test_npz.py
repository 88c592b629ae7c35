import errno
import os
import zipfile

import numpy as np
import pytest

from epipole.formats import npz
from epipole.types.errors import InputError


def write(path, count=5):
    with npz.writing(path) as add:
        for i in range(count):
            add(f"{i:06d}", np.full((3, 4), i, np.float16))


def test_numpy_reads_it_back(tmp_path):
    write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == [f"{i:06d}" for i in range(5)]
        np.testing.assert_array_equal(archive["000003"], np.full((3, 4), 3))
        assert archive["000003"].dtype == np.float16


def test_a_slice_of_an_array_is_written_as_it_looks(tmp_path):
    image = np.arange(24).reshape(4, 6)
    with npz.writing(tmp_path / "a.npz") as add:
        add("t", image.T[::2])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["t"], image.T[::2])


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    write(tmp_path / "a.npz")
    os.utime(tmp_path / "a.npz", (0, 0))
    write(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_block_that_fails_leaves_what_stood_there(tmp_path, stop):
    write(tmp_path / "a.npz", count=1)

    def cut_short():
        with npz.writing(tmp_path / "a.npz") as add:
            add("x", np.zeros(3))
            raise stop

    with pytest.raises(stop):
        cut_short()
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert np.load(tmp_path / "a.npz").files == ["000000"]


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    with pytest.raises(InputError, match="disk is full"):
        write(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())
