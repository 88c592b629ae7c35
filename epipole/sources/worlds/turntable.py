"""Turntables: one object seen from all round, and its shape as voxels, points and, for blobs, a geometry image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from epipole.types.errors import InputError
from epipole.types.views import Views

from .camera import Camera
from .families.objects import KINDS, SUBJECT, Subject, distance, kind_of, scene, subject
from .materials import draw_materials
from .meshes import Array
from .motions import look_at
from .rays import Hits
from .render import View, cast, radiance
from .sensor import develop
from .spec import Spec
from .truth import PER_VIEW, view_truth
from .volumes import occupancy, outer_points

SEEN = frozenset({"image", "silhouette", "label", "K", "T_world_camera", *PER_VIEW})
SHAPE = frozenset({"occupancy", "surface_points", "geometry_image"})


@dataclass(frozen=True)
class Rig:
    """Where the cameras of a turntable stand: `views` azimuths at each elevation, the first one before the object's
    front, then counter-clockwise seen from above. Chairs' 62 views are Rig(31, (20.0, 30.0))."""

    views: int = 24
    elevations: tuple[float, ...] = (30.0,)  # degrees

    def poses(self, far: float) -> Array:
        """T_world_camera [n, 4, 4] at this distance from the origin, m."""
        azimuth = np.tile(2 * np.pi * np.arange(self.views) / self.views - np.pi / 2, len(self.elevations))
        up = np.repeat(np.radians(self.elevations), self.views)
        at = far * np.stack([np.cos(azimuth) * np.cos(up), np.sin(azimuth) * np.cos(up), np.sin(up)], -1)
        return look_at(at, np.zeros(3), np.zeros(len(at)))


@dataclass(frozen=True)
class Strip(Camera):
    """Several cameras whose images stand one below the other, so that all are shaded at once."""

    poses: Array | None = None  # [n, 4, 4] T_world_camera

    def rays(self, pixels: Array) -> tuple[Array, Array]:
        """Origins and directions [n, 3], each from the camera in whose image the pixel lies."""
        assert self.poses is not None
        high = self.height // len(self.poses)
        k = np.floor((pixels[:, 1] + 0.5) / high).astype(int)
        x = self.normalised(pixels - np.stack([np.zeros(len(k)), k * high], 1))
        R = self.poses[k, :3, :3]
        return self.poses[k, :3, 3], x[:, :1] * R[..., 0] + x[:, 1:] * R[..., 1] + R[..., 2]


def _parts(view: View, count: int) -> list[View]:
    """What each of the cameras of a strip sees."""
    split = zip(*(np.split(x, count) for x in (view.origin, view.directions, *view.hits)), strict=True)
    return [View(origin, directions, Hits(*hits)) for origin, directions, *hits in split]


class Turntable:
    """`turntable[i]` is object i, the spec's scene plus i, in one view per pose of the rig.

    fields   what the views carry: any of SEEN; of the object itself `occupancy` (voxels^3 in the cube of 1 m about the
             world's origin), `surface_points` (so many, evenly on what can be seen of it from outside) and, where all
             objects are blobs, `geometry_image` (so many pixels a side)
    kinds    which kinds of objects there are; by default all take turns
    Raises InputError for a spec of another family, with lens distortion, for unknown fields or kinds.
    """

    def __init__(
        self, spec: Spec, objects: int = 1, fields: Collection[str] = SEEN | {"occupancy"}, rig: Rig = Rig(),
        kinds: Collection[str] = KINDS, voxels: int = 32, points: int = 16_384, pixels: int = 65,
    ) -> None:
        _check(spec, fields, kinds)
        self.spec, self.objects, self.provides, self.rig = spec, objects, frozenset(fields), rig
        self.voxels, self.points, self.pixels = voxels, points, pixels
        numbers = range(spec.scene, spec.scene + objects * len(KINDS))
        specs = [s for s in (replace(spec, scene=n) for n in numbers) if kind_of(s) in kinds]
        self.specs = specs[:objects]
        """Of every object."""

    def __len__(self) -> int:
        return self.objects

    def __getitem__(self, index: int) -> Views:
        spec = self.specs[range(self.objects)[index]]
        thing = subject(spec)
        return Views(**self._seen(spec, thing), **self._shape(spec, thing))

    def _seen(self, spec: Spec, thing: Subject) -> dict[str, Tensor]:
        place, names = scene(spec, spec.random("layout")), set(self.provides & SEEN)
        moment = place.at(0.0)
        materials = draw_materials(place.surfaces, spec.difficulty, spec.random("textures", spec.textures))
        poses, K = self.rig.poses(distance(spec)), spec.intrinsics()
        strip = Strip(K, poses[0], spec.width, spec.height * len(poses), poses=poses)
        whole = cast(moment, strip)
        if "image" in names:
            colour = radiance(place, moment, materials, strip, whole).reshape(len(poses), -1, 3)
        rows = []
        for k, (pose, part) in enumerate(zip(poses, _parts(whole, len(poses)), strict=True)):
            row = view_truth(place, moment, Camera(K, pose, spec.width, spec.height), part, names | {"instance"})
            row["silhouette"] = row["instance"] == SUBJECT
            if "image" in names:
                row["image"] = torch.from_numpy(develop(spec, k, colour[k])).permute(2, 0, 1)[None].contiguous()
            row["K"], row["T_world_camera"] = (torch.from_numpy(x).float()[None] for x in (K, pose))
            row["label"] = torch.tensor([KINDS.index(thing.kind)])
            rows.append(row)
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0] if name in names}

    def _shape(self, spec: Spec, thing: Subject) -> dict[str, Tensor]:
        corners = np.concatenate([part.mesh.corners for part in thing.parts])
        out: dict[str, Tensor] = {}
        if "occupancy" in self.provides:
            out["occupancy"] = torch.from_numpy(occupancy((corners + 0.5) * self.voxels, np.full(3, self.voxels)))
        if "surface_points" in self.provides:
            points, _ = outer_points(corners, self.points, spec.random("surface"))
            out["surface_points"] = torch.from_numpy(points.astype(np.float32))
        if "geometry_image" in self.provides:
            assert thing.blob is not None
            out["geometry_image"] = torch.from_numpy(thing.blob.geometry_image(self.pixels).astype(np.float32))
        return out


def _check(spec: Spec, fields: Collection[str], kinds: Collection[str]) -> None:
    if spec.family != "objects" or any(spec.distortion):
        raise InputError("a turntable shows the family 'objects' through a lens without distortion; "
                         f"this spec asks for {spec.family!r} and distortion {spec.distortion}")
    if unknown := set(fields) - SEEN - SHAPE:
        raise InputError(f"a turntable cannot tell {sorted(unknown)}; it can tell {', '.join(sorted(SEEN | SHAPE))}")
    if not kinds or set(kinds) - set(KINDS):
        raise InputError(f"a turntable shows {', '.join(KINDS)}, not {', '.join(sorted(kinds)) or 'nothing'}")
    if "geometry_image" in fields and set(kinds) != {"blob"}:
        raise InputError("only blobs have a geometry image; ask for kinds=('blob',)")
