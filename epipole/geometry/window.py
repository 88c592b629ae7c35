"""Windows of images: another place, turn and size of what is seen, and what flow and disparity are there.

A window is a matrix A [3 3], affine, that leads from its own pixels to those of the image: pixel x of the window shows
what lies at A x. `warp.homography_warp` looks images up in it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import pixel_grid
from .warp import homography_warp

MIXED = 0.25   # px: standard deviation of the four values of a look-up from which on they are of two surfaces


def window(
    zoom: Float[Tensor, "*b"], turn: Float[Tensor, "*b"], shift: Float[Tensor, "*b 2"], image: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "*b 3 3"]:
    """The window of `size` (height, width) whose centre lies `shift` px (x, y) from the centre of an image of the size
    `image`, enlarged by `zoom` and turned by `turn` (radians, from x to y)."""
    cos, sin, o, i = turn.cos() / zoom, turn.sin() / zoom, torch.zeros_like(zoom), torch.ones_like(zoom)
    linear = torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))
    own, whole = (shift.new_tensor([(w - 1) / 2, (h - 1) / 2]) for h, w in (size, image))
    offset = whole + shift - (linear @ own[:, None])[..., 0]
    last = torch.stack([o, o, i], -1)[..., None, :]
    return torch.cat([torch.cat([linear, offset[..., None]], -1), last], -2)


def covers(A: Float[Tensor, "*b 3 3"], image: tuple[int, int], size: tuple[int, int]) -> Bool[Tensor, "*b"]:
    """Whether all of a window of `size` lies within an image of the size `image`."""
    (h, w), (H, W) = size, image
    corners = A.new_tensor([[0, 0, 1], [w - 1, 0, 1], [0, h - 1, 1], [w - 1, h - 1, 1]])
    at = (A @ corners.mT)[..., :2, :]
    return ((at > -1e-3) & (at < at.new_tensor([[W - 1], [H - 1]]) + 1e-3)).flatten(-2).all(-1)


def window_flow(
    flow: Float[Tensor, "b 2 y x"], valid: Bool[Tensor, "b 1 y x"], A_first: Float[Tensor, "b 3 3"],
    A_second: Float[Tensor, "b 3 3"], height: int, width: int,
) -> tuple[Float[Tensor, "b 2 {height} {width}"], Bool[Tensor, "b 1 {height} {width}"]]:
    """Flow (px) from the first image's window to the second one's, A_second^-1 (A_first x + flow(A_first x)) - x, and
    where it is known: it was known at all four pixels of the look-up, and they do not belong to two surfaces. Flow may
    lead out of the window; what is not valid may be NaN."""
    found, known = _single_surface(flow, valid, A_first, height, width)
    grid = pixel_grid(height, width, flow)[None]
    target = _affine(A_first, grid) + found
    return _affine(torch.linalg.inv(A_second), target) - grid, known


def window_disparity(
    disparity: Float[Tensor, "b 1 y x"], valid: Bool[Tensor, "b 1 y x"], A: Float[Tensor, "b 3 3"], height: int,
    width: int,
) -> tuple[Float[Tensor, "b 1 {height} {width}"], Bool[Tensor, "b 1 {height} {width}"]]:
    """Disparity (px) between the same windows of both images, which are not turned, and where it is known."""
    found, known = _single_surface(disparity, valid, A, height, width)
    return found / A[:, 0, 0, None, None, None], known


def _single_surface(x: Tensor, valid: Tensor, A: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """x looked up, and where it was valid and the four values are nearly one: by their weighted variance."""
    c, x = x.shape[1], torch.where(valid, x, 0)
    looked_up, inside = homography_warp(torch.cat([x, x.square(), valid.to(x)], 1), A, height, width)
    mean, square, share = looked_up.split([c, c, 1], 1)
    variance = (square - mean.square()).sum(1, keepdim=True)
    return mean, inside & (share > 1 - 1e-4) & (variance < MIXED**2)


def _affine(A: Float[Tensor, "b 3 3"], points: Float[Tensor, "#b 2 h w"]) -> Float[Tensor, "b 2 h w"]:
    return (A[:, :2, :2] @ points.flatten(2) + A[:, :2, 2:]).unflatten(-1, points.shape[-2:])
