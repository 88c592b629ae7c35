"""Poses from relative motions: a robust pose graph, and the scale of its edges once depth has told it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gtsam
import numpy as np
from jaxtyping import Float64

HUBER = 1.345
"""In standard deviations: beyond it a residual pulls with constant force (95 % efficient on Gaussian noise)."""

GEMAN_MCCLURE = 6.0
"""In standard deviations of a residual of 6 numbers, whose median length is 2.3; far beyond it an edge is ignored."""

MEDIAN_CHI = 2.313
"""Median length of a vector of 6 standard normal numbers."""

Path = Float64[np.ndarray, "n 4 4"]


class Relative(NamedTuple):
    """A measured motion: T_a_b maps points of frame b into frame a. Sigmas in radians and in the unit of the path."""

    a: int
    b: int
    T_a_b: Float64[np.ndarray, "4 4"]
    sigma_rotation: float
    sigma_translation: float


def optimise(
    n: int,
    edges: Sequence[Relative],
    initial: Path,
    held: Mapping[int, float] | None = None,
    huber: float = HUBER,
    iterations: int = 100,
) -> Path:
    """T_world_camera of n frames that explains the measured motions best, in the sense of robust least squares.

    `initial` [n, 4, 4] is where to start from. `held` names the frames drawn to their initial pose, with the standard
    deviation in radians and in the unit of the path; 0 fixes a frame. Without it the first frame is fixed. Two rounds
    of Levenberg-Marquardt: Huber finds the basin, Geman-McClure (1985) then lets gross errors go. Between them the
    sigmas are multiplied by one factor, so that half of the residuals are as long as they should be: measured sigmas
    tend to be too small, and a redescending loss would take all edges for outliers. The same on every run.
    """
    if not edges:
        return np.array(initial, dtype=np.float64)
    held = {0: 0.0} if held is None else held
    values = gtsam.Values()
    for i, T in enumerate(initial):
        values.insert(i, gtsam.Pose3(T))
    loss = gtsam.noiseModel.mEstimator
    values = _solve(_graph(edges, initial, held, 1.0, loss.Huber.Create(huber)), values, iterations)
    factor = max(1.0, float(np.median(_residuals(edges, values))) / MEDIAN_CHI)
    redescending = loss.GemanMcClure.Create(GEMAN_MCCLURE)
    values = _solve(_graph(edges, initial, held, factor, redescending), values, iterations)
    return np.stack([values.atPose3(i).matrix() for i in range(n)])


def rescaled(edges: Sequence[Relative], scale: Float64[np.ndarray, "n"]) -> list[Relative]:
    """Edges with translations times sqrt(s_a s_b), which takes out the drift of scale.

    `scale` holds per frame the factor from the unit of the motions around it to the common unit, for example the
    median ratio of learned depth to the depth that those motions triangulate.
    """
    factor = [float(np.sqrt(scale[e.a] * scale[e.b])) for e in edges]
    return [_scaled(e, f) for e, f in zip(edges, factor, strict=True)]


def _scaled(edge: Relative, factor: float) -> Relative:
    T = edge.T_a_b.copy()
    T[:3, 3] *= factor
    return edge._replace(T_a_b=T, sigma_translation=edge.sigma_translation * factor)


def chained(n: int, edges: Sequence[Relative]) -> Path:
    """A path to start from: every frame hung onto an earlier one by the shortest edge that leads back; frames without
    one repeat the frame before."""
    shortest: dict[int, tuple[int, Float64[np.ndarray, "4 4"]]] = {}
    for edge in edges:
        first, last = min(edge.a, edge.b), max(edge.a, edge.b)
        T = edge.T_a_b if edge.a < edge.b else np.linalg.inv(edge.T_a_b)
        if first != last and (last not in shortest or first > shortest[last][0]):
            shortest[last] = (first, T)
    path = np.tile(np.eye(4), (n, 1, 1))
    for i in range(1, n):
        first, T = shortest.get(i, (i - 1, np.eye(4)))
        path[i] = path[first] @ T
    return path


def _graph(
    edges: Sequence[Relative],
    initial: Path,
    held: Mapping[int, float],
    factor: float,
    loss: gtsam.noiseModel.mEstimator.Base,
) -> gtsam.NonlinearFactorGraph:
    graph, noise = gtsam.NonlinearFactorGraph(), gtsam.noiseModel
    for frame, sigma in held.items():
        pose = gtsam.Pose3(initial[frame])
        if sigma > 0:
            graph.add(gtsam.PriorFactorPose3(frame, pose, noise.Isotropic.Sigma(6, sigma)))
        else:
            graph.add(gtsam.NonlinearEqualityPose3(frame, pose))
    for edge in edges:
        model = noise.Robust.Create(loss, noise.Diagonal.Sigmas(factor * _sigmas(edge)))
        graph.add(gtsam.BetweenFactorPose3(edge.a, edge.b, gtsam.Pose3(edge.T_a_b), model))
    return graph


def _sigmas(edge: Relative) -> Float64[np.ndarray, "6"]:
    return np.repeat([edge.sigma_rotation, edge.sigma_translation], 3).astype(np.float64)  # gtsam's order of a twist


def _solve(graph: gtsam.NonlinearFactorGraph, values: gtsam.Values, iterations: int) -> gtsam.Values:
    options = gtsam.LevenbergMarquardtParams()
    options.setMaxIterations(iterations)
    options.setRelativeErrorTol(1e-8)
    return gtsam.LevenbergMarquardtOptimizer(graph, values, options).optimize()


def _residuals(edges: Sequence[Relative], values: gtsam.Values) -> Float64[np.ndarray, "e"]:
    """Length of every edge's residual, in standard deviations."""
    twists = [
        gtsam.Pose3.Logmap(gtsam.Pose3(e.T_a_b).between(values.atPose3(e.a).between(values.atPose3(e.b))))
        for e in edges
    ]
    return np.linalg.norm(np.array(twists) / np.array([_sigmas(e) for e in edges]), axis=1)
