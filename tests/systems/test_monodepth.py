"""monodepth on shifted and rendered pairs: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.systems.depth.monodepth import PRESETS, Monodepth, augmented, post_processed
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_pair

H, W, SHIFT = 24, 64, 8
TINY = replace(PRESETS["small"], width=0.08)
F64 = torch.float64


@pytest.fixture
def pair(generator):
    """Random texture, seen 8 px further left by the right camera."""
    wide = torch.rand(1, 3, H, W + SHIFT, generator=generator, dtype=F64)
    return wide[..., :W], wide[..., SHIFT:]


def system(**changes) -> Monodepth:
    torch.manual_seed(0)
    return Monodepth(replace(TINY, **changes))


def constant(left: float, right: float | None = None) -> torch.Tensor:
    """Disparities given in px, as shares of the width."""
    values = torch.tensor([left, left if right is None else right], dtype=F64) / W
    return values.view(1, 2, 1, 1).expand(1, 2, H, W).clone()


def total(*arguments) -> float:
    return float(sum(system().objective(*arguments).values()))


def test_the_true_shift_has_no_appearance_error_and_every_other_has_more(pair):
    errors = [float(system().objective(*pair, [constant(d)])["appearance"]) for d in range(1, 18)]
    assert errors[SHIFT - 1] < 1e-6
    assert all(e > 0.2 for d, e in enumerate(errors, 1) if d != SHIFT)


def test_consistency_is_zero_for_equal_constant_disparities_and_their_difference_otherwise(pair):
    assert system().objective(*pair, [constant(5.0)])["left_right"] < 1e-12
    apart = system().objective(*pair, [constant(5.0, 7.0)])["left_right"]
    torch.testing.assert_close(apart, torch.tensor(2 * 2.0 / W, dtype=F64))


def test_smoothness_counts_both_disparities_and_less_where_the_image_has_edges():
    d = constant(5.0)
    d[..., W // 2:] *= 2  # a step of 5 px
    even, step = torch.full((1, 3, H, W), 0.5, dtype=F64), torch.full((1, 3, H, W), 0.1, dtype=F64)
    step[..., W // 2:] = 0.9
    flat = system().objective(even, even, [d])["smoothness"]
    torch.testing.assert_close(flat, torch.tensor(2 * 0.1 * (5 / W) / (W - 1), dtype=F64))
    torch.testing.assert_close(system().objective(step, step, [d])["smoothness"], flat * torch.exp(torch.tensor(-0.8)))


def test_coarser_scales_measure_the_same_share_of_the_width():
    views = plane_pair(1)
    d = (views.disparity[:, :, 0] / views.image.shape[-1])
    scales = [torch.nn.functional.avg_pool2d(d, 2**s) for s in range(4)]
    pair = views.image[:, 0], views.image[:, 1]
    right = system().objective(*pair, scales)["appearance"]
    wrong = system().objective(*pair, [2 * x for x in scales])["appearance"]
    assert right < 0.2 * wrong


def test_views_swapped_without_mirroring_cost_much_and_mirroring_with_them_nothing(pair):
    left, right = pair
    plain = total(left, right, [constant(SHIFT)])
    assert total(right, left, [constant(SHIFT)]) > 10 * plain + 0.5
    assert total(right.flip(-1), left.flip(-1), [constant(SHIFT)]) == pytest.approx(plain)


def test_training_mirrors_half_the_pairs_and_swaps_their_views():
    torch.manual_seed(0)
    left = torch.rand(1, 3, 4, 6).repeat(100, 1, 1, 1)
    right = torch.rand(1, 3, 4, 6).repeat(100, 1, 1, 1)
    new_left, new_right = augmented(left, right)
    kept = ((new_left == left).flatten(1).all(1) & (new_right == right).flatten(1).all(1)).sum()
    swapped = ((new_left == right.flip(-1)).flatten(1).all(1) & (new_right == left.flip(-1)).flatten(1).all(1)).sum()
    assert 12 < kept < 40  # a quarter each; the colours of the other half have changed
    assert 12 < swapped < 40


def test_depth_is_metric_by_focal_length_and_baseline():
    views = plane_pair(2)
    learner = system(augment=False).eval()
    share = views.disparity.flatten(0, 1) / views.image.shape[-1]
    learner.disparities = lambda _: [torch.cat([share, share], 1)]
    torch.testing.assert_close(learner(views).depth, views.depth)


def test_depth_of_the_left_image_does_not_look_at_the_right_one():
    views = plane_pair(1)
    learner = system().eval()
    other = Views(**views.fields() | {"image": torch.stack([views.image[:, 0], 1 - views.image[:, 1]], 1)})
    with torch.no_grad():
        torch.testing.assert_close(learner(other).depth[:, 0], learner(views).depth[:, 0])


def test_post_processing_takes_each_edge_from_the_image_that_saw_behind_it():
    a, b = torch.full((1, 3, 101), 1.0), torch.full((1, 3, 101), 3.0)
    joined = post_processed(a, b)
    assert (joined[..., :6] == 3).all()
    assert (joined[..., -6:] == 1).all()
    torch.testing.assert_close(joined[..., 10:91], torch.full((1, 3, 81), 2.0))
    assert (joined[..., :51].diff() <= 1e-6).all()
    torch.testing.assert_close(post_processed(b, a).flip(-1), joined)  # mirrored input, mirrored result


def test_post_processed_depth_of_a_mirrored_image_is_mirrored():
    views = plane_pair(1)
    learner = system(post_process=True).eval()
    mirrored = Views(**views.fields() | {"image": views.image.flip(-1)})
    with torch.no_grad():
        torch.testing.assert_close(learner(mirrored).depth, learner(views).depth.flip(-1), rtol=1e-4, atol=0)


def test_what_is_no_pair_and_images_too_small_are_refused_in_words():
    views = plane_pair(1).keep(Monodepth.needs)
    with pytest.raises(InputError, match="pairs"):
        system().loss(views.map(lambda x: x[:, :1]))
    with pytest.raises(InputError, match="17 pixels"):
        system().loss(Views(image=views.image[..., :16, :], baseline=views.baseline))
