"""Semi-global matching."""

import cv2
import numpy as np
import pytest
import torch

from epipole.judges.disparity import DisparityFrame, judge_disparity
from epipole.methods.stereo import STEREO, Sgm, filled
from epipole.types.errors import InputError
from epipole.types.views import Views


def step_pair(near: int = 12, far: int = 4) -> tuple[Views, torch.Tensor]:
    """A textured wall with a nearer square before it, and the left view's disparity."""
    rng = np.random.default_rng(0)
    wall, square = (cv2.GaussianBlur(rng.random((64, 160, 3)), (0, 0), 0.7) for _ in range(2))
    left, right = wall[:, 20:140].copy(), wall[:, 20 + far : 140 + far].copy()
    left[16:48, 50:90] = square[16:48, 50:90]
    right[16:48, 50 - near : 90 - near] = square[16:48, 50:90]
    disparity = torch.full((64, 120), float(far))
    disparity[16:48, 50:90] = near
    return Views(image=torch.from_numpy(np.stack([left, right])).float().movedim(-1, -3)[None]), disparity


def test_a_step_is_found_at_every_pixel_and_the_occlusion_is_background():
    views, truth = step_pair()
    found = Sgm(disparities=32)(views).disparity
    assert found.shape == (1, 1, 64, 120)
    gap = (found[0, 0] - truth).abs()
    assert gap.median() < 0.1
    assert (gap < 1).float().mean() > 0.95
    occluded = found[0, 0, 20:44, 43:48]  # 8 px left of the square the right view does not see
    assert (occluded.median() - 4).abs() < 0.5


def test_without_filling_what_failed_is_zero():
    views, _ = step_pair()
    bare, full = (Sgm(disparities=32, fill=fill)(views).disparity for fill in (False, True))
    holes = bare == 0
    assert 0.005 < holes.float().mean() < 0.3
    assert torch.equal(bare[~holes], full[~holes])
    assert (full > 0).all()


def test_a_right_view_moved_by_k_moves_disparity_by_k():
    views, _ = step_pair()
    moved = views.image.clone()
    moved[:, 1] = moved[:, 1].roll(-5, -1)
    gap = (Sgm(disparities=32)(Views(image=moved)).disparity - Sgm(disparities=32)(views).disparity)[..., 30:]
    assert (gap.median() - 5).abs() < 0.1


def test_holes_take_the_farther_neighbour_and_empty_rows_the_nearest_row():
    d = np.array([[0, 5, 0, 0, 3, 0], [0] * 6, [0, 0, 7, 0, 9, 0]], np.float32)
    out = filled(d, d > 0)
    assert out.tolist() == [[5, 5, 3, 3, 3, 3], [5, 5, 3, 3, 3, 3], [7, 7, 7, 7, 9, 9]]
    assert not filled(0 * d, d < 0).any()


def test_scenes_are_matched_by_themselves():
    a, b = step_pair()[0].image, step_pair(8, 2)[0].image
    both = Sgm(disparities=32)(Views(image=torch.cat([a, b]))).disparity
    assert torch.equal(both[1], Sgm(disparities=32)(Views(image=b[0])).disparity)


@pytest.mark.parametrize(("image", "disparities"), [((1, 3, 3, 32, 64), 64), ((1, 2, 3, 32, 64), 40)])
def test_what_it_cannot_match_is_refused_in_words(image, disparities):
    with pytest.raises(InputError, match="SGM"):
        Sgm(disparities)(Views(image=torch.rand(image)))


def test_on_a_real_pair_it_is_far_better_than_one_disparity(shared_data):
    folder = shared_data / "stereo_middlebury" / "teddy"
    images = [cv2.imread(str(folder / f"im{k}.png"))[..., ::-1] / 255 for k in (2, 6)]
    truth = cv2.imread(str(folder / "disp2.png"), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 4
    views = Views(image=torch.from_numpy(np.stack(images)).float().movedim(-1, -3)[None])
    found = STEREO["sgm"](views).disparity[0, 0].numpy()
    scores = {s.name: s for s in judge_disparity([DisparityFrame(found, truth, truth > 0)])}
    assert scores["epe"].value < 0.4 * scores["epe"].baselines["constant disparity"]
    assert scores["bad_3"].value < 20
