"""What would expose a fake generator, in every family: each truth is checked against another, at every difficulty."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from epipole.geometry.motion import angle, se3_inverse, so3_exp
from epipole.sources.worlds import FAMILIES, FIELDS, TYPICAL, Sensor, Spec, Stream, World, volumes
from epipole.sources.worlds.camera import pixel_centres
from epipole.sources.worlds.focus import Lens, focus_distances, focus_stack
from epipole.sources.worlds.imu import GRAVITY, Errors, measure
from epipole.sources.worlds.render import cast
from epipole.types.errors import InputError

WALKED = [family for family in FAMILIES if family != "chairs"]  # whose camera moves; the others have their own tests
QUICK = {("room", 3)}  # the rest is for `make test-slow`
EACH = [pytest.param((family, level), marks=() if (family, level) in QUICK else pytest.mark.slow,
                     id=f"{family}-{level}") for family in WALKED for level in range(4)]
FAMILY = [pytest.param(family, marks=() if family == "room" else pytest.mark.slow) for family in WALKED]
SIZE = {"width": 96, "height": 72}
ALL = FIELDS - {"disparity", "disparity_valid"}


@pytest.fixture(scope="module", params=EACH)
def world(request: pytest.FixtureRequest) -> World:
    family, level = request.param
    return World(Spec(family, difficulty=level, seed=4, frames=12, **SIZE), FIELDS)


@pytest.fixture(scope="module")
def pair(world: World) -> dict[str, Tensor]:
    return world.clip([3, 6]).fields()


def points_of(views: dict[str, Tensor], n: int) -> Tensor:
    """What view n sees, in its camera, [3, h * w]."""
    h, w = views["depth"].shape[-2:]
    rays = torch.linalg.inv(views["K"][n].double()) @ torch.from_numpy(
        np.c_[pixel_centres(w, h), np.ones(h * w)].T)
    return rays * views["depth"][n, 0].double().reshape(-1)


def test_depth_of_one_view_predicts_that_of_another_by_the_poses_alone(world: World) -> None:
    """Test 1, for what stands still; what moves is checked by its object coordinates below."""
    now, camera, other = world.moment(3), world.camera(3), world.camera(6)
    view = cast(now, camera)
    found = world._track(3, 6, None)
    still = found.seen & ~np.isin(world.scene.instance[view.hits.face], list(world.scene.motions))
    points = view.origin + view.hits.t[:, None] * view.directions
    pixels, z = other.project(points[still])
    origin, directions = other.rays(pixels)
    met = world.moment(6).rays.cast(origin, directions).t
    assert still.mean() > 0.3
    assert np.median(np.abs(met / z - 1)) < 1e-5


def test_a_point_keeps_its_object_coordinates(world: World) -> None:
    """Also on what moves: object coordinates at the flow's end, found by a ray of its own, are those at its start."""
    found = world._track(3, 6, None)
    other, then = world.camera(6), world.moment(6)
    view, seen = cast(then, other, found.pixels[found.seen]), found.seen
    start = cast(world.moment(3), world.camera(3))
    same = world.scene.instance[view.hits.face] == world.scene.instance[start.hits.face[seen]]
    assert same.mean() > 0.99
    end = view.origin + view.hits.t[:, None] * view.directions
    assert np.abs(end - found.after[seen])[same].max() < 1e-2
    assert np.median(np.abs(end - found.after[seen])[same]) < 1e-6


def test_flow_there_and_back_returns(world: World) -> None:
    """Test 2."""
    start = torch.from_numpy(pixel_centres(96, 72))
    there, seen = world.track(3, 6, start)
    back, _ = world.track(6, 3, there)
    assert float((back - start).norm(dim=1)[seen].quantile(0.97)) < 0.05


def test_depth_times_disparity_is_focal_length_times_baseline(world: World) -> None:
    """Test 3; and the right view's disparity at the pixel found so is the same."""
    views = world.stereo(2)
    known, f = views.depth_valid, float(world.K[0, 0])
    product = (views.disparity * views.depth)[known]
    torch.testing.assert_close(product, torch.full_like(product, f * world.spec.baseline), rtol=1e-5, atol=0)
    assert torch.allclose(views.T_world_camera[0, :3, :3], views.T_world_camera[1, :3, :3])
    left, right = views.disparity[0, 0], views.disparity[1, 0]
    v, u = torch.nonzero(views.disparity_valid[0, 0], as_tuple=True)
    matched = (u - left[v, u]).round().long().clamp(0, 95)
    assert float((right[v, matched] - left[v, u]).abs().median()) < 0.2


def test_each_instance_is_of_one_class_and_misses_are_marked(pair: dict[str, Tensor], world: World) -> None:
    """Test 5."""
    for instance in pair["instance"].unique():
        assert len(pair["semantic"][pair["instance"] == instance].unique()) == 1
    known = pair["depth_valid"]
    assert ((pair["instance"] >= 0) == known).all()
    assert (pair["semantic"][~known] == 0).all()
    assert len(pair["semantic"].unique()) >= min(4, len(np.unique(world.scene.kind)))
    assert set(pair) == FIELDS


def test_ray_length_and_depth_differ_by_the_rays_length(pair: dict[str, Tensor]) -> None:
    """Test 9."""
    known = pair["depth_valid"][0].reshape(-1)
    length = points_of(pair, 0).norm(dim=0)[known]
    torch.testing.assert_close(pair["ray_length"][0].reshape(-1)[known].double(), length, rtol=1e-6, atol=1e-6)


def test_normals_are_unit_and_face_the_camera(pair: dict[str, Tensor]) -> None:
    known = pair["depth_valid"][0].reshape(-1)
    normal = pair["normals"][0].double().reshape(3, -1)[:, known]
    torch.testing.assert_close(normal.norm(dim=0), torch.ones(int(known.sum())).double(), atol=1e-5, rtol=0)
    assert float(((normal * points_of(pair, 0)[:, known]).sum(0) < 0).float().mean()) > 0.97


def test_scene_flow_and_flow_tell_the_same_motion(pair: dict[str, Tensor]) -> None:
    seen = pair["flow_valid"][0].reshape(-1)
    moved = points_of(pair, 0) + pair["scene_flow"][0].double().reshape(3, -1)
    image = (pair["K"][1].double() @ (moved / moved[2:]))[:2, seen]
    start = torch.from_numpy(pixel_centres(96, 72)).T
    end = (start + pair["flow"][0].double().reshape(2, -1))[:, seen]
    assert float((image - end).abs().max()) < 2e-2
    assert not (pair["occlusion"] & pair["flow_valid"]).any()
    torch.testing.assert_close(pair["backward_flow"][1], pair["flow"][1])  # of two views both lead to the other one


def test_flow_is_known_of_what_is_hidden_and_of_what_leaves_the_image(pair: dict[str, Tensor]) -> None:
    known, seen, hidden = (pair[name][0].reshape(-1) for name in ("flow_known", "flow_valid", "occlusion"))
    moved = points_of(pair, 0) + pair["scene_flow"][0].double().reshape(3, -1)
    assert torch.equal(known, moved[2] > 0)
    outside = known & ~seen & ~hidden
    image = (pair["K"][1].double() @ (moved / moved[2:]))[:2, outside]
    end = torch.from_numpy(pixel_centres(96, 72)).T[:, outside] + pair["flow"][0].double().reshape(2, -1)[:, outside]
    torch.testing.assert_close(end, image, atol=2e-2, rtol=0)
    inside = ((end > 0.02) & (end < torch.tensor([[94.98], [70.98]]))).all(0)
    assert len(inside) > 50
    assert not inside.any()


def test_other_textures_leave_all_but_the_image_alone(world: World) -> None:
    """Test 8."""
    other = World(replace(world.spec, textures=5), FIELDS)[4].fields()
    for name, value in world[4].fields().items():
        assert torch.equal(other[name], value) == (name != "image")


@pytest.mark.parametrize("level", [0, 3])
def test_a_street_keeps_to_its_budget_of_triangles(level: int) -> None:
    spec = Spec("street", difficulty=level)
    assert 20_000 < len(FAMILIES["street"].scene(spec, spec.random("layout")).corners) < 80_000


# ---- bits ----------------------------------------------------------------------------------------------------------


def digest(spec: Spec) -> str:
    views = World(spec, FIELDS).clip([1, 2])
    data = [views.fields()[name].contiguous().numpy().tobytes() for name in sorted(views.fields())]
    return hashlib.sha256(b"".join(data)).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_processes_agree_bit_for_bit(family: str) -> None:
    """Test 4."""
    spec = Spec(family, difficulty=2, seed=6, frames=4, width=64, height=48, sensor=TYPICAL)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        there = list(pool.map(digest, [spec, replace(spec, seed=7), spec]))
    assert there[0] == there[2] == digest(spec) != there[1]


def test_stream_keeps_what_it_has_rendered(tmp_path) -> None:
    spec = Spec(frames=4, width=48, height=36)
    stream = Stream(spec, scenes=2, length=2, cache=tmp_path / "cache", fields={"image", "flow"})
    fresh = Stream(spec, scenes=2, length=2, fields={"image", "flow"})
    assert len(stream) == 6
    first, files = stream[4], list((tmp_path / "cache").iterdir())
    assert len(files) == 1
    for name, value in stream[4].fields().items():
        assert torch.equal(value, first.fields()[name])
        assert torch.equal(value, fresh[4].fields()[name])
    files[0].write_bytes(files[0].read_bytes()[:100])
    assert torch.equal(stream[4].image, first.image)
    assert not torch.equal(stream[1].image, first.image)


# ---- motion --------------------------------------------------------------------------------------------------------


def integrate(gyro: np.ndarray, pull: np.ndarray, h: float, T: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where a body ends after measurements every h s, two at a time by Simpson's rule (Magnus' series for turns)."""
    R, p = T[:3, :3], T[:3, 3]
    for k in range(0, len(gyro) - 2, 2):
        a, b, c = gyro[k : k + 3]
        half = h * (5 * a + 8 * b - c) / 12 + h * h / 12 * np.cross(a, b)
        full = h * (a + 4 * b + c) / 3 + h * h / 3 * np.cross(a, c)
        turns = [R @ so3_exp(torch.from_numpy(w)).numpy() for w in (half, full)]
        A, B, C = (Q @ x + GRAVITY for Q, x in zip([R, *turns], pull[k : k + 3], strict=True))
        p, v, R = p + 2 * h * v + 2 * h * h * (A + 2 * B) / 3, v + h * (A + 4 * B + C) / 3, turns[1]
    return p


@pytest.mark.parametrize("family", FAMILY)
def test_inertial_measurements_integrate_to_the_pose(family: str) -> None:
    """Test 6: 10 s without noise, at a person's pace."""
    spec = Spec(family, seed=1, frames=301, speed=0.6, smooth=0.5)
    world = World(spec)
    imu = measure(spec, world.path)
    end = integrate(imu.gyro, imu.acceleration, 1 / 200, imu.T_world_imu[0], imu.velocity[0])
    assert np.linalg.norm(end - imu.T_world_imu[-1, :3, 3]) < 1e-3
    assert np.linalg.norm(imu.T_world_imu[-1, :3, 3] - imu.T_world_imu[0, :3, 3]) > 0.1
    np.testing.assert_allclose(imu.T_world_imu[::20], world.poses[::3], atol=1e-9)
    noisy = measure(spec, world.path, errors=Errors())
    turn = noisy.gyro - imu.gyro @ noisy.T_camera_imu[:3, :3] - noisy.gyro_bias
    assert turn.std() == pytest.approx(1.7e-4 * np.sqrt(200), rel=0.05)


def test_views_carry_the_readings_since_the_view_before() -> None:
    world = World(Spec(frames=8, width=32, height=24), {"imu", "T_world_camera"})
    views = world.clip([1, 3, 5])
    assert views.imu.shape == (3, 20, 6)
    assert torch.equal(world[5].imu[0], views.imu[2, 10:])
    assert torch.equal(world[0].imu[0], world.clip([0]).imu[0, :1].expand(10, 6))
    turned, rates = torch.eye(3), torch.cat([views.imu[0, -1:], views.imu[1]])[:, :3]
    for w in (rates[1:] + rates[:-1]) / 2:
        turned = turned @ so3_exp(w / 300)
    truth = views.T_world_camera[0, :3, :3].mT @ views.T_world_camera[1, :3, :3]
    assert angle(turned.mT @ truth) < 0.05 * angle(truth)
    with pytest.raises(InputError, match="even gaps"):
        world.clip([1, 2, 4])


def test_rotation_moves_the_image_alike_at_every_depth() -> None:
    """Test 10, outdoors too."""
    world = World(Spec("street", motion="rotation", frames=8, **SIZE))
    flow, _ = world.flow(0, 5)
    H = world.K @ (se3_inverse(world.poses[5]) @ world.poses[0])[:3, :3] @ torch.linalg.inv(world.K)
    start = torch.from_numpy(np.c_[pixel_centres(96, 72), np.ones(96 * 72)].T)
    end = H @ start
    expected = (end[:2] / end[2] - start[:2]).reshape(2, 72, 96)
    known = world[0].depth_valid[0, 0]
    assert float(flow.norm(dim=0).median()) > 2
    torch.testing.assert_close(flow[:, known].double(), expected[:, known], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("family", "motion"), [
    ("room", "drone"), ("room", "orbit"), ("street", "drive"),
    *(pytest.param("street", motion, marks=pytest.mark.slow) for motion in ("handheld", "orbit", "drone")),
])
def test_every_way_of_moving_keeps_its_pace_and_distance(family: str, motion: str) -> None:
    world = World(Spec(family, motion=motion, seed=2, frames=20, **SIZE))
    moved = torch.stack([world.flow(i, i + 1)[0].norm(dim=0)[world[i].depth_valid[0, 0]].median() * 160 / 96
                         for i in range(0, 19, 3)])
    assert 1.5 < float(moved.median()) < 5
    assert world[0].depth[world[0].depth_valid].min() > 0.3


def test_the_pace_follows_a_histogram() -> None:
    world = World(Spec(frames=60, histogram=(1.0, 2.0, 8.0), **SIZE))
    moved = torch.stack([world.flow(i, i + 1)[0].norm(dim=0).median() * 160 / 96 for i in range(0, 59, 2)])
    low, middle, high = moved.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    assert 0.7 < low < 2 < 4.0 < high < 9
    assert low < middle < high


def test_a_family_without_a_road_cannot_be_driven() -> None:
    with pytest.raises(InputError):
        _ = World(Spec("room", motion="drive")).poses


# ---- lens and sensor -----------------------------------------------------------------------------------------------


def test_the_sharpest_slice_tells_the_order_of_depth() -> None:
    """Test 7, away from edges of depth, over which a lens mixes two surfaces."""
    world = World(Spec(seed=2, frames=2, width=128, height=96))
    depth = world[0].depth[0, 0].numpy()
    distances = focus_distances(*np.quantile(depth, [0.01, 0.99]), 8)
    stack = focus_stack(world, 0, distances, Lens(0.1))
    gray = np.ascontiguousarray(stack.mean(1).numpy())
    sharp = np.stack([cv2.GaussianBlur(np.abs(cv2.Laplacian(g, cv2.CV_32F)), (0, 0), 1.5) for g in gray])
    best = distances[sharp.argmax(0)]
    near, far = cv2.erode(depth, np.ones((5, 5))), cv2.dilate(depth, np.ones((5, 5)))
    textured = (sharp.max(0) > np.quantile(sharp.max(0), 0.5)) & (far < 1.15 * near)
    assert textured.mean() > 0.25
    assert spearmanr(best[textured], depth[textured]).statistic > 0.9


def test_distortion_moves_pixels_as_opencv_says() -> None:
    lens = (-0.2, 0.05, 0.002, -0.001, 0.01)
    world = World(Spec(distortion=lens, frames=2, **SIZE), {"depth", "depth_valid", "distortion", "flow", "flow_valid"})
    camera, pixels = world.camera(0), pixel_centres(96, 72)
    plane = np.c_[camera.normalised(pixels), np.ones(len(pixels))]
    seen, _ = cv2.projectPoints(plane, np.zeros(3), np.zeros(3), camera.K, np.array(lens))
    np.testing.assert_allclose(seen[:, 0], pixels, atol=1e-6)
    origin, directions = camera.rays(pixels)
    back, z = camera.project(origin + 3.0 * directions)
    np.testing.assert_allclose(back, pixels, atol=1e-6)
    np.testing.assert_allclose(z, 3.0)
    torch.testing.assert_close(world[0].distortion[0], torch.tensor(lens))
    with pytest.raises(InputError):
        world.stereo(0)


@pytest.mark.parametrize("sensor", [Sensor(exposure=0.2), Sensor(vignetting=0.5), Sensor(full_well=500.0),
                                    Sensor(blur=0.9), Sensor(rolling=0.9), Sensor(jpeg=30), TYPICAL])
def test_a_sensor_changes_the_image_and_nothing_else(sensor: Sensor) -> None:
    exact, real = (World(Spec(frames=4, speed=6.0, sensor=s, **SIZE)) for s in (Sensor(), sensor))
    a, b = exact[2], real[2]
    assert torch.equal(a.depth, b.depth)
    assert 1e-3 < float((a.image - b.image).abs().mean()) < 0.2
    assert torch.equal(b.image, World(real.spec)[2].image)


def test_blur_is_the_mean_of_what_is_seen_while_the_shutter_is_open() -> None:
    world = World(Spec(frames=4, speed=12.0, sensor=Sensor(blur=1.0), **SIZE))
    still = World(replace(world.spec, motion="static"))
    sharp = World(replace(world.spec, motion="static", sensor=Sensor()))
    torch.testing.assert_close(still[0].image, sharp[0].image, atol=2e-3, rtol=0)
    clear = World(replace(world.spec, sensor=Sensor()))
    edges = [float((w[1].image.diff(dim=-1) ** 2).mean()) for w in (world, clear)]
    assert edges[0] < 0.7 * edges[1]


# ---- volumes -------------------------------------------------------------------------------------------------------


def test_solids_are_filled_and_thin_things_not_lost() -> None:
    from epipole.sources.worlds.meshes import ball, box, joined

    overlapping = joined([box(4.0, 4.0, 4.0, 5.0, 5.0, 1.0), box(4.0, 4.0, 4.0, 7.0, 5.0, 1.0)])
    filled = volumes.solid(overlapping.corners, np.array([12, 10, 8]))
    expected = np.zeros((12, 10, 8), bool)
    expected[3:9, 3:7, 1:5] = True
    np.testing.assert_array_equal(filled, expected)
    round_ = volumes.solid(ball(10.0).corners + np.array([12, 12, 2]), np.array([24, 24, 24]))
    assert round_.sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.04)
    sheet = volumes.solid(box(6.0, 6.0, 0.1, 5.0, 5.0, 3.2).corners, np.array([10, 10, 8]))
    assert sheet[2:8, 2:8, 3].all()
    assert sheet.sum() == 36


def test_voxels_hold_what_rays_meet() -> None:
    world = World(Spec(difficulty=2, seed=1, frames=2, **SIZE), ALL)
    grid = volumes.before_camera(world.poses[0].numpy(), 0.04)
    labels = volumes.labels(world.scene, world.moment(0), grid)
    assert labels.shape == (72, 120, 120)
    view = cast(world.moment(0), world.camera(0))
    point = view.origin + (view.hits.t[:, None] + 0.02) * view.directions  # a little way in
    at = np.floor((point - grid.T_world_grid[:3, 3]) @ grid.T_world_grid[:3, :3] / grid.size).astype(int)
    inside = ((at >= 0) & (at < grid.counts)).all(1)
    x, y, z = at[inside].T
    kind = world.scene.kind[world.scene.instance[view.hits.face[inside]]]
    assert inside.mean() > 0.5
    assert (labels[z, y, x] == kind).mean() > 0.8
    np.testing.assert_allclose(grid.points()[3, 2, 1], grid.T_world_grid[:3, :3] @ [0.06, 0.1, 0.14]
                               + grid.T_world_grid[:3, 3])
    coarse = volumes.coarser(labels)
    assert coarse.shape == (18, 30, 30)
    assert set(np.unique(coarse)) <= set(np.unique(labels))


def test_signed_distance_of_a_wall_is_linear_and_cut_off() -> None:
    inside = np.zeros((3, 4, 20), bool)
    inside[..., 10:] = True
    field = volumes.signed_distance(inside, 0.1, 0.35)
    np.testing.assert_allclose(field[1, 1], np.clip(0.95 - 0.1 * np.arange(20), -0.35, 0.35), atol=1e-6)


def test_surface_points_lie_on_surfaces_and_fill_a_cube() -> None:
    world = World(Spec(frames=1, **SIZE))
    points, normals, kinds = volumes.surface_points(world.scene, world.moment(0), 16_384, world.spec.random("points"))
    assert points.shape == normals.shape == (16_384, 3)
    up = (np.abs(points[:, 2]) < 1e-6) & (normals[:, 2] > 0.9) & (world.scene.kind[0] == kinds)
    assert up.sum() > 100
    hits = world.scene.still.rays.cast(points + 1e-3 * normals, -normals)
    assert np.quantile(np.abs(hits.t - 1e-3), 0.9) < 1e-5
    grid = volumes.around(points, 32)
    occupied = volumes.labels(world.scene, world.moment(0), grid) > 0
    assert occupied.shape == (32, 32, 32)
    assert 0.02 < occupied.mean() < 0.9
