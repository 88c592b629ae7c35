"""Camera path and anchor depths from dense correspondences alone, frame by frame; trains nothing.

Two views start it (essential matrix, where parallax is best), every further frame is placed against the points known
so far (P3P in RANSAC), its anchors are triangulated in closed form along their rays, and a short window is bundle
adjusted. What comes out is the start for bundle adjustment over everything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import poselib
import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.anchors import Edges, Scene, rays, triangulate
from ..geometry.bundle import bundle_adjust
from ..geometry.motion import se3, se3_inverse

RANSAC_PX = 0.75        # inlier threshold, px of the anchors' grid
WINDOW = 6              # key frames in the sliding bundle adjustment
HELD = 2                # of which the oldest keep their pose
ENOUGH_INLIERS = 16     # fewer placed points than this: the frame is lost


@dataclass(frozen=True)
class TwoView:
    """Geometry of one edge: motion up to scale, and how well the footage shows it."""

    edge: int
    T_target_source: Float[Tensor, "4 4"]
    inliers: float          # share of the seen anchors that agree
    parallax: float         # degrees, median over inliers


@dataclass
class Track:
    """A reconstruction that grows: the scene, which frames are placed, and which were lost on the way."""

    scene: Scene
    placed: set[int] = field(default_factory=set)
    lost: list[int] = field(default_factory=list)


def poselib_camera(K: Tensor) -> dict[str, object]:
    """As poselib wants it; it has pixel centres where we have them, and asks for a size without using it."""
    fx, fy, cx, cy = (float(x) for x in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    return {"model": "PINHOLE", "width": int(2 * cx + 2), "height": int(2 * cy + 2), "params": [fx, fy, cx, cy]}


def two_view(edges: Edges, pixels: Float[Tensor, "m 2"], K: Float[Tensor, "3 3"], edge: int, seed: int) -> TwoView:
    """Essential matrix of one edge by LO-RANSAC (poselib), its inliers and parallax after taking out the rotation."""
    seen = edges.weight[edge] > 0
    if int(seen.sum()) < ENOUGH_INLIERS:
        return TwoView(edge, torch.eye(4), 0.0, 0.0)
    options = {"max_epipolar_error": RANSAC_PX, "seed": seed, "max_iterations": 500, "min_iterations": 50}
    x, y, camera = pixels[seen].double().numpy(), edges.observed[edge][seen].double().numpy(), poselib_camera(K)
    pose, info = poselib.estimate_relative_pose(x, y, camera, camera, options, {})
    inside = torch.tensor(np.asarray(info["inliers"]), dtype=torch.bool)
    R = torch.tensor(np.asarray(pose.R)).float()
    a, b = rays(pixels[seen], K) @ R.mT, rays(edges.observed[edge][seen], K)
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))
    parallax = float(angle[inside].median().rad2deg()) if bool(inside.any()) else 0.0
    return TwoView(edge, se3(R, torch.tensor(np.asarray(pose.t)).float()), float(inside.float().mean()), parallax)


def start(edges: Edges, pixels: Tensor, K: Tensor, n: int, seeds: list[TwoView]) -> Track:
    """The two frames of the best edge: many inliers and parallax of a few degrees."""
    best = max(seeds, key=lambda s: s.inliers**2 * min(s.parallax, 3.0))
    a, b = int(edges.source[best.edge]), int(edges.target[best.edge])
    T = torch.eye(4).repeat(n, 1, 1)
    T[b] = best.T_target_source.to(T)
    scene = Scene(T, torch.ones(n, len(pixels)), K)
    both = ((edges.source == a) & (edges.target == b)) | ((edges.source == b) & (edges.target == a))
    own = edges.subset(both)
    q = triangulate(scene, own, pixels, a, 1.0)
    unit = float(q[(own.weight[own.source == a] > 0).any(0)].median())  # so that typical inverse depth is 1
    T[b, :3, 3] = T[b, :3, 3] * unit
    scene = Scene(T, scene.inverse_depth, K)
    for frame in (a, b):
        scene.inverse_depth[frame] = triangulate(scene, own, pixels, frame, 1.0)
    return _adjust(Track(scene, {a, b}), edges, pixels, [a, b], held=1)


def _adjust(track: Track, edges: Edges, pixels: Tensor, frames: list[int], held: int) -> Track:
    """A few steps of bundle adjustment in these frames alone; the first `held` of them keep their pose."""
    index = torch.tensor(frames)
    local = torch.full((len(track.scene.T_camera_world),), -1, dtype=torch.long)
    local[index] = torch.arange(len(frames))
    inside = (local[edges.source] >= 0) & (local[edges.target] >= 0)
    some = edges.subset(inside)
    if len(some.source) == 0:
        return track
    some = some._replace(source=local[some.source], target=local[some.target])
    T, q, K, _ = track.scene
    fixed = torch.arange(len(frames)) < held
    solved = bundle_adjust(Scene(T[index], q[index], K), some, pixels, fixed=fixed, iterations=4, tolerance=1e-2)
    T[index], q[index] = solved.scene.T_camera_world, solved.scene.inverse_depth
    return track


def place(track: Track, edges: Edges, pixels: Tensor, frame: int, seed: int) -> Track:
    """Add a frame: pose by resection against the points of placed frames, anchors triangulated, window adjusted.

    A frame that cannot be placed takes the pose of its nearest neighbour and is noted as lost.
    """
    T, q, K, _ = track.scene
    known = torch.zeros(len(T), dtype=torch.bool)
    known[list(track.placed)] = True
    nearest = min(track.placed, key=lambda p: abs(p - frame))
    points, seen = arriving_points(track.scene, edges.subset((edges.target == frame) & known[edges.source]), pixels)
    T[frame] = T[nearest]
    pose = resection(points, seen, K, seed)
    if pose is None:
        track.lost.append(frame)
    else:
        T[frame] = pose
    leaving = edges.subset((edges.source == frame) & known[edges.target])
    q[frame] = triangulate(track.scene, leaving, pixels, frame, float(q[nearest].median()))
    track.placed.add(frame)
    window = sorted(track.placed, key=lambda p: abs(p - frame))[:WINDOW]
    return _adjust(track, edges, pixels, sorted(window, key=lambda p: -abs(p - frame)), held=HELD)


def resection(
    points: Float[Tensor, "p 3"], seen: Float[Tensor, "p 2"], K: Float[Tensor, "3 3"], seed: int
) -> Float[Tensor, "4 4"] | None:
    """T_camera_world from world points and their pixels by P3P in LO-RANSAC (poselib); None if too few agree."""
    if len(points) < ENOUGH_INLIERS:
        return None
    options = {"max_reproj_error": 2 * RANSAC_PX, "seed": seed, "max_iterations": 300, "min_iterations": 30}
    x, X = seen.double().numpy(), points.double().numpy()
    pose, info = poselib.estimate_absolute_pose(x, X, poselib_camera(K), options, {})
    if int(info["num_inliers"]) < ENOUGH_INLIERS:
        return None
    return se3(torch.tensor(np.asarray(pose.R)).to(points), torch.tensor(np.asarray(pose.t)).to(points))


def arriving_points(
    scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"]
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 2"]]:
    """World points of all anchors that these edges see, and the pixels at which they see them."""
    local = rays(pixels, scene.K) / scene.inverse_depth[edges.source][..., None]
    T_world_camera = se3_inverse(scene.T_camera_world[edges.source])
    world = local @ T_world_camera[:, :3, :3].mT + T_world_camera[:, None, :3, 3]
    keep = edges.weight > 0
    return world[keep], edges.observed[keep]


def reconstruct(edges: Edges, pixels: Float[Tensor, "m 2"], K: Float[Tensor, "3 3"], n: int, *, seed: int = 0,
                seeds: list[TwoView] | None = None, limit: int | None = None,
                progress: Callable[[int, int], None] | None = None) -> Track:
    """Place all n frames (or the first `limit`), outwards from the best two.

    `seeds` are the edges to choose the start from (default: all); `progress` is told (frames placed, of how many).
    """
    if seeds is None:
        seeds = [two_view(edges, pixels, K, e, seed) for e in range(len(edges.source))]
    track = start(edges, pixels, K, n, seeds)
    seen = edges.weight.sum(1)
    total = n if limit is None else min(limit, n)
    while len(track.placed) < total:
        frame = next_frame(edges, seen, track.placed, n)
        place(track, edges, pixels, frame, seed + len(track.placed))
        if progress is not None:
            progress(len(track.placed), total)
    return track


def next_frame(edges: Edges, seen: Float[Tensor, "e"], placed: set[int], n: int) -> int:
    """The frame that sees most anchors of placed frames; of frames that see none, the nearest in time."""
    known = torch.zeros(n, dtype=torch.bool)
    known[list(placed)] = True
    arriving = torch.zeros(n).index_add_(0, edges.target, seen * known[edges.source])
    arriving[known] = -1
    if float(arriving.max()) > 0:
        return int(arriving.argmax())
    return min(set(range(n)) - placed, key=lambda f: min(abs(f - p) for p in placed))
