"""Exact nearest neighbours among many points: boxes around runs of a Morton curve (Morton 1966), searched for a run of
queries at a time (dual tree, Gray & Moore 2000). Time grows as n log m on surfaces, memory as n + m."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

RUN = 8           # points in a leaf, at most
FAN = 4           # children of a node
JUMP = 4          # a leaf ends where the curve leaps farther than this times its median step
BATCH = 2048      # runs of queries searched at a time
HELD = 2**18      # distances held at a time
PAIRS = 2**14     # of boxes that are compared at once rather than descended to
SLACK = 1 + 1e-5  # what rounding may add to the distance of two boxes
SPREAD = ((32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
          (2, 0x1249249249249249))  # moves the 21 bits of a coordinate to every third of 63


class Tree(NamedTuple):
    """Points in the order of a Morton curve, in leaves of at most 8, and boxes around 1, 4, 16 … leaves."""

    points: Float[Tensor, "m 3"]                    # in the order of the curve
    curve: Int[Tensor, "m"]                         # how far along the curve
    cube: tuple[Float[Tensor, "3"], Float[Tensor, ""]]  # that the curve fills: low corner, size
    order: Int[Tensor, "m"]                         # place on the curve -> index of the point as given
    slot: Int[Tensor, "m"]                          # place on the curve -> 8 * leaf + lane
    place: Int[Tensor, "slots"]                     # 8 * leaf + lane -> place on the curve; 0 of an empty lane
    leaves: Float[Tensor, "leaves 3 8"]             # an empty lane repeats the leaf's first point
    full: Float[Tensor, "leaves 3 8"]               # an empty lane is infinite, and so is one more leaf at the end
    boxes: tuple[Float[Tensor, "6 nodes"], ...]     # highest and negated lowest corner; leaves first, <= FAN at the top
    held: tuple[Int[Tensor, "nodes"], ...]          # points in each


def tree(points: Float[Tensor, "m 3"]) -> Tree:
    """The tree of a cloud, without gradient. Raises ValueError if there is no point or one that is not finite."""
    if not len(points) or not points.isfinite().all():
        raise ValueError("a tree needs at least one point, and finite ones only")
    with torch.no_grad():
        low = points.amin(0)
        cube = low, (points.amax(0) - low).amax().clamp(min=torch.finfo(points.dtype).tiny ** 0.5)
        curve, order = _morton(points, *cube).sort()
        points = points[order]
        slot = _slots(points)
        lane = slot.new_full((int(slot[-1]) // RUN * RUN + RUN,), -1)
        lane[slot] = torch.arange(len(points), device=slot.device)
        lane = lane.view(-1, RUN)
        leaves = points[torch.where(lane < 0, lane[:, :1], lane)].mT.contiguous()
        full = leaves.masked_fill(lane[:, None] < 0, torch.inf)
        full = torch.cat([full, torch.full_like(full[:1], torch.inf)])
        place = torch.cat([lane.clamp(min=0).flatten(), lane.new_zeros(RUN)])
        boxes, held = _boxes(leaves), [(lane >= 0).sum(-1)]
        for _ in boxes[1:]:
            held.append(torch.nn.functional.pad(held[-1], (0, -len(held[-1]) % FAN)).view(-1, FAN).sum(-1))
        return Tree(points, curve, cube, order, slot, place, leaves, full, boxes, tuple(held))


def neighbours(
    query: Float[Tensor, "n 3"], among: Tree, k: int = 1, reach: float = torch.inf
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Indices of the k points nearest to every query, nearest first, and their distances; exact, without gradient.

    Beyond `reach` (and where the tree has fewer than k points) the distance is infinite and the index 0.
    """
    with torch.no_grad():
        own = tree(query)
        limit = bound(own.leaves, among, k).clamp(max=reach * reach)
        place, square = search(own.leaves, among, k, limit)
        distance = square.flatten(0, 1)[own.slot].sqrt()
        distance = torch.where(distance <= reach, distance, torch.inf)
        index = torch.where(distance.isfinite(), among.order[place.flatten(0, 1)[own.slot]], 0)
        back = inverse(own.order)
        return index[back], distance[back]


def rows(table: Tensor, index: Int[Tensor, "*n"]) -> Tensor:
    """table[index], several times as fast."""
    return table.index_select(0, index.flatten()).unflatten(0, index.shape)


def inverse(order: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """The permutation that undoes this one."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def bound(runs: Float[Tensor, "r 3 8"], among: Tree, k: int) -> Float[Tensor, "r"]:
    """What no query of a run has to exceed: the greatest squared k-th distance to those next to it on the curve."""
    width = min(RUN + 2 * k, len(among.points))
    if width < k:
        return torch.full_like(runs[:, 0, 0], torch.inf)
    rank = torch.searchsorted(among.curve, _morton(runs[..., RUN // 2], *among.cube))
    first = (rank - width // 2).clamp(0, len(among.points) - width)
    beside = rows(among.points, first[:, None] + torch.arange(width, device=rank.device))
    square = _squares(runs, beside.unbind(-1))
    return (square.amin(-1) if k == 1 else square.kthvalue(k, -1).values).amax(-1)


def search(
    runs: Float[Tensor, "r 3 8"], among: Tree, k: int, limit: Float[Tensor, "r"]
) -> tuple[Int[Tensor, "r 8 k"], Float[Tensor, "r 8 k"]]:
    """Places on the curve of `among` and *squared* distances of the k nearest, for runs of eight queries that are near
    each other. Only points within `limit` (squared) are looked for; farther ones may be among those found."""
    found = []
    for part, most in zip(runs.split(BATCH), limit.split(BATCH), strict=True):
        found.append(_closest(part, among, k, *_descend(_boxes(part), among, k, most)))
    slot, square = (torch.cat(part) for part in zip(*found, strict=True))
    return rows(among.place, slot), square


def _morton(points: Tensor, low: Tensor, size: Tensor) -> Tensor:
    """Places on the curve through the cube of this low corner and size: the bits of x, y, z in turns (int64)."""
    cells = 2**21 - 1
    cell = ((points - low) / size * cells).clamp(0, cells).long()
    for shift, mask in SPREAD:
        cell = (cell | (cell << shift)) & mask
    return cell[..., 0] | (cell[..., 1] << 1) | (cell[..., 2] << 2)


def _slots(points: Tensor) -> Tensor:
    """8 * leaf + lane of points along the curve: leaves are full unless the curve leaps."""
    step = (points[1:] - points[:-1]).square().sum(-1)
    leap = step > JUMP**2 * step.median() if len(step) else step > 0
    stretch = torch.nn.functional.pad(leap.cumsum(0), (1, 0))
    length = torch.bincount(stretch)
    leaves = (length + RUN - 1) // RUN
    shift = (leaves.cumsum(0) - leaves) * RUN - (length.cumsum(0) - length)
    return torch.arange(len(points), device=points.device) + shift[stretch]


def _boxes(leaves: Tensor) -> tuple[Tensor, ...]:
    """Highest and negated lowest corners of 1, 4, 16 … leaves."""
    boxes = [torch.cat([leaves.amax(-1).T, -leaves.amin(-1).T])]
    while boxes[-1].shape[-1] > FAN:
        boxes.append(_groups(boxes[-1]))
    return tuple(boxes)


def _groups(columns: Tensor) -> Tensor:
    """The greatest of every FAN columns."""
    rest = columns[..., -1:].expand(*columns.shape[:-1], -columns.shape[-1] % FAN)
    return torch.cat([columns, rest], -1).unflatten(-1, (-1, FAN)).amax(-1)


def _descend(queries: tuple[Tensor, ...], among: Tree, k: int, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of a run and a leaf that is not farther than the run's limit, which is lowered on the way."""
    limits = [limit]
    for _ in queries[1:]:
        limits.append(_groups(limits[-1]))
    i, j = len(queries) - 1, len(among.boxes) - 1
    while i + j and len(queries[max(i - 1, 0)][0]) * len(among.boxes[max(j - 1, 0)][0]) <= PAIRS:
        i, j = max(i - 1, 0), max(j - 1, 0)
    limit = limits[i]
    run = torch.arange(queries[i].shape[-1], device=limit.device).repeat_interleave(among.boxes[j].shape[-1])
    node = torch.arange(among.boxes[j].shape[-1], device=limit.device).repeat(queries[i].shape[-1])
    while True:
        reach = _reach(queries[i], among.boxes[j], run, node)
        if i + j:  # leaves are too small to tell anything new
            far = torch.where(rows(among.held[j], node) >= k, torch.maximum(*reach).square_().sum(0), torch.inf)
            limit = limit.scatter_reduce(0, run, far, "amin")
        near = torch.minimum(*reach).clamp_(max=0).square_().sum(0)
        kept = (near <= rows(SLACK * limit, run)).nonzero()[:, 0]
        run, node = rows(run, kept), rows(node, kept)
        if i == j == 0:
            return run, node
        if i:
            i, (run, node) = i - 1, _children(run, node, queries[i - 1].shape[-1])
            limit = torch.minimum(limit.repeat_interleave(FAN)[:len(limits[i])], limits[i])
        if j:
            j, (node, run) = j - 1, _children(node, run, among.boxes[j - 1].shape[-1])


def _children(parent: Tensor, other: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Every pair once for each child of its first part; there are `count` children in all."""
    child = (parent[:, None] * FAN + torch.arange(FAN, device=parent.device)).flatten()
    other = other[:, None].expand(-1, FAN).flatten()
    if not len(child) or child.max() < count:
        return child, other
    exists = (child < count).nonzero()[:, 0]
    return child[exists], other[exists]


def _reach(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """How far boxes a_i and b_j reach beyond each other's low corners along each axis, [2, 3, n]: both ends."""
    return a.index_select(1, i).add_(b.roll(3, 0).index_select(1, j)).unflatten(0, (2, 3))


def _closest(runs: Tensor, among: Tree, k: int, run: Tensor, leaf: Tensor) -> tuple[Tensor, Tensor]:
    """Slots and squared distances of the k nearest of all points in the leaves a run is paired with."""
    leaf = torch.cat([leaf[run.argsort()], leaf.new_full((1,), len(among.full) - 1)])
    count = torch.bincount(run, minlength=len(runs))
    start = count.cumsum(0) - count
    order = count.argsort(descending=True)  # runs with about as many leaves share a rectangle
    lanes = among.full.transpose(0, 1).contiguous()
    slots, squares, done = [], [], 0
    while done < len(order):
        width = max(int(count[order[done]]), k)
        part = order[done:done + max(1, HELD // (width * RUN * RUN))]
        column = torch.arange(width, device=leaf.device)
        candidate = rows(leaf, torch.where(column < count[part, None], start[part, None] + column, len(leaf) - 1))
        square, at = _least(_squares(rows(runs, part), [rows(x, candidate).flatten(1) for x in lanes]), k)
        slots.append(candidate.gather(1, (at // RUN).flatten(1)).view_as(at) * RUN + at % RUN)
        squares.append(square)
        done += len(part)
    back = inverse(order)
    return rows(torch.cat(slots), back), rows(torch.cat(squares), back)


def _squares(runs: Tensor, points: Iterable[Tensor]) -> Tensor:
    """Squared distances [r, 8, p] between the queries of a run [r, 3, 8] and the p points beside it, 3 of [r, p]."""
    x, y, z = (line[:, None] for line in points)
    u, v, w = runs[..., None].unbind(1)
    return (x - u).square_().add_((y - v).square_()).add_((z - w).square_())


def _least(square: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k least of the last axis, and where. One and two are looked for in the one and two best leaves alone, which
    is several times as fast."""
    if k > 2:
        return square.topk(k, -1, largest=False)
    leaf = _two(square.unflatten(-1, (-1, RUN)).amin(-1), k)[1]
    inside = square.unflatten(-1, (-1, RUN)).gather(-2, leaf[..., None].expand(*leaf.shape, RUN)).flatten(-2)
    least, at = _two(inside, k)
    return least, leaf.gather(-1, at // RUN) * RUN + at % RUN


def _two(square: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The least, or for k = 2 the two least, and where; two different places also where most are infinite."""
    least, at = square.min(-1, keepdim=True)
    if k == 1:
        return least, at
    rest = square.clamp(max=torch.finfo(square.dtype).max).scatter_(-1, at, torch.inf)
    at = torch.cat([at, rest.argmin(-1, keepdim=True)], -1)
    return square.gather(-1, at), at
