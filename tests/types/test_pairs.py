"""What counts as a rectified pair, and which view is next."""

import pytest
import torch

from epipole.types.errors import InputError, MissingField
from epipole.types.pairs import next_views, rectified_pair
from epipole.types.views import Views

IMAGE, BASELINE = torch.rand(1, 2, 3, 4, 5), torch.full((1, 2), 0.1)


def test_the_left_image_comes_first():
    left, right = rectified_pair(Views(image=IMAGE, baseline=BASELINE), "it")
    assert torch.equal(left, IMAGE[:, 0])
    assert torch.equal(right, IMAGE[:, 1])


def test_two_frames_of_a_clip_are_no_pair():
    with pytest.raises(MissingField):
        rectified_pair(Views(image=IMAGE), "it")
    with pytest.raises(InputError, match="baselines"):
        rectified_pair(Views(image=IMAGE, baseline=0 * BASELINE), "it")


@pytest.mark.parametrize("image", [IMAGE[:, :1], IMAGE[:, :, :1], IMAGE[0], torch.cat([IMAGE, IMAGE], 1)])
def test_other_shapes_are_refused_with_the_name_of_who_asked(image):
    views = Views(image=image, baseline=torch.full(image.shape[:-3], 0.1))
    with pytest.raises(InputError, match="Monodepth learns"):
        rectified_pair(views, "Monodepth")


def test_the_last_view_leads_to_the_first():
    image = torch.rand(2, 3, 3, 4, 5)
    first, second = next_views(Views(image=image), "it")
    assert torch.equal(first[4], image[1, 1])
    assert torch.equal(second[4], image[1, 2])
    assert torch.equal(second[5], image[1, 0])


@pytest.mark.parametrize("image", [IMAGE[:, :, :1], IMAGE[0]])
def test_grey_views_and_no_scenes_are_refused(image):
    with pytest.raises(InputError, match="FlowNetS reads"):
        next_views(Views(image=image), "FlowNetS")
