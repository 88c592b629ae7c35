"""An image and its depth as the camera would have seen them nearer, turned and mirrored, or by another lens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import normalise, pixel_grid, project
from .sample import sample


def zoomed(
    image: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    scale: Float[Tensor, "b"],
    angle: Float[Tensor, "b"],
    shift: Float[Tensor, "b 2"],
    mirror: Bool[Tensor, "b"],
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]:
    """Images enlarged by `scale`, turned by `angle` (radians, x towards y) about their centre, cut out again `shift` px
    (of the result) off the centre, and mirrored left to right; what is `scale` times larger is as many times nearer, so
    depth is divided by it (Eigen 2014). Depth is that of the nearest pixel and unknown beyond the border."""
    h, w = image.shape[-2:]
    centre = torch.tensor([(w - 1) / 2, (h - 1) / 2]).to(image)[:, None, None]
    x, y = (pixel_grid(h, w, image) - centre).expand(len(image), 2, h, w).unbind(1)
    x = torch.where(mirror[:, None, None], -x, x) + shift[:, 0, None, None]
    y = y + shift[:, 1, None, None]
    cos, sin = ((f / scale)[:, None, None] for f in (angle.cos(), angle.sin()))
    pixels = torch.stack([cos * x + sin * y, cos * y - sin * x], 1) + centre
    seen, inside = sample(image, pixels)
    near = [sample(f, pixels, "nearest")[0] for f in (depth, valid.to(depth))]
    return seen, near[0] / scale[:, None, None, None], (near[1] > 0.5) & inside


def with_intrinsics(
    x: Float[Tensor, "b c h w"],
    K: Float[Tensor, "b 3 3"],
    K_new: Float[Tensor, "b 3 3"],
    height: int,
    width: int,
    mode: str = "bilinear",
) -> tuple[Float[Tensor, "b c {height} {width}"], Bool[Tensor, "b 1 {height} {width}"]]:
    """A map of this size as a camera with other intrinsics sees it from the same place along the same axes (where depth
    stays what it is), and where it sees what the first one saw; beyond, the border is repeated."""
    rays = normalise(K_new, pixel_grid(height, width, K_new).expand(len(K_new), 2, height, width))
    return sample(x, project(rays, K)[0], mode)
