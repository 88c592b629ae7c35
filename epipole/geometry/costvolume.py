"""Cost volumes: how well every pixel of one feature map fits its candidates in another one.

Correlation is a banded matrix product. Columns go in blocks against all the columns they can meet, as many small dense
products, of which the band is read as a view; of n + block - 1 columns n are wanted. All gradients are written out,
because those of slices would be as large as the volume, once per candidate; they cannot be differentiated again.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

NARROWEST, WIDEST = 16, 32      # blocks of columns
PRODUCTS = 2**17                # numbers in the products held at a time: what stays in the cache


def correlation_1d(
    left: Float[Tensor, "b c h w"], right: Float[Tensor, "b c h w"], disparities: int
) -> Float[Tensor, "b {disparities} h w"]:
    """Stereo: channel d at (y, x) is the mean over c of left(y, x) right(y, x - d); 0 where x < d."""
    one, two = left.flip(-1), right.flip(-1)  # x - d becomes x + d
    return _correlated([one], [two], disparities, before=0, rows=[0])[:, 0].flip(-1)


def correlation_2d(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int = 20, stride: int = 2
) -> Float[Tensor, "b n h w"]:
    """Optical flow: channel j * side + i at (y, x) is the mean over c of first(y, x) second(y + dy, x + dx), 0 outside.

    dx = (i - m) stride and dy = (j - m) stride with m = reach // stride and side = 2 m + 1; the defaults are those of
    FlowNetC (Dosovitskiy 2015; 21 x 21 displacements).
    """
    m = reach // stride
    one, two = ([_phase(x, k, stride) for k in range(stride)] for x in (first, second))
    rows = [j * stride for j in range(-m, m + 1)]
    return _correlated(one, two, 2 * m + 1, before=m, rows=rows)[..., : first.shape[-1]].flatten(1, 2)


def concatenation_volume(
    left: Float[Tensor, "b c h w"], right: Float[Tensor, "b c h w"], disparities: int
) -> Float[Tensor, "b 2*c {disparities} h w"]:
    """GC-Net's volume (Kendall 2017, section 3.2): left(y, x) above right(y, x - d); both 0 where x < d."""
    return _Concatenation.apply(left, right, disparities)


def difference_volume(
    left: Float[Tensor, "b c h w"], right: Float[Tensor, "b c h w"], disparities: int
) -> Float[Tensor, "b c {disparities} h w"]:
    """left(y, x) - right(y, x - d); 0 where x < d."""
    return _Difference.apply(left, right, disparities)


def _phase(x: Tensor, k: int, stride: int) -> Tensor:
    """Columns k, k + stride, ...: displacements by `stride` become displacements by 1. As many for every k."""
    return F.pad(x, (0, -x.shape[-1] % stride))[..., k::stride]


def _correlated(one: list[Tensor], two: list[Tensor], count: int, before: int, rows: list[int]) -> Tensor:
    """[b, rows, count, h, w * phases]: mean over c of one(y, x) two(y + rows[j], x - before + i), 0 outside, for every
    phase, whose columns take turns."""
    c, w = one[0].shape[1], one[0].shape[-1]
    block = min(max(NARROWEST, count // 2), WIDEST)
    rim = (before, -w % block + count - 1 - before, -rows[0], rows[-1])
    a = torch.stack([F.pad(x / c, (0, -w % block)) for x in one], 1).transpose(2, 3)
    u = torch.stack([F.pad(x, rim) for x in two], 1).transpose(2, 3)
    volume = _Band.apply(a, u, [row - rows[0] for row in rows], block)
    return volume[..., :w, :].flatten(4)


class _Band(torch.autograd.Function):
    """out(b, j, i, y, x, p) = sum_c a(b, p, y, c, x) u(b, p, y + rows[j], c, x + i): many small matrix products, each
    gone before the next, between operands that are not copied."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, u: Tensor, rows: list[int], block: int) -> Tensor:
        a, u = a.contiguous(), u.contiguous()
        ctx.save_for_backward(a, u)
        ctx.rows, ctx.block = rows, block
        b, phases, h, _, w = a.shape
        out = a.new_empty(b, len(rows), u.shape[-1] - w + 1, h, w, phases)
        for there, one, two in _pieces(a, u, rows, block):
            out[there].copy_(_diagonals(torch.bmm(one.mT, two)).permute(1, 0, 2))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, u = ctx.saved_tensors
        grad_a, grad_u = torch.zeros_like(a), torch.zeros_like(u)
        pieces, gradients = _pieces(a, u, ctx.rows, ctx.block), _pieces(grad_a, grad_u, ctx.rows, ctx.block)
        for (there, one, two), (_, grad_one, grad_two) in zip(pieces, gradients, strict=True):
            products = a.new_zeros(len(one), ctx.block, two.shape[-1])
            _diagonals(products).copy_(grad[there].permute(1, 0, 2))
            grad_one += torch.bmm(two, products.mT)
            grad_two += torch.bmm(one, products)
        return grad_a, grad_u, None, None


def _diagonals(products: Tensor) -> Tensor:
    """View [n count block] of products [n block block+count-1]: element (k, i) is (i, i + k)."""
    n, block, reach = products.shape
    return products.as_strided((n, reach - block + 1, block), (block * reach, 1, reach + 1))


def _pieces(a: Tensor, u: Tensor, rows: list[int], block: int) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """The work by blocks of columns and some image rows: where in the output, and views of both operands."""
    b, phases, h, _, w = a.shape
    reach = block + u.shape[-1] - w
    size = max(1, PRODUCTS // (block * reach))
    corners = [(y, x) for y in range(0, h, size) for x in range(0, w, block)]
    for k, p in ((k, p) for k in range(b) for p in range(phases)):
        for y, x in corners:
            last = min(y + size, h)
            for j, row in enumerate(rows):
                there = (k, j, slice(None), slice(y, last), slice(x, x + block), p)
                yield there, a[k, p, y:last, :, x : x + block], u[k, p, y + row : last + row, :, x : x + reach]


class _Concatenation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, disparities: int) -> Tensor:
        b, c, h, w = left.shape
        out = left.new_empty(b, 2 * c, disparities, h, w)
        for d in range(disparities):
            out[:, :, d, :, :d] = 0
            out[:, :c, d, :, d:] = left[..., d:]
            out[:, c:, d, :, d:] = right[..., : max(w - d, 0)]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        on_left, on_right = grad.chunk(2, 1)
        return _gathered(on_left, shifted=False), _gathered(on_right, shifted=True), None


class _Difference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, disparities: int) -> Tensor:
        b, c, h, w = left.shape
        out = left.new_empty(b, c, disparities, h, w)
        for d in range(disparities):
            out[:, :, d, :, :d] = 0
            torch.sub(left[..., d:], right[..., : max(w - d, 0)], out=out[:, :, d, :, d:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return _gathered(grad, shifted=False), -_gathered(grad, shifted=True), None


def _gathered(grad: Tensor, shifted: bool) -> Tensor:
    """Sum over d of grad [b c d h w] where x >= d, at column x, or x - d if shifted."""
    b, c, disparities, h, w = grad.shape
    total = grad.new_zeros(b, c, h, w)
    for d in range(min(disparities, w)):
        part = total[..., : w - d] if shifted else total[..., d:]
        part += grad[:, :, d, :, d:]
    return total


def soft_argmin(
    cost: Float[Tensor, "b d h w"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Mean and variance (px, px^2) of the distribution softmax(-cost) over disparities 0, 1, ... (Kendall 2017, eq. 1).

    The mean is a disparity with sub-pixel steps, and between two equal minima it lies in their middle; there the
    variance is large.
    """
    share = (-cost).softmax(1)
    d = torch.arange(cost.shape[1], dtype=cost.dtype, device=cost.device)[:, None, None]
    mean = (share * d).sum(1, keepdim=True)
    return mean, (share * (d - mean).square()).sum(1, keepdim=True)
