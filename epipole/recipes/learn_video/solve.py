"""Stage 3: key frames' path, anchor depths and, if unknown, the focal length, from checked flow alone.

Chained pairs start it (odometry, bundle adjustment); the scene so found says which frames far apart in time see the
same place and where to look there, which gives longer edges and closes loops; all of them together are adjusted again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...engine.checkpoint import read_tensors, write_tensors
from ...geometry.anchors import Edges, Scene
from ...geometry.bundle import Solved
from ...geometry.camera import intrinsics, resize_intrinsics
from ...pipelines.odometry import reconstruct, two_view
from .adjust import MOST_FRAMES, adjust_all, adjust_some
from .correspond import FlowStore, samples

STRIDE = 8                 # px between anchors
PIXELS = 20480             # of the network's grid
BORDER = 0.12              # share of the side where dense flow is biased: there it bends focal length and path
FOCAL_GUESSES = (0.6, 0.8, 1.05, 1.4, 2.0)  # of the longer side: fields of view from 80 to 28 degrees
TRIAL_FRAMES = 12          # key frames on which a guess of the focal length is tried
SEED_EDGES = 60            # edges among which the two frames to start from are sought
SHARED_FOCAL = 2.0         # percent: error of the focal length that all of a clip shares (flow's at the border, a lens)
DOUBTFUL, UNSEEN = 3.0, 10.0  # percent: spread of the focal length above which footage shows it poorly, or not at all

Progress = Callable[[int, int], None]


class Solution(NamedTuple):
    """Poses, inverse depths of anchors, network intrinsics, and what to say about them."""

    scene: Scene
    pixels: Float[Tensor, "m 2"]
    lost: list[int]
    focal_spread: float        # percent; 0 when the focal length was given
    cost: float


def network_size(width: int, height: int) -> tuple[int, int]:
    """Width and height, multiples of 32, nearest to the footage's aspect: about `PIXELS` pixels, or half of those that
    small footage has."""
    pixels = min(PIXELS, width * height // 2)
    sizes = [(w, h) for w in range(32, 641, 32) for h in range(32, 641, 32) if 0.7 * pixels <= w * h <= 1.5 * pixels]
    return min(sizes, key=lambda s: (abs(np.log(s[0] / s[1] * height / width)), s[0] * s[1]))


def network_intrinsics(K: Float[Tensor, "3 3"], footage: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Intrinsics at the network's size of those at the footage's size."""
    return resize_intrinsics(K, size[0] / footage[0], size[1] / footage[1]).float()


def guessed_intrinsics(width: int, height: int, share: float) -> Tensor:
    """Square pixels, centre in the middle, focal length a share of the longer side."""
    f = share * max(width, height)
    return intrinsics(f, f, (width - 1) / 2, (height - 1) / 2)


def edges_of(stores: list[FlowStore], stride: int = STRIDE) -> tuple[Edges, Float[Tensor, "m 2"]]:
    """All edges of these stores, and the anchors' pixels."""
    found = samples(stores, stride, BORDER)
    return Edges(found.source, found.target, found.observed, found.weight), found.pixels


def starts(edges: Edges, pixels: Tensor, K: Tensor, seed: int) -> list:
    """Two-view geometry of forward edges spread evenly over the footage."""
    forward = torch.nonzero((edges.source < edges.target) & (edges.weight.mean(1) > 0.2))[:, 0]
    forward = forward if len(forward) else torch.arange(len(edges.source))
    some = forward[torch.linspace(0, len(forward) - 1, min(SEED_EDGES, len(forward))).long()]
    return [two_view(edges, pixels, K, int(e), seed) for e in some]


def guess_focal(edges: Edges, pixels: Tensor, footage: tuple[int, int], size: tuple[int, int], seed: int) -> Tensor:
    """Intrinsics (network size) whose trial on a few frames leaves the least error, its focal length adjusted."""
    def trial(share: float) -> Solved:
        K = network_intrinsics(guessed_intrinsics(*footage, share), footage, size)
        n = int(edges.source.max()) + 1
        track = reconstruct(edges, pixels, K, n, seeds=starts(edges, pixels, K, seed), limit=TRIAL_FRAMES, seed=seed)
        placed = torch.tensor(sorted(track.placed))
        return adjust_some(track.scene, edges, pixels, placed, free_focal=True)

    return min((trial(share) for share in FOCAL_GUESSES), key=lambda solved: solved.cost).scene.K


def focal_spread(scene: Scene, edges: Edges, pixels: Tensor) -> float:
    """Spread (percent) of the focal length over thirds of the footage, adjusted apart: what errors that all frames
    share hide from the curvature of the whole."""
    n = len(scene.T_camera_world)
    parts = [p[:MOST_FRAMES] for p in torch.arange(n).chunk(3) if len(p) >= 4]
    found = [float(adjust_some(scene, edges, pixels, p, free_focal=True).scene.K[0, 0]) for p in parts]
    return 100 * float(np.std(found) / np.mean(found)) if len(found) > 1 else 100.0


@contextmanager
def one_thread() -> Iterator[None]:
    """Windows of a few key frames are small work: threads would spend more time waiting for each other than on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def solve(stores: list[FlowStore], n: int, K: Tensor | None, footage: tuple[int, int], seed: int,
          progress: Progress | None = None) -> Solution:
    """The scene from the pairs of these stores. `K` at the network's size, or None: it is found."""
    edges, pixels = edges_of(stores)
    free = K is None
    with one_thread():
        start = guess_focal(edges, pixels, footage, stores[0].size, seed) if K is None else K
        track = reconstruct(edges, pixels, start, n, seed=seed, seeds=starts(edges, pixels, start, seed),
                            progress=progress)
    solved = adjust_all(track.scene, edges, pixels, free_focal=free)
    return Solution(unit(solved.scene), pixels, track.lost, 0.0, solved.cost)


def refine(before: Solution, edges: Edges, free_focal: bool, prior: Tensor | None = None,
           prior_weight: float = 0.0) -> Solution:
    """All edges together; `prior` (n, m) inverse depths that the network has learned."""
    pixels = before.pixels
    solved = adjust_all(before.scene, edges, pixels, free_focal=free_focal, prior=prior, prior_weight=prior_weight)
    spread = focal_spread(solved.scene, edges, pixels) if free_focal else 0.0
    scene = unit(solved.scene) if prior is None else solved.scene
    return Solution(scene, pixels, before.lost, spread, solved.cost)


def unit(scene: Scene) -> Scene:
    """The same scene with typical (median) depth 1."""
    typical = 1 / float(scene.inverse_depth.median())
    T = scene.T_camera_world.clone()
    T[:, :3, 3] /= typical
    return Scene(T, scene.inverse_depth * typical, scene.K)


def verdict(spread: float, given: bool) -> str:
    """What the footage says about the focal length, in a sentence."""
    if given:
        return "Intrinsics were given and are used as they are."
    if spread < DOUBTFUL:
        return (f"The footage shows the focal length well: thirds of it agree to {spread:.1f} %. Errors that all of it "
                f"shares, of lens or flow, come on top: expect {focal_deviation(spread):.0f} %.")
    if spread < UNSEEN:
        return f"The footage shows the focal length poorly: thirds of it differ by {spread:.1f} %. Give --intrinsics."
    return f"The footage hardly shows the focal length: thirds of it differ by {spread:.0f} %. Give --intrinsics."


def focal_deviation(spread: float) -> float:
    """Standard deviation (percent) of the focal length: the spread over thirds, and what none of them can see."""
    return float(np.hypot(spread, SHARED_FOCAL))


def save_solution(path: Path, solution: Solution) -> None:
    """Raises InputError if the file cannot be written."""
    T, q, K, _ = solution.scene
    facts = {"lost": " ".join(map(str, solution.lost)), "focal_spread": repr(solution.focal_spread),
             "cost": repr(solution.cost)}
    write_tensors(path, {"T_camera_world": T, "inverse_depth": q, "K": K, "pixels": solution.pixels}, facts)


def load_solution(path: Path) -> Solution:
    """What `save_solution` wrote. Raises InputError for another file."""
    tensors, facts = read_tensors(path)
    scene = Scene(tensors["T_camera_world"], tensors["inverse_depth"], tensors["K"])
    lost = [int(x) for x in facts["lost"].split()]
    return Solution(scene, tensors["pixels"], lost, float(facts["focal_spread"]), float(facts["cost"]))
