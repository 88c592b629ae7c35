"""CNN-SLAM in a rendered room, with depth as a network gives it: right in its detail, wrong smoothly over the image,
and in another scale in every image."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from epipole.geometry.align import umeyama
from epipole.geometry.motion import angle, se3_exp, se3_inverse
from epipole.pipelines import direct, key_frames, narrow_stereo
from epipole.pipelines.cnn_slam import CnnSlam, Config, Tracked
from epipole.sources.worlds import RoomWorld, Spec
from epipole.types.predictions import Depth
from epipole.types.views import Views

FRAMES, HEIGHT, WIDTH = 40, 96, 128


@cache
def room(motion: str = "default", frames: int = FRAMES) -> list[Views]:
    world = RoomWorld(Spec(seed=2, frames=frames, width=WIDTH, height=HEIGHT, motion=motion))
    return [world[i] for i in range(frames)]


def exact(view: Views) -> Depth:
    return Depth(depth=view.depth)


def noisy(view: Views) -> Depth:
    """Smooth errors of about 10 %, and a scale of its own, drawn anew for every view."""
    generator = torch.Generator().manual_seed(int(1e6 * float(view.T_world_camera[0, 0, 3].abs())) % 2**31)
    field = F.interpolate(torch.randn(1, 1, 3, 4, generator=generator), (HEIGHT, WIDTH), mode="bicubic",
                          align_corners=True)
    return Depth(depth=view.depth * torch.exp(0.2 * field + 0.05 * torch.randn(1, generator=generator)))


class Run:
    """A clip seen by CNN-SLAM with all that is judged."""

    def __init__(self, depth_of: Callable[[Views], Depth], config: Config | None = None,
                 views: list[Views] | None = None) -> None:
        self.views, self.depth_of, self.final = room() if views is None else views, depth_of, dict[int, Tensor]()
        self.slam = CnnSlam(depth_of, config, self.keep)
        self.frame_error, self.system_error = 0.0, 0.0
        for k, view in enumerate(self.views):
            self.slam.step(view)
            if k % 4 == 3:  # seldom: a frame's depth costs more than its pose
                self.frame_error += error(self.slam.seen(view).depth.log(), view) / (len(self.views) // 4)
                self.system_error += error(depth_of(view).depth.log(), view) / (len(self.views) // 4)
        self.path = self.slam.result().T_first_camera

    def keep(self, k: int, key: key_frames.KeyFrame) -> None:
        self.final[k] = key.depth.log

    @property
    def ate(self) -> float:
        """RMSE of the places after Sim(3), m."""
        x, y = (T[:, :3, 3].double() for T in (self.path, torch.cat([v.T_world_camera for v in self.views])))
        c, R, t = umeyama(x, y)
        return float((c * x @ R.T + t - y).square().sum(-1).mean().sqrt())

    @property
    def key_error(self) -> tuple[float, float]:
        """Of final key frames and of the system there."""
        views = [self.views[self.slam.key_frames[k]] for k in self.final]
        mine = [error(log, view) for log, view in zip(self.final.values(), views, strict=True)]
        theirs = [error(self.depth_of(view).depth.log(), view) for view in views]
        return sum(mine) / len(views), sum(theirs) / len(views)


def error(log: Tensor, view: Views) -> float:
    """Mean error of log depth, up to scale."""
    off = log - view.depth.log()
    return float((off - off.median()).abs().mean())


def length() -> float:
    T = torch.cat([v.T_world_camera for v in room()])
    return float(T[:, :3, 3].diff(dim=0).norm(dim=1).sum())


@pytest.mark.slow
def test_exact_depth_gives_the_path():
    run = Run(exact)
    assert run.ate < 0.002 * length()
    assert run.slam.lost == []
    assert run.frame_error < 0.02
    assert len(run.slam.links) > len(run.slam.key_frames) - 1


@pytest.mark.slow
def test_depth_comes_out_better_than_it_went_in_and_refinement_helps_the_path(monkeypatch):
    run = Run(noisy)
    after, before = run.key_error
    assert after < 0.85 * before
    assert run.frame_error < 0.85 * run.system_error
    assert run.ate < 0.01 * length()
    monkeypatch.setattr(narrow_stereo, "refine", lambda key, known, *_: known)
    assert Run(noisy).ate > 1.5 * run.ate


def test_pure_rotation_is_tracked():
    run = Run(noisy, views=room("rotation", 6))
    truth = se3_inverse(run.views[0].T_world_camera) @ torch.cat([v.T_world_camera for v in run.views])
    assert float(angle(run.path[:, :3, :3].mT @ truth[:, :3, :3]).max()) < 0.01
    assert run.slam.lost == []


def test_doubt_falls_on_pixels_with_contrast():
    slam, views, before = CnnSlam(noisy, Config(baseline=1.0)), room(frames=6), None
    contrast = direct.slope(views[0].image.mean(1, keepdim=True)).norm(dim=1, keepdim=True) > 0.05
    for view in views:
        slam.step(view)
        now = slam.keys[0].depth.variance[contrast]
        assert before is None or (now <= before).all()
        before = now
    assert slam.key_frames == [0]
    assert (before < 0.9 * Config().depth.prior ** 2).any()


def test_memory_holds_no_more_key_frames_than_told():
    run = Run(exact, Config(keep=1, baseline=0.001), views=room(frames=6))
    assert run.slam.key_frames == list(range(6))
    assert list(run.slam.keys) == [5]
    assert list(run.final) == [0, 1, 2, 3, 4]
    assert len(run.slam.places) == 6


@pytest.mark.parametrize("seed", [0, 1])
def test_a_view_that_cannot_be_aligned_is_said_to_be_lost(seed):
    views, blocks = list(room(frames=6)), torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed)).round()
    views[3] = Views(**views[3].fields() | {"image": F.interpolate(blocks, (HEIGHT, WIDTH))})
    run = Run(exact, views=views)
    assert 3 in run.slam.lost
    assert run.path.isfinite().all()
    assert len(run.path) == 6


def test_another_focal_length_than_the_networks_scales_depth():
    view = room(frames=6)[0]
    slam = CnnSlam(exact, Config(trained_focal=2 * float(view.K[0, 0, 0])))
    slam.step(view)
    torch.testing.assert_close(slam.keys[0].depth.log.exp(), view.depth / 2)


def test_what_the_network_knows_of_its_errors_is_taken():
    slam = CnnSlam(lambda view: Depth(depth=view.depth, log_variance=torch.full_like(view.depth, -4.0)))
    slam.step(room(frames=6)[0])
    torch.testing.assert_close(slam.keys[0].depth.variance, torch.full((1, 1, HEIGHT, WIDTH), -4.0).exp())


def test_rounding_does_not_grow_from_view_to_view():
    slam = CnnSlam(exact, Config())
    turn = se3_exp(torch.tensor([0.01, 0.0, 0.02, 0.003, 0.02, 0.001]))
    slam.frames = [Tracked(0, torch.eye(4)), Tracked(0, turn)]
    for _ in range(100):
        slam.frames.append(Tracked(0, slam._extrapolated()))
    R = slam.frames[-1].T_key_view[:3, :3]
    torch.testing.assert_close(R @ R.mT, torch.eye(3), atol=1e-5, rtol=0)
    assert float(angle(R)) == pytest.approx(101 * float(angle(turn[:3, :3])), rel=0.01)
