"""Objects on a turntable: pictures, silhouettes, voxels, points and geometry images of one and the same thing, each
checked by another computation."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from epipole.sources.worlds import Spec, World
from epipole.sources.worlds.camera import Camera, pixel_centres
from epipole.sources.worlds.families.objects import KINDS, distance, kind_of, scene, subject
from epipole.sources.worlds.materials import draw_materials
from epipole.sources.worlds.meshes import ball, box, joined
from epipole.sources.worlds.render import GAMMA, cast, radiance
from epipole.sources.worlds.starshaped import draw_blob
from epipole.sources.worlds.turntable import SEEN, SHAPE, Rig, Turntable
from epipole.sources.worlds.volumes import occupancy, outer_points
from epipole.types.errors import InputError
from epipole.types.views import Views

SPEC = Spec("objects", width=64, height=64)
EACH = range(len(KINDS))


@pytest.fixture(scope="module")
def table() -> Turntable:
    fields = {"silhouette", "label", "K", "T_world_camera", "depth", "depth_valid", "occupancy", "surface_points"}
    return Turntable(SPEC, 5, fields, points=600)


@pytest.fixture(scope="module")
def things(table: Turntable) -> list[Views]:
    return [table[i] for i in EACH]


def corners_of(spec: Spec) -> np.ndarray:
    return np.concatenate([part.mesh.corners for part in subject(spec).parts])


def winding(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How many closed shells hold each point: the solid angle of all triangles over 4 pi (van Oosterom 1983)."""
    total = np.zeros(len(points))
    for k, p in enumerate(points):
        a, b, c = (corners - p).swapaxes(0, 1)
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        volume = (a * np.cross(b, c)).sum(1)
        flat = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        total[k] = 2 * np.arctan2(volume, flat).sum() / (4 * np.pi)
    return total


def test_kinds_take_turns_and_fill_the_cube(table: Turntable, things: list[Views]) -> None:
    assert [int(v.label[0]) for v in things] == [KINDS.index(kind_of(s)) for s in table.specs] == [0, 1, 2, 3, 4]
    for spec in table.specs:
        points = corners_of(spec).reshape(-1, 3)
        low, high = points.min(0), points.max(0)
        assert np.linalg.norm(high - low) == pytest.approx(1)
        np.testing.assert_allclose(low + high, 0, atol=1e-9)
        assert subject(spec).floor == pytest.approx(low[2])


def test_views_go_round_in_even_steps_and_look_at_the_middle(things: list[Views]) -> None:
    T, K = things[0].T_world_camera.double(), things[0].K[0].double()
    assert len(T) == 24
    step = np.radians(15)
    turn = torch.tensor([[np.cos(step), -np.sin(step), 0], [np.sin(step), np.cos(step), 0], [0, 0, 1]])
    for k in range(24):
        torch.testing.assert_close(turn @ T[k, :3, :3], T[(k + 1) % 24, :3, :3], atol=1e-6, rtol=0)
        torch.testing.assert_close(turn @ T[k, :3, 3], T[(k + 1) % 24, :3, 3], atol=1e-6, rtol=0)
        middle = K @ (T[k, :3, :3].T @ -T[k, :3, 3])
        torch.testing.assert_close(middle[:2] / middle[2], K[:2, 2], atol=1e-4, rtol=0)
    assert float(T[0, 1, 3]) < 0
    assert float(torch.asin(T[0, 2, 3] / T[0, :3, 3].norm())) == pytest.approx(np.radians(30), abs=1e-6)
    assert len(Rig(31, (20.0, 30.0)).poses(2.0)) == 62


@pytest.mark.parametrize("i", EACH)
def test_silhouettes_are_those_of_projected_triangles(table: Turntable, things: list[Views], i: int) -> None:
    """OpenCV projects and fills every triangle, nine times as fine and without any ray; what it fills is a ninth of a
    pixel wider."""
    corners, views = corners_of(table.specs[i]), things[i]
    for k in (0, 7, 17):
        T = np.linalg.inv(views.T_world_camera[k].double().numpy())
        pixels, _ = cv2.projectPoints(corners.reshape(-1, 3), cv2.Rodrigues(T[:3, :3])[0], T[:3, 3],
                                      views.K[k].double().numpy(), np.zeros(5))
        fine = np.zeros((9 * 64, 9 * 64), np.uint8)
        for triangle in np.rint(((pixels.reshape(-1, 3, 2) + 0.5) * 9 - 0.5) * 256).astype(np.int32):
            cv2.fillConvexPoly(fine, triangle, 1, shift=8)
        seen, inner = views.silhouette[k, 0].numpy(), cv2.erode(fine, np.ones((5, 5)))
        assert 0.02 < seen.mean() < 0.5
        assert not (seen & (fine[4::9, 4::9] == 0)).any()
        assert not (~seen & (inner[4::9, 4::9] == 1)).any()
        assert not seen[[0, -1]].any()
        assert not seen[:, [0, -1]].any()


@pytest.mark.parametrize("i", EACH)
def test_voxels_are_full_where_their_middle_is_well_within(table: Turntable, things: list[Views], i: int) -> None:
    """Against winding numbers of 2^3 places of random voxels."""
    filled, corners = things[i].occupancy.numpy(), corners_of(table.specs[i])
    rng = np.random.default_rng(0)
    near = np.argwhere(ndimage.binary_dilation(filled))
    pick = near[rng.choice(len(near), 15, replace=False)]
    places = np.stack(np.meshgrid(*[np.array([0.2, 0.8])] * 3), -1).reshape(-1, 3)
    for z, y, x in pick:
        inside = winding((np.array([x, y, z]) + places) / 32 - 0.5, corners) > 0.5
        if inside.all():
            assert filled[z, y, x]
        if not inside.any() and filled[z, y, x]:  # something thin passes through
            assert np.abs(things[i].surface_points.numpy() * 32 + 16 - [x + 0.5, y + 0.5, z + 0.5]).max(1).min() < 1.5


@pytest.mark.parametrize("i", EACH)
def test_every_view_sees_the_voxels_within_its_silhouette(things: list[Views], i: int) -> None:
    """Within 2 px, of which a voxel is 1.4; and together they cover all but a rim of it."""
    filled, views = things[i].occupancy.numpy(), things[i]
    z, y, x = np.nonzero(filled)
    middle = (np.stack([x, y, z], 1) + 0.5) / 32 - 0.5
    assert ndimage.label(filled, np.ones((3, 3, 3)))[1] == 1
    for k in range(0, 24, 5):
        T, seen = np.linalg.inv(views.T_world_camera[k].double().numpy()), views.silhouette[k, 0].numpy()
        p = (middle @ T[:3, :3].T + T[:3, 3]) @ views.K[k].double().numpy().T
        u, v = np.rint(p[:, :2] / p[:, 2:]).astype(int).T
        assert cv2.dilate(seen.astype(np.uint8), np.ones((5, 5)))[v, u].all()
        cover = np.zeros((64, 64), np.uint8)
        cover[v, u] = 1
        assert cv2.dilate(cover, np.ones((5, 5))).astype(bool)[seen].mean() > 0.97


@pytest.mark.parametrize("i", EACH)
def test_surface_points_lie_between_outside_and_inside(table: Turntable, things: list[Views], i: int) -> None:
    corners = corners_of(table.specs[i])
    points, normals = outer_points(corners, 60, np.random.default_rng(1))
    np.testing.assert_allclose(winding(points + 5e-5 * normals, corners), 0, atol=1e-6)
    assert (winding(points - 1e-4 * normals, corners) > 0.99).all()
    assert things[i].surface_points.shape == (600, 3)


def test_points_fall_evenly_on_what_is_seen() -> None:
    """Of two boxes, one half within the other, no point lies in the part that is hidden."""
    both = joined([box(1.0, 1.0, 1.0), box(0.5, 0.5, 1.0, z=0.5)]).corners
    points, normals = outer_points(both, 4000, np.random.default_rng(0))
    area = {"big sides": 4.0, "bottom": 1.0, "step": 0.75, "small sides": 4 * 0.5 * 0.5, "lid": 0.25}
    high = points[:, 2]
    up = np.abs(normals[:, 2]) > 0.5
    count = {"big sides": (~up & (high < 1)).sum(), "bottom": (up & (high < 0.1)).sum(),
             "step": (up & (np.abs(high - 1) < 1e-9)).sum(), "small sides": (~up & (high > 1)).sum(),
             "lid": (up & (high > 1.4)).sum()}
    total = sum(area.values())
    for name, share in area.items():
        assert count[name] / 4000 == pytest.approx(share / total, abs=0.03)


def test_occupancy_keeps_volumes_and_thin_things_whole() -> None:
    round_ = occupancy(ball(10.0).corners + np.array([12.3, 12.1, 2.4]), np.full(3, 24))
    assert round_.sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.03)
    block = occupancy(box(6.0, 4.0, 3.0, 8.0, 8.0, 2.0).corners, np.full(3, 16))
    assert block.sum() == 72
    pole = joined([box(0.4, 0.4, 12.0, 8.0, 8.0, 1.5), box(6.0, 6.0, 1.5, 8.0, 8.0, 0.5)])
    filled = occupancy(pole.corners, np.full(3, 16))
    assert filled[:13, 7:9, 7:9].any((1, 2)).all()
    assert ndimage.label(filled, np.ones((3, 3, 3)))[1] == 1
    assert filled[5].sum() <= 4


def test_a_geometry_image_lies_on_the_blob_that_is_rendered() -> None:
    """Rays that meet the blob meet it as far from its centre as its own formula says; pixels are met exactly."""
    table = Turntable(replace(SPEC, seed=3), 1, {"depth", "depth_valid", "geometry_image", "silhouette", "K",
                                                 "T_world_camera"}, kinds=("blob",), rig=Rig(3))
    views, spec = table[0], table.specs[0]
    blob = subject(spec).blob
    assert blob is not None
    v, u = np.nonzero(views.silhouette[1, 0].numpy())
    rays = np.stack([u, v, np.ones_like(u)], 1) @ np.linalg.inv(views.K[1].double().numpy()).T
    T = views.T_world_camera[1].double().numpy()
    points = rays * views.depth[1, 0].double().numpy()[v, u, None] @ T[:3, :3].T + T[:3, 3]
    out = points - blob.centre
    far = np.linalg.norm(out, axis=1)
    assert np.abs(far - blob.radius(out / far[:, None])).max() < 5e-3
    image = views.geometry_image.double().flatten(1).T.numpy()
    world = World(replace(spec, motion="static", frames=1))
    outward = (image - blob.centre) / np.linalg.norm(image - blob.centre, axis=1)[:, None]
    met = world.scene.still.rays.cast(image + 0.3 * outward, -outward)
    on_thing = world.scene.instance[met.face] == 1
    assert on_thing.mean() > 0.7  # the ground hides what is below it
    assert (np.abs(met.t[on_thing] - 0.3) < 1e-5).mean() > 0.99  # a ray at a corner of triangles may slip through


def test_blobs_are_star_shaped_closed_and_of_many_forms() -> None:
    volumes = []
    for seed in range(12):
        shape = draw_blob(np.random.default_rng(seed))
        image = shape.geometry_image(33)
        assert np.linalg.norm(image, axis=0).min() > 0.02
        a, b, c = shape.mesh(33).corners.swapaxes(0, 1)
        assert ((np.cross(b - a, c - a) * (a + b + c)).sum(1) > 0).all()
        volumes.append((a * np.cross(b, c)).sum() / 6)
    assert max(volumes) > 2 * min(volumes) > 0


def test_objects_are_the_same_whenever_asked_and_others_for_another_seed() -> None:
    def digest(seed: int, i: int) -> str:
        spec = replace(SPEC, seed=seed, difficulty=2, width=32, height=32)
        views = Turntable(spec, 3, SEEN | SHAPE - {"geometry_image"}, Rig(1), points=50)[i]
        return hashlib.sha256(b"".join(views.fields()[n].numpy().tobytes() for n in sorted(views.fields()))).hexdigest()

    assert digest(1, 2) == digest(1, 2) != digest(6, 2)


def test_other_textures_and_light_leave_the_shape_alone() -> None:
    fields = {"image", "depth", "occupancy"}
    a, b = (Turntable(s, 1, fields, Rig(2))[0] for s in (SPEC, replace(SPEC, textures=1, difficulty=3)))
    assert torch.equal(a.occupancy, b.occupancy)
    assert torch.equal(a.depth, b.depth)
    assert float((a.image - b.image).abs().mean()) > 0.05


def test_pictures_are_those_of_one_camera_after_the_other() -> None:
    """Rows beside another picture's may be smoothed where that one differs."""
    spec = replace(SPEC, difficulty=2, width=32, height=32)
    views = Turntable(spec, 1, {"image", "T_world_camera", "depth"}, Rig(3))[0]
    place = scene(spec, spec.random("layout"))
    materials = draw_materials(place.surfaces, 2, spec.random("textures", 0))
    for k in range(3):
        camera = Camera(spec.intrinsics(), Rig(3).poses(distance(spec))[k], 32, 32)
        view = cast(place.still, camera)
        alone = radiance(place, place.still, materials, camera, view).reshape(32, 32, 3)
        alone = np.clip(alone, 0, 1) ** (1 / GAMMA)
        np.testing.assert_allclose(views.image[k].permute(1, 2, 0)[1:-1], alone[1:-1], atol=1e-5)
        depth = np.where(np.isfinite(view.hits.t), view.hits.t, 0).reshape(32, 32)
        np.testing.assert_allclose(views.depth[k, 0], depth, rtol=1e-6)


def test_the_clip_goes_round_the_object() -> None:
    world = World(Spec("objects", seed=1, frames=8, width=48, height=36))
    view = cast(world.moment(4), world.camera(4), pixel_centres(48, 36)[18 * 48 + 24][None])
    assert world.scene.instance[view.hits.face[0]] == 1
    assert float((world.poses[:, :3, 3].norm(dim=1)).std()) < 0.1


def test_what_cannot_be_shown_is_refused() -> None:
    bent = replace(SPEC, distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    for spec, fields, kinds in [(Spec("room"), SEEN, KINDS), (bent, SEEN, KINDS), (SPEC, {"flow"}, KINDS),
                                (SPEC, SEEN, ("boat",)), (SPEC, {"geometry_image"}, KINDS)]:
        with pytest.raises(InputError):
            Turntable(spec, 1, fields, kinds=kinds)
