"""Point-to-plane ICP (Chen & Medioni 1992): among unordered points by exact nearest neighbours, and between a cloud and
a depth map by projection (Blais & Levine 1995; Newcombe 2011)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .camera import project
from .icp import Icp, Kernel
from .motion import move, se3, so3_exp
from .neighbours import RUN, Tree, bound, inverse, rows, search, tree
from .normals import map_normals

COARSE = 16       # one run of neighbouring points in this many takes part until they first stand still
STILL = 1e-2      # standstill: no point moves by more than this share of the residuals' root mean square, which is
                  # what the noise of ten thousand points leaves open; one more step follows
ROUGH = 0.1       # the same while one run in so many takes part


class _Pairs(NamedTuple):
    """Which target point every source point is to meet, and whether the pair counts."""

    meets: Int[Tensor, "*b n"]
    matched: Bool[Tensor, "*b n"]


Finder = Callable[[Tensor], _Pairs]  # source points, moved -> pairs


def icp_plane(
    source: Float[Tensor, "n 3"],
    target: Float[Tensor, "m 3"],
    normal: Float[Tensor, "m 3"],
    start: Float[Tensor, "4 4"] | None = None,
    iterations: int = 50,
    kernel: Kernel | None = None,
    reach: float = torch.inf,
) -> Icp:
    """The rigid T that minimises 1/2 sum_k w_k (n_c(k) . (T source_k - target_c(k)))^2 over T and the correspondences.

    Alternates exact nearest neighbours, no farther than `reach`, with Gauss-Newton steps from `start` (the identity)
    on, `iterations` times at most or until the points stand still; large clouds first with one in COARSE runs of
    neighbouring points. `kernel` gives w by the distance to the plane. What the planes leave open is not moved. The
    search has no gradient; given the pairs and weights it ends with, T and the residuals are differentiable in all
    three clouds.
    """
    own, among = tree(source.detach()), tree(target.detach())
    T = torch.eye(4).to(source) if start is None else start.detach()
    for every, still in [(COARSE, ROUGH), (1, STILL)][len(own.leaves) < 50 * COARSE:]:
        find = _Nearest(own, every, among, reach)
        T, found = _converge(find.points, target.detach(), normal.detach(), find, T, iterations, kernel, still)
    given = own.slot[inverse(own.order)]
    return _settled(source, target, normal, _Pairs(found.meets[given], found.matched[given]), T, kernel)


def icp_projective(
    source: Float[Tensor, "*b n 3"],
    target: Float[Tensor, "*b 3 h w"],
    valid: Bool[Tensor, "*b 1 h w"],
    K: Float[Tensor, "*b 3 3"],
    start: Float[Tensor, "*b 4 4"] | None = None,
    iterations: int = 20,
    kernel: Kernel | None = None,
    reach: float = torch.inf,
) -> Icp:
    """`icp_plane` against an organised cloud, a depth map unprojected with K: every point meets what lies at the pixel
    it projects to, if that is `valid`, has a normal and is no farther than `reach`. Nothing is searched, so an
    iteration takes linear time; far from the answer the pairs are worse than the nearest ones."""
    height, width = target.shape[-2:]
    normal, smooth = map_normals(target, valid)
    cloud, planes = (x.flatten(-2).mT for x in (target, normal))
    usable = (valid & smooth).flatten(-3)

    def find(moved: Tensor) -> _Pairs:
        pixels, front = project(moved.mT[..., None], K)
        u, v = pixels[..., 0].round().unbind(-2)
        inside = front[..., 0, :, 0] & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        index = torch.where(inside, v * width + u, 0).long()
        apart = (moved - _take(cloud.detach(), index)).norm(dim=-1)
        return _Pairs(index, inside & usable.gather(-1, index) & (apart <= reach))

    T = torch.eye(4).to(source).expand(*source.shape[:-2], 4, 4) if start is None else start.detach()
    T, found = _converge(source.detach(), cloud.detach(), planes, find, T, iterations, kernel)
    return _settled(source, cloud, planes, found, T, kernel)


class _Nearest:
    """Pairs by exact search, and none for points that have moved by less than half of what their second nearest is
    farther than their nearest: theirs cannot have changed (Greenspan & Godin 2001). For the others, those two tell how
    far to look."""

    def __init__(self, source: Tree, every: int, among: Tree, reach: float) -> None:
        self.points = source.leaves[::every].mT.reshape(-1, 3)
        self.real = source.full[:-1:every, 0].isfinite().flatten()
        self.among, self.reach = among, reach
        self.searched = False
        self.seen = self.points.view(-1, RUN, 3)                              # where the search was made
        self.places = torch.zeros_like(self.seen[..., :2], dtype=torch.long)  # the two nearest it found, on the curve
        self.slack = torch.full_like(self.seen[..., 0], -torch.inf)           # how far a point may stray from there

    def __call__(self, moved: Tensor) -> _Pairs:
        runs = moved.view(-1, RUN, 3)
        stale = ((runs - self.seen).norm(dim=-1) >= self.slack).any(-1).nonzero()[:, 0]
        if len(stale):
            self._search(rows(runs, stale), stale)
        place = self.places[..., 0].flatten()
        apart = (moved - rows(self.among.points, place)).norm(dim=-1)
        return _Pairs(rows(self.among.order, place), self.real & (apart <= self.reach))

    def _search(self, runs: Tensor, stale: Tensor) -> None:
        leaves = runs.mT.contiguous()
        limit = self._known(runs, stale) if self.searched else bound(leaves, self.among, 2)
        place, square = search(leaves, self.among, 2, limit.clamp(max=self.reach**2))
        nearest, second = square.sqrt().clamp(max=self.reach).unbind(-1)
        self.seen, self.searched = self.seen.index_copy(0, stale, runs), True
        self.places = self.places.index_copy(0, stale, place)
        self.slack = self.slack.index_copy(0, stale, (second - nearest).nan_to_num(-1) / 2)

    def _known(self, runs: Tensor, stale: Tensor) -> Tensor:
        """What no point of a run has to exceed: its squared distance to the two that were nearest before."""
        places = rows(self.places, stale)
        square = (runs[..., None, :] - rows(self.among.points, places)).square().sum(-1).amax(-1)
        return torch.where(places[..., 0] == places[..., 1], torch.inf, square).amax(-1)  # equal: only one was found


@torch.no_grad()
def _converge(
    source: Tensor, target: Tensor, normal: Tensor, find: Finder, T: Tensor, iterations: int, kernel: Kernel | None,
    still: float = STILL,
) -> tuple[Tensor, _Pairs]:
    """Pairs and steps in turns until no point moves any more; the pairs are those at the T that is returned."""
    if iterations < 1:
        raise ValueError(f"icp needs at least one iteration, not {iterations}")
    for _ in range(iterations):
        moved = move(T, source)
        pairs = find(moved)
        match, plane = _take(target, pairs.meets), _take(normal, pairs.meets)
        step, shift, residual = _step(moved, match, plane, pairs.matched, kernel)
        if (shift <= still * residual).all():
            break
        T = step @ T
    return T, pairs


def _settled(
    source: Tensor, target: Tensor, normal: Tensor, pairs: _Pairs, T: Tensor, kernel: Kernel | None
) -> Icp:
    """The minimum for these pairs as a differentiable function of the clouds: one Newton step with the full Hessian."""
    match, plane = _take(target, pairs.meets), _take(normal, pairs.meets)
    step, _, _ = _step(move(T, source), match, plane, pairs.matched, kernel, newton=True)
    T = step @ T
    return Icp(T, (match - move(T, source)) * pairs.matched[..., None], pairs.matched)


def _step(
    point: Tensor, match: Tensor, normal: Tensor, matched: Tensor, kernel: Kernel | None, newton: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The motion that brings the points onto the planes, how far it moves them at most, and the residuals' root mean
    square. About the points' centre and in units of their spread, so that turns and shifts weigh alike."""
    count = matched.sum(-1, keepdim=True).clamp(min=1)
    share = (matched / count)[..., None].to(point)
    centre = share.mT @ point.detach()
    arm = point - centre
    least = torch.finfo(point.dtype).tiny ** 0.25
    spread = (share.mT @ arm.detach().square()).sum((-2, -1)).sqrt().clamp(min=least)[..., None]
    residual = (normal * (match - point)).sum(-1)
    weight = share[..., 0] if kernel is None else share[..., 0] * kernel(residual.detach())
    J = torch.cat([normal, torch.linalg.cross(arm, normal) / spread[..., None]], -1)
    WJ = weight[..., None] * J
    H = WJ.mT @ J
    if newton:
        H = H - _curvature(arm / spread[..., None], normal, weight * residual / spread)
    x = _solve(H.detach(), (WJ.mT @ residual[..., None])[..., 0])
    R = so3_exp(x[..., 3:] / spread)
    t = x[..., :3] + centre[..., 0, :] - (R @ centre.mT)[..., 0]
    shift = x.detach()[..., :3].norm(dim=-1) + 2 * x.detach()[..., 3:].norm(dim=-1)
    rms = (share.mT @ residual.detach().square()[..., None])[..., 0, 0].sqrt()
    return se3(R, t), shift, rms + torch.finfo(point.dtype).eps * (spread[..., 0] + centre[..., 0, :].norm(dim=-1))


def _curvature(arm: Tensor, normal: Tensor, pull: Tensor) -> Tensor:
    """sum_k pull_k d^2/dw^2 n . exp(w) arm, in the lower right of 6 x 6: what Gauss-Newton leaves out."""
    outer = (pull[..., None] * normal).mT @ arm
    along = (pull * (normal * arm).sum(-1)).sum(-1)
    turn = (outer + outer.mT) / 2 - along[..., None, None] * torch.eye(3).to(arm)
    return torch.nn.functional.pad(turn, (3, 0, 3, 0))


def _solve(H: Tensor, g: Tensor) -> Tensor:
    """H^-1 g, without the directions that H leaves open."""
    value, vector = torch.linalg.eigh(H)
    firm = value > 100 * torch.finfo(H.dtype).eps * value[..., -1:].clamp(min=torch.finfo(H.dtype).tiny)
    gain = torch.where(firm, 1 / torch.where(firm, value, 1), 0)
    return (vector @ (gain[..., None] * (vector.mT @ g[..., None])))[..., 0]


def _take(points: Tensor, index: Tensor) -> Tensor:
    return rows(points, index) if index.ndim == 1 else points.gather(-2, index[..., None].expand(*index.shape, 3))
