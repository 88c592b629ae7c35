"""Where the scene moved or was hidden: pixels that no pair of key frames confirms."""

from functools import lru_cache

import numpy as np
import torch

from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import se3_inverse
from .correspond import FlowStore, KeyImages
from .fuse import Moved
from .predict import KeyDepth
from .solve import Solution

MOVED = 3.0  # px of the network's grid between the flow and where depth and path say a pixel goes


def moved_by(keys: KeyImages, stores: list[FlowStore], path: Solution, depth_of: KeyDepth) -> Moved:
    """Key frame number -> (h, w) mask: true where no checked flow agrees with depth and path within `MOVED` px."""
    T, K = path.scene.T_camera_world, path.scene.K
    rows = [(s, r, d) for s, store in enumerate(stores) for r in range(len(store)) for d in (0, 1)]
    leaving: dict[int, list[tuple[int, int, int]]] = {}
    for s, r, d in rows:
        leaving.setdefault(int(stores[s].pairs[r][d]), []).append((s, r, d))

    @lru_cache(maxsize=8)
    def moved(k: int) -> np.ndarray:
        depth = torch.from_numpy(depth_of(k).depth)[None]
        cloud, confirmed = unproject(depth, K), torch.zeros(depth.shape[1:], dtype=torch.bool)
        for s, r, d in leaving.get(k, []):
            other = int(stores[s].pairs[r][1 - d])
            pixels, front = project(transform(T[other] @ se3_inverse(T[k]), cloud), K)
            flow = torch.from_numpy(stores[s].flow[r][d]).float().permute(2, 0, 1)
            off = (pixels - pixel_grid(depth.shape[-2], depth.shape[-1], depth) - flow).norm(dim=0)
            confirmed |= torch.from_numpy(stores[s].valid(r)[d]) & front[0] & (off < MOVED)
        return ~confirmed.numpy()

    return moved
