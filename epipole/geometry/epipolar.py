"""Two views of one rigid scene: essential and fundamental matrix, the motion in them, and distances to them.

A fundamental matrix F relates pixels by x2^T F x1 = 0, an essential matrix E coordinates on the plane z = 1 (Hartley &
Zisserman, Multiple View Geometry, 2nd ed., chapters 9 and 11). Motion is T_second_first.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .align import nearest_rotation
from .homogeneous import enough, homogeneous, inverse_length, inverse_root, least_vector, moved_by, normalising
from .motion import hat, se3
from .pencil import cofactor, singular_members
from .triangulation import inverse_depth_along_ray

RECTIFIED = torch.tensor([0, 0, 0, 0, 0, -1, 0, 1, 0], dtype=torch.float64) / math.sqrt(2)  # of a rectified stereo pair


def _moments(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """A^T W A of the equations y^T F x = 0 in the nine entries of F by rows."""
    rows = (homogeneous(y)[..., :, None] * homogeneous(x)[..., None, :]).flatten(-2)
    return rows.mT @ (weight[..., None] * rows)


def fundamental(
    first: Float[Tensor, "*b n 2"], second: Float[Tensor, "*b n 2"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 3 3"]:
    """F of unit norm and rank 2 from n >= 8 matches, pixels: normalised eight-point (Hartley 1997), which minimises
    sum_k w_k (x2^T F x1)^2 over normalised coordinates (w >= 0).

    Where the matches leave F open, something finite comes out: for a plane or no motion one of the many F that explain
    them, for a line or one point not always, without any weight that of a rectified stereo pair. ValueError for fewer
    than 8 matches.
    """
    enough(first, 8, "a fundamental matrix")
    T1, T2, F = _eight_point(first.double(), second.double(), weight.double())
    F = T2.mT @ rank_two(F) @ T1
    return (F / torch.linalg.matrix_norm(F)[..., None, None]).to(first.dtype)


def _eight_point(first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalising transforms of both views, and the least squares F between their normalised points, of full rank."""
    T1, T2 = normalising(first, weight), normalising(second, weight)
    M = _moments(moved_by(T1, first), moved_by(T2, second), weight)
    return T1, T2, least_vector(M, RECTIFIED).unflatten(-1, (3, 3))


def rank_two(F: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """The nearest matrix of rank 2: F less what it does to its least vector v, F - F v v^T."""
    v = least_vector(F.mT @ F, torch.tensor([0.0, 0, 1]).to(F))[..., None]
    return F - F @ v @ v.mT


def essential(
    first: Float[Tensor, "*b n 2"], second: Float[Tensor, "*b n 2"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 3 3"]:
    """E of singular values 1, 1, 0 from n >= 8 matches on the planes z = 1, by the normalised eight-point algorithm.

    Open cases and errors as for `fundamental`.
    """
    enough(first, 8, "an essential matrix from linear equations")
    T1, T2, E = _eight_point(first.double(), second.double(), weight.double())
    return nearest_essential(T2.mT @ E @ T1).to(first.dtype)


def nearest_essential(E: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """U diag(1, 1, 0) V^T: of all essential matrices up to scale the nearest."""
    v = least_vector(E.mT @ E, torch.tensor([1.0, 0, 0]).to(E))[..., None]
    return nearest_rotation(E) @ (torch.eye(3).to(E) - v @ v.mT)


def fundamental_seven(
    first: Float[Tensor, "*b 7 2"], second: Float[Tensor, "*b 7 2"]
) -> tuple[Float[Tensor, "*b 3 3 3"], Bool[Tensor, "*b 3"]]:
    """The one to three F of unit norm that seven matches, pixels, satisfy exactly, and which of the three are real
    (Hartley & Zisserman, 11.1.2). No gradient."""
    with torch.no_grad():
        x, y, weight = first.double(), second.double(), torch.ones_like(first[..., 0], dtype=torch.float64)
        T1, T2 = normalising(x, weight), normalising(y, weight)
        V = torch.linalg.eigh(_moments(moved_by(T1, x), moved_by(T2, y), weight)).eigenvectors
        A, B = V[..., 0].unflatten(-1, (3, 3)), V[..., 1].unflatten(-1, (3, 3))
        members, real = singular_members(A, B)
        F = members[..., 0, None, None] * A[..., None, :, :] + members[..., 1, None, None] * B[..., None, :, :]
        F = T2.mT[..., None, :, :] @ F @ T1[..., None, :, :]
        return (F / torch.linalg.matrix_norm(F)[..., None, None]).to(first.dtype), real


def essential_from_motion(T_second_first: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 3 3"]:
    """E = [t]x R (eq. 9.12); 0 for a pure rotation."""
    return hat(T_second_first[..., :3, 3]) @ T_second_first[..., :3, :3]


def fundamental_from_essential(
    E: Float[Tensor, "*b 3 3"], K_first: Float[Tensor, "*b 3 3"], K_second: Float[Tensor, "*b 3 3"]
) -> Float[Tensor, "*b 3 3"]:
    """F = K2^-T E K1^-1 (eq. 9.13), not scaled."""
    return torch.linalg.inv(K_second).mT @ E @ torch.linalg.inv(K_first)


def essential_from_fundamental(
    F: Float[Tensor, "*b 3 3"], K_first: Float[Tensor, "*b 3 3"], K_second: Float[Tensor, "*b 3 3"]
) -> Float[Tensor, "*b 3 3"]:
    """The essential matrix nearest to K2^T F K1, of singular values 1, 1, 0."""
    E = K_second.mT @ F @ K_first
    size = torch.linalg.matrix_norm(E)[..., None, None]
    return nearest_essential(E / torch.where(size > 0, size, torch.ones_like(size)))


def motions_from_essential(E: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4 4 4"]:
    """The four T_second_first with |t| = 1 that E allows: R = cof(E) - [t]x E for t and -t, each with either sign of
    the translation (Horn 1990). E must have singular values 1, 1, 0, as `essential` gives."""
    t = least_vector(E @ E.mT, torch.tensor([1.0, 0, 0]).to(E))
    first, twisted = cofactor(E) - hat(t) @ E, cofactor(E) + hat(t) @ E
    return torch.stack([se3(first, t), se3(first, -t), se3(twisted, t), se3(twisted, -t)], -3)


def motion_from_essential(
    E: Float[Tensor, "*b 3 3"],
    first: Float[Tensor, "*b n 2"],
    second: Float[Tensor, "*b n 2"],
    weight: Float[Tensor, "*b n"],
) -> Float[Tensor, "*b 4 4"]:
    """Of the four motions in E the one that puts most weight of the matches, on the planes z = 1, in front of both
    cameras (cheirality; Hartley & Zisserman, 9.6.3). The gradient takes the choice as given."""
    four = motions_from_essential(E)
    votes = torch.stack([(weight * in_front(T, first, second)).sum(-1) for T in four.detach().unbind(-3)], -1)
    best = votes.argmax(-1)[..., None, None, None].expand(*votes.shape[:-1], 1, 4, 4)
    return four.gather(-3, best).squeeze(-3)


def in_front(
    T_second_first: Float[Tensor, "*b 4 4"], first: Float[Tensor, "*b n 2"], second: Float[Tensor, "*b n 2"]
) -> Bool[Tensor, "*b n"]:
    """Which matches, on the planes z = 1, meet in front of both cameras; those without parallax do not meet."""
    ray, seen = homogeneous(first), homogeneous(second)
    one = torch.ones_like(first[..., None, :, 0])
    q, _ = inverse_depth_along_ray(ray, seen[..., None, :, :], T_second_first[..., None, :, :], one)
    there = moved_by(T_second_first, ray / torch.where(q > 0, q, torch.ones_like(q))[..., None])
    return (q > 0) & ((there * seen).sum(-1) > 0)


def epipoles(F: Float[Tensor, "*b 3 3"]) -> tuple[Float[Tensor, "*b 3"], Float[Tensor, "*b 3"]]:
    """Unit homogeneous epipoles: where the first image sees the second camera, and the second the first."""
    ahead = torch.tensor([0.0, 0, 1]).to(F)
    return least_vector(F.mT @ F, ahead), least_vector(F @ F.mT, ahead)


def epipolar_lines(F: Float[Tensor, "*b 3 3"], first: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n 3"]:
    """Lines (a, b, c) in the second image of points of the first, with a^2 + b^2 = 1, so that a u + b v + c is a signed
    distance in pixels; F.mT gives those in the first. A point on the epipole has no line: 0."""
    line = homogeneous(first) @ F.mT
    return line * inverse_length(line[..., :2])[..., None]


def algebraic_distance(
    F: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """x2^T F x1, signed, in the unit of F."""
    return _constraint(F, first, second)[0]


def sampson_distance(
    F: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """Signed distance, pixels, by which both points together miss the epipolar constraint, to first order (eq. 11.9):
    x2^T F x1 / sqrt(a^2 + b^2 + a'^2 + b'^2) with both epipolar lines. Both points on the epipoles: 0."""
    miss, there, back = _constraint(F, first, second)
    return miss * inverse_root(there + back)


def symmetric_epipolar_distance(
    F: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """Sum of both points' distances, pixels, from their epipolar lines (Ranftl & Koltun 2018):
    |x2^T F x1| (1 / |F x1| + 1 / |F^T x2|) with norms over the lines' first two components."""
    miss, there, back = _constraint(F, first, second)
    return miss.abs() * (inverse_root(there) + inverse_root(back))


def sampson_weight(
    F: Float[Tensor, "*#b 3 3"], first: Float[Tensor, "*#b n 2"], second: Float[Tensor, "*#b n 2"]
) -> Float[Tensor, "*#b n"]:
    """The weights, of mean 1, with which the eight-point algorithm minimises the Sampson distance to first order."""
    _, there, back = _constraint(F, first, second)
    weight = inverse_root(there + back).square()
    return weight / weight.mean(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)


def _constraint(F: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x2^T F x1, and a^2 + b^2 of the epipolar lines in the second and in the first image; component by component,
    because sums over an axis of three are slow, and this is what sampling and testing spends its time on."""
    a, b, c = (homogeneous(first) @ F.mT).unbind(-1)
    d, e = (homogeneous(second) @ F[..., :2]).unbind(-1)
    return a * second[..., 0] + b * second[..., 1] + c, a * a + b * b, d * d + e * e
