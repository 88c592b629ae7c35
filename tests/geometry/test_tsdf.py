"""Fusion against a dense field filled voxel by voxel, against closed forms, and under a limit of memory."""

import numpy as np
import pytest
import torch

from epipole.geometry import blocks as block_module
from epipole.geometry.blocks import Index, around, distinct, pack, unpack
from epipole.geometry.camera import intrinsics, unproject
from epipole.geometry.motion import se3_exp
from epipole.geometry.tsdf import Tsdf

F64 = torch.float64
K = intrinsics(40.0, 42.0, 19.5, 14.5)
H, W = 30, 40


def poses(n: int, seed: int = 0) -> torch.Tensor:
    spread = torch.tensor([0.2, 0.2, 0.2, 0.1, 0.1, 0.1], dtype=F64)
    return se3_exp(spread * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=F64))


def sphere_depth(T: torch.Tensor, centre=(0.0, 0.0, 2.0), radius=0.6) -> tuple[torch.Tensor, torch.Tensor]:
    """z of a sphere in the world, and where it is seen."""
    rays = unproject(torch.ones(1, H, W, dtype=F64), K)
    o = T[:3, :3].T @ (torch.tensor(centre, dtype=F64) - T[:3, 3])
    a, b = (rays * rays).sum(0), (rays * o[:, None, None]).sum(0)
    root = b * b - a * (o @ o - radius**2)
    return ((b - root.clamp(min=0).sqrt()) / a)[None], (root > 0)[None]


def views(n: int, seed: int = 0) -> list[dict]:
    """Depth with unknown pixels, colour and weight."""
    g = torch.Generator().manual_seed(seed)
    out = []
    for T in poses(n, seed):
        depth, seen = sphere_depth(T)
        depth = torch.where(seen, depth, 2.5 + 0.1 * torch.rand(1, H, W, generator=g, dtype=F64))
        depth[0, :4, :4] = torch.tensor([0, -1.0, torch.nan, torch.inf], dtype=F64)
        out.append({"depth": depth, "T_world_camera": T, "K": K,
                    "image": torch.rand(3, H, W, generator=g, dtype=F64),
                    "weight": torch.rand(1, H, W, generator=g, dtype=F64) * 3 - 0.2,
                    "valid": torch.rand(1, H, W, generator=g) > 0.1})
    return out


class Naive:
    """One voxel after the other, on a dense grid that covers the blocks of `like`."""

    def __init__(self, voxel: float, truncation: float, cap: float) -> None:
        self.voxel, self.truncation, self.cap = voxel, truncation, cap
        self.state: dict[tuple, list[float]] = {}

    def integrate(self, where, depth, T_world_camera, K, image, weight, valid) -> None:
        world_to_image = K.numpy() @ np.linalg.inv(T_world_camera.numpy())[:3]
        for cell in where:
            x, y, z = world_to_image @ [*((np.array(cell) + 0.5) * self.voxel), 1]
            if z <= 1e-3:
                continue
            u, v = round(x / z), round(y / z)
            if not (0 <= u < W and 0 <= v < H) or not valid[0, v, u] or not weight[0, v, u] > 0:
                continue
            d = float(depth[0, v, u])
            if not (np.isfinite(d) and d > 1e-3) or d - z <= -self.truncation:
                continue
            self.update(cell, d - z, float(weight[0, v, u]), image[:, v, u].numpy())

    def update(self, cell, sdf, w, colour) -> None:
        s = self.state.setdefault(cell, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        if sdf < self.truncation:
            s[2:5] = (np.array(s[2:5]) * s[5] + w * colour) / (s[5] + w)
            s[5] = min(s[5] + w, self.cap)
        s[0] = (s[0] * s[1] + w * min(sdf, self.truncation)) / (s[1] + w)
        s[1] = min(s[1] + w, self.cap)


def filled(tsdf: Tsdf, frames: list[dict]) -> Tsdf:
    for frame in frames:
        tsdf.integrate(**frame)
    return tsdf


def box(tsdf: Tsdf):
    first = tsdf.blocks.amin(0).tolist()
    count = (tsdf.blocks.amax(0) - tsdf.blocks.amin(0) + 1).tolist()
    return tsdf.dense(tuple(first), tuple(count)), 8 * np.array(first)


def cells_of_blocks(keys) -> list[tuple]:
    return [tuple((8 * np.array(b) + np.array(i)).tolist()) for b in unpack(keys).tolist() for i in np.ndindex(8, 8, 8)]


@pytest.mark.parametrize("cap", [2.5, 100.0])
def test_the_field_equals_the_naive_one(cap):
    tsdf, naive = Tsdf(0.1, 0.25, cap=cap, dtype=F64), Naive(0.1, 0.25, cap)
    for frame in views(3):
        known = frame["valid"] & (frame["weight"] > 0) & frame["depth"].isfinite() & (frame["depth"] > 1e-3)
        seeds = tsdf._seeds(torch.where(known, frame["depth"], 0), frame["T_world_camera"], K)
        naive.integrate(cells_of_blocks(around(seeds, 0.8, 0.25)), **frame)
        tsdf.integrate(**frame)
    grid, first = box(tsdf)
    expected = {name: np.zeros(shape) for name, shape in (("sdf", grid.sdf.shape), ("weight", grid.sdf.shape),
                                                          ("colour", grid.colour.shape))}
    for cell, s in naive.state.items():
        x, y, z = np.array(cell) - first
        expected["sdf"][z, y, x], expected["weight"][z, y, x], expected["colour"][:, z, y, x] = s[0], s[1], s[2:5]
    np.testing.assert_allclose(grid.weight, expected["weight"], atol=1e-9)
    seen = expected["weight"] > 0
    assert seen.sum() > 5000
    np.testing.assert_allclose(grid.sdf[seen], expected["sdf"][seen], atol=1e-9)
    np.testing.assert_allclose(grid.colour, expected["colour"], atol=1e-9)


def test_nothing_seen_leaves_nothing():
    tsdf = Tsdf(0.1)
    tsdf.integrate(torch.zeros(1, H, W), torch.eye(4), K.float())
    tsdf.integrate(torch.full((1, H, W), torch.nan), torch.eye(4), K.float())
    tsdf.integrate(torch.ones(1, H, W), torch.eye(4), K.float(), valid=torch.zeros(1, H, W, dtype=torch.bool))
    assert len(tsdf.blocks) == 0
    assert tsdf.dense((0, 0, 0), (1, 2, 1)).sdf.shape == (8, 16, 8)


def test_a_camera_amid_its_own_voxels_gives_finite_values():
    tsdf = Tsdf(0.1)
    T = torch.eye(4)
    T[:3, 3] = 0.05  # exactly on a voxel's centre, and nearer to the surface than the truncation
    tsdf.integrate(torch.full((1, H, W), 0.1), T, K.float(), image=torch.rand(3, H, W))
    assert all(part.isfinite().all() for part in box(tsdf)[0])


def test_sizes_that_make_no_sense_are_refused():
    for wrong in ({"voxel": 0.0}, {"voxel": 0.1, "truncation": 0.05}, {"voxel": 0.1, "cap": 0.0},
                  {"voxel": 0.1, "most": 0}):
        with pytest.raises(ValueError, match="field"):
            Tsdf(**wrong)


def test_surer_views_count_for_more():
    def fused(weight_far: float) -> float:
        tsdf = Tsdf(0.05, 0.4, dtype=F64)
        for z, w in ((1.0, 1.0), (1.2, weight_far)):
            plane = torch.full((1, H, W), z, dtype=F64)
            tsdf.integrate(plane, torch.eye(4, dtype=F64), K, weight=torch.full_like(plane, w))
        grid, first = box(tsdf)
        line = grid.sdf[:, -first[1], -first[0]]
        zero = int((line[:-1] * line[1:] < 0).nonzero()[0])
        share = line[zero] / (line[zero] - line[zero + 1])
        return float((zero + share + first[2] + 0.5) * 0.05)

    assert fused(1.0) == pytest.approx(1.1)
    assert fused(3.0) == pytest.approx(1.15)
    assert fused(0.0) == pytest.approx(1.0)


def test_the_cap_lets_old_measurements_fade():
    tsdf = Tsdf(0.05, 0.4, cap=4.0, dtype=F64)
    for z in [1.0] * 20 + [1.2] * 12:
        tsdf.integrate(torch.full((1, H, W), z, dtype=F64), torch.eye(4, dtype=F64), K)
    grid, first = box(tsdf)
    assert float(grid.weight.max()) == 4
    at = grid.sdf[round(1.0 / 0.05) - first[2], -first[1], -first[0]]
    share = 0.8**12  # what a running mean with share 1 / (4 + 1) keeps of the old
    assert float(at) == pytest.approx(share * -0.025 + (1 - share) * 0.175)


def test_memory_grows_with_the_surface_and_not_with_the_frames():
    tsdf, many = Tsdf(0.05), views(6)
    for frame in many:
        tsdf.integrate(**frame)
    once = len(tsdf.blocks)
    for _ in range(5):
        filled(tsdf, many)
    assert len(tsdf.blocks) == once


def test_at_the_limit_voxels_grow_and_keep_the_surface():
    tsdf = filled(Tsdf(0.05, most=150, dtype=F64), views(4))
    assert tsdf.voxel == pytest.approx(0.1)
    assert tsdf.truncation == pytest.approx(0.4)
    assert len(tsdf.blocks) <= 150
    grid, first = box(tsdf)
    z, y, x = torch.nonzero((grid.weight > 0) & (grid.sdf.abs() < 0.1), as_tuple=True)
    at = (torch.stack([x, y, z], 1) + torch.tensor(first) + 0.5) * tsdf.voxel
    near = (at[:, 2] < 2.0) & (at[:, :2].norm(dim=1) < 0.3)
    truth = (at - torch.tensor([0, 0, 2.0])).norm(dim=1) - 0.6
    assert int(near.sum()) > 20
    assert float((grid.sdf[z, y, x] - truth)[near].abs().max()) < 0.05


def test_coarse_voxels_are_weighted_means_of_eight():
    fine, coarse = (filled(Tsdf(0.05, dtype=F64), views(2)) for _ in range(2))
    coarse._coarsen()
    grid, first = box(coarse)
    before = fine.dense(tuple((first // 4).tolist()), tuple((2 * np.array(grid.sdf.shape[::-1]) // 8).tolist()))

    def pooled(values, weight):
        def eight(v):
            return torch.nn.functional.avg_pool3d(v[None, None], 2)[0, 0]
        return eight(values * weight) / eight(weight).clamp(min=1e-300), eight(weight)

    sdf, weight = pooled(before.sdf, before.weight)
    torch.testing.assert_close(grid.weight, weight)
    torch.testing.assert_close(grid.sdf, sdf)


def test_keys_come_back_and_are_found():
    g = torch.Generator().manual_seed(0)
    cells = torch.unique(torch.randint(-50, 50, (300, 3), generator=g), dim=0)
    cells = torch.cat([cells, torch.tensor([[-(2**20), 2**20 - 1, 0]])])
    assert torch.equal(unpack(pack(cells)), cells)
    index, order = Index(), torch.randperm(len(cells), generator=g)
    for part in order.split(40):
        index.insert(pack(cells[part]).sort().values)
    rows, known = index.find(pack(cells))
    assert known.all()
    assert torch.equal(rows.sort().values, torch.arange(len(cells)))
    place = torch.empty_like(order)
    for start, part in zip(range(0, len(order), 40), order.split(40), strict=True):
        place[part[pack(cells[part]).argsort()]] = torch.arange(start, start + len(part))
    assert torch.equal(rows, place)
    assert not index.find(pack(cells + torch.tensor([0, 0, 1000])))[1].any()


def test_marking_and_sorting_tell_the_same_cells_apart(monkeypatch):
    cells = torch.randint(-5, 5, (200, 3), generator=torch.Generator().manual_seed(0))
    marked = distinct(cells)
    monkeypatch.setattr(block_module, "LARGEST_BOX", 0)
    assert torch.equal(marked, distinct(cells))
    assert len(marked) == len({tuple(c) for c in cells.tolist()})


@pytest.mark.parametrize("reach", [0.3, 0.5, 1.7])
def test_blocks_around_points_are_all_within_reach(reach):
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64) * 2
    points[3] = torch.nan
    points[4, 0] = 1e30
    expected = {c for c in np.ndindex(20, 20, 20) for p in points.tolist() if np.isfinite(p).all() and abs(p[0]) < 1e9
                and all(k - 10 <= (x + reach) // 1 and k - 10 >= (x - reach) // 1 for k, x in zip(c, p, strict=True))}
    found = {tuple((b + 10).tolist()) for b in unpack(around(points, 1.0, reach))}
    assert found == expected
