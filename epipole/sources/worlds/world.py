"""A procedural world as a source of views: image, camera, exact depth, exact path, exact flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from epipole.types.errors import InputError
from epipole.types.views import Views

from . import room
from .materials import draw_materials
from .render import camera_rays, pixel_centres, render
from .scene import Geometry
from .spec import Spec
from .trajectory import walk

FAMILIES: dict[str, Callable[[Spec], Geometry]] = {"room": room.build}
"""Kind of world -> what builds its geometry."""

SEEN = 1e-4  # share of the depth by which a point may lie behind what the ray-caster meets on the way to it


class World:
    """A clip through a procedural scene: `world[i]` is a pure function of the spec and i.

    Raises InputError for a family that does not exist.
    """

    provides = frozenset({"image", "K", "T_world_camera", "depth", "depth_valid", "flow", "flow_valid"})

    def __init__(self, spec: Spec) -> None:
        if spec.family not in FAMILIES:
            raise InputError(f"there is no world family {spec.family!r}; there are {', '.join(FAMILIES)}")
        self.spec = spec
        self.geometry = FAMILIES[spec.family](spec)
        self.materials = draw_materials(self.geometry.surfaces, spec.random("textures", spec.textures))
        self.K: Float64[Tensor, "3 3"] = torch.from_numpy(spec.intrinsics())

    @cached_property
    def poses(self) -> Float64[Tensor, "frames 4 4"]:
        """T_world_camera of every frame, m; world z is up."""
        return walk(self.spec, self.geometry)

    def __len__(self) -> int:
        return self.spec.frames

    def __getitem__(self, index: int) -> Views:
        """View `index` (unbatched, N=1) without flow; raises IndexError beyond the clip."""
        i = range(len(self))[index]
        K, T, size = self.K.numpy(), self.poses[i].numpy(), (self.spec.width, self.spec.height)
        frame = render(self.geometry, self.materials, K, T, *size)
        image = torch.from_numpy(self._noisy(frame.image, i)).permute(2, 0, 1)
        depth = torch.from_numpy(frame.depth)[None, None]
        valid = depth.isfinite()
        return Views(
            image=image[None].contiguous(), K=self.K[None].float(), T_world_camera=self.poses[i : i + 1].float(),
            depth=torch.where(valid, depth, torch.zeros_like(depth)).float(), depth_valid=valid,
        )

    def _noisy(self, image: np.ndarray, index: int) -> np.ndarray:
        if self.spec.noise == 0:
            return image
        grain = self.spec.random("noise", index).standard_normal(image.shape, np.float32)
        return np.clip(image + np.float32(self.spec.noise) * grain, 0, 1)

    def clip(self, indices: Sequence[int], flow: bool = False) -> Views:
        """Several views as one (N = number of indices), with the flow from each to the next if asked for."""
        views = [self[i] for i in indices]
        fields = {name: torch.cat([getattr(v, name) for v in views]) for name in views[0].fields()}
        if flow:
            pairs = [self.flow(i, j) for i, j in zip(indices, [*indices[1:], indices[0]], strict=True)]
            fields["flow"], fields["flow_valid"] = (torch.stack(x) for x in zip(*pairs, strict=True))
        return Views(**fields)

    def flow(self, i: int, j: int) -> tuple[Float[Tensor, "2 h w"], Bool[Tensor, "1 h w"]]:
        """Exact flow from view i to view j, px, and where the point seen in i is seen in j too.

        A point that leads behind camera j gets flow 0.
        """
        height, width = self.spec.height, self.spec.width
        pixels = torch.from_numpy(pixel_centres(width, height))
        target, seen = self.track(i, j, pixels)
        return (target - pixels).T.reshape(2, height, width).float(), seen.reshape(1, height, width)

    def track(
        self, i: int, j: int, pixels: Float64[Tensor, "n 2"]
    ) -> tuple[Float64[Tensor, "n 2"], Bool[Tensor, "n"]]:
        """Where the scene points at pixels (u, v) of view i, whole or not, lie in view j, and whether they are seen
        there: in front, inside the image, with nothing before them."""
        K, at = self.K.numpy(), pixels.numpy()
        origin, directions = camera_rays(K, self.poses[i].numpy(), at)
        t = self.geometry.rays.cast(origin, directions).t
        hit = np.isfinite(t)
        point = origin + np.where(hit, t, 1.0)[:, None] * directions
        T = self.poses[j].numpy()
        x, y, z = ((point - T[:3, 3]) @ T[:3, :3]).T
        front = hit & (z > 1e-3)
        depth = np.where(front, z, 1.0)
        image = np.stack([K[0, 0] * x / depth + K[0, 2], K[1, 1] * y / depth + K[1, 2]], -1)
        target = np.where(front[:, None], image, at)
        last = np.array([self.spec.width - 1, self.spec.height - 1])
        origin, directions = camera_rays(K, T, target)
        clear = z <= self.geometry.rays.cast(origin, directions).t * (1 + SEEN)
        seen = front & clear & ((target >= 0) & (target <= last)).all(1)
        return torch.from_numpy(target), torch.from_numpy(seen)


class RoomWorld(World):
    """A furnished room seen by a hand-held camera."""

    def __init__(self, spec: Spec | None = None) -> None:
        spec = spec or Spec()
        if spec.family != "room":
            raise InputError(f"a RoomWorld cannot show the family {spec.family!r}")
        super().__init__(spec)
