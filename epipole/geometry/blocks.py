"""A sparse set of cubic blocks of space: which there are, and in which row of a table each one lies.

A block (i, j, k) along x, y, z is known by one whole number, its key; keys are kept sorted and found by bisection, as
every device can for many keys at a time.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SPAN = 2**20        # blocks from the origin in every direction; 3 x 21 bits make a key
LARGEST_BOX = 2**24  # cells of the box in which cells are told apart by marking rather than by sorting


def pack(blocks: Int[Tensor, "n 3"]) -> Int[Tensor, "n"]:
    """Keys, which rise with x, then y, then z."""
    x, y, z = (blocks.long() + SPAN).unbind(1)
    return (x * 2 * SPAN + y) * 2 * SPAN + z


def unpack(keys: Int[Tensor, "n"]) -> Int[Tensor, "n 3"]:
    """Blocks of keys."""
    xy, z = keys // (2 * SPAN), keys % (2 * SPAN)
    return torch.stack([xy // (2 * SPAN), xy % (2 * SPAN), z], 1) - SPAN


def distinct(blocks: Int[Tensor, "n 3"]) -> Int[Tensor, "m"]:
    """Keys of these blocks, sorted, each once."""
    if not len(blocks):
        return blocks.new_zeros(0)
    low, high = blocks.amin(0), blocks.amax(0)
    sx, sy, sz = (high - low + 1).tolist()
    if sx * sy * sz > LARGEST_BOX:
        return torch.unique(pack(blocks))
    x, y, z = (blocks - low).unbind(1)
    marked = torch.zeros(sx * sy * sz, dtype=torch.bool, device=blocks.device)
    marked[(x * sy + y) * sz + z] = True
    cell = marked.nonzero()[:, 0]
    return pack(torch.stack([cell // (sy * sz), cell // sz % sy, cell % sz], 1) + low)


def around(points: Float[Tensor, "n 3"], side: float, reach: float) -> Int[Tensor, "m"]:
    """Keys of all blocks of this side that come nearer than `reach` to a point along every axis, sorted, each once;
    points out of the grid's range, or not finite, are left out."""
    within = (points.abs() < (SPAN - 1) * side - reach).all(1)
    points = points[within]
    steps = torch.linspace(-reach, reach, 1 + max(1, -int(-2 * reach // side)), dtype=points.dtype)
    corners = torch.cartesian_prod(steps, steps, steps).to(points)
    return distinct(((points[:, None] + corners) / side).floor().long().flatten(0, 1))


class Index:
    """Keys and their rows; rows are given out in order, from 0."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.keys: Int[Tensor, "n"] = torch.zeros(0, dtype=torch.long, device=device)
        self._rows: Int[Tensor, "n"] = torch.zeros(0, dtype=torch.long, device=device)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Int[Tensor, "m"]) -> tuple[Int[Tensor, "m"], Bool[Tensor, "m"]]:
        """Rows of keys, and which of the keys there are; the others' row is 0."""
        if not len(self):
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self) - 1)
        known = self.keys[place] == keys
        return torch.where(known, self._rows[place], 0), known

    def insert(self, keys: Int[Tensor, "m"]) -> None:
        """Gives the next rows to keys that are sorted, each once, and new."""
        place = torch.searchsorted(self.keys, keys) + torch.arange(len(keys), device=keys.device)
        old = torch.ones(len(self) + len(keys), dtype=torch.bool, device=keys.device)
        old[place] = False
        rows = torch.arange(len(self), len(old), device=keys.device)
        merged = torch.empty_like(old, dtype=torch.long), torch.empty_like(old, dtype=torch.long)
        for whole, before, new in zip(merged, (self.keys, self._rows), (keys, rows), strict=True):
            whole[old], whole[place] = before, new
        self.keys, self._rows = merged
