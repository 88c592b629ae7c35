"""Bundle adjustment of a path of any length: all of it together, or window by window with the loops between windows
closed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...geometry.anchors import Edges, Scene, robust_cost
from ...geometry.bundle import Solved, bundle_adjust
from .closing import closed

MOST_FRAMES, OVERLAP = 400, 100  # key frames that are adjusted together, and how many the next ones share with them
MOST_HELD = 100                  # key frames outside a window that hold it by the loops between them
SIGMA = 0.25                     # px of the network's grid: how well flow is trusted


def adjust_some(scene: Scene, edges: Edges, pixels: Tensor, frames: Tensor, **how: object) -> Solved:
    """Bundle adjustment of these frames alone, in the scene's precision."""
    local = torch.full((len(scene.T_camera_world),), -1, dtype=torch.long)
    local[frames] = torch.arange(len(frames))
    some = edges.subset((local[edges.source] >= 0) & (local[edges.target] >= 0))
    q = scene.inverse_depth[frames]
    some = Edges(local[some.source], local[some.target], some.observed.to(q), some.weight.to(q))
    part = scene._replace(T_camera_world=scene.T_camera_world[frames], inverse_depth=q)
    return bundle_adjust(part, some, pixels.to(q), sigma=SIGMA, **how)  # type: ignore[arg-type]


def windows(n: int) -> Iterator[Tensor]:
    """The frames that are adjusted together: all of them, or of long footage runs that overlap."""
    for first in range(0, max(n - OVERLAP, 1), MOST_FRAMES - OVERLAP):
        yield torch.arange(first, min(first + MOST_FRAMES, n))


def put_back(scene: Scene, part: Scene, frames: Tensor) -> Scene:
    """The scene with these frames as `part` has them."""
    T, q = scene.T_camera_world.clone(), scene.inverse_depth.clone()
    T[frames], q[frames] = part.T_camera_world, part.inverse_depth
    return Scene(T, q, part.K, part.lens)


def adjust_all(scene: Scene, edges: Edges, pixels: Tensor, free_focal: bool = False, prior: Tensor | None = None,
               prior_weight: float = 0.0) -> Solved:
    """Bundle adjustment of the whole path, in float64 and nearly undamped: nothing else takes out drift of scale.

    Paths of more than `MOST_FRAMES` are adjusted window by window, each from where the one before it ended: memory
    does not grow with the length. The first window then decides the focal length. Loops that lead from window to window
    are closed afterwards by a pose graph, and every window is adjusted again while the key frames at the other ends of
    its loops hold it; that is kept if the flow, of which loops are a part, agrees with it better.
    """
    exact, n = Scene(*(field.double() for field in scene)), len(scene.T_camera_world)
    no_one, crossing = torch.zeros(0, dtype=torch.long), _crossing(edges, n)
    solved = _in_turn(exact, edges, pixels, [no_one for _ in windows(n)], free_focal, prior, prior_weight)
    joined = closed(solved.scene, edges, crossing, pixels) if bool(crossing.any()) else None
    if joined is not None:
        again = _in_turn(joined, edges, pixels, _partners(edges, crossing, n), False, prior, prior_weight)
        solved = min(solved, again, key=lambda found: robust_cost(found.scene, edges, pixels, SIGMA))
    return solved._replace(scene=Scene(*(field.float() for field in solved.scene)))


def _in_turn(scene: Scene, edges: Edges, pixels: Tensor, held: list[Tensor], free_focal: bool, prior: Tensor | None,
             prior_weight: float) -> Solved:
    """One window after the other, each with the poses of the frames `held` beside it."""
    for window, beside in zip(windows(len(scene.T_camera_world)), held, strict=True):
        later, frames = bool(window[0]), torch.cat([window, beside])
        fixed = torch.arange(len(frames)) < (OVERLAP // 2 if later else 1)
        fixed[len(window) :] = True
        solved = adjust_some(scene, edges, pixels, frames, fixed=fixed, free_focal=free_focal and not later,
                             iterations=15, tolerance=1e-5, damping=1e-8, settle=1, prior_weight=prior_weight,
                             prior=None if prior is None else prior[frames].double())
        T, q, K, lens = solved.scene
        scene = put_back(scene, Scene(T[: len(window)], q[: len(window)], K, lens), window)
    return solved._replace(scene=scene)


def _crossing(edges: Edges, n: int) -> Tensor:
    """Edges whose two frames no window holds together."""
    apart = torch.ones(len(edges.source), dtype=torch.bool)
    for window in windows(n):
        first, last = int(window[0]), int(window[-1])
        apart &= ~((edges.source >= first) & (edges.source <= last) & (edges.target >= first) & (edges.target <= last))
    return apart


def _partners(edges: Edges, crossing: Tensor, n: int) -> list[Tensor]:
    """For every window the frames outside it to which loops lead from it, at most `MOST_HELD`, evenly spread."""
    found = []
    for window in windows(n):
        first, last = int(window[0]), int(window[-1])
        there = edges.target[crossing & (edges.source >= first) & (edges.source <= last)].unique()
        some = torch.linspace(0, len(there) - 1, min(len(there), MOST_HELD)).round().long()
        found.append(there[some])
    return found
