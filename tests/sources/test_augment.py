"""The augmentation of flow and stereo as a source."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.warp import flow_warp
from epipole.geometry.window import covers
from epipole.sources.augment import OF_FLOW, OF_STEREO, Augmented, Light, augmented, drawn, relit
from epipole.sources.source import Source
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip, plane_pair

NONE = Light((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 0.0, 0.0)


class One:
    """A source of one sample."""

    def __init__(self, batch: Views) -> None:
        self.views = batch.map(lambda x: x[0])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Views:
        return self.views


def test_windows_differ_lie_within_the_images_and_are_as_large_as_the_paper_says():
    torch.manual_seed(0)
    A = torch.stack([drawn(OF_FLOW, 2, (96, 128), (84, 112)) for _ in range(200)])
    assert covers(A, (96, 128), (84, 112)).all()
    zoom, turn = 1 / A[..., :2, 0].norm(dim=-1), torch.atan2(A[..., 1, 0], A[..., 0, 0]).rad2deg()
    first = zoom[:, 0], turn[:, 0]
    assert 0.85 < first[0].min() < 1.3
    assert 1.7 < first[0].max() <= 2.0
    assert 10 < first[1].abs().max() <= 17.001
    apart = (zoom[:, 1] / zoom[:, 0]).log().std(), (turn[:, 1] - turn[:, 0]).std()
    assert apart[0] == pytest.approx(0.03, rel=0.3)
    assert apart[1] == pytest.approx(1.7, rel=0.3)


def test_where_no_window_lies_within_the_image_it_is_its_middle():
    A = drawn(replace(OF_FLOW, zoom=(0.5, 0.6)), 2, (40, 60), (36, 52))
    torch.testing.assert_close(A, torch.tensor([[1.0, 0, 4], [0, 1, 2], [0, 0, 1]]).expand(2, 3, 3))


def test_flow_comes_along_exactly():
    views = plane_clip(views=2)
    views.flow_valid[..., :48] = False  # as if its points were hidden in the other view
    source = Augmented(One(views), OF_FLOW, NONE)
    assert isinstance(source, Source)
    for seed in range(3):
        torch.manual_seed(seed)
        views = source[0]
        assert views.image.shape == (2, 3, 56, 84)
        assert set(views.fields()) == {"image", "flow", "flow_valid", "flow_known"}
        assert views.flow_known[views.flow_valid].all()
        seen, inside = flow_warp(views.image.roll(-1, 0), views.flow)
        known = views.flow_known & inside
        assert known.float().mean() > 0.4
        assert (known & ~views.flow_valid).float().mean() > 0.1
        assert ((seen - views.image).abs() * known).max() < 0.02


def test_disparity_comes_along_and_pairs_stay_rectified():
    pair = plane_pair()
    source = Augmented(One(pair), OF_STEREO, NONE)
    torch.manual_seed(1)
    views = source[0]
    assert {"image", "disparity", "disparity_valid", "baseline"} <= set(views.fields())
    assert not {"K", "depth", "T_world_camera"} & set(views.fields())  # which would be wrong now
    assert not torch.allclose(views.disparity, pair.disparity[0, ..., :56, :84], atol=0.1)
    zero = torch.zeros_like(views.disparity)
    for n, sign in ((0, -1), (1, 1)):
        flow = torch.cat([sign * views.disparity, zero], 1)[n : n + 1]
        seen, inside = flow_warp(views.image[1 - n : 2 - n], flow)
        known = views.disparity_valid[n : n + 1]
        assert inside[known].all()
        assert known.float().mean() > 0.5
        assert ((seen - views.image[n : n + 1]).abs() * known).max() < 0.02
    assert (views.disparity > 0).float().mean() > views.disparity_valid.float().mean()  # what one view alone shows


def test_a_turn_of_rectified_pairs_is_a_mistake():
    with pytest.raises(ValueError, match="rectified"):
        _ = Augmented(One(plane_pair()), OF_FLOW)[0]


def test_it_is_a_function_of_the_seed():
    source = Augmented(One(plane_clip(views=2)), OF_FLOW)
    samples = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        samples.append(source[0].image)
    assert torch.equal(samples[0], samples[1])
    assert (samples[0] - samples[2]).abs().max() > 0.1


def test_light_changes_all_views_alike_but_for_the_noise():
    image = 0.3 + 0.4 * torch.rand(1, 3, 8, 9).expand(2, 3, 8, 9)
    torch.manual_seed(0)
    calm = relit(image, Light(noise=0.0))
    torch.testing.assert_close(calm[0], calm[1], atol=1e-6, rtol=0)
    assert (calm - image).abs().max() > 0.02
    noisy = relit(torch.full((2, 3, 40, 40), 0.5), replace(NONE, noise=0.04))
    assert 0 < (noisy[0] - noisy[1]).std() < 0.06


@pytest.mark.parametrize(("light", "expected"), [
    (replace(NONE, contrast=(-0.5, -0.5)), lambda x: 0.5 + 0.5 * (x - 0.5)),
    (replace(NONE, colour=(0.5, 0.5)), lambda x: 0.5 * x),
    (replace(NONE, gamma=(1.5, 1.5)), lambda x: x**1.5),
    (NONE, lambda x: x),
])
def test_each_change_of_light_is_what_it_says(light, expected):
    x = torch.tensor([0.3, 0.7, 0.4, 0.6]).reshape(1, 1, 2, 2).expand(2, 3, 2, 2)
    torch.testing.assert_close(relit(x, light), expected(x), atol=1e-5, rtol=1e-5)


def test_colours_stay_within_range_and_brightness_shifts_them():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 10, 10)
    for _ in range(20):
        changed = relit(image, Light())
        assert changed.min() >= 0
        assert changed.max() <= 1
    shifts = torch.stack([(relit(torch.full((1, 3, 2, 2), 0.5), replace(NONE, brightness=0.05)) - 0.5).mean()
                          for _ in range(200)])
    assert shifts.std() == pytest.approx(0.05, rel=0.2)


def test_a_system_gets_the_augmentation_of_its_field_and_others_are_refused():
    flow, pair = One(plane_clip(views=2)), One(plane_pair())
    assert augmented(flow, {"image"}, "unflow").place == OF_FLOW
    assert augmented(flow, {"image", "flow", "flow_valid"}, "flownets").place == OF_FLOW
    assert augmented(pair, {"image", "baseline"}, "gcnet_reprojection").place == OF_STEREO
    assert augmented(pair, {"image", "disparity", "disparity_valid"}, "gcnet").place == OF_STEREO
    with pytest.raises(InputError, match="sfmlearner"):
        augmented(flow, {"image", "K"}, "sfmlearner")
