import pytest
import torch

from epipole.geometry.camera import intrinsics, project
from epipole.sources.clips import Clips, resized
from epipole.types.errors import InputError
from epipole.types.views import Views


class Ramp:
    """Views whose image is a horizontal ramp plus the frame number."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> Views:
        ramp = torch.linspace(0, 0.9, 96).expand(1, 3, 48, 96) + 0.01 * i
        depth = torch.full((1, 1, 48, 96), 2.0)
        depth[..., :48] = 1.0
        return Views(image=ramp, K=intrinsics(80.0, 80.0, 47.5, 23.5).float()[None], depth=depth,
                     depth_valid=depth > 1.5)


@pytest.mark.parametrize(("length", "gap", "count"), [(3, 1, 8), (3, 4, 2), (5, 2, 2), (1, 1, 10), (3, 5, 0)])
def test_every_clip_lies_within_the_source(length, gap, count):
    clips = Clips(Ramp(), length, gap)
    assert len(clips) == len(list(clips)) == count
    with pytest.raises(IndexError):
        clips[count]


def test_a_clips_views_are_a_gap_apart():
    clip = Clips(Ramp(), 3, 2)[1]
    torch.testing.assert_close(clip.image[:, 0, 0, 0], torch.tensor([0.01, 0.03, 0.05]))
    assert set(clip.fields()) == {"image", "K", "depth", "depth_valid"}


def test_intrinsics_follow_the_images():
    """A point projects to the same content before and after."""
    clip = Clips(Ramp(), 3, 1, width=48)[0]
    assert clip.image.shape == (3, 3, 24, 48)
    point = torch.tensor([0.3, -0.1, 2.0]).view(3, 1, 1)
    x = project(point, Ramp()[0].K[0])[0][0, 0, 0]
    y = project(point, clip.K[0])[0][0, 0, 0]
    before = torch.linspace(0, 0.9, 96)
    at = before[x.floor().long()] + (x - x.floor()) * (before[1] - before[0])
    small = clip.image[0, 0, 0]
    seen = small[y.floor().long()] + (y - y.floor()) * (small[25] - small[24])
    torch.testing.assert_close(seen, at, atol=1e-4, rtol=0)


def test_depth_keeps_its_edge_and_its_mask():
    clip = resized(Ramp()[0], 48)
    assert clip.depth.unique().tolist() == [1.0, 2.0]
    assert torch.equal(clip.depth_valid, clip.depth > 1.5)


def test_images_too_small_to_learn_from_are_refused():
    with pytest.raises(InputError):
        resized(Ramp()[0], 30)
