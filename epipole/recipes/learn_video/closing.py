"""Loops between the windows of a long path, closed by a pose graph over similarities: what drifted from one window to
the next, scale above all, is spread over the path between."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...geometry.anchors import Edges, Scene
from ...geometry.motion import se3_inverse
from ...geometry.sample import sample
from ...pipelines.loops import Config, seen_again
from ...pipelines.pose_graph import Link, optimise, rigid

SIGMA_ROTATION = 0.002     # radians, of the motion between two frames of one window,
SIGMA_TRANSLATION = 0.02   # share of its length,
SIGMA_SCALE = 0.01         # and of the logarithm of their scale, for neighbours
MOST_LOOPS = 600           # edges that are asked, evenly spread
LOOP = Config(threshold=0.75)  # px of the network


def closed(scene: Scene, edges: Edges, crossing: Bool[Tensor, "e"], pixels: Float[Tensor, "m 2"]) -> Scene | None:
    """The scene with its frames moved, turned and scaled so that the edges `crossing` fit, which lead from window to
    window; None where none of these shows the same place beyond doubt."""
    asked = torch.nonzero(crossing)[:, 0]
    asked = asked[torch.linspace(0, len(asked) - 1, min(len(asked), MOST_LOOPS)).round().long()]
    loops = [link for e in asked.tolist() if (link := loop(scene, edges, e, pixels)) is not None]
    if not loops:
        return None
    path = se3_inverse(scene.T_camera_world.double())
    S = optimise([*steps(path, edges.subset(~crossing)), *loops], path).S_world_camera
    scale = torch.linalg.det(S[:, :3, :3]).pow(1 / 3)
    T = se3_inverse(rigid(S)).to(scene.T_camera_world)
    return Scene(T, scene.inverse_depth / scale[:, None].to(scene.inverse_depth), scene.K)


def steps(T_world_camera: Float[Tensor, "n 4 4"], edges: Edges) -> list[Link]:
    """The motion along the path of every pair of frames that has an edge."""
    low, high = torch.minimum(edges.source, edges.target), torch.maximum(edges.source, edges.target)
    found = []
    for a, b in torch.stack([low, high], 1).unique(dim=0).tolist():
        T_a_b = se3_inverse(T_world_camera[a]) @ T_world_camera[b]
        length = float(T_a_b[:3, 3].norm())
        found.append(Link(a, b, T_a_b, SIGMA_ROTATION, SIGMA_TRANSLATION * length + 1e-4, SIGMA_SCALE * (b - a) ** 0.5))
    return found


def loop(scene: Scene, edges: Edges, e: int, pixels: Float[Tensor, "m 2"]) -> Link | None:
    """What one edge says of the similarity between its frames: its target's pose by the anchors of the source, and the
    ratio of their depths as both frames have them. None where they do not agree."""
    a, b = int(edges.source[e]), int(edges.target[e])
    q = _at(scene.inverse_depth[b], pixels, edges.observed[e])
    seen = (edges.weight[e] > 0) & (q > 0)
    x, y, z_a = pixels[seen], edges.observed[e][seen], 1 / scene.inverse_depth[a][seen]
    return seen_again(a, b, x, z_a, y, 1 / q[seen], scene.K, LOOP)


def _at(
    anchors: Float[Tensor, "m"], pixels: Float[Tensor, "m 2"], observed: Float[Tensor, "m 2"]
) -> Float[Tensor, "m"]:
    """What a frame's anchors say of the pixels observed in it, linear between them; 0 beside them."""
    columns, first = len(pixels[:, 0].unique()), pixels[0]
    at = ((observed - first) / (pixels[1, 0] - first[0])).to(anchors)
    values, inside = sample(anchors.view(1, 1, -1, columns), at.T[None, :, None])
    return torch.where(inside[0, 0, 0], values[0, 0, 0], 0)
