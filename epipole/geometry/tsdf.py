"""Fusion of depth maps in a truncated signed distance field (Curless and Levoy 1996; blocks as in Niessner 2013).

Space is cut into blocks of 8^3 voxels that exist only near what was seen. A frame is forgotten once it is integrated,
so memory grows with the seen surface alone; where it would pass a limit, the voxels become twice as large.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .blocks import Index, around, distinct, pack, unpack
from .camera import NEAR
from .motion import se3_inverse

SIDE = 8                # voxels along a block
SDF, WEIGHT, RGB, RGB_WEIGHT = 0, 1, slice(2, 5), 5
CHANNELS = 6            # numbers a voxel holds; a block holds 12 kB in float32
SEEDS = 20_000          # pixels of a frame, about, that are asked which blocks they touch
CHUNK = {"cpu": 128, "cuda": 2**14}  # blocks updated at a time: what fits the cache, or fills the device


class Grid(NamedTuple):
    """A dense part of the field; distance and colour are meaningless where the weight is 0."""

    sdf: Float[Tensor, "z y x"]         # positive in front of surfaces, at most the truncation
    weight: Float[Tensor, "z y x"]      # sum of the weights of what was seen, at most the cap
    colour: Float[Tensor, "3 z y x"]


class _Frame(NamedTuple):
    """What one view brings, with a rim of one pixel without depth, onto which all falls that is not seen."""

    depth: Tensor               # [p], -inf where unknown
    weight: Tensor | None       # [p]
    colour: Tensor | None       # [3 p]
    width: int
    height: int
    KR: Tensor                  # [3 3]: x_image ~ KR X_world + Kt
    Kt: Tensor                  # [3]


class Tsdf:
    """A signed distance field that grows as frames are integrated. Voxel (i, j, k) is centred at (i + 1/2, j + 1/2,
    k + 1/2) times `voxel` in the world. Lengths have the unit of the poses; there are no gradients."""

    def __init__(
        self, voxel: float, truncation: float | None = None, cap: float = 64.0, most: int = 30_000,
        device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32,
    ) -> None:
        """`truncation` (default 4 voxels) is the distance at which the field is cut off; `cap` the largest weight,
        after which old measurements fade; `most` the number of blocks, of 12 kB each in float32, that there may be.

        Raises ValueError if voxel, cap or most is not positive, or the truncation is less than a voxel.
        """
        self.voxel, self.truncation = voxel, 4 * voxel if truncation is None else truncation
        self.cap, self.most = cap, most
        if not (voxel > 0 and cap > 0 and most > 0 and self.truncation >= voxel):
            raise ValueError(f"a field needs positive sizes and a truncation of a voxel at least, not {voxel=}, "
                             f"truncation={self.truncation}, {cap=}, {most=}")
        self._index = Index(device)
        self._table = torch.empty(most, CHANNELS, SIDE**3, device=device, dtype=dtype)  # its pages come when written to

    @property
    def blocks(self) -> Int[Tensor, "n 3"]:
        """The blocks that exist, along x, y, z, in units of 8 voxels."""
        return unpack(self._index.keys)

    @torch.no_grad()
    def integrate(
        self,
        depth: Float[Tensor, "1 h w"],
        T_world_camera: Float[Tensor, "4 4"],
        K: Float[Tensor, "3 3"],
        image: Float[Tensor, "3 h w"] | None = None,
        weight: Float[Tensor, "1 h w"] | None = None,
        valid: Bool[Tensor, "1 h w"] | None = None,
    ) -> None:
        """Takes in one view: running means of the distance along the optical axis, cut off at the truncation, and of
        colour where it was not cut off. `weight` of the pixels, default 1; for heteroscedastic depth the inverse
        variance in a fixed unit. Pixels that are not `valid`, or whose depth is not positive and finite, or whose
        weight is not positive, bring nothing."""
        known = depth.isfinite() & (depth > NEAR)
        if valid is not None:
            known &= valid
        if weight is not None:
            known &= weight > 0
        seeds = self._seeds(torch.where(known, depth, 0), T_world_camera, K)
        keys = self._allocate(seeds)
        rows, _ = self._index.find(keys)
        depth = torch.where(known, depth, -torch.inf)
        weight = None if weight is None else torch.where(known, weight, 0)
        frame = _frame(self._table, depth, T_world_camera, K, image, weight)
        blocks = unpack(keys)
        size = CHUNK.get(self._table.device.type, CHUNK["cuda"])
        for part, row in zip(blocks.split(size), rows.split(size), strict=True):
            voxels = self._table.index_select(0, row)
            self._update(voxels, part, frame)
            self._table.index_copy_(0, row, voxels)

    def _seeds(self, depth: Tensor, T_world_camera: Tensor, K: Tensor) -> Tensor:
        """Points in the world [n 3] of an even choice of pixels with depth."""
        step = max(1, round((depth.numel() / SEEDS) ** 0.5))
        v, u = torch.meshgrid(*(torch.arange(n, device=depth.device)[step // 2 :: step] for n in depth.shape[1:]),
                              indexing="ij")
        z = depth[0, v, u].flatten()
        seen = z > 0
        rays = torch.stack([u, v, torch.ones_like(u)], -1).flatten(0, 1)[seen].to(depth)
        points = z[seen, None] * (rays @ torch.linalg.inv(K).to(depth).mT)
        return points @ T_world_camera[:3, :3].to(depth).mT + T_world_camera[:3, 3].to(depth)

    def _allocate(self, points: Tensor) -> Tensor:
        """Keys of the blocks within the truncation of points, all of which exist afterwards."""
        points = points.to(self._table.device)
        while True:
            keys = around(points, SIDE * self.voxel, self.truncation)
            new = keys[~self._index.find(keys)[1]]
            if len(self._index) + len(new) <= self.most:
                break
            self._coarsen()
        self._table[len(self._index) : len(self._index) + len(new)] = 0
        self._index.insert(new)
        return keys

    def _update(self, voxels: Tensor, blocks: Tensor, frame: _Frame) -> None:
        """Running means of voxels [n CHANNELS 512], in place."""
        x, y, z = self._projected(blocks, frame)
        at = y.mul_(frame.width).add_(x).long()
        sdf = frame.depth[at] - z
        seen = (sdf > -self.truncation) & (z > NEAR)
        w = seen.to(sdf) if frame.weight is None else frame.weight[at] * seen
        near = w * (sdf < self.truncation)
        sdf.clamp_(-self.truncation, self.truncation)
        _mean_(voxels[:, SDF], voxels[:, WEIGHT], sdf, w, self.cap)
        if frame.colour is not None:
            colour = frame.colour[:, at].movedim(0, 1)
            _mean_(voxels[:, RGB], voxels[:, RGB_WEIGHT, None], colour, near[:, None], self.cap)

    def _projected(self, blocks: Tensor, frame: _Frame) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest pixel (x, y) of every voxel in the frame with its rim, in whole numbers, and its z; [n 512] each."""
        scale = self.voxel * frame.KR
        line = torch.arange(SIDE, device=blocks.device)
        inner = torch.cartesian_prod(line, line, line).flip(1).to(scale)  # x runs fastest
        corner = (SIDE * blocks).to(scale) + 0.5
        x, y, z = ((corner @ scale.mT + frame.Kt).mT[:, :, None] + (inner @ scale.mT).mT[:, None]).unbind(0)
        safe = z.clamp(min=NEAR)
        x, y = (p.div_(safe).add_(1).round_() for p in (x, y))
        return x.clamp_(0, frame.width - 1), y.clamp_(0, frame.height - 1), z

    def dense(self, first: tuple[int, int, int], count: tuple[int, int, int]) -> Grid:
        """The field in the box of `count` blocks that starts with block `first`, both along x, y, z."""
        lines = [torch.arange(a, a + n, device=self._table.device) for a, n in zip(first, count, strict=True)]
        rows, known = self._index.find(pack(torch.cartesian_prod(*lines)))
        box = torch.where(known[:, None, None], self._table[rows], 0)
        nx, ny, nz = count
        box = box.view(nx, ny, nz, CHANNELS, SIDE, SIDE, SIDE).permute(3, 2, 4, 1, 5, 0, 6)
        box = box.reshape(CHANNELS, nz * SIDE, ny * SIDE, nx * SIDE)
        return Grid(box[SDF], box[WEIGHT], box[RGB])

    def _coarsen(self) -> None:
        """Voxels of twice the size, each the weighted mean of eight, whose centres' mean is its own centre."""
        blocks, rows = self.blocks, self._index.find(self._index.keys)[0]
        keys = distinct(blocks.div(2, rounding_mode="floor"))
        index = Index(keys.device)
        index.insert(keys)
        parents = index.find(pack(blocks.div(2, rounding_mode="floor")))[0]
        half = SIDE // 2
        table = self._table.new_zeros(len(keys), CHANNELS, 2, half, 2, half, 2, half)
        for part in torch.arange(len(rows), device=rows.device).split(CHUNK["cuda"] // 8):
            x, y, z = (blocks[part] % 2).unbind(1)
            table[parents[part], :, z, :, y, :, x] = _pooled(self._table[rows[part]])
        self._table[: len(keys)] = table.flatten(2)
        self._index, self.voxel, self.truncation = index, 2 * self.voxel, 2 * self.truncation


def _frame(
    like: Tensor, depth: Tensor, T_world_camera: Tensor, K: Tensor, image: Tensor | None, weight: Tensor | None
) -> _Frame:
    """The view on the field's device, in its precision."""
    T = se3_inverse(T_world_camera.double())
    KR, Kt = (K.double() @ T[:3, :3]).to(like), (K.double() @ T[:3, 3]).to(like)

    def rimmed(x: Tensor, rim: float) -> Tensor:
        return torch.nn.functional.pad(x.to(like), (1, 1, 1, 1), value=rim).flatten(1)

    return _Frame(rimmed(depth, -torch.inf)[0], None if weight is None else rimmed(weight, 0.0)[0],
                  None if image is None else rimmed(image, 0.0), depth.shape[-1] + 2, depth.shape[-2] + 2, KR, Kt)


def _mean_(mean: Tensor, weight: Tensor, value: Tensor, w: Tensor, cap: float) -> None:
    """Running mean and its capped weight, in place: mean += (value - mean) w / (weight + w)."""
    weight.add_(w)
    share = w / weight.clamp(min=torch.finfo(w.dtype).tiny)
    mean.add_(value.sub_(mean).mul_(share))
    weight.clamp_(max=cap)


def _pooled(voxels: Tensor) -> Tensor:
    """Blocks [n CHANNELS 512] at half the resolution [n CHANNELS 4 4 4]: weighted means, and means of the weights."""
    half = SIDE // 2
    cube = voxels.unflatten(2, (half, 2, half, 2, half, 2))
    w, rgb_w = cube[:, WEIGHT, None], cube[:, RGB_WEIGHT, None]
    over = (3, 5, 7)
    weight, rgb_weight = w.mean(over), rgb_w.mean(over)
    tiny = torch.finfo(voxels.dtype).tiny
    sdf = (cube[:, SDF, None] * w).mean(over) / weight.clamp(min=tiny)
    rgb = (cube[:, RGB] * rgb_w).mean(over) / rgb_weight.clamp(min=tiny)
    return torch.cat([sdf, weight, rgb, rgb_weight], 1)
