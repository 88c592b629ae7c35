from dataclasses import replace

import numpy as np
import pytest

from epipole.judges.motion import path_length
from epipole.recipes.learn_video.everyframe import EveryFrame, blended, place_every_frame
from epipole.recipes.learn_video.locate import anchors_of
from epipole.recipes.learn_video.predict import Predicted, Predictor, steep
from epipole.sources.folder import FolderFootage
from epipole.types.errors import InputError
from tests.recipes.learned_room import KEYS, SIZE, Room

FRAMES = 24
OTHERS = [i for i in range(FRAMES) if i not in KEYS]


def placed(room: Room, **changes) -> EveryFrame:
    depth_of = Predictor(room.system).of_key_frames(room.keys)
    arguments = {"footage": room.footage, "look": room.look, "keys": room.keys, "T_world_camera_key": room.path[KEYS],
                 "depth_of": depth_of, "K_network": room.K_network} | changes
    return place_every_frame(**arguments)


def errors(result: EveryFrame, room: Room) -> np.ndarray:
    """Distance of every frame from its true place, per cent of the path; not aligned."""
    off = (result.T_world_camera - room.path)[:, :3, 3]
    return 100 * np.linalg.norm(off, axis=1) / path_length(room.path)


def interpolated(room: Room) -> EveryFrame:
    return placed(room, depth_of=lambda k: Predicted(*np.full((2, SIZE[1], SIZE[0]), np.nan, np.float32)))


class Changed(FolderFootage):
    """The room's footage with some images replaced, and none of the frames from `end` on."""

    def __init__(self, room: Room, images: dict[int, np.ndarray], end: int = FRAMES) -> None:
        super().__init__(room.folder)
        self.images, self.end = images, end

    def read(self, width=None, height=None, only=None):
        for frame in super().read(width, height, only):
            if frame.number < self.end:
                yield frame._replace(image=self.images.get(frame.number, frame.image))


def test_every_frame_finds_its_place(room):
    result = placed(room)
    assert result.skipped == []
    assert np.sqrt((errors(result, room) ** 2).mean()) < 0.5
    R = result.T_world_camera[:, :3, :3]
    np.testing.assert_allclose(R.mT @ R, np.broadcast_to(np.eye(3), R.shape), atol=1e-9)


def test_key_frames_keep_their_pose(room):
    np.testing.assert_array_equal(placed(room).T_world_camera[KEYS], room.path[KEYS])


def test_a_lost_key_frame_is_placed_like_any_other_and_leads_nobody_astray(room):
    wrong = room.path[KEYS].copy()
    wrong[2, :3, 3] += 5.0
    result = placed(room, T_world_camera_key=wrong, lost=[2])
    assert errors(result, room).max() < 1.5
    assert errors(placed(room, T_world_camera_key=wrong), room)[KEYS[2]] > 50


def test_it_beats_interpolation_between_the_key_frames(room):
    inside = [i for i in OTHERS if KEYS[0] < i < KEYS[-1]]
    guess = interpolated(room)
    assert errors(placed(room), room)[inside].mean() < 0.3 * errors(guess, room)[inside].mean()
    assert [i for s in guess.skipped for i in range(s.first, s.last + 1)] == OTHERS


def test_depth_that_is_ten_per_cent_off_moves_frames_by_little(room):
    exact = Predictor(room.system).of_key_frames(room.keys)

    def off(k: int) -> Predicted:
        return Predicted(exact(k).depth * np.float32(1.1 if k % 2 else 0.9), exact(k).log_variance)

    assert errors(placed(room, depth_of=off), room)[KEYS[0] : KEYS[-1]].max() < 2.0


def test_the_same_for_any_number_of_threads(room):
    one, two = placed(room, threads=1), placed(room, threads=3)
    np.testing.assert_array_equal(one.T_world_camera, two.T_world_camera)


def test_repeats_stand_where_the_frame_before_stands(room):
    repeat = room.look.repeat.copy()
    repeat[[4, 5, 18]] = True
    path = placed(room, look=replace(room.look, repeat=repeat)).T_world_camera
    np.testing.assert_array_equal(path[[4, 5]], path[[3, 3]])
    np.testing.assert_array_equal(path[18], path[KEYS[-2]])


def test_frames_that_show_something_else_are_interpolated_and_reported(room):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (2 * SIZE[1], 2 * SIZE[0], 3)).astype(np.uint8)
    result = placed(room, footage=Changed(room, {11: noise, 12: noise}))
    assert [(s.first, s.last) for s in result.skipped] == [(11, 12)]
    expected = blended(result.T_world_camera[10], result.T_world_camera[13], 1 / 3)
    np.testing.assert_allclose(result.T_world_camera[11], expected, atol=1e-9)


def test_blank_frames_are_interpolated_without_a_word(room):
    blank = room.look.blank.copy()
    blank[[0, 8]] = True
    result = placed(room, look=replace(room.look, blank=blank))
    assert result.skipped == []
    np.testing.assert_array_equal(result.T_world_camera[0], result.T_world_camera[1])
    expected = blended(result.T_world_camera[7], result.T_world_camera[9], 0.5)
    np.testing.assert_allclose(result.T_world_camera[8], expected, atol=1e-9)


def test_no_frame_looks_beyond_a_cut(room):
    far = room.path[KEYS].copy()
    far[3:, :3, 3] += 50  # the second shot stands elsewhere
    path = placed(room, look=replace(room.look, cuts=[12]), T_world_camera_key=far).T_world_camera
    assert (path[:12, :3, 3] < 10).all()
    assert (path[12:, :3, 3] > 40).all()


def test_footage_that_lost_frames_is_refused(room):
    with pytest.raises(InputError):
        placed(room, footage=Changed(room, {}, end=20))


def test_anchors_are_points_of_smooth_surfaces(room):
    depth, K = np.full((80, 112), 2.0), room.K_network
    depth[:, 50:] = 4.0
    depth[30:40, 20:30] = np.nan
    T = room.path[5]
    anchors = anchors_of(depth, K, T, room.keys.gray[0])
    u, v = anchors.pixels.T
    assert 400 < len(u) < 700
    assert not np.isin(u, (49, 50)).any()
    assert not ((v >= 30) & (v < 40) & (u >= 20) & (u < 30)).any()
    camera = (anchors.points - T[:3, 3]) @ T[:3, :3]
    np.testing.assert_allclose(camera[:, 2], depth[v, u])
    np.testing.assert_allclose(camera[:, :2] / camera[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2], anchors.pixels, atol=1e-9)


def test_a_slanted_plane_has_no_edges_and_a_step_has_two_pixels_of_them():
    plane = 1 / np.linspace(0.5, 1.0, 40)[None].repeat(30, 0)
    assert not steep(plane).any()
    plane[:, 20:] *= 1.5
    np.testing.assert_array_equal(np.flatnonzero(steep(plane).all(0)), [19, 20])


def test_blending_walks_from_one_pose_to_the_other(room):
    a, b = room.path[0], room.path[9]
    np.testing.assert_allclose(blended(a, b, 0.0), a, atol=1e-12)
    np.testing.assert_allclose(blended(a, b, 1.0), b, atol=1e-12)
    half = blended(a, b, 0.5)
    np.testing.assert_allclose(np.linalg.inv(a) @ half, np.linalg.inv(half) @ b, atol=1e-12)
