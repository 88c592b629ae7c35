"""The inverse warp and the photometric map, forward and backward, at batch 4, 3 channels, 640 x 192."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from contest import Contest, Rival
from torch import Tensor

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp
from epipole.geometry.warp import inverse_warp
from epipole.losses.ssim import C1, C2, ssim_l1

try:
    import kornia
except ImportError:
    kornia = None  # type: ignore[assignment]

B, H, W = 4, 192, 640


def contests(threads: int) -> Iterator[Contest]:
    yield warp_contest()
    yield photometric_contest()


def images() -> tuple[Tensor, Tensor]:
    """An image of blobs, and the same a pixel aside with noise."""
    g = torch.Generator().manual_seed(0)
    a = F.interpolate(torch.rand(B, 3, H // 4, W // 4, generator=g), (H, W), mode="bicubic").clamp(0, 1)
    return a, (a.roll(1, -1) + 0.02 * torch.randn(a.shape, generator=g)).clamp(0, 1)


def warp_contest() -> Contest:
    """Gradients to depth and pose; of the bare look-up to its grid."""
    image, up = images()
    g = torch.Generator().manual_seed(0)
    depth = (2 + 8 * torch.rand(B, 1, H, W, generator=g)).requires_grad_()
    T = se3_exp(0.02 * torch.randn(B, 6, generator=g)).requires_grad_()
    K = intrinsics(400, 400, W / 2 - 0.5, H / 2 - 0.5).float().expand(B, 3, 3).contiguous()
    grid = F.affine_grid(torch.eye(2, 3).expand(B, 2, 3), [B, 3, H, W], align_corners=True)
    grid = (grid + 0.01 * torch.randn(grid.shape, generator=g)).requires_grad_()

    def ours() -> None:
        torch.autograd.grad(inverse_warp(image, depth, T, K, K)[0], (depth, T), up)

    def peer() -> None:
        torch.autograd.grad(kornia.geometry.depth.warp_frame_depth(image, depth, T, K), (depth, T), up)

    def floor() -> None:
        torch.autograd.grad(F.grid_sample(image, grid, align_corners=True, padding_mode="border"), grid, up)

    return Contest("inverse warp", ours, (
        Rival("kornia `warp_frame_depth`", peer if kornia else None, 1 / 3), Rival("bare `grid_sample`", floor, 2.0)))


def photometric_contest() -> Contest:
    """Gradient to the synthetic image."""
    a, b = images()
    a.requires_grad_()

    def both_ways(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(f(a, b).mean(), a)

    def peer(a: Tensor, b: Tensor) -> Tensor:
        return 0.85 * kornia.losses.ssim_loss(a, b, 3, reduction="none").mean(1) + 0.15 * (a - b).abs().mean(1)

    return Contest("SSIM + L1", both_ways(ssim_l1), (
        Rival("unfused SSIM + L1", both_ways(unfused), 1 / 4),
        Rival("kornia `ssim_loss`, window 3, + L1", both_ways(peer) if kornia else None)), note=difference(a, b))


def difference(a: Tensor, b: Tensor) -> str:
    """How far ours and the unfused loss are from the unfused one in float64."""
    result = []
    for f, x, y in ((ssim_l1, a, b), (unfused, a, b), (unfused, a.double(), b.double())):
        x = x.detach().requires_grad_()
        value = f(x, y)
        result.append((value.detach().double(), torch.autograd.grad(value.mean(), x)[0].double()))
    (v, g), (v32, g32), (v64, g64) = result
    share = [float((x - g64).norm() / g64.norm()) for x in (g, g32)]
    ours, theirs = (float((x - v64).abs().max()) for x in (v, v32))
    return (f"value within {ours:.0e} of float64, the unfused {theirs:.0e}; "
            f"gradient within {share[0]:.0e} and {share[1]:.0e} of its norm")


def unfused(a: Tensor, b: Tensor) -> Tensor:
    """0.85 DSSIM + 0.15 L1 as it is commonly written: five means over boxes, the rest by autograd."""
    pa, pb = (F.pad(x, (1, 1, 1, 1), mode="reflect") for x in (a, b))
    mean_a, mean_b, aa, bb, ab = (F.avg_pool2d(x, 3, 1) for x in (pa, pb, pa * pa, pb * pb, pa * pb))
    ssim = (2 * mean_a * mean_b + C1) * (2 * (ab - mean_a * mean_b) + C2)
    ssim = ssim / ((mean_a**2 + mean_b**2 + C1) * (aa - mean_a**2 + bb - mean_b**2 + C2))
    return (0.85 * ((1 - ssim) / 2).clamp(0, 1) + 0.15 * (a - b).abs()).mean(1, keepdim=True)
