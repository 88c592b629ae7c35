from itertools import pairwise

import cv2
import numpy as np
import pytest

from epipole.cli import main
from epipole.types.errors import InputError
from epipole.viewer.figure import render_cloud, shaded, write_figure
from epipole.viewer.marks import MOVED
from epipole.viewer.run_folder import Cloud
from epipole.viewer.viewpoint import Viewpoint
from tests.viewer.synthetic_run import load_about, save_about


def test_writes_a_picture_with_the_footage_in_it(run_folder, tmp_path):
    out = write_figure(run_folder, tmp_path / "overview.png", photos((48, 64)))
    image = cv2.imread(str(out))
    green = (image[..., 1] > 240) & (image[..., 0] < 30) & (image[..., 2] < 30)
    assert image.shape[1] > 1000
    assert green.mean() > 0.05


def test_marks_words_and_lengths_change_the_picture(run_folder, tmp_path):
    """Stripes are drawn where a mask is, and the sentences stand below."""
    pictures = []
    for changes in ({}, {"left_out": {}}, {"scale": "metres"}):
        save_about(run_folder, load_about(run_folder) | changes)
        pictures.append(cv2.imread(str(write_figure(run_folder, tmp_path / "a.png"))).astype(int))
    (run_folder / "mask.npz").unlink()
    pictures.append(cv2.imread(str(write_figure(run_folder, tmp_path / "a.png"))).astype(int))
    lacking, metres, unmarked = (np.abs(a - b).max(-1) > 60 for a, b in pairwise(pictures))
    below = round(0.9 * len(lacking))
    assert lacking[below:].any()
    assert not lacking[:below].any()
    assert metres[below:].any()
    magenta = [(np.abs(i - MOVED.colour[::-1]).max(-1) < 30).sum() for i in pictures[2:]]
    assert magenta[0] > 100
    assert magenta[1] == 0
    assert unmarked[:below].any()


@pytest.mark.parametrize("name", ["mask.npz", "log_variance.npz", "cloud.ply", "path_kitti.txt", "depth.npz"])
def test_missing_pieces_stay_blank(run_folder, tmp_path, name):
    (run_folder / name).unlink()
    assert write_figure(run_folder, tmp_path / "overview.png").stat().st_size > 10_000


def test_show_writes_it_and_says_where(run_folder, tmp_path, capsys):
    out = tmp_path / "overview.png"
    assert main(["show", str(run_folder), "--figure", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert cv2.imread(str(out)).shape[1] > 1000
    assert main(["show", str(run_folder), "--figure", str(tmp_path / "none" / "overview.png")]) == 2
    assert "none" in capsys.readouterr().err


def test_the_suffix_says_the_format(run_folder, tmp_path, capsys):
    write_figure(run_folder, tmp_path / "overview.JPG")
    assert (tmp_path / "overview.JPG").read_bytes()[:3] == b"\xff\xd8\xff"
    for name in ("overview.txt", "overview"):
        assert main(["show", str(run_folder), "--figure", str(tmp_path / name)]) == 2
        assert ".png" in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_nothing_to_show_is_refused(run_folder, tmp_path):
    for name in ("depth.npz", "path_kitti.txt"):
        (run_folder / name).unlink()
    with pytest.raises(InputError):
        write_figure(run_folder, tmp_path / "overview.png")


def test_nearer_points_hide_farther_ones():
    ring = np.random.default_rng(0).normal(0, 0.3, (200, 3))
    points = np.concatenate([ring, -ring, [[0, 0, -0.9]], [[0, 0, 0.9]]]).astype(np.float32)
    colours = np.full((402, 3), 90, np.uint8)
    colours[400], colours[401] = (255, 0, 0), (0, 255, 0)
    ahead = Viewpoint(np.eye(3), np.zeros(3), 4.0, 0.0, 0.0)
    image = render_cloud(Cloud(points, colours, 402), ahead, 120, 80).reshape(-1, 3).tolist()
    assert [255, 0, 0] in image
    assert [0, 255, 0] not in image


def test_what_lies_behind_its_neighbours_is_darker_and_nothing_stays_as_it_is():
    image, depth = np.full((20, 20, 3), 200, np.uint8), np.full((20, 20), 2.0)
    depth[:, 10:] = 4.0
    depth[:5] = np.inf
    dark = shaded(image, depth)[..., 0]
    assert (dark[:5] == 200).all()
    assert (dark[7:, :10] == 200).all()
    assert (dark[7:, 10] < 100).all()
    assert (dark[7:, 11:] == 200).all()


def test_wide_footage_has_more_rows(tmp_path, run_folder):
    wide, tall = (cv2.imread(str(write_figure(run_folder, tmp_path / f"{k}.png", photos(size))))
                  for k, size in enumerate([(36, 80), (60, 80)]))
    green = [((i[..., 1] > 240) & (i[..., 0] < 30) & (i[..., 2] < 30)).any(1).astype(int) for i in (wide, tall)]
    assert [int((np.diff(rows, prepend=0) == 1).sum()) for rows in green] == [5, 3]


def photos(size):
    vivid = np.zeros((*size, 3), np.uint8)
    vivid[..., 1] = 255
    return ((i, vivid) for i in range(12))
