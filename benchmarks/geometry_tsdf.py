"""TSDF fusion of 640x480 frames with colour at voxels of 2 cm, truncated at 8 cm: frames of a rendered room, enlarged
from 320x240."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from contest import Contest, Rival, Work
from torch import Tensor

from epipole.geometry.blocks import around, unpack
from epipole.geometry.camera import resize_intrinsics
from epipole.geometry.tsdf import SIDE, Tsdf
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import RoomWorld
from epipole.types.views import Views

FRAMES, VOXEL, TRUNCATION = 8, 0.02, 0.08


def contests(threads: int) -> Iterator[Contest]:
    """One row: Open3D's VoxelBlockGrid (at most twice its time), and the floor of merely looking the voxels up."""
    room = RoomWorld(Spec(frames=4 * FRAMES, width=320, height=240))
    views = [enlarged(room[i].keep({"image", "depth", "depth_valid", "K", "T_world_camera"}))
             for i in range(0, 4 * FRAMES, 4)]
    field, floor = Tsdf(VOXEL, TRUNCATION), looked_up(views)
    rate = max(FRAMES / seconds(fuse) for fuse in [lambda: fused(field, views)] * 6)
    yield Contest(
        f"TSDF fusion of {FRAMES} frames 640x480 at 2 cm",
        ours=lambda: fused(field, views),
        rivals=(Rival("Open3D VoxelBlockGrid", open3d_fused(views), at_most=2.0),
                Rival("projection and look-up of the same voxels", floor)),
        repeats=10, note=f"{rate:.0f} frames/s, {len(field.blocks)} blocks",
    )


def enlarged(view: Views) -> Views:
    """Every pixel four times: rendering at full size would take longer than everything measured."""
    maps = {name: getattr(view, name).repeat_interleave(2, -1).repeat_interleave(2, -2)
            for name in ("image", "depth", "depth_valid")}
    return Views(**maps, K=resize_intrinsics(view.K, 2.0, 2.0), T_world_camera=view.T_world_camera)


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fused(field: Tsdf, views: list[Views]) -> None:
    """All views into the field."""
    for v in views:
        field.integrate(v.depth[0], v.T_world_camera[0], v.K[0], v.image[0], valid=v.depth_valid[0])


def looked_up(views: list[Views]) -> Work:
    """Centres of the voxels that fusion touches, projected into every view; depth gathered and compared. No state."""
    field, work = Tsdf(VOXEL, TRUNCATION), []
    line = torch.arange(SIDE) + 0.5
    inner = torch.cartesian_prod(line, line, line)
    for v in views:
        depth = torch.where(v.depth_valid, v.depth, 0)[0]
        keys = around(field._seeds(depth, v.T_world_camera[0], v.K[0]), SIDE * VOXEL, TRUNCATION)
        centres = VOXEL * (SIDE * unpack(keys)[:, None] + inner).flatten(0, 1)
        P = v.K[0] @ torch.linalg.inv(v.T_world_camera[0])[:3]
        work.append((centres, P, depth[0].contiguous()))

    def run() -> list[Tensor]:
        return [distance(*one) for one in work]

    return run


def distance(centres: Tensor, P: Tensor, depth: Tensor) -> Tensor:
    """Depth at the nearest pixel of every voxel, less its z."""
    height, width = depth.shape
    x, y, z = (centres @ P[:, :3].mT + P[:, 3]).unbind(1)
    u, v = (x / z).round().long().clamp(0, width - 1), (y / z).round().long().clamp(0, height - 1)
    return depth[v, u] - z


def open3d_fused(views: list[Views]) -> Work | None:
    """The same by Open3D's tensor grid, blocks of 16^3 as in its tutorial; None where it is not installed."""
    try:
        import open3d as o3d
    except ImportError:
        return None
    core, image = o3d.core, o3d.t.geometry.Image
    f32, u16, device = core.float32, core.uint16, core.Device("CPU:0")
    grid = o3d.t.geometry.VoxelBlockGrid(("tsdf", "weight", "color"), (f32, u16, u16), ((1,), (1,), (3,)), VOXEL, 16,
                                         5000, device)
    frames = []
    for v in views:
        z = torch.where(v.depth_valid, v.depth, 0)[0, 0].numpy()
        rgb = (255 * v.image[0].permute(1, 2, 0)).byte().numpy()
        E = core.Tensor(np.linalg.inv(v.T_world_camera[0].double().numpy()))
        frames.append((image(core.Tensor((1000 * z).astype(np.uint16)[..., None])), image(core.Tensor(rgb)),
                       core.Tensor(v.K[0].double().numpy()), E))

    def run() -> None:
        for depth, colour, K, E in frames:
            blocks = grid.compute_unique_block_coordinates(depth, K, E, 1000.0, 10.0, TRUNCATION / VOXEL)
            grid.integrate(blocks, depth, colour, K, K, E, 1000.0, 10.0, TRUNCATION / VOXEL)

    return run
