"""Untrained optical flow."""

import cv2
import numpy as np
import pytest
import torch

from epipole.judges.flow import FlowFrame, judge_flow
from epipole.methods.flow import FLOWS, Dis, Farneback, NoFlow, Refined, each_pair, grey
from epipole.types.errors import InputError
from epipole.types.predictions import Flow
from epipole.types.views import Views

SHIFT = (3, -2)  # px, x and y


def shifted(scenes: int = 1) -> Views:
    """Clips of three views; from each to the next the texture moves by SHIFT, from the last to the first back."""
    rng = np.random.default_rng(0)
    canvas = cv2.GaussianBlur(rng.random((scenes * 120, 160, 3)), (0, 0), 2).reshape(scenes, 120, 160, 3)
    canvas = (canvas - canvas.min()) / np.ptp(canvas)
    dx, dy = SHIFT
    views = [canvas[:, 20 - n * dy : 100 - n * dy, 20 - n * dx : 140 - n * dx] for n in range(3)]
    return Views(image=torch.from_numpy(np.stack(views, 1)).float().movedim(-1, -3))


def inner_error(flow: torch.Tensor, truth: tuple[int, int]) -> float:
    gap = flow[..., 12:-12, 12:-12] - torch.tensor(truth).float()[:, None, None]
    return float(gap.norm(dim=-3).mean())


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "none"])
def test_a_shift_is_found_and_the_last_view_leads_to_the_first(name):
    flow = FLOWS[name](shifted(2)).flow
    assert flow.shape == (2, 3, 2, 80, 120)
    assert inner_error(flow[:, :2], SHIFT) < 0.15
    assert inner_error(flow[:, 2], (-2 * SHIFT[0], -2 * SHIFT[1])) < 0.3


def test_no_flow_is_none():
    assert not NoFlow()(shifted()).flow.any()


@pytest.mark.parametrize("method", [Dis(), Farneback(), Refined(Farneback())])
def test_scenes_do_not_look_at_each_other_and_a_scene_may_come_alone(method):
    views = shifted(2)
    together = method(views).flow
    alone = method(Views(image=views.image[1])).flow
    assert alone.shape == together.shape[1:]
    assert torch.equal(alone, together[1])


def test_refinement_brings_a_coarse_flow_nearer_to_the_truth():
    views = shifted()

    def coarse(given: Views) -> Flow:
        noise = torch.randn(1, 3, 2, 80, 120, generator=torch.Generator().manual_seed(0))
        truth = torch.tensor([SHIFT, SHIFT, (-6, 4)]).float()[None, :, :, None, None]
        return Flow(flow=truth + 0.5 * noise)

    assert inner_error(Refined(coarse)(views).flow[:, :2], SHIFT) < 0.3 * inner_error(coarse(views).flow[:, :2], SHIFT)


def test_every_pair_is_handed_over_in_order():
    views, seen = shifted(2), []

    def find(first, second, k):
        seen.append((first, second))
        return np.full((80, 120, 2), k, np.float32)

    flow = each_pair(views, find).flow
    assert flow[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.array_equal(seen[2][1], seen[0][0])
    assert np.array_equal(seen[4][1], seen[5][0])


def test_grey_is_opencvs():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    whole = (255 * image).round() / 255
    colour = (255 * whole).round().byte().permute(1, 2, 0).numpy()
    assert np.abs(grey(whole).astype(int) - cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)).max() <= 1
    with pytest.raises(InputError, match="channels"):
        grey(torch.rand(4, 20, 30))


def test_small_images_are_refused_in_words():
    with pytest.raises(InputError, match="larger"):
        Dis()(Views(image=torch.rand(1, 2, 3, 12, 40)))


def test_on_a_real_pair_each_is_better_than_no_flow_dis_better_than_farneback_and_refined_best(shared_data):
    folder = shared_data / "flow_rubberwhale"
    images = [cv2.imread(str(folder / f"RubberWhale{k}.png"))[..., ::-1] / 255 for k in (1, 2)]
    truth = np.fromfile(folder / "RubberWhale.flo", np.float32)[3:].reshape(388, 584, 2).transpose(2, 0, 1)
    views = Views(image=torch.from_numpy(np.stack(images)).float().movedim(-1, -3)[None])
    known = (np.abs(truth) < 1e8).all(0)
    aee = {}
    for name, method in (FLOWS | {"refined": Refined(FLOWS["dis"])}).items():
        flow = method(views).flow[0, 0].numpy()
        score = judge_flow([FlowFrame(flow, truth, known)])[0]
        aee[name] = score.value
    assert aee["none"] == score.baselines["no flow"]
    assert aee["refined"] < 0.97 * aee["dis"] < aee["farneback"] < 0.5 * aee["none"]
