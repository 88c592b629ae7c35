"""Pairs of key frames far apart in time that see the same place, found by the scene itself, and where to look there."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...geometry.anchors import NEAR, Scene, rays, reproject
from ...geometry.camera import resize_intrinsics
from ...geometry.motion import se3_inverse
from .correspond import Guesses, Pair, around
from .flow import Flow

LEAST_OVERLAP = 0.45    # share of anchors that both frames see at not too different a distance
APART = 2               # key frames between two chosen pairs, in either index
AT_ONCE = 512           # pairs looked at together
ZOOM = 2.0              # a place seen this much nearer or farther is not the same picture


class Overlaps(NamedTuple):
    """Pairs of frames a < b, in this order, and how much they see of each other."""

    a: Int[np.ndarray, "k"]
    b: Int[np.ndarray, "k"]
    share: Float[np.ndarray, "k"]


def overlaps(scene: Scene, pixels: Float[Tensor, "m 2"], size: tuple[int, int], least: float = LEAST_OVERLAP,
             apart: int = 1, shots: list[int] | None = None) -> Overlaps:
    """Pairs of frames at least `apart` from each other, of one shot, of which each sees more than the share `least` of
    the other's anchors: the smaller of both shares counts.

    A frame is held only against those within its `reach`, some at a time: memory grows with the number of frames, and
    time with that of frames which are near each other.
    """
    n, shot = len(scene.T_camera_world), torch.tensor([0] * len(scene.T_camera_world) if shots is None else shots)
    thin, pixels = _thinned(scene, pixels)
    place, far = se3_inverse(scene.T_camera_world)[:, :3, 3], reach(thin, size, least)
    rows, columns, shares = [], [], []
    for a in range(n):
        distance = (place[a + apart :] - place[a]).norm(dim=1)
        near = (distance <= torch.minimum(far[a + apart :], far[a])) & (shot[a + apart :] == shot[a])
        b = a + apart + torch.nonzero(near)[:, 0]
        there = _seen(thin, pixels, size, torch.full_like(b, a), b)
        b, there = b[there > least], there[there > least]
        share = torch.minimum(there, _seen(thin, pixels, size, b, torch.full_like(b, a)))
        keep = share > least
        rows.append(np.full(int(keep.sum()), a))
        columns.append(b[keep].numpy())
        shares.append(share[keep].numpy())
    return Overlaps(np.concatenate(rows), np.concatenate(columns), np.concatenate(shares))


def _thinned(scene: Scene, pixels: Tensor) -> tuple[Scene, Tensor]:
    """Every seventh anchor, those far off the others brought to where others are."""
    some = torch.arange(3, len(pixels), 7)
    low, high = torch.quantile(scene.inverse_depth, torch.tensor([0.05, 0.95]).to(scene.inverse_depth), dim=1)
    depths = scene.inverse_depth[:, some].clamp(low[:, None], high[:, None])
    return Scene(scene.T_camera_world, depths, scene.K), pixels[some]


def reach(scene: Scene, size: tuple[int, int], least: float) -> Float[Tensor, "n"]:
    """How far a camera may be from each frame and still see more than the share `least` of its anchors.

    A point ray / q, seen from elsewhere at a depth of at most `ZOOM` times its own, is at most ZOOM |ray'| / q from
    there, ray' being another ray of the picture: both cameras are within (1 + ZOOM) |longest ray| / q of each other.
    """
    w, h = size
    corners = torch.tensor([[0, 0], [w, 0], [0, h], [w, h]]).to(scene.K)
    longest, m = float(rays(corners, scene.K).norm(dim=1).max()), scene.inverse_depth.shape[1]
    return (1 + ZOOM) * longest / scene.inverse_depth.kthvalue(int(least * m) + 1, dim=1).values


def _seen(
    scene: Scene, pixels: Float[Tensor, "m 2"], size: tuple[int, int], a: Int[Tensor, "k"], b: Int[Tensor, "k"]
) -> Float[Tensor, "k"]:
    """Share of the anchors of frames a that fall into frames b, at not too different a distance."""
    (w, h), K, shares = size, scene.K, [scene.inverse_depth.new_zeros(0)]
    for some_a, some_b in zip(a.split(AT_ONCE), b.split(AT_ONCE), strict=True):
        Y, _ = reproject(scene, pixels, some_a, some_b)
        z = Y[..., 2].clamp(min=NEAR)
        u, v = Y[..., 0] / z * K[0, 0] + K[0, 2], Y[..., 1] / z * K[1, 1] + K[1, 2]
        seen = (Y[..., 2] > NEAR) & (u > 0) & (u < w - 1) & (v > 0) & (v < h - 1) & (z > 1 / ZOOM) & (z < ZOOM)
        shares.append(seen.float().mean(1))
    return torch.cat(shares)


def wide_pairs(scene: Scene, pixels: Tensor, size: tuple[int, int], known: set[Pair], shots: list[int],
               most: int) -> list[Pair]:
    """Pairs of one shot with much overlap, the most first, spread out over both indices, at most `most`."""
    found = overlaps(scene, pixels, size, apart=3, shots=shots)
    taken, crowded, chosen = set(known), set[Pair](), list[Pair]()
    for pair in known:
        crowded.update(around(pair, APART))
    for i in np.argsort(-found.share, kind="stable"):
        x, y = pair = int(found.a[i]), int(found.b[i])
        if len(chosen) == most:
            break
        if pair not in (crowded if y - x > 8 else taken):
            taken.add(pair)
            crowded.update(around(pair, APART))
            chosen.append(pair)
    return sorted(chosen)


def rigid_guesses(scene: Scene, pixels: Float[Tensor, "m 2"], size: tuple[int, int]) -> Guesses:
    """For a pair of frames the flow at (2w, 2h), both ways, that path and smoothed anchor depths predict."""
    (w, h), K = size, resize_intrinsics(scene.K, 2.0, 2.0).numpy()
    columns = len(torch.unique(pixels[:, 0]))
    v, u = np.mgrid[: 2 * h, : 2 * w].astype(np.float32)
    ray = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)
    T = scene.T_camera_world

    def predicted(a: int, b: int) -> Flow:
        q = scene.inverse_depth[a].numpy().reshape(-1, columns)
        q = cv2.medianBlur(np.clip(q, *np.percentile(q, [2, 98])).astype(np.float32), 5)
        q = cv2.resize(q, (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
        T_b_a = (T[b] @ se3_inverse(T[a])).numpy()
        Y = ray @ T_b_a[:3, :3].T + q[..., None] * T_b_a[:3, 3]
        z = np.maximum(Y[..., 2], NEAR)
        flow = np.stack([Y[..., 0] / z * K[0, 0] + K[0, 2] - u, Y[..., 1] / z * K[1, 1] + K[1, 2] - v], -1)
        return np.clip(flow, -2 * max(size), 2 * max(size)).astype(np.float32)

    return lambda pair: (predicted(pair[0], pair[1]), predicted(pair[1], pair[0]))
