"""Bundle adjustment over dense correspondences: poses, one inverse depth per anchor pixel, focal length and lens.

An anchor is a pixel of a key frame; its point is ray / inverse_depth. An edge says where the anchors of its source
frame are seen in its target frame. Inverse depths are independent of each other given the cameras, so they are
eliminated by the Schur complement (Triggs et al. 2000, section 6), and a step costs one dense solve in the cameras.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .anchors import (
    Edges,
    Leaving,
    Scene,
    leaving,
    project_with_jacobians,
    rays,
    rays_by_camera,
    reproject,
    robust_cost,
)
from .motion import se3_adjoint, se3_exp

CHUNK = 8         # source frames linearised at a time: bounds the memory
DAMPING = 1e-4    # of Levenberg-Marquardt at the start, share of the diagonal


class Solved(NamedTuple):
    scene: Scene
    cost: float                           # mean robust cost per observation, and the prior's share
    log_focal_sd: float                   # standard deviation of log focal by the curvature; inf when it was held


class _Seen(NamedTuple):
    """What c frames' anchors look like along the edges that leave them; s edges a frame, padding weighs 0."""

    residual: Float[Tensor, "c s m 2"]       # px
    weight: Float[Tensor, "c s m"]
    J_depth: Float[Tensor, "c s m 2"]        # by the anchor's inverse depth
    points: Float[Tensor, "c s m 3"]         # homogeneous, in the target's frame
    T_target_source: Float[Tensor, "c s 4 4"]
    J_points: Float[Tensor, "c s m 2 3"]
    J_camera: Float[Tensor, "c s m 2 g"]     # by log focal and the lens, where the points stay


class _Depths(NamedTuple):
    """What gives the inverse depths of c frames back, once the p unknowns of the cameras that see them are known."""

    frames: Int[Tensor, "c"]
    coupling: Float[Tensor, "c m p"]
    columns: Int[Tensor, "c p"]
    curvature: Float[Tensor, "c m"]
    slope: Float[Tensor, "c m"]


class _System(NamedTuple):
    """Normal equations reduced to the cameras (float64: sums of very many terms), and the depths that follow."""

    S: Float[Tensor, "d d"]
    g: Float[Tensor, "d"]
    depths: list[_Depths]

    def add(self, columns: Int[Tensor, "*b p"], S: Float[Tensor, "*b p p"], g: Float[Tensor, "*b p"]) -> None:
        """Add blocks that belong to these unknowns."""
        places = columns[..., :, None] * len(self.g) + columns[..., None, :]
        self.S.view(-1).index_add_(0, places.flatten(), S.flatten().double())
        self.g.index_add_(0, columns.flatten(), g.flatten().double())


def _seen(scene: Scene, edges: Edges, pixels: Tensor, frames: Tensor, slots: Tensor, sigma: float) -> _Seen:
    """All edges that leave these frames, weighted by Cauchy's 1 / (sigma^2 + |r|^2); points behind a camera by 0."""
    e = slots.clamp(min=0)
    Y, T = reproject(scene, pixels, frames[:, None].expand_as(e), edges.target[e])
    uv, front, J_Y, J_camera = project_with_jacobians(Y, scene.K, scene.lens)
    r = uv + scene.K[:2, 2] - edges.observed[e]
    w = edges.weight[e] * front * (slots >= 0)[..., None] / (1 + (r / sigma).square().sum(-1)) / sigma**2
    return _Seen(r, w, torch.einsum("csmka,csa->csmk", J_Y, T[..., :3, 3]), Y, T, J_Y, J_camera)


def _linearise(
    scene: Scene, edges: Edges, pixels: Tensor, frames: Tensor, slots: Tensor, seen: _Seen
) -> tuple[Tensor, Tensor, Tensor]:
    """J [c s m 2 6+g] by the pose of the target, log focal and the lens; what makes of it J @ both [c s 6+g 12+g], by
    the poses of source and target and the camera, as a step of the source is one of the target, seen from there; and
    which of the cameras' unknowns these are [c s 12+g]."""
    J_Y, T, e = seen.J_points, seen.T_target_source, slots.clamp(min=0)
    d_ray = rays_by_camera(rays(pixels, scene.K, scene.lens), scene.lens)
    d_Y = torch.einsum("csab,mbg->csmag", T[..., :3, :2], d_ray)
    J_camera = seen.J_camera + sum(J_Y[..., a, None] * d_Y[..., None, a, :] for a in range(3))
    q = scene.inverse_depth[frames][:, None, :, None, None]
    J = torch.cat([q * J_Y, torch.linalg.cross(seen.points[..., None, :], J_Y), J_camera], -1)
    g = J_camera.shape[-1]
    by_source = torch.cat([-se3_adjoint(T), T.new_zeros(*e.shape, g, 6)], -2)
    both = torch.cat([by_source, torch.eye(6 + g).to(T).expand(*e.shape, -1, -1)], -1)
    six, last = torch.arange(6), 6 * len(scene.T_camera_world) + torch.arange(g)
    source, target = (6 * f[..., None] + six for f in (frames[:, None].expand_as(e), edges.target[e]))
    return J, both, torch.cat([source, target, last.expand(*e.shape, -1)], -1)


def _of_depth(scene: Scene, seen: _Seen, frames: Tensor, prior: Tensor | None, prior_weight: float
              ) -> tuple[Float[Tensor, "c m"], Float[Tensor, "c m"]]:
    """Curvature and slope of the cost by these frames' inverse depths, over all edges that leave each."""
    wq = seen.weight[..., None] * seen.J_depth
    C, C_g = (wq * seen.J_depth).sum((1, 3)), (wq * seen.residual).sum((1, 3))
    if prior is not None:
        q, p = scene.inverse_depth[frames], prior[frames]
        C, C_g = C + prior_weight / q**2, C_g + prior_weight * torch.log(q / p) / q
    return C, C_g


def _coupling(seen: _Seen, J: Tensor, both: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """How inverse depths and cameras go together [c m p], and which unknowns of the cameras these are [c p]: the source
    frame and the camera stand in every slot of a row, and are summed."""
    E = (seen.weight[..., None] * seen.J_depth)[..., None] * J
    E = E[..., 0, :] + E[..., 1, :]
    by_target, by_camera = E[..., :6].transpose(1, 2).flatten(2), E[..., 6:].sum(1)
    columns = torch.cat([columns[:, 0, :6], columns[..., 6:12].flatten(1), columns[:, 0, 12:]], -1)
    return torch.cat([(E @ both[..., :6]).sum(1), by_target, by_camera], -1), columns


def _reduce(scene: Scene, edges: Edges, pixels: Tensor, groups: list[Leaving], sigma: float, damping: float,
            prior: Tensor | None, prior_weight: float) -> _System:
    """Sum the camera system over chunks of source frames, the anchors' depths eliminated."""
    size = 6 * len(scene.T_camera_world) + 1 + len(scene.lens)
    system = _System(torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64), [])
    for frames, some in groups:
        seen = _seen(scene, edges, pixels, frames, some, sigma)
        J, both, columns = _linearise(scene, edges, pixels, frames, some, seen)
        wJ = seen.weight[..., None, None] * J
        H = both.mT @ torch.einsum("csmka,csmkb->csab", wJ, J) @ both
        H.diagonal(dim1=-2, dim2=-1).mul_(1 + damping)
        g = torch.einsum("csmk,csmka->csa", seen.residual, wJ)
        system.add(columns, H, torch.einsum("csa,csab->csb", g, both))
        E, columns = _coupling(seen, J, both, columns)
        C, slope = _of_depth(scene, seen, frames, prior, prior_weight)
        depths = _Depths(frames, E, columns, C * (1 + damping) + 1e-6, slope)
        E_C = E / depths.curvature[..., None]
        system.add(columns, -(E.mT @ E_C), -torch.einsum("cmp,cm->cp", E_C, slope))
        system.depths.append(depths)
    return system


def _solve(system: _System, held: Bool[Tensor, "d"], focal: int) -> tuple[Tensor, float]:
    """Camera step, and the standard deviation of the unknown `focal` by the curvature. Uses the system up: it is the
    largest thing in memory."""
    S, g = system.S, system.g
    S.diagonal().add_(1e-6)
    S[held], S[:, held] = 0, 0
    S.diagonal()[held], g[held] = 1, 0
    L, info = torch.linalg.cholesky_ex(S)
    if int(info):
        return torch.zeros_like(g), float("inf")
    unit = torch.zeros_like(g)
    unit[focal] = 1
    x = torch.cholesky_solve(torch.stack([-g, unit], -1), L)
    return x[:, 0], float("inf") if bool(held[focal]) else float(x[focal, 1].clamp(min=0).sqrt())


def _stepped(q: Tensor, dq: Tensor) -> Tensor:
    """Inverse depth after a step, which may take away at most four fifths of it: it stays positive."""
    return torch.maximum(q + dq, 0.2 * q).clamp(min=1e-6)


def _apply(scene: Scene, step: Tensor, system: _System) -> Scene:
    """The scene after a camera step: depths follow by back-substitution; none goes farther off than five times."""
    q = scene.inverse_depth.clone()
    for frames, E, columns, C, C_g in system.depths:
        dq = -(C_g + (E @ step[columns].to(E)[..., None])[..., 0]) / C
        q[frames] = _stepped(q[frames], dq)
    twists, (log_focal, *lens) = step[: 6 * len(q)], step[6 * len(q) :]
    T = se3_exp(twists.view(-1, 6)).to(q) @ scene.T_camera_world
    K = scene.K.clone()
    K[0, 0], K[1, 1] = K[0, 0] * log_focal.exp().to(K), K[1, 1] * log_focal.exp().to(K)
    return Scene(T, q, K, scene.lens + torch.tensor(lens).to(scene.lens))


def _settled(scene: Scene, edges: Edges, pixels: Tensor, groups: list[Leaving], sigma: float, prior: Tensor | None,
             prior_weight: float) -> Scene:
    """One Gauss-Newton step of the depths alone. After a long step of the cameras the linear answer is off for a few
    depths, whose cost would have the whole step refused (embedded point iterations, Jeong et al. 2012)."""
    q = scene.inverse_depth.clone()
    for frames, some in groups:
        seen = _seen(scene, edges, pixels, frames, some, sigma)
        C, slope = _of_depth(scene, seen, frames, prior, prior_weight)
        q[frames] = _stepped(q[frames], -slope / (C + 1e-6))
    return scene._replace(inverse_depth=q)


def _cost(scene: Scene, edges: Edges, pixels: Tensor, sigma: float, prior: Tensor | None, prior_weight: float) -> float:
    """What is minimised: the robust cost and what the prior adds to it, per observation."""
    cost = robust_cost(scene, edges, pixels, sigma)
    if prior is None:
        return cost
    pull = (scene.inverse_depth / prior).log().square().sum()
    return cost + prior_weight * float(pull) / max(float(edges.weight.sum()), 1.0)


def bundle_adjust(
    scene: Scene,
    edges: Edges,
    pixels: Float[Tensor, "m 2"],
    *,
    fixed: Bool[Tensor, "n"] | None = None,
    iterations: int = 15,
    sigma: float = 0.5,
    free_focal: bool = False,
    prior: Float[Tensor, "n m"] | None = None,
    prior_weight: float = 0.0,
    tolerance: float = 1e-4,
    damping: float = DAMPING,
    settle: int = 0,
) -> Solved:
    """Levenberg-Marquardt on the Cauchy-weighted reprojection error (px, scale `sigma`).

    `fixed` frames keep their pose (default: the first); with `free_focal` the focal length is found, and
    the lens if the scene has one; `prior` holds inverse depths that the anchors' logarithm is drawn to with
    `prior_weight` (1 / variance of log depth). Stops when the cost falls by less than `tolerance`.
    The gauge's scale is left to the damping: it does not move unless the data ask for it. Long paths have weak modes
    (drift of scale) that only steps of little damping reach: float64, `damping` near 1e-8, and `settle` rounds in which
    depths follow the cameras before a step is judged.
    """
    n = len(scene.T_camera_world)
    if fixed is None:
        fixed = torch.zeros(n, dtype=torch.bool)
        fixed[0] = True
    held = torch.cat([fixed.repeat_interleave(6), torch.full((1 + len(scene.lens),), not free_focal)])
    groups, least, sd = leaving(edges, n, CHUNK), 1e-3 * damping, float("inf")
    cost = _cost(scene, edges, pixels, sigma, prior, prior_weight)
    for _ in range(iterations):
        system = _reduce(scene, edges, pixels, groups, sigma, damping, prior, prior_weight)
        step, sd_now = _solve(system, held, 6 * n)
        trial = _apply(scene, step, system)
        del system  # before the next one is made
        for _ in range(settle):
            trial = _settled(trial, edges, pixels, groups, sigma, prior, prior_weight)
        trial_cost = _cost(trial, edges, pixels, sigma, prior, prior_weight)
        if trial_cost < cost:
            gain, scene, cost, sd = cost - trial_cost, trial, trial_cost, sd_now
            damping = max(damping / 5, least)
            if gain < tolerance * cost:
                break
        else:
            damping *= 10
            if damping > 1e2:
                break
    return Solved(scene, cost, sd)
