"""Meshes of a sphere, a plane, a rendered room and a real kitchen."""

import math

import numpy as np
import pytest
import torch
import trimesh
from skimage.measure import marching_cubes

from epipole.geometry.camera import intrinsics, unproject
from epipole.geometry.motion import se3
from epipole.geometry.tsdf import Tsdf
from epipole.pipelines import marching
from epipole.pipelines.mapping import Config, Mapping, measured, steep
from epipole.pipelines.marching import extract
from epipole.sources.plain import PlainFolder
from epipole.sources.worlds.rays import RayCaster
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import RoomWorld
from epipole.types.predictions import Depth, Surface
from epipole.types.views import Views

RADIUS, SIZE = 0.5, 96
K = intrinsics(120.0, 120.0, 47.5, 47.5)


def around_the_sphere() -> list[Views]:
    """26 views of a sphere at the origin, from the sides, edges and corners of a cube; its colour is its place."""
    out = []
    for direction in np.ndindex(3, 3, 3):
        z = torch.tensor(direction, dtype=torch.float64) - 1
        if z.any():
            z = z / z.norm()
            x = torch.linalg.cross(z, z.roll(1) * torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64))
            x = x / x.norm()
            out.append(sphere_view(se3(torch.stack([x, torch.linalg.cross(z, x), z], 1), -1.6 * z)))
    return out


def sphere_view(T: torch.Tensor) -> Views:
    rays = unproject(torch.ones(1, SIZE, SIZE, dtype=torch.float64), K)
    o = T[:3, :3].T @ -T[:3, 3]
    a, b = (rays * rays).sum(0), (rays * o[:, None, None]).sum(0)
    root = b * b - a * (o @ o - RADIUS**2)
    depth = torch.where(root > 0, (b - root.clamp(min=0).sqrt()) / a, 0)[None]
    place = torch.einsum("ij,jhw->ihw", T[:3, :3], rays * depth) + T[:3, 3, None, None]
    return Views(image=((place + 1) / 2)[None].float().contiguous(), K=K[None].float(),
                 T_world_camera=T[None].float(), depth=depth[None].float(), depth_valid=depth[None] > 0)


def mapped(views, **config) -> Surface:
    mapping = Mapping(Config(**{"voxel": 0.04, "least_weight": 0.0} | config))
    for view in views:
        mapping.step(view)
    return mapping.result()


def as_trimesh(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices.double().numpy(), surface.faces.numpy(), process=False)


@pytest.fixture(scope="module")
def sphere() -> Surface:
    return mapped(around_the_sphere(), steepest=math.inf, truncation=3.0)


def test_a_sphere_is_within_half_a_voxel(sphere):
    error = (sphere.vertices.norm(dim=1) - RADIUS).abs()
    assert float(error.max()) < 0.02
    assert float(error.mean()) < 0.005


def test_a_sphere_is_closed_and_its_outside_is_outside(sphere):
    mesh = as_trimesh(sphere)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.02)


def test_colours_are_those_of_the_place(sphere):
    assert float((sphere.colour - (sphere.vertices + 1) / 2).abs().max()) < 0.04


def test_the_boxes_leave_no_seam(monkeypatch):
    field = Mapping(Config(voxel=0.04, steepest=math.inf))
    for view in around_the_sphere()[::6]:
        field.step(view)
    whole = extract(field.field)
    monkeypatch.setattr(marching, "BOX", 1)
    parts = extract(field.field)
    assert len(parts.vertices) == len(whole.vertices)
    assert len(parts.faces) == len(whole.faces)
    order = [np.lexsort(s.vertices.numpy().round(5).T) for s in (parts, whole)]
    np.testing.assert_allclose(parts.vertices[order[0]], whole.vertices[order[1]], atol=1e-5)


def test_it_is_what_scikit_image_makes_of_the_dense_field():
    field = Tsdf(0.1, 0.4)
    x = torch.arange(24) * 0.1 + 0.05
    z, y, x = torch.meshgrid(x, x, x, indexing="ij")
    sdf = torch.stack([x - 1.2, 1.3 * (y - 1.1), z - 1.25]).norm(dim=0) - 0.7
    fill(field, sdf.clamp(-0.4, 0.4))
    mine = extract(field)
    theirs, faces, _, _ = marching_cubes(sdf.clamp(-0.4, 0.4).numpy(), 0.0)
    assert len(mine.vertices) == len(theirs)
    assert len(mine.faces) == len(faces)
    world = (theirs[:, ::-1] + 0.5) * 0.1
    ours = mine.vertices.numpy()
    np.testing.assert_allclose(ours[np.lexsort(ours.round(4).T)], world[np.lexsort(world.round(4).T)], atol=1e-5)


def fill(field: Tsdf, sdf: torch.Tensor) -> None:
    """A dense field of whole blocks, from the origin, everywhere seen once."""
    n = sdf.shape[0] // 8
    cells = torch.cartesian_prod(*[torch.arange(n)] * 3)
    points = (cells + 0.5) * 8 * field.voxel
    size, field.truncation = field.truncation, field.voxel
    field._allocate(points)
    field.truncation = size
    rows, _ = field._index.find(marching_keys(cells))
    blocks = sdf.unfold(0, 8, 8).unfold(1, 8, 8).unfold(2, 8, 8)  # z y x of blocks, then of voxels
    for (x, y, z), row in zip(cells.tolist(), rows.tolist(), strict=True):
        field._table[row, 0], field._table[row, 1] = blocks[z, y, x].flatten(), 1.0


def marching_keys(cells: torch.Tensor) -> torch.Tensor:
    from epipole.geometry.blocks import pack

    return pack(cells)


def test_triangles_end_where_nothing_was_seen():
    """A plane seen through a hole: no vertex lies beside an unseen voxel."""
    depth = torch.full((1, 1, SIZE, SIZE), 1.0)
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[..., 30:60, 30:60] = False
    mesh = mapped([plane_view(depth, valid)])
    u = mesh.vertices[:, :2] * 120 + 47.5
    hole = ((u > 33) & (u < 56)).all(1)
    assert len(mesh.vertices) > 300
    assert not hole.any()


def plane_view(depth: torch.Tensor, valid: torch.Tensor | None = None) -> Views:
    seen = torch.ones_like(depth, dtype=torch.bool) if valid is None else valid
    return Views(depth=depth, depth_valid=seen, K=K[None].float(), T_world_camera=torch.eye(4)[None])


def test_a_slanted_plane_is_within_half_a_voxel():
    rays = unproject(torch.ones(1, SIZE, SIZE), K.float())
    normal = torch.tensor([0.3, -0.2, 1.0])
    depth = (1.2 / torch.einsum("i,ihw->hw", normal, rays))[None, None]
    mesh = mapped([plane_view(depth)])
    assert len(mesh.vertices) > 300
    assert float((mesh.vertices @ normal / normal.norm() - 1.2 / normal.norm()).abs().max()) < 0.02


def test_far_steep_and_refused_pixels_stay_out():
    depth = torch.full((1, 1, SIZE, SIZE), 1.0)
    depth[..., SIZE // 2 :] = 1.5
    full = mapped([plane_view(depth)])
    assert int(((full.vertices[:, 2] - 1.0).abs() < 1e-3).sum()) > 150
    assert int(((full.vertices[:, 2] - 1.5).abs() < 1e-3).sum()) > 150
    assert len(mapped([plane_view(depth)], far=1.2).vertices) < 0.6 * len(full.vertices)
    mapping = Mapping(Config(voxel=0.04, least_weight=0.0), keep=lambda view, said: said.depth > 1.2)
    mapping.step(plane_view(depth))
    assert float(mapping.result().vertices[:, 2].min()) > 1.4
    edge = steep(depth, 0.1)[0, 0]
    assert edge[:, SIZE // 2 - 1 : SIZE // 2 + 1].all()
    assert int(edge.sum()) == 2 * SIZE
    unknown = depth.clone()
    unknown[..., 10, 10] = 0.0
    assert torch.equal(steep(unknown, 0.1), steep(depth, 0.1))


def test_depth_comes_from_a_method_and_the_surer_view_wins():
    plane = torch.ones(1, 1, SIZE, SIZE)
    said = [Depth(depth=plane, log_variance=torch.full_like(plane, 2 * math.log(0.02))),
            Depth(depth=1.1 * plane, log_variance=torch.full_like(plane, 2 * math.log(0.04)))]
    mapping = Mapping(Config(voxel=0.04, truncation=6.0, least_weight=0.0), depth_of=lambda view: said.pop())
    for _ in range(2):
        mapping.step(Views(K=K[None].float(), T_world_camera=torch.eye(4)[None]))
    assert float(mapping.result().vertices[:, 2].median()) == pytest.approx((4 * 1.0 + 1.1) / 5, abs=2e-3)


def test_nothing_seen_is_an_empty_surface():
    empty = Mapping(Config(voxel=0.04)).result()
    assert len(empty.vertices) == len(empty.faces) == len(empty.colour) == 0
    assert len(mapped([plane_view(torch.zeros(1, 1, SIZE, SIZE))]).faces) == 0


def seen_depth(mesh: Surface, view: Views) -> np.ndarray:
    """z of the mesh in a camera; infinite where it is not met."""
    height, width = view.depth.shape[-2:]
    corners = mesh.vertices[mesh.faces].double().numpy()
    rays, T = unproject(torch.ones(1, height, width).double(), view.K[0].double()), view.T_world_camera[0].double()
    directions = (rays.flatten(1).mT @ T[:3, :3].mT).numpy()
    return RayCaster(corners).cast(T[:3, 3].numpy(), directions).t.reshape(height, width)


def test_a_rendered_room_comes_back():
    room = RoomWorld(Spec(frames=24, width=160, height=120))
    mesh = mapped([room[i] for i in range(0, 24, 4)], voxel=0.03)
    view = room[10]  # not among those fused
    z, truth = seen_depth(mesh, view), view.depth[0, 0].numpy()
    met = np.isfinite(z)
    assert met.mean() > 0.9
    assert np.median(np.abs(z - truth)[met]) < 0.005
    assert (np.abs(z - truth)[met] < 0.015).mean() > 0.85  # the rest are rims, a voxel wide


def test_a_real_kitchen(shared_data):
    folder = PlainFolder(shared_data / "7scenes_redkitchen")
    mapping, blocks = Mapping(Config(voxel=0.03, far=4.0)), []
    views = [folder[i] for i in range(0, 60, 10)]
    for view in views + views:
        mapping.step(view)
        blocks.append(len(mapping.field.blocks))
    assert blocks[len(views) - 1] == blocks[-1]  # the same frames again need no more memory
    mesh, view = mapping.result(), folder[25]
    z, truth = seen_depth(mesh, view), measured(view).depth[0, 0].numpy()
    both = np.isfinite(z) & (truth > 0) & (truth < 4)
    assert both.mean() > 0.6
    assert np.median(np.abs(z - truth)[both]) < 0.01
    image = view.image[0].permute(1, 2, 0).numpy()
    at = mesh.vertices.double().numpy() - view.T_world_camera[0, :3, 3].double().numpy()
    at = at @ view.T_world_camera[0, :3, :3].double().numpy() @ view.K[0].double().numpy().T
    u, v = np.round(at[:, :2] / at[:, 2:]).astype(int).T
    seen = (at[:, 2] > 0) & (u >= 0) & (u < image.shape[1]) & (v >= 0) & (v < image.shape[0])
    seen[seen] &= np.abs(z[v[seen], u[seen]] - at[seen, 2]) < 0.03
    assert seen.sum() > 2000
    assert np.median(np.abs(image[v[seen], u[seen]] - mesh.colour[seen].numpy())) < 0.06
