"""Clips, sizes and footage as sources."""

import cv2
import numpy as np
import pytest
import torch

from epipole.formats import kitti
from epipole.geometry.camera import intrinsics, project
from epipole.geometry.sample import sample
from epipole.sources.video import open_footage
from epipole.sources.wrap import Clips, FootageViews, Mixed, Resized, open_views, resized
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip
from tests.sources.clips import HEIGHT, WIDTH, walking, write_video

K = np.array([[100.0, 0, 79.5], [0, 100.0, 59.5], [0, 0, 1]])


class Ramp:
    """Views whose image is a horizontal ramp plus the frame number."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> Views:
        ramp = torch.linspace(0, 0.9, 96).expand(1, 3, 48, 96) + 0.01 * range(10)[i]
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


def test_a_clip_has_no_flow_to_neighbours_it_lacks():
    views = plane_clip(scenes=4)
    source = [views.map(lambda x, i=i: x[i]) for i in range(4)]
    assert set(Clips(source, 2)[0].fields()) == set(views.fields()) - {"flow", "flow_valid", "flow_known"}


def test_intrinsics_follow_the_images():
    """A point projects to the same content before and after."""
    clip = Clips(Resized(Ramp(), 48), 3)[0]
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


def test_flow_follows_the_images_where_they_are_stretched():
    """At the other size the flow still leads to where the next view looks the same."""
    views = plane_clip(scenes=1).map(lambda x: x[0])
    small = resized(views, 72, 40)
    assert small.flow.shape == (3, 2, 40, 72)
    torch.testing.assert_close(small.flow.mean((-2, -1)), views.flow.mean((-2, -1)) * torch.tensor([72 / 96, 40 / 64]),
                               atol=0.05, rtol=0.02)
    v, u = torch.meshgrid(torch.arange(40.0), torch.arange(72.0), indexing="ij")
    seen, inside = sample(small.image[1:2], torch.stack([u, v])[None] + small.flow[:1])
    error = (seen - small.image[:1]).abs().mean(1, keepdim=True)
    assert error[inside & small.flow_valid[:1]].mean() < 0.02


def test_resized_is_a_source():
    source = Resized(Ramp(), 48, 30)
    assert len(source) == len(list(source)) == 10
    assert source[9].image.shape == (1, 3, 30, 48)
    torch.testing.assert_close(source[9].image[0, 0, 0, 0] - source[0].image[0, 0, 0, 0], torch.tensor(0.09))


def test_images_too_small_to_learn_from_are_refused():
    with pytest.raises(InputError):
        resized(Ramp()[0], 30)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "walk.mp4", walking(7))


def test_frames_of_a_video_come_in_any_order(video, tmp_path):
    views = FootageViews(video, cache=tmp_path / "cache")
    frames = [frame.image for frame in open_footage(video).read()]
    assert len(views) == len(frames) == 7
    for i in (6, 0, 3, 3, -1):
        image = torch.from_numpy(frames[i]).permute(2, 0, 1)[None] / 255
        torch.testing.assert_close(views[i].image, image)
    with pytest.raises(IndexError):
        views[7]
    assert set(views[0].fields()) == {"image"}
    assert list((tmp_path / "cache").iterdir()) == []  # the file has no name: nothing is left, however the run ends


def test_footage_is_decoded_once_and_not_before_it_is_used(video, monkeypatch):
    reads = []
    views = FootageViews(video, width=80)
    read = views.footage.read
    monkeypatch.setattr(views.footage, "read", lambda *size: reads.append(size) or read(*size))
    assert reads == []
    assert [views[i].image.shape for i in (5, 1)] == 2 * [(1, 3, 60, 80)]
    assert reads == [(80, 60)]


def test_intrinsics_are_those_of_the_resized_frame(video):
    view = FootageViews(video, width=80, height=30, K=K)[0]
    torch.testing.assert_close(view.K[0], torch.tensor([[50.0, 0, 39.5], [0, 25, 14.5], [0, 0, 1]]))


def test_what_does_not_fit_the_footage_is_refused(video):
    with pytest.raises(InputError):
        FootageViews(video, width=15)
    with pytest.raises(InputError):
        FootageViews(video, K=3 * K)


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(walking(4)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image[..., ::-1])
    kitti.write_intrinsics(tmp_path / "intrinsics.txt", K)
    kitti.write_poses(tmp_path / "poses.txt", np.tile(np.eye(4), (4, 1, 1)))
    return tmp_path


@pytest.mark.parametrize("fields", [{"image", "K"}, {"image", "K", "T_world_camera"}])
def test_a_folder_gives_what_is_asked_for(folder, fields):
    source = open_views(folder, 80, fields)
    assert fields <= set(source[0].fields())
    assert len(source) == 4
    torch.testing.assert_close(source[3].K[0], torch.tensor([[50.0, 0, 39.5], [0, 50, 29.5], [0, 0, 1]]))
    image = torch.from_numpy(cv2.resize(walking(4)[3], (80, 60), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)[None]
    assert (source[3].image - image / 255).abs().mean() < 0.01


@pytest.mark.parametrize("fields", [{"image", "K"}, {"image", "K", "T_world_camera"}])
def test_intrinsics_that_are_given_stand_in_for_the_folders(folder, fields):
    given = K * [[1.2], [1.2], [1]]
    assert open_views(folder, WIDTH, fields, K=given)[0].K[0, 0, 0] == pytest.approx(120)
    with pytest.raises(InputError):
        open_views(folder, WIDTH, fields, K=3 * K)


def test_what_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_views(tmp_path / "none", 80, {"image", "K"})


def test_intrinsics_that_nobody_knows_are_asked_for(video):
    with pytest.raises(InputError):
        open_views(video, 80, {"image", "K"})
    assert open_views(video, 80, {"image"})[0].image.shape == (1, 3, HEIGHT // 2, WIDTH // 2)
    assert "K" in open_views(video, 80, {"image", "K"}, K)[0]


def test_sources_in_turn_are_shown_equally_often_with_what_all_of_them_know():
    long, short = [Views(image=torch.full((1, 1, 2, 2), i / 10.0), baseline=torch.ones(1)) for i in range(3)], [
        Views(image=torch.full((1, 1, 2, 2), 0.9), baseline=torch.ones(1), label=torch.ones(1, dtype=torch.int64))]
    mixed = Mixed([long, short], ["long", "short"])
    shown = [mixed[i] for i in range(len(mixed))]
    torch.testing.assert_close(torch.stack([views.image.mean() for views in shown]),
                               torch.tensor([0, 0.9, 0.1, 0.9, 0.2, 0.9]))
    assert {name for views in shown for name in views.fields()} == {"image", "baseline"}


@pytest.mark.parametrize(("other", "why"), [
    ([], "b holds no sample"), ([Views(image=torch.zeros(1, 1, 2, 3))], "samples of a are 1 images of 2x2 and"),
    ([Views(image=torch.zeros(2, 1, 2, 2))], "those of b 2 images of 2x2")])
def test_sources_that_fit_no_batch_are_not_mixed(other, why):
    with pytest.raises(InputError, match=why):
        Mixed([[Views(image=torch.zeros(1, 1, 2, 2))], other], ["a", "b"])
