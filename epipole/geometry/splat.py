"""Forward warp: every source pixel is thrown to where it lies in the target.

`pixels` says where (as `reproject` from the source's side, or pixel_grid + flow). Targets that nothing reaches are
holes: 0, and False in the mask.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SHARE = 1e-6  # a source pixel that gives a target less than this share of itself is no reason to call it covered


def splat_nearest(
    image: Float[Tensor, "b c y x"], pixels: Float[Tensor, "b 2 y x"], z: Float[Tensor, "b 1 y x"],
    height: int, width: int,
) -> tuple[Float[Tensor, "b c {height} {width}"], Float[Tensor, "b 1 {height} {width}"],
           Bool[Tensor, "b 1 {height} {width}"]]:
    """Z-buffer: of the source pixels that round to a target, the one with the smallest z > 0 (of equals the first).

    Gives its values, its z, and where there is one. Differentiable in image and z, not in pixels. The same on every
    run and device.
    """
    n, holes = z[0].numel(), height * width
    goal, hit = _index(pixels.round(), height, width)
    goal = torch.where(hit & (z.flatten(1) > 0), goal, holes)  # one more target, for those that miss
    depth = z.detach().flatten(1)
    nearest = depth.new_full((len(z), holes + 1), torch.inf).scatter_reduce(1, goal, depth, "amin")
    order = torch.arange(n, device=z.device).expand(len(z), -1)
    order = torch.where(depth == nearest.gather(1, goal), order, n)
    winner = order.new_full((len(z), holes + 1), n).scatter_reduce(1, goal, order, "amin")[:, None, :-1]
    seen = winner < n
    values = torch.cat([image, z], 1).flatten(2)
    found = values.gather(2, winner.clamp(max=n - 1).expand(-1, values.shape[1], -1))
    found, seen = (m.unflatten(2, (height, width)) for m in (torch.where(seen, found, 0), seen))
    return found[:, :-1], found[:, -1:], seen


def splat_soft(
    image: Float[Tensor, "b c y x"], pixels: Float[Tensor, "b 2 y x"], logit: Float[Tensor, "b 1 y x"],
    height: int, width: int,
) -> tuple[Float[Tensor, "b c {height} {width}"], Bool[Tensor, "b 1 {height} {width}"]]:
    """Softmax splatting: sum b exp(logit) image / sum b exp(logit) over the source pixels near a target, b the bilinear
    share that it gets of each (Niklaus & Liu 2020, eq. 14), and where the target gets anything.

    Logit 0 is average splatting; -k z or k / z lets the nearer win, the more the larger k. Differentiable in
    everything; logits of any size neither overflow nor leave holes.
    """
    pixels = torch.where(pixels.isfinite(), pixels, -2)  # outside
    corner = pixels.detach().floor()
    corners = [corner + corner.new_tensor([i, j])[:, None, None] for j in (0, 1) for i in (0, 1)]
    share = torch.cat([(1 - (pixels - c).abs()).clamp(min=0).prod(1).flatten(1) for c in corners], 1)
    goals, hits = zip(*(_index(c, height, width) for c in corners), strict=True)
    goal, hit = torch.cat(goals, 1), torch.cat(hits, 1)
    logit = logit.flatten(1).repeat(1, 4)

    holes = height * width
    counts = hit & (share.detach() >= SHARE)
    top = logit.new_full((len(logit), holes + 1), -torch.inf)
    top = top.scatter_reduce(1, torch.where(counts, goal, holes), logit.detach(), "amax")[:, :holes]
    seen = top > -torch.inf
    goal = goal.clamp(0, holes - 1)
    used = hit & seen.gather(1, goal)
    # a corner too small to count has its logit cut where it would weigh as much as one that counts
    rise = torch.where(used, logit - top.gather(1, goal), 0).clamp(max=-math.log(SHARE))
    weight = torch.where(used, share * rise.exp(), 0)[:, None]
    values = torch.cat([image, torch.ones_like(image[:, :1])], 1).flatten(2).repeat(1, 1, 4)
    total = values.new_zeros(*values.shape[:2], holes).scatter_add(
        2, goal[:, None].expand_as(values), torch.where(used[:, None], weight * values, 0))
    seen = seen[:, None]
    mean = torch.where(seen, total[:, :-1] / torch.where(seen, total[:, -1:], 1), 0)
    return mean.unflatten(2, (height, width)), seen.unflatten(2, (height, width))


def _index(
    pixels: Float[Tensor, "b 2 y x"], height: int, width: int
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Row-major index of whole pixels (meaningless outside), and which lie inside."""
    u, v = pixels.flatten(2).unbind(1)
    hit = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    return torch.where(hit, v * width + u, 0).long(), hit
