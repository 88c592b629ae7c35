"""A file is whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from epipole.formats.atomic import make_folder, replacing
from epipole.types.errors import InputError


def write_half(path: Path, error: Exception) -> None:
    with replacing(path) as part:
        part.write_bytes(b"half")
        raise error


def test_what_was_written_takes_the_place(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "a.txt", ZeroDivisionError())
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "could not be written")])
def test_a_disk_that_refuses_is_a_sentence(tmp_path, number, word):
    with pytest.raises(InputError, match=word):
        write_half(tmp_path / "a.bin", OSError(number, os.strerror(number)))
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(InputError), replacing(tmp_path / "none" / "a.txt") as part:
        part.write_text("x")


def test_a_file_in_the_way_of_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        make_folder(tmp_path / "file" / "run")
    assert make_folder(tmp_path / "a" / "b").is_dir()
