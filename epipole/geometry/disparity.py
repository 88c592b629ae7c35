"""What makes a disparity map (px) whole, smooth and finer than a pixel without learning (Zbontar & LeCun 2016,
section 4.3 to 4.6): values of what is occluded or mismatched, sub-pixel steps, filters that keep edges."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

HALVES = (-1.0, -0.5, 0.0, 0.5, 1.0)
DIRECTIONS = tuple(
    (x, y) for x in HALVES for y in HALVES if max(abs(x), abs(y)) == 1
)  # sixteen


def could_match(
    right: Float[Tensor, "b 1 h w"], disparities: int, tolerance: float = 1.0
) -> Bool[Tensor, "b 1 h w"]:
    """Where some disparity d = 0, 1, ... would agree with the right view's map: |d - d_r(x - d)| <= tolerance. A left
    pixel without a match is mismatched there, and occluded elsewhere."""
    w, found = right.shape[-1], torch.zeros_like(right, dtype=torch.bool)
    for d in range(min(disparities, w)):
        agrees = (right - d).abs() <= tolerance
        found = found | F.pad(agrees[..., : w - d], (d, 0))
    return found


def fill_from_left(
    disparity: Float[Tensor, "b 1 h w"], known: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """What is not known takes the next known value to its left, which is background behind an occlusion; where there is
    none, to its right. Rows without any stay as they are."""
    w = disparity.shape[-1]
    place = torch.arange(w, device=disparity.device).expand_as(disparity)
    before = torch.where(known, place, -1).cummax(-1).values
    after = torch.where(known, place, w).flip(-1).cummin(-1).values.flip(-1)
    at = torch.where(before >= 0, before, torch.where(after < w, after, place))
    return disparity.gather(-1, at)


def fill_from_around(
    disparity: Float[Tensor, "b 1 h w"], wrong: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """What is wrong takes the median (of an even number the larger one of the middle) of the first values in sixteen
    directions that are not; where there is none, it stays as it is."""
    b, y, x = wrong[:, 0].nonzero(as_tuple=True)
    if not len(b):
        return disparity
    found = torch.stack([_first(disparity[:, 0], wrong[:, 0], b, y, x, step) for step in DIRECTIONS]).sort(0).values
    count = found.isfinite().sum(0)
    middle = found.gather(0, (count // 2).clamp(max=len(found) - 1)[None])[0]
    own = disparity[b, 0, y, x]
    return disparity.index_put((b, torch.zeros_like(b), y, x), torch.where(count > 0, middle, own))


def _first(
    disparity: Tensor, wrong: Tensor, b: Tensor, y: Tensor, x: Tensor, step: tuple[float, float]
) -> Tensor:
    """The first value that is not wrong on the way from every (b, y, x), infinite where the way leaves the map."""
    h, w = disparity.shape[-2:]
    value, going = torch.full_like(disparity[b, y, x], torch.inf), torch.ones_like(b, dtype=torch.bool)
    for k in range(1, max(h, w)):
        u, v = x + math.floor(k * step[0] + 0.5), y + math.floor(k * step[1] + 0.5)
        going = going & (u >= 0) & (u < w) & (v >= 0) & (v < h)
        if not going.any():
            break
        u, v = u.clamp(0, w - 1), v.clamp(0, h - 1)
        hit = going & ~wrong[b, v, u]
        value = torch.where(hit, disparity[b, v, u], value)
        going = going & ~hit
    return value


def subpixel(
    disparity: Float[Tensor, "b 1 h w"], cost: Float[Tensor, "b d h w"]
) -> Float[Tensor, "b 1 h w"]:
    """The lowest point of the parabola through the costs of a whole disparity and its neighbours, at most a pixel away
    (eq. 13). The first and the last candidate, and a disparity that is no minimum, stay."""
    at = disparity.round().long()
    inner = (at >= 1) & (at <= cost.shape[1] - 2)
    below, here, above = (cost.gather(1, (at + k).clamp(0, cost.shape[1] - 1)) for k in (-1, 0, 1))
    bend = 2 * (below - 2 * here + above)
    curved = inner & (bend > 1e-5)
    return disparity - torch.where(curved, ((above - below) / torch.where(curved, bend, 1)).clamp(-1, 1), 0)


def median_filter(disparity: Float[Tensor, "b 1 h w"], size: int = 5) -> Float[Tensor, "b 1 h w"]:
    """The median of size x size pixels; the border is repeated outwards."""
    padded = F.pad(disparity, 4 * [size // 2], mode="replicate")
    return padded.unfold(-2, size, 1).unfold(-2, size, 1).flatten(-2).median(-1).values


def bilateral(disparity: Float[Tensor, "b 1 h w"], sigma: float, threshold: float) -> Float[Tensor, "b 1 h w"]:
    """The mean of the neighbours, as far as three sigma, whose disparity differs by less than `threshold`, weighted by
    a Gaussian of their distance (eq. 14)."""
    r, h = math.ceil(3 * sigma), disparity.shape[-2]
    weight = torch.exp(-torch.arange(-r, r + 1, dtype=disparity.dtype, device=disparity.device).square() / 2 / sigma**2)
    columns = F.pad(disparity, 4 * [r], value=torch.nan).unfold(-1, 2 * r + 1, 1)
    total, share = torch.zeros_like(disparity), torch.zeros_like(disparity)
    for k in range(2 * r + 1):
        row = columns[..., k : k + h, :, :]
        near = (row - disparity[..., None]).abs() < threshold  # false outside, where it is NaN
        total = total + weight[k] * torch.where(near, row, 0) @ weight
        share = share + weight[k] * near.to(weight) @ weight
    return total / share
