"""Cost volumes: how well every pixel of one feature map fits its candidates in another one.

Correlation is a banded matrix product. A tile of columns meets all the pixels that any of its own can meet, row by row,
as few dense products of copies that lie close in memory; the band, n of n + tile - 1 columns, is read as a view. All
gradients are written out, because those of slices would be as large as the volume, once per candidate; they cannot be
differentiated again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

FEW, MANY = 16, 32      # columns of a tile, for fewer than MANY candidates in a row and for more


def correlation_1d(
    left: Float[Tensor, "b c h w"], right: Float[Tensor, "b c h w"], disparities: int
) -> Float[Tensor, "b {disparities} h w"]:
    """Stereo: channel d at (y, x) is the mean over c of left(y, x) right(y, x - d); 0 where x < d."""
    return _Correlation.apply(left, right, _Reach(1, disparities, 0, disparities - 1, 1))[:, 0].flip(1)


def correlation_2d(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int = 20, stride: int = 2
) -> Float[Tensor, "b n h w"]:
    """Optical flow: channel j * side + i at (y, x) is the mean over c of first(y, x) second(y + dy, x + dx), 0 outside.

    dx = (i - m) stride and dy = (j - m) stride with m = reach // stride and side = 2 m + 1; the defaults are those of
    FlowNetC (Dosovitskiy 2015; 21 x 21 displacements).
    """
    m = reach // stride
    return _Correlation.apply(first, second, _Reach(2 * m + 1, 2 * m + 1, m, m, stride)).flatten(1, 2)


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


class _Reach(NamedTuple):
    """The candidates of a pixel: rows x columns of them, so many above and left of it, `stride` pixels apart."""

    rows: int
    columns: int
    above: int
    left: int
    stride: int


class _Correlation(torch.autograd.Function):
    """out(b, j, i, y, x) = 1/c sum_c first(b, c, y, x) second(b, c, y + (j - above) stride, x + (i - left) stride).

    Of the matrix of a tile's pixels by all that they meet, a row of pixels has numbers in `rows` rows of what is met
    alone, one later than the row of pixels above. Stored without the rest, it serves both derivatives: by the pixels of
    the tile row after row, by what is met as overlapping views, as many pixels' rows at a time as meet it.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, reach: _Reach) -> Tensor:
        ctx.save_for_backward(first, second)
        ctx.reach = reach
        b, c, h, w = first.shape
        out = first.new_empty(b, reach.rows, reach.columns, h, w)
        for k, y, x in _tiles(first, reach):
            a, u = _block(first[k, :, y, x]).div_(c), _window(second[k], y, x, reach)[0]
            _, n, tile = a.shape
            products = torch.bmm(_runs(u, n).mT, _runs(a, n))  # n rows*width tile
            width = u.shape[2] * tile
            band = products.as_strided((reach.rows, reach.columns, n, tile),
                                       (width, tile, reach.rows * width, tile + 1))
            out[k, :, :, y, x] = band
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (first, second), reach = ctx.saved_tensors, ctx.reach
        grad_first, grad_second = torch.empty_like(first), torch.zeros_like(second)
        for k, y, x in _tiles(first, reach):
            a, (u, into, at) = _block(first[k, :, y, x]), _window(second[k], y, x, reach)
            (c, n, tile), width, below = a.shape, u.shape[2], reach.rows - 1 - reach.above
            step = (tile * reach.rows + 1) * width       # from a row of the tile to the next one
            line = reach.rows * width                    # from a pixel to the next one
            G = a.new_zeros((n + reach.rows - 1) * step)
            band = G.as_strided((reach.rows, reach.columns, n, tile), (width, 1, step, line + 1), below * step)
            torch.div(grad[k, :, :, y, x], c, out=band)
            there = G.as_strided((n, tile, line), (step, line, 1), below * step)
            grad_first[k, :, y, x] = torch.bmm(_runs(u, n), there.mT).transpose(0, 1)
            back = G.as_strided((n, reach.rows * tile, width), (step, line, 1), line - width)
            a = torch.nn.functional.pad(a, (0, 0, below, reach.above))
            grad_second[k, :, y, into] += torch.bmm(_runs(a, n), back)[..., at].transpose(0, 1)
        return grad_first, grad_second, None


def _tiles(x: Tensor, reach: _Reach) -> Iterator[tuple[int, slice, slice]]:
    """Image, rows and columns. Pixels `stride` apart meet each other alone, and so share tiles."""
    (b, _, h, w), s = x.shape, reach.stride
    tile = s * (FEW if reach.columns < MANY else MANY)
    for k in range(b):
        for y, x0 in ((y, x0) for y in range(min(s, h)) for x0 in range(min(s, w))):
            yield from ((k, slice(y, h, s), slice(x, min(x + tile, w), s)) for x in range(x0, w, tile))


def _block(x: Tensor) -> Tensor:
    """A copy without gaps, in float32 at least."""
    return torch.empty(x.shape, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device).copy_(x)


def _window(x: Tensor, rows: slice, columns: slice, reach: _Reach) -> tuple[Tensor, slice, slice]:
    """All that the pixels of a tile meet in x [c h w], 0 outside; the columns that lie inside, and which they are of
    the window's."""
    s = reach.stride
    height, width = (len(range(t.start, t.stop, s)) + n - 1
                     for t, n in ((rows, reach.rows), (columns, reach.columns)))
    of_map, of_window = _inside(rows.start - s * reach.above, s, height, x.shape[1])
    into, at = _inside(columns.start - s * reach.left, s, width, x.shape[2])
    u = torch.zeros(len(x), height, width, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    u[:, of_window, at] = x[:, of_map, into]
    return u, into, at


def _inside(start: int, step: int, count: int, size: int) -> tuple[slice, slice]:
    """Of the places start, start + step, ... those in [0, size), and which of the `count` they are."""
    low, high = max(0, -(start // step)), min(count, (size - 1 - start) // step + 1)
    return slice(start + step * low, max(start + step * high, 0), step), slice(low, high)


def _runs(x: Tensor, n: int) -> Tensor:
    """[n c k * width] of x [c n+k-1 width]: k rows in a row, from each of n rows on; overlapping views."""
    c, height, width = x.shape
    return x.as_strided((n, c, (height - n + 1) * width), (width, height * width, 1))


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
