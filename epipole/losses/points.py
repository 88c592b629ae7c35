"""The 3-D loss of Mahjourian 2018, section 3.3: what ICP has left to do after the estimated motion.

Both functions return the same numbers and differ in their gradient alone.

    motion   [tx, ty, tz, rx, ry, rz] of T', the motion that ICP adds to the estimate; zeros when it is right
    residual r_k = b_c(k) - T' a_k, what is left after ICP; zeros when the shapes agree
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.icp import icp
from ..geometry.motion import move, se3_inverse, se3_log, so3_log


class Misalignment(NamedTuple):
    """The two parts of L_3D = |T' - I|_1 + |r|_1, unreduced."""

    motion: Float[Tensor, "*b 6"]         # of T': translation, rotation vector (radians)
    residual: Float[Tensor, "*b n 3"]     # zero where unmatched
    matched: Bool[Tensor, "*b n"]


def _six(T: Tensor) -> Tensor:
    return torch.cat([T[..., :3, 3], so3_log(T[..., :3, :3])], -1)


class _PaperGradient(torch.autograd.Function):
    """ICP is not differentiable; the paper puts in the place of its gradient

        dL/d(ego-motion) := -dL/dT'      dL/d(source points) := -dL/dr      dL/d(target points) := 0
    """

    @staticmethod
    def forward(ctx, moved, ego, target, iterations, trim):  # type: ignore[no-untyped-def]
        found = icp(moved, target, iterations, trim)
        ctx.mark_non_differentiable(found.matched)
        return _six(found.T_target_source), found.residual, found.matched

    @staticmethod
    def backward(ctx, by_motion, by_residual, _):  # type: ignore[no-untyped-def]
        return -by_residual, -by_motion, None, None, None


def icp_paper_gradient(
    source: Float[Tensor, "*b n 3"],
    T_target_source: Float[Tensor, "*b 4 4"],
    target: Float[Tensor, "*b m 3"],
    iterations: int = 10,
    trim: float = 0.0,
) -> Misalignment:
    """ICP from `T_target_source` on, with the gradient rules of the paper: descent on |T'| moves the ego-motion by what
    ICP would add to it, descent on |r| moves every source point toward its match, and the target never moves.

    The ego-motion's six numbers are those of a small motion applied after it, exp(ego) T_target_source, the frame in
    which T' is expressed too. Source points feel only the residuals, the ego-motion only T'.
    """
    fixed = T_target_source.detach()
    ego = se3_log(T_target_source @ se3_inverse(fixed))  # zeros, but it hands its gradient on to T_target_source
    return Misalignment(*_PaperGradient.apply(move(fixed, source), ego, target, iterations, trim))


def icp_exact_gradient(
    source: Float[Tensor, "*b n 3"],
    T_target_source: Float[Tensor, "*b 4 4"],
    target: Float[Tensor, "*b m 3"],
    iterations: int = 10,
    trim: float = 0.0,
) -> Misalignment:
    """ICP from `T_target_source` on, differentiable: with its last correspondences frozen, T' is a Procrustes problem
    in closed form, and T' and r have true gradients with respect to both clouds and the ego-motion."""
    found = icp(move(T_target_source, source), target, iterations, trim)
    return Misalignment(_six(found.T_target_source), found.residual, found.matched)
