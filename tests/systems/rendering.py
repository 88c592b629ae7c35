"""A ray caster for textured rectangles: images with exact depth and motion for tests."""

from dataclasses import dataclass

import torch
from torch import Tensor

from epipole.geometry.camera import normalise, pixel_grid
from epipole.geometry.motion import se3_inverse


@dataclass(frozen=True)
class Rectangle:
    """The part of the plane z = depth + slope . (x, y) with |x - centre_x| < half_x, |y - centre_y| < half_y."""

    depth: float
    slope: tuple[float, float] = (0.0, 0.0)
    centre: tuple[float, float] = (0.0, 0.0)
    half: tuple[float, float] = (1e6, 1e6)


SLANTED = (Rectangle(4.0, (0.4, -0.3)),)
BOXES = (
    Rectangle(6.0, (0.2, 0.1)),
    Rectangle(3.0, centre=(-0.7, 0.3), half=(0.6, 0.7)),
    Rectangle(4.0, centre=(1.2, -0.5), half=(0.7, 0.5)),
    Rectangle(2.5, (0.5, 0.0), centre=(0.5, 0.7), half=(0.3, 0.25)),
)


def texture(points: Tensor) -> Tensor:
    """Smooth colours in [0, 1] of world points [..., 3, h, w]."""
    x, y, z = points.unbind(-3)
    waves = [
        torch.sin(2.1 * x + 0.7 * y + z) + torch.sin(-1.3 * x + 2.9 * y),
        torch.sin(1.1 * x - 2.3 * y + 2 * z) + torch.sin(3.1 * x + 0.4),
        torch.sin(-0.8 * x + 1.7 * y + 1) + torch.sin(2.7 * x + 2.2 * y - z),
    ]
    return 0.5 + 0.22 * torch.stack(waves, -3)


def render(
    T_world_camera: Tensor, K: Tensor, height: int, width: int, scene: tuple[Rectangle, ...] = SLANTED
) -> tuple[Tensor, Tensor]:
    """Images [n, 3, h, w] and depth z [n, 1, h, w] seen from n poses."""
    rays = normalise(K, pixel_grid(height, width, K))
    directions = torch.einsum("nij,jhw->nihw", T_world_camera[:, :3, :3], rays)
    origin = T_world_camera[:, :3, 3, None, None]
    depth = torch.full((len(T_world_camera), height, width), torch.inf, dtype=K.dtype)
    for r in scene:
        normal = torch.tensor([-r.slope[0], -r.slope[1], 1.0], dtype=K.dtype)[:, None, None]
        z = (r.depth - (normal * origin).sum(1)) / (normal * directions).sum(1)
        hit = origin + z[:, None] * directions
        middle, half = (torch.tensor(v, dtype=K.dtype)[:, None, None] for v in (r.centre, r.half))
        seen = ((hit[:, :2] - middle).abs() < half).all(1) & (z > 0) & (z < depth)
        depth = torch.where(seen, z, depth)
    return texture(origin + depth[:, None] * directions), depth[:, None]


def relative(T_world_camera: Tensor, a: int, b: int) -> Tensor:
    """T_a_b of two of the poses."""
    return se3_inverse(T_world_camera[a]) @ T_world_camera[b]


def disparity_pyramid(depth: Tensor, levels: int = 4) -> list[Tensor]:
    """Inverse depth [..., h, w] at four scales; exact on planes, whose inverse depth is linear in the image."""
    flat = (1 / depth).flatten(0, -4)
    return [torch.nn.functional.avg_pool2d(flat, 2**s).unflatten(0, depth.shape[:-3]) for s in range(levels)]
