"""Cost volumes: how well every pixel of one feature map fits its candidates in another one.

Correlation is a banded matrix product. A tile of columns meets all the pixels that any of its own can meet, row by row,
in few dense products; the band, n of n + tile - 1 columns, is read as a view. All gradients are written out, because
those of slices would be as large as the volume, once per candidate; they cannot be differentiated again.
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
    volume = _correlated(left, right, _Reach(1, disparities, 0, disparities - 1, 1))
    return volume[:, 0].flip(1)


def correlation_2d(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int = 20, stride: int = 2
) -> Float[Tensor, "b n h w"]:
    """Optical flow: channel j * side + i at (y, x) is the mean over c of first(y, x) second(y + dy, x + dx), 0 outside.

    dx = (i - m) stride and dy = (j - m) stride with m = reach // stride and side = 2 m + 1; the defaults are those of
    FlowNetC (Dosovitskiy 2015; 21 x 21 displacements).
    """
    m = reach // stride
    return _correlated(first, second, _Reach(2 * m + 1, 2 * m + 1, m, m, stride)).flatten(1, 2)


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


    def alone(self) -> "_Reach":
        """Of a pixel that meets nothing but itself."""
        return _Reach(1, 1, 0, 0, self.stride)


def _correlated(first: Tensor, second: Tensor, reach: _Reach) -> Tensor:
    """`_Correlation` in float32 at least, as overlapping matrices are known to be multiplied right in these alone."""
    precise = torch.promote_types(first.dtype, torch.float32)
    volume: Tensor = _Correlation.apply(first.to(precise), second.to(precise), reach)
    return volume.to(first.dtype)


class _Correlation(torch.autograd.Function):
    """out(b, j, i, y, x) = 1/c sum_c first(b, c, y, x) second(b, c, y + (j - above) stride, x + (i - left) stride).

    Backward, the matrix of a tile's pixels by all that they meet has a band in which a row of pixels begins one row of
    what is met later than the one above. Stored without the rest, it serves both derivatives: by the pixels, row after
    row; by what is met, in views that overlap, as many rows of pixels at a time as meet it.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, reach: _Reach) -> Tensor:
        ctx.save_for_backward(first, second)
        ctx.reach = reach
        b, c, h, w = first.shape
        out = first.new_empty(b, reach.rows, reach.columns, h, w)
        one, two = _pixels(first), _pixels(second)
        for k, y, x in _tiles(one, reach):
            (a, _, _), (u, _, _) = _window(one[k], y, x, reach.alone()), _window(two[k], y, x, reach)
            n, tile, _ = a.shape
            products = torch.bmm(_runs(u, n), a.mT)  # [n rows*width tile]
            width = u.shape[1] * tile
            band = products.as_strided((reach.rows, reach.columns, n, tile),
                                       (width, tile, reach.rows * width, tile + 1))
            torch.div(band, c, out=out[k, :, :, y, x])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (first, second), reach = ctx.saved_tensors, ctx.reach
        one, two = _pixels(first), _pixels(second)
        grad_first, grad_second = torch.zeros_like(first), torch.zeros_like(second)
        grad_one, grad_two = _pixels(grad_first), _pixels(grad_second)
        below = reach.rows - 1 - reach.above
        for k, y, x in _tiles(one, reach):
            u, into, at = _window(two[k], y, x, reach)
            a, _, _ = _window(one[k], y, x, _Reach(reach.rows, 1, below, 0, reach.stride))
            (height, tile, c), width = a.shape, u.shape[1]
            n, line = height - reach.rows + 1, reach.rows * width     # rows of pixels; numbers from one pixel to ...
            step = tile * line + width                                # ... and from one row to the next
            G = u.new_zeros(height * step)
            band = G.as_strided((reach.rows, reach.columns, n, tile), (width, 1, step, line + 1), below * step)
            torch.div(grad[k, :, :, y, x], c, out=band)
            by_pixel = G.as_strided((n, tile, line), (step, line, 1), below * step)
            grad_one[k, y, x] = _product(by_pixel, _runs(u, n))
            by_met = G.as_strided((n, reach.rows * tile, width), (step, line, 1), line - width).mT
            grad_two[k, y, into] += _product(by_met, _runs(a, n))[:, at]
        return grad_first, grad_second, None


def _pixels(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w c"]:
    """A view; however it lies in memory, the rest goes along."""
    return x.movedim(1, -1)


def _tiles(pixels: Float[Tensor, "b h w c"], reach: _Reach) -> Iterator[tuple[int, slice, slice]]:
    """Image, rows and columns. Pixels `stride` apart meet each other alone, and so share tiles."""
    (b, h, w, _), s = pixels.shape, reach.stride
    tile = s * (FEW if reach.columns < MANY else MANY)
    for k in range(b):
        for y, x0 in ((y, x0) for y in range(min(s, h)) for x0 in range(min(s, w))):
            yield from ((k, slice(y, h, s), slice(x, min(x + tile, w), s)) for x in range(x0, w, tile))


def _window(
    pixels: Float[Tensor, "h w c"], rows: slice, columns: slice, reach: _Reach
) -> tuple[Float[Tensor, "y x c"], slice, slice]:
    """All that the pixels of a tile meet, 0 outside; the columns that lie inside, and which they are of the window's.
    A copy in which row follows row, where the map itself will not do."""
    s = reach.stride
    height, width = (len(range(t.start, t.stop, s)) + n - 1
                     for t, n in ((rows, reach.rows), (columns, reach.columns)))
    within, down = _inside(rows.start - s * reach.above, s, height, pixels.shape[0])
    into, at = _inside(columns.start - s * reach.left, s, width, pixels.shape[1])
    seen = pixels[within, into]
    if reach.rows == 1 and seen.shape[:2] == (height, width) and 1 in seen.stride()[1:]:
        return seen, into, at
    if pixels.stride(2) == 1:
        u = pixels.new_zeros(height, width, pixels.shape[2])
    else:
        u = pixels.new_zeros(pixels.shape[2], height, width).movedim(0, 2)
    u[down, at] = seen
    return u, into, at


def _inside(start: int, step: int, count: int, size: int) -> tuple[slice, slice]:
    """Of the places start, start + step, ... those in [0, size), and which of the `count` they are."""
    low, high = max(0, -(start // step)), min(count, (size - 1 - start) // step + 1)
    return slice(start + step * low, max(start + step * high, 0), step), slice(low, max(high, low))


def _runs(x: Float[Tensor, "y x c"], n: int) -> Float[Tensor, "n k c"]:
    """From each of n rows on as many as there are below the last one, their pixels in a line: views that overlap."""
    rows = len(x) - n + 1
    return x.as_strided((n, rows * x.shape[1], x.shape[2]), x.stride())


def _product(a: Float[Tensor, "n i k"], b: Float[Tensor, "n k j"]) -> Float[Tensor, "n i j"]:
    """The matrix product, in memory as b is."""
    return torch.bmm(a, b) if b.stride(2) == 1 else torch.bmm(b.mT, a.mT).mT


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
