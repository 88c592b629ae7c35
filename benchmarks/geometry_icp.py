"""ICP between two noisy samples of a room, 9 cm and 2.5 degrees apart, normals estimated, from bare points on; and of
that, the normals and the nearest neighbours alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from contest import Contest, Rival
from scipy.spatial import cKDTree
from torch import Tensor

from epipole.geometry.icp_plane import icp_plane
from epipole.geometry.motion import angle, move, se3_exp, se3_inverse
from epipole.geometry.neighbours import neighbours, tree
from epipole.geometry.normals import normals

try:
    import small_gicp
except ImportError:
    small_gicp = None
try:
    import open3d as o3d
except ImportError:
    o3d = None

PLANTED = se3_exp(torch.tensor([0.06, -0.04, 0.05, 0.02, -0.03, 0.025], dtype=torch.float64))
REACH = 0.3      # m
NEIGHBOURS = 10  # for a normal


def contests(threads: int) -> Iterator[Contest]:
    for n in (10_000, 50_000):
        yield alignment(n, threads)
        yield surface(n, threads)
        yield lookup(n, threads)


def room(n: int, seed: int) -> Tensor:
    """Points on the faces of a box of 4 x 3 x 5 m with 5 mm of noise."""
    g = torch.Generator().manual_seed(seed)
    points, face = torch.rand(n, 3, generator=g), torch.randint(0, 6, (n,), generator=g)
    points[torch.arange(n), face % 3] = (face // 3).float()
    return points * torch.tensor([4.0, 3, 5]) + 0.005 * torch.randn(n, 3, generator=g)


def alignment(n: int, threads: int) -> Contest:
    target, source = room(n, 0), move(se3_inverse(PLANTED).float(), room(n, 1))
    a, b = source.double().numpy(), target.double().numpy()

    def ours() -> Tensor:
        return icp_plane(source, target, normals(target, NEIGHBOURS), reach=REACH).T_target_source

    rivals = {
        "small-gicp, point to plane": (small_gicp and (lambda: small(a, b, threads)), 3.0),
        "Open3D, point to point": (o3d and (lambda: open3d_points(a, b)), 1.0),
        "Open3D, point to plane": (o3d and (lambda: open3d_planes(a, b)), None),
    }
    note = ", ".join([f"error {error(ours())}", *(f"{k} {error(run())}" for k, (run, _) in rivals.items() if run)])
    return Contest(f"ICP, {n // 1000} k points", ours, tuple(Rival(k, *v) for k, v in rivals.items()), 10, note)


def surface(n: int, threads: int) -> Contest:
    cloud = room(n, 0)
    x = cloud.double().numpy()
    return Contest(f"normals of {n // 1000} k points", lambda: normals(cloud, NEIGHBOURS), (
        Rival("Open3D", o3d and (lambda: with_normals(x))),
        Rival("scipy cKDTree, the neighbours alone", lambda: cKDTree(x).query(x, NEIGHBOURS, workers=threads))), 10)


def lookup(n: int, threads: int) -> Contest:
    a, b = room(n, 0), room(n, 1)
    x, y = a.numpy(), b.numpy()
    return Contest(f"nearest of {n // 1000} k points, tree and search", lambda: neighbours(a, tree(b)),
                   (Rival("scipy cKDTree", lambda: cKDTree(y).query(x, workers=threads)),), 10)


def small(a: np.ndarray, b: np.ndarray, threads: int) -> np.ndarray:
    """All points, as ours: the voxels are too small to join any."""
    return small_gicp.align(b, a, registration_type="PLANE_ICP", downsampling_resolution=1e-3, num_threads=threads,
                            max_correspondence_distance=REACH).T_target_source


def open3d_points(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    method = o3d.pipelines.registration.TransformationEstimationPointToPoint()
    return open3d_icp(o3d_cloud(a), o3d_cloud(b), method)


def open3d_planes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    method = o3d.pipelines.registration.TransformationEstimationPointToPlane()
    return open3d_icp(o3d_cloud(a), with_normals(b), method)


def with_normals(points: np.ndarray) -> Any:
    cloud = o3d_cloud(points)
    cloud.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(NEIGHBOURS))
    return cloud


def open3d_icp(a: object, b: object, method: object) -> np.ndarray:
    return o3d.pipelines.registration.registration_icp(a, b, REACH, np.eye(4), method).transformation


def o3d_cloud(points: np.ndarray) -> Any:
    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))


def error(T: Tensor | np.ndarray) -> str:
    rest = torch.as_tensor(np.array(T)).double() @ se3_inverse(PLANTED)
    return f"{1e3 * rest[:3, 3].norm():.2f} mm {math.degrees(angle(rest[:3, :3])):.3f} deg"
