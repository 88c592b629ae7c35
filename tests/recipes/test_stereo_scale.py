"""The factor by a second camera, on pairs whose disparity is known row by row."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.recipes import stereo_scale
from epipole.recipes.find_scale import check_fits
from epipole.recipes.scale_run import scale_run
from epipole.recipes.scale_tracks import Clip
from epipole.sources.video import open_footage
from epipole.types.errors import InputError
from epipole.types.known import Known
from tests.runs import FRAMES, write_run

WIDTH, HEIGHT, FOCAL, BASELINE, UNIT = 256, 192, 200.0, 0.25, 0.25


def true_disparity(frame: int) -> np.ndarray:
    """Of the floor of `tests.runs`, in the rows of these larger images: px, a column."""
    at = (np.arange(HEIGHT) + 0.5) / 4 - 0.5
    z = np.interp(at, np.arange(48), np.linspace(4 + 0.1 * frame, 2, 48))
    return FOCAL * BASELINE / z


def write_pairs(folder: Path, lower: int = 0) -> None:
    """Textures of a few pixels; the right camera's rows are moved to the left, and lie so many px lower."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    for name in ("left", "right"):
        (folder / name).mkdir(parents=True)
    for i in range(FRAMES):
        wide = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH + 64, 3)).astype(np.float32), (0, 0), 1.2)
        wide = np.clip(128 + 3 * (wide - 128), 0, 255)
        d = true_disparity(i)[:, None].astype(np.float32)
        right = cv2.remap(wide, x + d, y, cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / f"left/{i:06d}.png"), wide[:, :WIDTH])
        cv2.imwrite(str(folder / f"right/{i:06d}.png"), np.roll(right, lower, 0))


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose depth is that of these pairs but for the unit."""
    write_pairs(tmp_path / "pair")
    clip = tmp_path / "pair/left"
    return write_run(
        tmp_path / "run", UNIT, arguments={"clip": str(clip), "minutes": 1, "seed": 0},
        footage={"name": "left", "frames": FRAMES, "fps": None, "sha256": open_footage(clip).sha256()},
        intrinsics={"fx": FOCAL, "fy": FOCAL, "cx": 127.5, "cy": 95.5, "width": WIDTH, "height": HEIGHT})


def test_pairs_tell_the_factor_by_name_and_in_order(run, tmp_path):
    right = tmp_path / "pair/right"
    (right / "000003.png").unlink()     # by name: a camera may lose frames
    found = scale_run(run, Known(stereo=right, baseline=BASELINE))
    assert found.factor == pytest.approx(1 / UNIT, rel=0.01)
    assert found.spread_percent < 1
    assert found.frames == FRAMES - 1
    for i in range(FRAMES):
        if i != 3:
            (right / f"{i:06d}.png").rename(right / f"cam1-{i}.png")
    with pytest.raises(InputError, match="11 images"):
        scale_run(run, Known(stereo=right, baseline=BASELINE))
    (tmp_path / "pair/left/000003.png").rename(right / "cam1-3.png")
    with pytest.raises(InputError, match="--clip"):     # the clip lacks a frame now
        scale_run(run, Known(stereo=right, baseline=BASELINE))


def test_in_order_and_where_the_clip_has_moved(run, tmp_path, monkeypatch):
    pair = (tmp_path / "pair").rename(tmp_path / "moved")
    for i in range(FRAMES):
        (pair / f"right/{i:06d}.png").rename(pair / f"right/cam1-{i}.png")
    known = Known(stereo=pair / "right", baseline=2 * BASELINE)
    with pytest.raises(InputError, match="--clip"):
        scale_run(run, known)
    assert scale_run(run, known, pair / "left").factor == pytest.approx(2 / UNIT, rel=0.01)
    monkeypatch.setattr(stereo_scale, "WIDTH", WIDTH // 2)     # px at which pairs are matched
    assert scale_run(run, known, pair / "left").factor == pytest.approx(2 / UNIT, rel=0.03)


def test_what_is_no_rectified_pair_is_refused_before_learning(run, tmp_path):
    left = open_footage(tmp_path / "pair/left")
    clip = Clip(np.arange(FRAMES, dtype=float), False, (WIDTH, HEIGHT), left)
    check_fits(Known(stereo=tmp_path / "pair/right", baseline=BASELINE), clip)
    write_pairs(tmp_path / "low", lower=6)
    for name, size in (("small", (128, 96)), ("grey", (WIDTH, HEIGHT))):
        (tmp_path / name).mkdir()
        for i in range(FRAMES):
            cv2.imwrite(str(tmp_path / name / f"{i:06d}.png"), np.full((*size[::-1], 3), 90, np.uint8))
    for folder, said in (("low/right", "other rows"), ("small", "one size"), ("grey", "points in common")):
        with pytest.raises(InputError, match=said):
            check_fits(Known(stereo=tmp_path / folder, baseline=BASELINE), clip)
    swapped = clip._replace(footage=open_footage(tmp_path / "pair/right"))
    with pytest.raises(InputError, match="left camera"):
        check_fits(Known(stereo=tmp_path / "pair/left", baseline=BASELINE), swapped)
