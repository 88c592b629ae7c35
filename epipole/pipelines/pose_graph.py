"""Key frames drawn together by measured similarities: a robust pose graph over Sim(3), in which the scale of a
monocular map may drift along the path and is brought back by loops (Strasdat et al., RSS 2010).

Every key frame i has a similarity S_world_i: a pose, and the unit in which its depth is measured.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from ..geometry.motion import se3
from ..geometry.robust import geman_mcclure
from ..geometry.sim3 import (
    sim3,
    sim3_adjoint,
    sim3_exp,
    sim3_inverse,
    sim3_left_jacobian_inverse,
    sim3_log,
    sim3_parts,
)

OUTLIER = 18.48
"""Square of a residual in standard deviations beyond which a loop counts as false: 99 % of chi^2 with 7 degrees."""

SHARPER = 1.4
"""Factor by which the robust cost gets less convex from round to round (Yang et al. 2020, section IV)."""

ITERATIONS, ENOUGH = 30, 1e-8   # of Levenberg-Marquardt: steps, and the relative gain below which it has arrived
DAMPING = 1e-4                  # of its first step
SETTLING = 3                    # steps after each sharpening: the next follows soon


class Link(NamedTuple):
    """A measured similarity: S_a_b maps points of frame b, in b's unit, into frame a, in a's."""

    a: int
    b: int
    S_a_b: Float[Tensor, "4 4"]
    sigma_rotation: float       # radians
    sigma_translation: float    # in the unit of frame b
    sigma_scale: float          # of the logarithm of scale
    trusted: bool = True        # of odometry; whether a loop is true shows only in the graph


class Graph(NamedTuple):
    """What the graph came to: S_world_i of the frames, and how much each link counts, from 0 (false) to 1."""

    S_world_camera: Float[Tensor, "n 4 4"]
    weight: Float[Tensor, "e"]


def optimise(links: Sequence[Link], initial: Float[Tensor, "n 4 4"], held: Collection[int] = (0,)) -> Graph:
    """S_world_i of n frames that explain the links best, in the sense of robust least squares.

    `initial` is where to start from; the frames in `held` stay there. Trusted links count fully. The others, loops,
    pass graduated non-convexity (Yang et al., RA-L 2020) towards the cost of Geman and McClure: at first all count,
    then those that stay far off less and less. A frame that no link reaches stays where it is. Computed in float64;
    the same on every run.
    """
    S, n = initial.double(), len(initial)
    weight = torch.ones(len(links), dtype=torch.float64)
    if not links:
        return Graph(S, weight)
    free = torch.tensor([i not in held for i in range(n)])
    doubted = torch.tensor([not link.trusted for link in links])
    measured = _Measured(links)
    S = _levenberg(S, measured, weight, free, ITERATIONS)
    if not doubted.any():
        return Graph(S, weight)
    mu = max(1.0, 2 * float(_square(S, measured)[doubted].max()) / OUTLIER)
    while mu > 1:
        mu = max(1.0, mu / SHARPER)
        weight[doubted] = geman_mcclure(_square(S, measured)[doubted].sqrt(), (mu * OUTLIER) ** 0.5)
        S = _levenberg(S, measured, weight, free, SETTLING if mu > 1 else ITERATIONS)
    weight[doubted] = geman_mcclure(_square(S, measured)[doubted].sqrt(), OUTLIER**0.5)
    return Graph(_levenberg(S, measured, weight, free, ITERATIONS), weight)


def rigid(S_world_camera: Float[Tensor, "*n 4 4"]) -> Float[Tensor, "*n 4 4"]:
    """T_world_camera of similarities: what is left of a pose when its unit has become the world's."""
    _, R, t = sim3_parts(S_world_camera)
    return se3(R, t)


def rescaled(T: Float[Tensor, "*n 4 4"], scale: Float[Tensor, "*n"]) -> Float[Tensor, "*n 4 4"]:
    """The similarity x -> T (scale x): poses whose cameras measure in units of their own."""
    return sim3(scale, T[..., :3, :3], T[..., :3, 3])


class _Measured:
    """The links as tensors."""

    def __init__(self, links: Sequence[Link]) -> None:
        self.a, self.b = torch.tensor([link.a for link in links]), torch.tensor([link.b for link in links])
        self.S_b_a = sim3_inverse(torch.stack([link.S_a_b.double() for link in links]))
        sigma = [(link.sigma_translation, link.sigma_rotation, link.sigma_scale) for link in links]
        self.over_sigma = 1 / torch.tensor(sigma, dtype=torch.float64).repeat_interleave(torch.tensor([3, 3, 1]), 1)


def _residual(S: Tensor, measured: _Measured) -> Tensor:
    """log(S_a_b^-1 S_world_a^-1 S_world_b) [e 7], a tangent in frame b."""
    return sim3_log(measured.S_b_a @ sim3_inverse(S[measured.a]) @ S[measured.b])


def _square(S: Tensor, measured: _Measured) -> Tensor:
    """Squared length of every residual, in standard deviations."""
    return (_residual(S, measured) * measured.over_sigma).square().sum(-1)


def _levenberg(S: Tensor, measured: _Measured, weight: Tensor, free: Tensor, iterations: int) -> Tensor:
    """Levenberg-Marquardt from S; links count by their weight, frames that are not free stay."""
    cost, damping = float((weight * _square(S, measured)).sum()), DAMPING
    for _ in range(iterations):
        J, r = _linearised(S, measured, weight, free)
        A = csc_array(J.T @ J)
        stiffness = A.diagonal()
        A = A + diags_array(damping * stiffness + np.finfo(float).eps * max(stiffness.max(initial=0), 1))
        step = torch.zeros(len(S), 7, dtype=torch.float64)
        step[free] = torch.from_numpy(-splu(csc_array(A)).solve(J.T @ r)).reshape(-1, 7)
        new = S @ sim3_exp(step)
        after = float((weight * _square(new, measured)).sum())
        if after <= cost:
            S, gain, cost, damping = new, cost - after, after, max(damping / 10, 1e-12)
            if gain <= ENOUGH * cost:
                break
        else:
            damping *= 10
    return S


def _linearised(S: Tensor, measured: _Measured, weight: Tensor, free: Tensor) -> tuple[csr_array, np.ndarray]:
    """Weighted residuals and their Jacobian by tangents from the right, S <- S exp(d), of the free frames.

    log(S_b_a exp(-d_a) E exp(d_b)) moves with d_b by the inverse right Jacobian of r, and with d_a by minus its left
    one times the adjoint of S_b_a.
    """
    r = _residual(S, measured)
    over = weight.sqrt()[:, None] * measured.over_sigma
    by_b = over[..., None] * sim3_left_jacobian_inverse(-r)
    by_a = -over[..., None] * (sim3_left_jacobian_inverse(r) @ sim3_adjoint(measured.S_b_a))
    place = torch.cumsum(free, 0) - 1
    rows, columns, values = [], [], []
    for frames, blocks in ((measured.a, by_a), (measured.b, by_b)):
        keep = free[frames]
        at = torch.arange(7)
        row = 7 * torch.arange(len(r))[keep][:, None, None] + at[:, None]
        column = 7 * place[frames[keep]][:, None, None] + at
        shape = (len(row), 7, 7)
        rows.append(row.expand(shape).flatten())
        columns.append(column.expand(shape).flatten())
        values.append(blocks[keep].flatten())
    index = (torch.cat(rows).numpy(), torch.cat(columns).numpy())
    size = (7 * len(r), 7 * int(free.sum()))
    return csr_array((torch.cat(values).numpy(), index), shape=size), (over * r).flatten().numpy()
