"""Structural similarity of two images over 3x3 boxes (Wang 2004; box, constants and clip of Godard 2017).

The derivative is written out, and both ways go through the batch in pieces that stay in the cache: autograd would keep
some fifteen maps and read each several times, and memory is what these maps wait for. With box means m, n of the images
a, b, q = mean(a^2 + b^2) and p = mean(ab),

    SSIM = l s / (L S),  l = 2 m n + C1,  s = 2 (p - m n) + C2,  L = m^2 + n^2 + C1,  S = q - m^2 - n^2 + C2,

    dSSIM/dp = 2 l / (L S),  dSSIM/dq = -SSIM / S,
    dSSIM/dm = 2 n (s - l) / (L S) + 2 m SSIM (1 / S - 1 / L),  and so for n.

What a box mean passes on goes to its nine pixels alike; a pixel a moves p by b and q by 2 a. s and S do not change when
1/2 is taken from both images, which leaves them less rounding: p, q and their factors are those of a - 1/2, b - 1/2.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2  # for images in [0, 1]
PIECE = 400_000            # pixels handled at once on a CPU: a map of them and a few more stay in the cache


def dssim(a: Float[Tensor, "*b c h w"], b: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c y x"]:
    """clip((1 - SSIM) / 2, 0, 1) of images in [0, 1], over boxes that lie inside: the map is (h-2) x (w-2). Lower
    precision counts as float32. A second derivative is refused (RuntimeError)."""
    a, b = _precise(a), _precise(b)
    out: Tensor = _Dissimilarity.apply(a.reshape(-1, *a.shape[-3:]), b.reshape(-1, *b.shape[-3:]))
    return out.unflatten(0, a.shape[:-3]) if a.ndim > 3 else out[0]


def ssim_l1(
    a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], ssim: float = 0.85
) -> Float[Tensor, "b 1 h w"]:
    """ssim * DSSIM + (1 - ssim) * L1, mean over channels, full size by reflection (Godard 2019, eq. 3), in one pass.
    Lower precision counts as float32. A second derivative is refused (RuntimeError)."""
    out: Tensor = _Photometric.apply(_precise(a), _precise(b), ssim)
    return out


class _Dissimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        out = a.new_empty(*a.shape[:2], a.shape[2] - 2, a.shape[3] - 2)
        slopes = _room(out, ctx.needs_input_grad)
        for i in _pieces(a):
            similarity = _similarity(a[i] - 0.5, b[i] - 0.5, [None if k is None else k[i] for k in slopes])
            torch.mul(similarity, -0.5, out=out[i]).add_(0.5)
        ctx.save_for_backward(a, b, *slopes)
        return out.clamp_(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        _refuse_second_derivative()
        a, b, p, q, m, n = ctx.saved_tensors
        to_a, to_b = (None if k is None else torch.empty_like(a) for k in (m, n))
        for i in _pieces(a):
            x, y, g = a[i] - 0.5, b[i] - 0.5, grad[i] * (-0.5 / 9)
            to_p, to_q = _spread(p[i], g), _spread(q[i], g)
            for out, k, own, other in ((to_a, m, x, y), (to_b, n, y, x)):
                if out is not None:
                    torch.addcmul(_spread(k[i], g), to_p, other, out=out[i]).addcmul_(to_q, own)
        return to_a, to_b


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, ssim: float) -> Tensor:
        out = a.new_empty(len(a), 1, *a.shape[2:])
        slopes = _room(a, ctx.needs_input_grad)
        c = a.shape[1]
        for i in _pieces(a):
            x, y = _reflected(a[i] - 0.5), _reflected(b[i] - 0.5)
            similarity = _similarity(x, y, [None if k is None else k[i] for k in slopes])
            terms = (a[i] - b[i]).abs_().mul_((1 - ssim) / c)
            terms.add_(similarity.clamp_(-1, 1), alpha=-ssim / (2 * c)).add_(ssim / (2 * c))
            torch.sum(terms, 1, keepdim=True, out=out[i])
        ctx.save_for_backward(a, b, *slopes)
        ctx.ssim = ssim
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        _refuse_second_derivative()
        a, b, p, q, m, n = ctx.saved_tensors
        to_a, to_b = (None if k is None else torch.empty_like(a) for k in (m, n))
        for i in _pieces(a):
            x, y = a[i] - 0.5, b[i] - 0.5
            g = grad[i] * (-ctx.ssim / (2 * 9 * a.shape[1]))
            to_p, to_q = _folded(_spread(p[i], g)), _folded(_spread(q[i], g))
            apart = (x - y).sign_().mul_(grad[i] * ((1 - ctx.ssim) / a.shape[1]))
            for out, k, own, other, sign in ((to_a, m, x, y, 1), (to_b, n, y, x, -1)):
                if out is not None:
                    torch.addcmul(_folded(_spread(k[i], g)), to_p, other, out=out[i])
                    out[i].addcmul_(to_q, own).add_(apart, alpha=sign)
        return to_a, to_b, None


def _similarity(x: Tensor, y: Tensor, slopes: list[Tensor | None]) -> Tensor:
    """SSIM over the boxes inside x + 1/2 and y + 1/2; derivatives by p, q (halved: a pixel moves it by 2 a), m and n
    are left in `slopes`, where there is room."""
    p, q = _mean(x * y), _mean((x * x).addcmul_(y, y))
    m, n = _mean(x), _mean(y)
    s = p.addcmul_(m, n, value=-1).mul_(2).add_(C2)
    S = q.addcmul_(m, m, value=-1).addcmul_(n, n, value=-1).add_(C2)
    m, n = m.add_(0.5), n.add_(0.5)
    l = (m * n).mul_(2).add_(C1)
    L = (m * m).addcmul_(n, n).add_(C1)
    over = (L * S).reciprocal_()
    similarity = (l * s).mul_(over)
    by_p, by_q, by_m, by_n = slopes
    if by_p is None or by_q is None:
        return similarity
    torch.mul(l, over, out=by_p).mul_(2)
    torch.div(similarity, S, out=by_q).mul_(-2)
    cross, own = s.mul_(over).mul_(2).sub_(by_p), torch.div(similarity, L).mul_(-2).sub_(by_q)
    offset = (by_p + by_q).mul_(0.5)  # p and q are of images less 1/2, so their factors of m are m - 1/2
    for slope, mine, other in ((by_m, m, n), (by_n, n, m)):
        if slope is not None:
            torch.addcmul(offset, cross, other, out=slope).addcmul_(own, mine)
    return similarity


def _mean(x: Tensor) -> Tensor:
    """Over 3x3 boxes that lie inside."""
    return _sum(x).mul_(1 / 9)


def _sum(x: Tensor) -> Tensor:
    rows = (x[..., :-2, :] + x[..., 1:-1, :]).add_(x[..., 2:, :])
    return (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:])


def _spread(slope: Tensor, grad: Tensor) -> Tensor:
    """slope * grad of every box, given to its nine pixels: the adjoint of `_sum`."""
    framed = slope.new_zeros(*slope.shape[:-2], slope.shape[-2] + 4, slope.shape[-1] + 4)
    torch.mul(slope, grad, out=framed[..., 2:-2, 2:-2])
    return _sum(framed)


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():  # create_graph: without a word the derivative would count as a constant
        raise RuntimeError("SSIM has a first derivative only: call backward or grad without create_graph")


def _reflected(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="reflect")


def _folded(x: Tensor) -> Tensor:
    """The adjoint of `_reflected`."""
    x[..., 2] += x[..., 0]
    x[..., -3] += x[..., -1]
    x[..., 2, :] += x[..., 0, :]
    x[..., -3, :] += x[..., -1, :]
    return x[..., 1:-1, 1:-1]


def _room(like: Tensor, needed: tuple[bool, ...]) -> list[Tensor | None]:
    """For the derivatives by p, q, m, n, as far as they are needed."""
    wanted = (any(needed[:2]), any(needed[:2]), needed[0], needed[1])
    return [torch.empty_like(like) if want else None for want in wanted]


def _pieces(x: Tensor) -> Iterator[slice]:
    """Slices of the batch."""
    step = max(1, PIECE // max(1, x[0].numel())) if x.device.type == "cpu" and len(x) else max(1, len(x))
    return (slice(i, i + step) for i in range(0, len(x), step))


def _precise(x: Tensor) -> Tensor:
    return x.float() if x.dtype.itemsize < 4 else x
