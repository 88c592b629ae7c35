"""Where the scene moved or was hidden: pixels that no pair of key frames confirms."""

from functools import lru_cache

import numpy as np
import torch

from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import se3_inverse
from .correspond import FlowStore, KeyImages, flow_leaving
from .fuse import Moved
from .predict import KeyDepth
from .solve import Solution

MOVED = 3.0  # px of the network's grid between the flow and where depth and path say a pixel goes


def moved_by(keys: KeyImages, stores: list[FlowStore], path: Solution, depth_of: KeyDepth) -> Moved:
    """Key frame number -> (h, w) mask: true where no checked flow agrees with depth and path within `MOVED` px.

    The depth is to be one that the flow of these frames did not measure itself (the network's): what moves along with
    the camera, or against it, triangulates to a wrong depth that its own flow confirms."""
    T, K = path.scene.T_camera_world, path.scene.K
    leaving = flow_leaving(stores)

    @lru_cache(maxsize=8)
    def moved(k: int) -> np.ndarray:
        depth = torch.from_numpy(depth_of(k).depth)[None]
        cloud, confirmed = unproject(depth, K), torch.zeros(depth.shape[1:], dtype=torch.bool)
        for store, r, d in leaving[k]:
            other = int(store.pairs[r][1 - d])
            pixels, front = project(transform(T[other] @ se3_inverse(T[k]), cloud), K)
            flow = torch.from_numpy(store.flow[r][d]).float().permute(2, 0, 1)
            off = (pixels - pixel_grid(depth.shape[-2], depth.shape[-1], depth) - flow).norm(dim=0)
            confirmed |= torch.from_numpy(store.valid(r)[d]) & front[0] & (off < MOVED)
        return ~confirmed.numpy()

    return moved
