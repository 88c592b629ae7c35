"""Between the stages of learning: what the network has learned of scale goes back into the path."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry.anchors import Scene, robust_cost
from ...geometry.motion import se3_inverse
from .adjust import SIGMA
from .correspond import FlowStore
from .posegraph import Relative, optimise, rescaled
from .predict import KeyDepth
from .solve import Solution, edges_of, refine
from .teach import LEAST_SEEN, anchor_seen, learned_inverse_depth, scale_per_frame

SIGMA_ROTATION = 0.002     # radians of a relative motion
SIGMA_TRANSLATION = 0.02   # share of its length
WORTH = 0.2                # change of scale along the path that is taken out
WORSE = 0.002              # share by which the mean cost of the flow may rise
PRIOR_WEIGHT = 1.0         # of learned log depth per anchor: 1 / variance


def relative_motions(T_world_camera: Float[np.ndarray, "n 4 4"], stores: list[FlowStore]) -> list[Relative]:
    """The motion of every pair of the stores along this path."""
    found = []
    for a, b in np.concatenate([store.pairs for store in stores]).tolist():
        T_a_b = np.linalg.inv(T_world_camera[a]) @ T_world_camera[b]
        length = float(np.linalg.norm(T_a_b[:3, 3]))
        found.append(Relative(a, b, T_a_b, SIGMA_ROTATION, SIGMA_TRANSLATION * length + 1e-4))
    return found


def rejoin(solution: Solution, stores: list[FlowStore], depth_of: KeyDepth, free_focal: bool) -> Solution:
    """Every key frame's scale set to the network's, the path put together again (robust pose graph), and everything
    adjusted with learned depth as a weak prior. One image at a time cannot drift: this takes drift of scale out.

    The new path is taken only if the flow agrees with it as well as with the old one, adjusted as thoroughly (`WORSE`):
    a network that has not learned enough would otherwise bend a good path.
    """
    edges, pixels = edges_of(stores)
    seen = anchor_seen(edges, len(solution.scene.inverse_depth)) >= LEAST_SEEN
    learned = learned_inverse_depth(depth_of, solution)
    scale = scale_per_frame(learned, solution, seen)
    if drift(scale) < WORTH:  # a network's scale errs a little too, and after the first stage by up to a sixth
        return solution
    alone = refine(solution, edges, free_focal)
    joined = refine(put_together(alone, stores, smoothed(scale)), edges, free_focal, learned, PRIOR_WEIGHT)
    before, after = (robust_cost(s.scene, edges, pixels, SIGMA) for s in (alone, joined))
    return joined if after < (1 + WORSE) * before else alone


def put_together(solution: Solution, stores: list[FlowStore], scale: Float[np.ndarray, "n"]) -> Solution:
    """The scene with every key frame's unit times its scale, its path by the pose graph of the rescaled motions."""
    path = se3_inverse(solution.scene.T_camera_world).double().numpy()
    motions = rescaled(relative_motions(path, stores), scale)
    joined = optimise(len(path), motions, straightened(path, scale))
    q = solution.scene.inverse_depth / torch.from_numpy(scale).to(solution.scene.inverse_depth)[:, None]
    return solution._replace(scene=Scene(se3_inverse(torch.from_numpy(joined)).to(q), q, solution.scene.K))


def smoothed(scale: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Running median over an eighth of the path: the network errs from frame to frame, scale drifts slowly."""
    width = max(5, len(scale) // 8 | 1)
    padded = np.pad(scale, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def drift(scale: Float[np.ndarray, "n"]) -> float:
    """Change of smoothed scale along the path, as a logarithm, but for a twentieth at either end of its range."""
    least, most = np.percentile(np.log(smoothed(scale)), (5, 95))
    return float(most - least)


def straightened(path: Float[np.ndarray, "n 4 4"], scale: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 4 4"]:
    """The path with each step between neighbours rescaled: where the pose graph starts from."""
    out = path.copy()
    steps = np.diff(path[:, :3, 3], axis=0) * np.sqrt(scale[1:] * scale[:-1])[:, None]
    out[1:, :3, 3] = path[0, :3, 3] + np.cumsum(steps, axis=0)
    return out


def scale_drift(
    solution: Solution, stores: list[FlowStore], learned: Float[Tensor, "n m"]
) -> Float[np.ndarray, "n"]:
    """Scale of every key frame by the learned inverse depth of its anchors: 1 where path and depth agree."""
    edges, _ = edges_of(stores)
    seen: Tensor = anchor_seen(edges, len(solution.scene.inverse_depth)) >= LEAST_SEEN
    return scale_per_frame(learned, solution, seen)
