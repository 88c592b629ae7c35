"""Homographies: x2 ~ H x1 between pixels of two views of a plane, or of a camera that only turns."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .homogeneous import dehomogenise, enough, homogeneous, inverse_length, least_vector, length, moved_by, normalising
from .motion import se3
from .pencil import cofactor

TURNS = 1e-12  # of squared singular values, in float64: nearer to one another they are those of a rotation
IDENTITY = torch.eye(3, dtype=torch.float64).flatten() / math.sqrt(3)


def homography(
    first: Float[Tensor, "*b n 2"], second: Float[Tensor, "*b n 2"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 3 3"]:
    """H of unit norm and det >= 0 from n >= 4 matches, pixels, by the normalised direct linear transform, which
    minimises sum_k w_k |x2 x H x1|^2 over normalised coordinates, its two first rows (Hartley & Zisserman, algorithm
    4.2; w >= 0).

    Where the matches leave H open (a line, one point), the tie goes to the one nearest the identity; without any weight
    it is the identity. ValueError for fewer than 4 matches.
    """
    enough(first, 4, "a homography")
    first, second, weight, like = first.double(), second.double(), weight.double(), first
    T1, T2 = normalising(first, weight), normalising(second, weight)
    x, y = homogeneous(moved_by(T1, first)), moved_by(T2, second)
    o = torch.zeros_like(x)
    rows = torch.stack([torch.cat([x, o, -y[..., :1] * x], -1), torch.cat([o, x, -y[..., 1:] * x], -1)], -2)
    M = torch.einsum("...nij,...n,...nik->...jk", rows, weight, rows)
    H = torch.linalg.inv(T2) @ least_vector(M, IDENTITY).unflatten(-1, (3, 3)) @ T1
    sign = torch.where(torch.linalg.det(H.detach()) < 0, -1.0, 1.0).to(H)
    return (H * (sign / torch.linalg.matrix_norm(H))[..., None, None]).to(like.dtype)


def transfer(
    H: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"]
) -> tuple[Float[Tensor, "*#b n 2"], Bool[Tensor, "*#b n"]]:
    """Points through H, and which of them stay finite; the others are without NaN, and meaningless."""
    return dehomogenise(homogeneous(first) @ H.mT)


def transfer_distance(
    H: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """|H x1 - x2| in the second image, pixels; inf, without gradient, for a point that H sends to infinity."""
    there, finite = transfer(H, first)
    return torch.where(finite, length(there - second), torch.inf)


def symmetric_transfer_distance(
    H: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """sqrt(|H x1 - x2|^2 + |H^-1 x2 - x1|^2), pixels (eq. 4.7); inf, without gradient, where H or its inverse sends a
    point to infinity."""
    there, finite = transfer(H, first)
    back, again = transfer(cofactor(H).mT, second)  # H^-1 up to scale, also where H is nearly singular
    return torch.where(finite & again, length(torch.cat([there - second, back - first], -1)), torch.inf)


def transfer_weight(H: Float[Tensor, "*b 3 3"], first: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n"]:
    """The weights, of mean 1, with which the direct linear transform minimises the transfer distance to first order."""
    weight = inverse_length((homogeneous(first) @ H.mT)[..., 2:]).square()
    return weight / weight.mean(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)


def motions_from_homography(
    H: Float[Tensor, "*b 3 3"]
) -> tuple[Float[Tensor, "*b 4 4 4"], Float[Tensor, "*b 4 3"]]:
    """The four T_second_first and unit normals n of a plane n X = d that a homography between the planes z = 1 of two
    cameras on its same side allows: H ~ R + t n^T / d; T holds t / d (Ma, Soatto, Kosecka & Sastry 2004, theorem 5.19).

    H is K2^-1 H K1 of one between pixels, of any scale. The third and fourth are the first two with t and n turned
    round; `faces` tells which can be. A camera that only turns: t = 0, and n means nothing. Computed in float64,
    without gradient.
    """
    with torch.no_grad():
        A = H.double()
        A = A * torch.where(torch.linalg.det(A) < 0, -1.0, 1.0).to(A)[..., None, None]
        size = torch.linalg.svdvals(A)[..., 1, None, None]
        A = A / torch.where(size > 0, size, 1)
        square, V = torch.linalg.eigh(A.mT @ A)  # ascending, the middle one 1
        less, more = (1 - square[..., :1]).clamp(min=0), (square[..., 2:] - 1).clamp(min=0)
        spread = less + more
        moves = spread > TURNS
        # besides the middle eigenvector, two directions across it keep their length
        share = torch.where(moves, less, 1) / torch.where(moves, spread, 1)
        both = [share.sqrt() * V[..., 2] + sign * (1 - share).sqrt() * V[..., 0] for sign in (1, -1)]
        R, t, n = (torch.stack(part, -2 if k else -3) for k, part in enumerate(
            zip(*(_motion_over(A, V[..., 1], u) for u in both), strict=True)))
        T = se3(torch.cat([R, R], -3), torch.cat([t, -t], -2))
        return T.to(H.dtype), torch.cat([n, -n], -2).to(H.dtype)


def _motion_over(A: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R, t / d and n, given two orthogonal directions v, u of the plane, whose lengths and angle A leaves as they
    are."""
    def frame(v: Tensor, u: Tensor) -> Tensor:
        return torch.stack([v, u, torch.linalg.cross(v, u)], -1)

    n = torch.linalg.cross(v, u)
    R = frame((A @ v[..., None])[..., 0], (A @ u[..., None])[..., 0]) @ frame(v, u).mT
    return R, ((A - R) @ n[..., None])[..., 0], n


def faces(normal: Float[Tensor, "*#b 3"], first: Float[Tensor, "*#b n 2"]) -> Bool[Tensor, "*#b n"]:
    """Which rays of the first camera, given on its plane z = 1, meet a plane n X = d with d > 0 in front of it."""
    return (homogeneous(first) @ normal[..., None])[..., 0] > 0
