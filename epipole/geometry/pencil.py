"""The singular members of a pencil a A + b B of 3x3 matrices; they solve the minimal problems F from seven points and
pose from three."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def cofactor(M: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """Cofactor matrix: M^-T det M, also where M is singular; its rows are the cross products of M's rows."""
    return torch.linalg.cross(M.roll(-1, -2), M.roll(-2, -2))


def real_roots(
    c: Float[Tensor, "*b 4"],
) -> tuple[Float[Tensor, "*b 3"], Bool[Tensor, "*b 3"]]:
    """Roots of c0 + c1 x + c2 x^2 + c3 x^3 (c3 != 0) by Cardano, polished by Newton, and which of them are real; the
    first always is, and is the one farthest from the other two."""
    c0, c1, c2, _ = (c / c[..., 3:]).unbind(-1)
    p, q = c1 - c2**2 / 3, 2 * c2**3 / 27 - c2 * c1 / 3 + c0  # t^3 + p t + q with x = t - c2 / 3
    half, third = q.abs() / 2, p / 3
    inside = half**2 + third**3
    u = (half + inside.clamp(min=0).sqrt()) ** (1 / 3)
    one = u - third / torch.where(u > 0, u, torch.ones_like(u))
    r = (-third).clamp(min=0).sqrt()
    phi = torch.acos((half / torch.where(r > 0, r, torch.ones_like(r)) ** 3).clamp(-1, 1))
    largest = torch.where(inside > 0, one, 2 * r * torch.cos(phi / 3))  # of t^3 + p t - |q|
    t = -torch.where(q < 0, -1.0, 1.0).to(q) * largest
    rest = -3 * t**2 - 4 * p  # the others solve s^2 + t s + (t^2 + p) = 0
    root = rest.clamp(min=0).sqrt()
    x = torch.stack([t, (-t + root) / 2, (-t - root) / 2], -1) - c2[..., None] / 3
    real = torch.stack([torch.ones_like(rest, dtype=torch.bool), rest >= 0, rest >= 0], -1)
    return _polish(x, c0, c1, c2), real


def _polish(x: Tensor, c0: Tensor, c1: Tensor, c2: Tensor) -> Tensor:
    """Two steps of Newton on x^3 + c2 x^2 + c1 x + c0, each kept only where it brings the value down."""
    def value(x: Tensor) -> Tensor:
        return ((x + c2[..., None]) * x + c1[..., None]) * x + c0[..., None]

    for _ in range(2):
        slope = (3 * x + 2 * c2[..., None]) * x + c1[..., None]
        step = x - value(x) / torch.where(slope == 0, torch.ones_like(slope), slope)
        x = torch.where(value(step).abs() < value(x).abs(), step, x)
    return x


def singular_members(
    A: Float[Tensor, "*b 3 3"], B: Float[Tensor, "*b 3 3"]
) -> tuple[Float[Tensor, "*b 3 2"], Bool[Tensor, "*b 3"]]:
    """Unit (a, b) with det(a A + b B) = 0, and which are real; the first always is. A pencil singular throughout gives
    (1, 0), A itself."""
    c = torch.stack([torch.linalg.det(A), (cofactor(A) * B).sum((-2, -1)), (A * cofactor(B)).sum((-2, -1)),
                     torch.linalg.det(B)], -1)
    swap = c[..., :1].abs() > c[..., 3:].abs()  # divide by the larger of det A, det B
    c = torch.where(swap, c.flip(-1), c)
    flat = c[..., 3:].abs() <= torch.finfo(c.dtype).tiny  # det A = det B = 0: A and B are two of the members
    c = torch.where(flat, torch.tensor([0.0, 0, 0, 1]).to(c), c)
    roots, real = real_roots(c)
    members = torch.stack([torch.ones_like(roots), roots], -1)
    members = torch.where(swap[..., None], members.flip(-1), members)
    return members / members.norm(dim=-1, keepdim=True), real
