"""What would expose a fake generator: geometry, flow, path and bits are checked against each other."""

import gc
import hashlib
import weakref
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from epipole.formats import kitti, png16
from epipole.geometry import camera, motion
from epipole.geometry.sample import sample
from epipole.sources.worlds import USUAL, RoomWorld, Sensor, Spec, World, contact_sheet, write_video, write_world
from epipole.sources.worlds.camera import pixel_centres
from epipole.sources.worlds.commission import commission
from epipole.sources.worlds.meshes import Mesh, ball, box, cylinder
from epipole.sources.worlds.rays import RayCaster
from epipole.sources.worlds.spline import spline
from epipole.sources.worlds.trajectory import is_clear
from epipole.types.errors import InputError

SMALL = Spec(seed=3, frames=24, width=96, height=72)
FLOW = USUAL | {"flow", "flow_valid"}


@pytest.fixture(scope="module")
def world() -> RoomWorld:
    return RoomWorld(SMALL)


def exact_depth(world: World, i: int) -> Tensor:
    """z of view i in double precision, [1, h, w]."""
    origin, directions = world.camera(i).rays(pixel_centres(SMALL.width, SMALL.height))
    return torch.from_numpy(world.scene.still.rays.cast(origin, directions).t).reshape(1, SMALL.height, SMALL.width)


def bilinear(image: Tensor, pixels: Tensor) -> Tensor:
    return sample(image[None], pixels[None].to(image))[0][0]


# ---- geometry ------------------------------------------------------------------------------------------------------


def test_depth_of_one_view_predicts_the_ray_casts_of_another(world: RoomWorld) -> None:
    """Points of A, moved by the poses alone, lie where rays through the same subpixels of B meet the scene."""
    a, b = 2, 8
    T_b_a = motion.se3_inverse(world.poses[b]) @ world.poses[a]
    points = camera.transform(T_b_a, camera.unproject(exact_depth(world, a), world.K))
    pixels, _ = camera.project(points, world.K)
    origin, directions = world.camera(b).rays(pixels.reshape(2, -1).T.numpy())
    met = torch.from_numpy(world.scene.still.rays.cast(origin, directions).t)
    _, seen = world.flow(a, b)
    error = (met / points[2].reshape(-1) - 1).abs()[seen.reshape(-1)]
    assert seen.float().mean() > 0.5
    assert error.median() < 1e-9
    assert error.max() < 1e-4


def test_views_agree_with_the_exact_truth(world: RoomWorld) -> None:
    view = world[5]
    assert view.image.shape == (1, 3, 72, 96)
    assert float(view.image.min()) >= 0
    assert float(view.image.max()) <= 1
    assert view.depth_valid.all()
    torch.testing.assert_close(view.depth[0], exact_depth(world, 5).float())
    torch.testing.assert_close(view.T_world_camera[0], world.poses[5].float())
    torch.testing.assert_close(view.K[0], world.K.float())


def test_depth_is_z_and_not_the_length_of_the_ray(world: RoomWorld) -> None:
    """Rays of unit length meet the scene sqrt(1 + x^2 + y^2) times as far as depth says."""
    pixels = pixel_centres(SMALL.width, SMALL.height)
    origin, directions = world.camera(0).rays(pixels)
    length = np.linalg.norm(directions, axis=-1)
    along = world.scene.still.rays.cast(origin, directions / length[:, None]).t
    x, y = ((pixels - world.K.numpy()[:2, 2]) / world.K.diagonal()[:2].numpy()).T
    np.testing.assert_allclose(along / exact_depth(world, 0).numpy().ravel(), np.sqrt(1 + x**2 + y**2), rtol=1e-6)


def test_the_room_is_deep_and_not_flat(world: RoomWorld) -> None:
    depth = world.clip(range(0, 24, 6)).depth.double()
    near, middle, far = depth.flatten().quantile(torch.tensor([0.02, 0.5, 0.98], dtype=torch.float64)).tolist()
    assert 0.6 < near < 2.0 < middle < far < 6.0
    points = camera.unproject(depth[0], world.K).reshape(3, -1)
    spread = torch.linalg.svdvals(points - points.mean(1, keepdim=True)) / points.shape[1] ** 0.5
    assert spread[-1] > 0.25  # m off the best plane


def test_other_textures_leave_depth_and_path_bit_identical(world: RoomWorld) -> None:
    other = RoomWorld(replace(SMALL, textures=1))
    assert torch.equal(other[4].depth, world[4].depth)
    assert torch.equal(other.poses, world.poses)
    assert (other[4].image - world[4].image).abs().mean() > 0.05


@pytest.mark.parametrize(("mesh", "volume"), [
    (box(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 6.0), (ball(0.5), np.pi / 6), (ball(0.5, 0.5), np.pi / 12),
    (cylinder(0.5, 2.0), np.pi / 2),
])
def test_solids_are_closed_and_face_outward(mesh: Mesh, volume: float) -> None:
    """The divergence theorem gives the volume only for a closed surface with outward triangles."""
    a, b, c = mesh.corners.swapaxes(0, 1)
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(volume, rel=0.03)
    assert ((np.cross(b - a, c - a) * mesh.normals.sum(1)).sum(-1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=-1), 1)


def test_ray_caster_meets_an_analytic_plane_and_misses_beside_it() -> None:
    wall = box(2.0, 0.5, 2.0, 0.0, 1.25, -1.0)  # its front is the plane y = 1
    rays = RayCaster(wall.corners)
    hits = rays.cast(np.zeros(3), np.array([[0.0, 1, 0], [0.3, 2, 0.4], [0, -1, 0]]))
    np.testing.assert_allclose(hits.t[:2], [1, 0.5], rtol=1e-12)
    assert np.isinf(hits.t[2])
    assert rays.blocked(np.zeros(3), np.array([[0, 3.0, 0], [0, 0.9, 0], [0, 1.0, 0]])).tolist() == [True, False, False]


# ---- flow ----------------------------------------------------------------------------------------------------------


def test_flow_there_and_back_returns_to_the_same_pixel(world: RoomWorld) -> None:
    start = torch.from_numpy(pixel_centres(SMALL.width, SMALL.height))
    there, seen = world.track(3, 7, start)
    back, seen_back = world.track(7, 3, there)
    error = (back - start).norm(dim=1)[seen]
    assert seen.float().mean() > 0.6
    assert seen_back[seen].float().mean() > 0.99
    assert error.quantile(0.99) < 1e-6

    flow, valid = world.flow(3, 7)  # as images: the way back is read between pixels, where depth is continuous
    reverse, _ = world.flow(7, 3)
    end = camera.pixel_grid(*flow.shape[1:], flow) + flow
    loop = (flow + bilinear(reverse, end)).norm(dim=0)[valid[0]]
    assert loop.median() < 0.02
    assert loop.quantile(0.75) < 0.05


def test_occluded_points_are_hidden_behind_something_nearer(world: RoomWorld) -> None:
    start = torch.from_numpy(pixel_centres(SMALL.width, SMALL.height))
    a, b = 0, 12
    there, seen = world.track(a, b, start)
    size = torch.tensor([SMALL.width - 1, SMALL.height - 1])
    hidden = ((there >= 0) & (there <= size)).all(1) & ~seen
    assert hidden.sum() > 50
    points = camera.unproject(exact_depth(world, a), world.K)
    T_b_a = motion.se3_inverse(world.poses[b]) @ world.poses[a]
    z = camera.transform(T_b_a, points)[2].reshape(-1)
    origin, directions = world.camera(b).rays(there.numpy())
    met = torch.from_numpy(world.scene.still.rays.cast(origin, directions).t)
    assert (met[hidden] < z[hidden]).all()


def test_warping_by_the_exact_flow_explains_the_image(world: RoomWorld) -> None:
    """The other view read at the flow's end is much nearer to this view than the other view as it stands."""
    views = world.clip([6, 9], FLOW)
    end = camera.pixel_grid(72, 96, views.flow) + views.flow[0]
    warped = (bilinear(views.image[1], end) - views.image[0]).abs().mean(0)[views.flow_valid[0, 0]]
    still = (views.image[1] - views.image[0]).abs().mean(0)[views.flow_valid[0, 0]]
    assert warped.median() < 0.3 * still.median()
    assert warped.mean() < 0.5 * still.mean()


def test_clip_carries_flow_to_the_next_view_and_from_the_last_to_the_first(world: RoomWorld) -> None:
    views = world.clip([2, 5, 9], FLOW)
    for n, (i, j) in enumerate([(2, 5), (5, 9), (9, 2)]):
        flow, valid = world.flow(i, j)
        assert torch.equal(views.flow[n], flow)
        assert torch.equal(views.flow_valid[n], valid)
    assert set(views.fields()) == FLOW


# ---- path ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_walk_has_parallax_an_even_pace_and_clearance(seed: int) -> None:
    world = RoomWorld(Spec(seed=seed, frames=40, width=160, height=120))
    moved = torch.stack([world.flow(i, i + 1)[0].norm(dim=0).median() for i in range(0, 39, 3)])
    step = world.poses[:, :3, 3].diff(dim=0).norm(dim=1)
    assert 2 < moved.median() < 4
    assert moved.min() > 1
    assert moved.max() < 5
    assert step.min() > 0.002
    assert is_clear(world.scene, world.poses[:, :3, 3].numpy())
    R = world.poses[:, :3, :3]
    torch.testing.assert_close(R.mT @ R, torch.eye(3).double().expand(40, 3, 3))


def test_flow_of_pure_rotation_does_not_depend_on_depth() -> None:
    """It is the homography K R K^-1 of every pixel, and the same in a room with other geometry."""
    world = RoomWorld(replace(SMALL, motion="rotation"))
    assert torch.equal(world.poses[:, :3, 3], world.poses[:1, :3, 3].expand(24, 3))
    flow, _ = world.flow(0, 5)
    R = (motion.se3_inverse(world.poses[5]) @ world.poses[0])[:3, :3]
    rays = camera.normalise(world.K, camera.pixel_grid(72, 96, world.K))
    end, _ = camera.project(torch.einsum("ij,jhw->ihw", R, rays), world.K)
    assert flow.norm(dim=0).median() > 3
    torch.testing.assert_close(flow, (end - camera.pixel_grid(72, 96, end)).float(), atol=1e-4, rtol=0)


def test_a_static_camera_sees_the_same_bits() -> None:
    world = RoomWorld(replace(SMALL, motion="static"))
    assert torch.equal(world[0].image, world[23].image)
    flow, seen = world.flow(0, 9)
    assert flow.abs().max() < 1e-6
    assert seen[:, 1:-1, 1:-1].all()


def test_spline_of_equal_twists_is_a_screw_motion() -> None:
    """Knots exp(k xi) give exp((u + 1) xi) exactly: cubic B-splines reproduce straight lines."""
    xi = torch.tensor([0.1, -0.2, 0.05, 0.02, 0.03, -0.01]).double()
    knots = motion.se3_exp(torch.arange(8)[:, None] * xi)
    u = torch.linspace(0, 5, 31).double()
    torch.testing.assert_close(spline(knots, u), motion.se3_exp((u[:, None] + 1) * xi))


def test_spline_is_twice_continuous_at_knots() -> None:
    gen = torch.Generator().manual_seed(0)
    knots = motion.se3_exp(0.3 * torch.randn(7, 6, generator=gen, dtype=torch.float64))
    h = 1e-4
    for u in (1.0, 2.0, 3.0):
        before, after = (spline(knots, u + h * torch.tensor(s).double()) for s in ([-2.0, -1, 0], [0.0, 1, 2]))
        first = [(T[1:] - T[:-1]) / h for T in (before, after)]
        torch.testing.assert_close(first[0][-1], first[1][0], atol=5e-3, rtol=0)
        second = [(x[1] - x[0]) / h for x in first]
        torch.testing.assert_close(second[0], second[1], atol=0.05, rtol=0)


# ---- looks ---------------------------------------------------------------------------------------------------------


def test_most_frames_have_features_and_few_are_burnt_out() -> None:
    world = RoomWorld(Spec(seed=1, frames=60))
    sift = cv2.SIFT_create()
    counts = []
    for i in range(0, 60, 12):
        image = (world[i].image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        counts.append(len(sift.detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)))
        assert (image == 255).all(-1).mean() < 0.02
        assert 60 < image.mean() < 180
    assert np.median(counts) > 200
    assert min(counts) > 80


def test_textures_give_something_to_follow_nearly_everywhere(world: RoomWorld) -> None:
    """In nearly every 9x9 window the weaker direction has gradient too (Shi and Tomasi 1994)."""
    gray = np.float32(world[10].image[0].mean(0).numpy())
    assert (cv2.cornerMinEigenVal(gray, 9, 3) > 1e-4).mean() > 0.9


def test_noise_is_off_unless_asked_for_and_differs_between_frames(world: RoomWorld) -> None:
    noisy = RoomWorld(replace(SMALL, motion="static", sensor=Sensor(noise=0.02)))
    clean = RoomWorld(replace(SMALL, motion="static"))
    grain = noisy[1].image - clean[1].image
    assert float(grain.std()) == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(noisy[1].image, noisy[2].image)
    assert torch.equal(noisy[1].image, RoomWorld(noisy.spec)[1].image)


# ---- files ---------------------------------------------------------------------------------------------------------


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_one_and_two_workers_write_the_same_bytes(tmp_path: Path) -> None:
    spec = Spec(seed=7, frames=6, width=48, height=36)
    one, two = write_world(spec, tmp_path / "one"), write_world(spec, tmp_path / "two", workers=2)
    assert hashes(one) == hashes(two)
    assert len(hashes(one)) == 6 + 6 + 4
    other = write_world(replace(spec, seed=8), tmp_path / "other")
    assert hashes(other)["color/000000.jpg"] != hashes(one)["color/000000.jpg"]


def test_another_clip_does_not_take_a_folder_that_is_whole(tmp_path: Path) -> None:
    """Its truth would stay behind, as if it were the new clip's."""
    spec = Spec(seed=7, frames=2, width=48, height=36)
    before = hashes(write_world(spec, tmp_path / "w", truth=("flow",)))
    for other in (replace(spec, seed=8), replace(spec, frames=1), replace(spec, family="shapes")):
        with pytest.raises(InputError, match="another clip"):
            commission(other, tmp_path / "w")
        assert hashes(tmp_path / "w") == before
    assert commission(spec, tmp_path / "w", truth=("semantic",)) == tmp_path / "w"
    assert before.items() <= hashes(tmp_path / "w").items()


def test_a_motion_that_the_family_lacks_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="drive"):
        write_world(Spec(motion="drive", frames=2), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_the_folder_holds_the_world(tmp_path: Path, world: RoomWorld) -> None:
    told: list[tuple[int, int]] = []
    folder = write_world(SMALL, tmp_path / "room", progress=lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 24) for i in range(24)]
    assert Spec.from_yaml(folder / "world.yaml") == SMALL
    np.testing.assert_allclose(kitti.read_intrinsics(folder / "intrinsics.txt"), world.K, rtol=1e-9)
    np.testing.assert_allclose(kitti.read_poses(folder / "poses.txt"), world.poses, atol=1e-9)
    depth, known = png16.read(folder / "depth" / "000011.png")
    assert known.all()
    np.testing.assert_allclose(depth, world[11].depth[0, 0], atol=0.00051)
    image = cv2.imread(str(folder / "color" / "000011.jpg"))[..., ::-1] / 255
    assert np.abs(image - world[11].image[0].permute(1, 2, 0).numpy()).mean() < 0.03
    np.testing.assert_array_equal(cv2.imread(str(folder / "contact_sheet.png"))[..., ::-1], contact_sheet(world))
    video = write_video(folder, tmp_path / "room.mp4")
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 24
    assert np.abs(frames[11] / 255 - image).mean() < 0.03
    with pytest.raises(InputError):  # a shorter clip would leave the frames of this one behind
        write_world(replace(SMALL, frames=5), folder)


def test_a_world_cannot_be_written_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        write_world(SMALL, tmp_path / "file")
    with pytest.raises(InputError):
        write_video(tmp_path, tmp_path / "video.mp4")


# ---- spec ----------------------------------------------------------------------------------------------------------


def test_spec_survives_yaml() -> None:
    spec = Spec(seed=12, scene=4, motion="rotation", sensor=Sensor(noise=0.01), fov=70.0)
    assert Spec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize("text", ["", "- 1", "seeds: 3", "frames: many", "frames: 0", "motion: dance", "[", "seed: "])
def test_a_text_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Spec.from_yaml(text)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError):
        World(Spec(family="moon"))


def test_every_purpose_has_its_own_numbers() -> None:
    spec = Spec(seed=1)
    draws = [spec.random("layout"), spec.random("noise"), spec.random("noise", 1)]
    draws += [replace(spec, scene=1).random("layout"), replace(spec, seed=2).random("layout")]
    assert len({g.random() for g in draws}) == 5
    assert spec.random("noise", 1).random() == spec.random("noise", 1).random()


def test_views_do_not_depend_on_the_order_of_asking(world: RoomWorld) -> None:
    fresh = RoomWorld(SMALL)
    assert torch.equal(fresh[13].image, world[13].image)
    assert torch.equal(world[-1].image, world[23].image)
    with pytest.raises(IndexError):
        world[24]


def test_thousands_of_scenes_stand_at_once() -> None:
    corners = np.random.default_rng(0).random((20, 3, 3))
    casters = [RayCaster(corners) for _ in range(3000)]
    origin, forward = np.zeros((1, 3)), np.ones((1, 3))
    assert casters[0].cast(origin, forward).t == casters[-1].cast(origin, forward).t


def test_a_world_that_nobody_holds_goes_at_once() -> None:
    seen = []
    gc.disable()
    try:
        for scene in range(6):
            world = World(Spec(scene=scene, width=32, height=24, frames=2))
            world.view(0)
            seen.append(weakref.ref(world.scene))
            del world
        assert seen[0]() is None
        assert seen[-1]() is not None
    finally:
        gc.enable()
