"""Pairs of key frames far apart in time that see the same place, found by the scene itself, and where to look there."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...geometry.anchors import NEAR, Scene, reproject
from ...geometry.camera import resize_intrinsics
from ...geometry.motion import se3_inverse
from .correspond import Guesses, Pair
from .flow import Flow

LEAST_OVERLAP = 0.45    # share of anchors that both frames see at not too different a distance
APART = 2               # key frames between two chosen pairs, in either index
ZOOM = 2.0              # a place seen this much nearer or farther is not the same picture


def overlap(scene: Scene, pixels: Float[Tensor, "m 2"], size: tuple[int, int]) -> Float[np.ndarray, "n n"]:
    """Share of every frame's anchors that fall into every other frame, the smaller of both directions."""
    n, (w, h) = len(scene.T_camera_world), size
    some = torch.arange(3, len(pixels), 7)
    low, high = torch.quantile(scene.inverse_depth, torch.tensor([0.05, 0.95]).to(scene.inverse_depth), dim=1)
    thin = Scene(scene.T_camera_world, scene.inverse_depth[:, some].clamp(low[:, None], high[:, None]), scene.K)
    share = np.zeros((n, n), np.float32)
    for a in range(n):
        Y, _ = reproject(thin, pixels[some], torch.full((n,), a), torch.arange(n))
        z = Y[..., 2].clamp(min=NEAR)
        u = Y[..., 0] / z * scene.K[0, 0] + scene.K[0, 2]
        v = Y[..., 1] / z * scene.K[1, 1] + scene.K[1, 2]
        seen = (Y[..., 2] > NEAR) & (u > 0) & (u < w - 1) & (v > 0) & (v < h - 1) & (z > 1 / ZOOM) & (z < ZOOM)
        share[a] = seen.float().mean(1).numpy()
    return np.minimum(share, share.T, out=share)


def wide_pairs(scene: Scene, pixels: Tensor, size: tuple[int, int], known: set[Pair], shots: list[int],
               most: int) -> list[Pair]:
    """Pairs of one shot with much overlap, the most first, spread out over both indices, at most `most`."""
    share = overlap(scene, pixels, size)
    n = len(share)
    taken: Bool[np.ndarray, "n n"] = np.zeros((n, n), bool)
    for a, b in known:
        taken[a, b] = True
    first, second = np.nonzero(np.triu(share > LEAST_OVERLAP, 3))
    chosen: list[Pair] = []
    for i in np.argsort(-share[first, second], kind="stable"):
        x, y = int(first[i]), int(second[i])
        near = taken[max(0, x - APART) : x + APART + 1, max(0, y - APART) : y + APART + 1]
        if len(chosen) < most and shots[x] == shots[y] and not (near.any() if y - x > 8 else taken[x, y]):
            taken[x, y] = True
            chosen.append((x, y))
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
