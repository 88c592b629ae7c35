"""Places that lie on disk are as good as those in memory."""

import gc
import warnings

import pytest
import torch

from epipole.pipelines.loops import Place
from epipole.pipelines.place_file import PlaceFile
from epipole.pipelines.places import Features


def place(seed: int, number: int = 20) -> Place:
    generator = torch.Generator().manual_seed(seed)
    points, words = (torch.rand(number, d, generator=generator) for d in (2, 16))
    depth = torch.rand(number, generator=generator)
    depth[:3] = torch.nan
    return Place(Features(100 * points, torch.nn.functional.normalize(words, dim=1)), depth)


def check_same(found: Place, expected: Place) -> None:
    assert torch.equal(found.features.points, expected.features.points)
    torch.testing.assert_close(found.depth, expected.depth, atol=0, rtol=0, equal_nan=True)
    torch.testing.assert_close(found.features.words, expected.features.words, atol=5e-4, rtol=0)


def test_what_is_put_is_found_in_any_order(tmp_path):
    file, places = PlaceFile(tmp_path), [place(k, number) for k, number in enumerate((20, 0, 7))]
    for k, one in enumerate(places):
        file.put(k, one)
    assert len(file) == 3
    for k in (2, 0, 1, -1):
        check_same(file[k], places[k])
    assert [len(one.depth) for one in file] == [20, 0, 7]
    assert [len(one.depth) for one in file[::-2]] == [7, 20]
    assert list(tmp_path.iterdir()) == []  # nameless: a kill leaves nothing


def test_the_last_one_may_change_and_others_not(tmp_path):
    file = PlaceFile(tmp_path)
    file.put(0, place(0))
    file.put(1, place(1))
    file.put(1, place(2, 30))
    whole = file._file.seek(0, 2)
    for _ in range(3):
        file.put(1, place(2, 30))
    assert file._file.seek(0, 2) == whole  # what was there before is gone
    file.put(2, place(3))
    for k, seed in enumerate((0, 2, 3)):
        check_same(file[k], place(seed, 30 if seed == 2 else 20))
    for k in (0, 1, 4):
        with pytest.raises(ValueError, match=f"place {k} of 3"):
            file.put(k, place(0))


def test_the_file_goes_with_its_owner():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        file = PlaceFile()
        inner = file._file
        del file
        gc.collect()
    assert inner.closed
