"""A coloured mesh from posed views, one after the other: depth is fused in a signed distance field, frames are
forgotten, and memory grows with the seen surface up to a limit; trains nothing."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.tsdf import Tsdf
from ..types.predictions import Depth, Surface
from ..types.views import Views
from .marching import extract

DepthMethod = Callable[[Views], Depth]
"""What says how deep a view is: a system, or `measured`."""

Keep = Callable[[Views, Depth], Bool[Tensor, "1 1 h w"]]
"""Which pixels of a view may enter the map, beyond what `Config` asks for."""


@dataclass(frozen=True)
class Config:
    """Lengths have the unit of the poses."""

    voxel: float
    """Size of a voxel; it doubles whenever `most` blocks do not suffice."""
    truncation: float = 4.0
    """Voxels before and behind a surface in which it is blurred; more for noisier depth."""
    far: float = math.inf
    """Depth beyond which nothing is taken."""
    steepest: float = 0.1
    """A pixel whose depth differs by more than this share from a neighbour's lies on an edge and is left out."""
    sure: float = 0.02
    """Relative error with which a pixel of known `log_variance` weighs 1."""
    heaviest: float = 4.0
    """Most that a single pixel may weigh."""
    cap: float = 64.0
    """Most that a voxel may weigh: older views fade."""
    most: int = 30_000
    """Blocks of 8^3 voxels, 12 kB each."""
    least_weight: float = 1.0
    """A surface has to be seen with more than this weight."""


def measured(view: Views) -> Depth:
    """The depth that the view itself carries; 0 where it is not valid."""
    depth = view.depth
    return Depth(depth=torch.where(view.depth_valid, depth, 0) if "depth_valid" in view else depth)


class Mapping:
    """`step(view)` for every view (unbatched, N = 1, with K, T_world_camera and, for colour, image), then `result()`.

    Depth and image have one size, which is that of K. Depth that is not positive and finite is unknown.
    """

    def __init__(
        self, config: Config, depth_of: DepthMethod = measured, keep: Keep | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.depth_of, self.keep = config, depth_of, keep
        self.field = Tsdf(config.voxel, config.truncation * config.voxel, config.cap, config.most, device)

    @torch.no_grad()
    def step(self, view: Views) -> None:
        """Takes in one view."""
        said = self.depth_of(view)
        valid = (said.depth <= self.config.far) & ~steep(said.depth, self.config.steepest)
        if self.keep is not None:
            valid &= self.keep(view, said)
        weight = None
        if "log_variance" in said:
            weight = (self.config.sure**2 * torch.exp(-said.log_variance)).clamp(max=self.config.heaviest)[0]
        image = view.image[0] if "image" in view else None
        self.field.integrate(said.depth[0], view.T_world_camera[0], view.K[0], image, weight, valid[0])

    def result(self) -> Surface:
        """The mesh of what was seen so far; `step` may follow."""
        return extract(self.field, self.config.least_weight)


def steep(depth: Float[Tensor, "*b 1 h w"], share: float) -> Bool[Tensor, "*b 1 h w"]:
    """Pixels on or beside an edge of depth: a neighbour in the row or column differs by more than this share. Unknown
    depth (0, or not finite) makes no edge."""
    log = torch.where((depth > 0) & depth.isfinite(), depth, torch.nan).log()
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (-1, -2):
        jump = log.diff(dim=axis).abs() > math.log1p(share)
        edge.narrow(axis, 1, jump.shape[axis]).logical_or_(jump)
        edge.narrow(axis, 0, jump.shape[axis]).logical_or_(jump)
    return edge
