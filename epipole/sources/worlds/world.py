"""A procedural world as a source of views: image, camera, and the exact truth of all they show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from epipole.types.errors import InputError
from epipole.types.views import Views

from .camera import Camera
from .families import FAMILIES
from .imu import Imu, measure
from .materials import draw_materials
from .render import View, cast, radiance
from .scene import Moment
from .sensor import develop, exposures
from .spec import Spec
from .spline import Path
from .track import Track, track
from .truth import OF_PAIR, PER_VIEW, TO_NEXT, TO_PREVIOUS, disparity_truth, flow_truth, view_truth

CAMERA = ("K", "distortion", "T_world_camera", "baseline")
READINGS = 10  # of the inertial sensor from one frame to the next
FIELDS = frozenset({"image", "imu", *CAMERA, *PER_VIEW, *TO_NEXT, *TO_PREVIOUS, *OF_PAIR})
"""All that a world can tell."""
USUAL = frozenset({"image", "K", "T_world_camera", "depth", "depth_valid"})


@lru_cache(maxsize=4)
def _met(world: World, index: int) -> View:
    """Kept beside the worlds: one that kept it in itself would not go before a collection of garbage."""
    return cast(world.moment(index), world.camera(index))


class World:
    """A clip through a procedural scene: `world[i]` is a pure function of the spec and i.

    fields   what the views carry, any of FIELDS; flow and the like appear only in clips of several views
    Raises InputError for a family or a field that does not exist.
    """

    def __init__(self, spec: Spec, fields: Collection[str] = USUAL) -> None:
        if spec.family not in FAMILIES:
            raise InputError(f"there is no world family {spec.family!r}; there are {', '.join(FAMILIES)}")
        self.spec, self.family = spec, FAMILIES[spec.family]
        self.provides = _known(fields)
        self.scene = self.family.scene(spec, spec.random("layout"))
        self.materials = draw_materials(self.scene.surfaces, spec.difficulty, spec.random("textures", spec.textures))
        self.K: Float64[Tensor, "3 3"] = torch.from_numpy(spec.intrinsics())

    @cached_property
    def path(self) -> Path:
        """Where the camera is at any time."""
        motion = self.family.motion if self.spec.motion == "default" else self.spec.motion
        return self.family.path(self.spec, self.scene, motion)

    @cached_property
    def imu(self) -> Imu:
        """What a sensor without errors in the camera's centre measures, `READINGS` times a frame."""
        return measure(self.spec, self.path, READINGS * self.spec.fps)

    def _readings(self, index: int, gap: int) -> Float[Tensor, "1 r 6"]:
        """Of the time since view `index - gap`; before the clip, where nothing is known, the first one again."""
        rows = np.arange((index - gap) * READINGS + 1, index * READINGS + 1).clip(min=0)
        return torch.from_numpy(np.concatenate([self.imu.gyro, self.imu.acceleration], 1)[rows])[None].float()

    @property
    def poses(self) -> Float64[Tensor, "frames 4 4"]:
        """T_world_camera of every frame, m; world z is up."""
        return self.path.poses

    def __len__(self) -> int:
        return self.spec.frames

    def camera(self, index: int) -> Camera:
        """The (left) camera of view `index`."""
        return self.camera_at(self.poses[index].numpy())

    def camera_at(self, T_world_camera: np.ndarray) -> Camera:
        s = self.spec
        return Camera(self.K.numpy(), T_world_camera, s.width, s.height, s.distortion)

    def moment(self, index: int) -> Moment:
        """The scene as it is when view `index` is taken."""
        return self.scene.at(index / self.spec.fps)

    def view(self, index: int) -> View:
        """What the pixels of view `index` meet; that of the views asked for last is at hand."""
        return _met(self, range(len(self))[index])

    def __getitem__(self, index: int) -> Views:
        """View `index` (unbatched, N=1), without what leads to other views; raises IndexError beyond the clip."""
        i = range(len(self))[index]
        row = self._seen(i, self.camera(i), self.view(i), self.provides)
        if "imu" in self.provides:
            row["imu"] = self._readings(i, 1)
        return Views(**row)

    def _seen(self, i: int, camera: Camera, view: View, names: Collection[str]) -> dict[str, Tensor]:
        """All that one view knows without any other."""
        fields = view_truth(self.scene, self.moment(i), camera, view, set(names))
        if "image" in names:
            fields["image"] = self._image(i, camera, view)
        known = {
            "K": self.K, "T_world_camera": torch.from_numpy(camera.T_world_camera),
            "distortion": torch.tensor(self.spec.distortion), "baseline": torch.tensor(self.spec.baseline),
        }
        return fields | {name: value[None].float() for name, value in known.items() if name in names}

    def _image(self, i: int, camera: Camera, view: View) -> Float[Tensor, "1 3 h w"]:
        colours = []
        for time, eye in exposures(self.spec, self.path, i, camera):
            moment = self.scene.at(time)
            seen = view if eye is camera else cast(moment, eye)
            colours.append(radiance(self.scene, moment, self.materials, eye, seen))
        image = develop(self.spec, i, colours[0] if len(colours) == 1 else np.mean(colours, axis=0))
        return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()

    def clip(self, indices: Sequence[int], fields: Collection[str] | None = None) -> Views:
        """Several views as one (N = number of indices); flow leads from each to the next and from the last to the
        first, backward flow the other way. `fields` stand in for the world's own.

        Raises InputError where inertial readings are asked for between views that do not follow at even gaps."""
        names = self.provides if fields is None else _known(fields)
        n, gaps = len(indices), {b - a for a, b in pairwise(indices)} or {1}
        if "imu" in names and (len(gaps) > 1 or min(gaps) < 1):
            raise InputError(f"inertial readings lead from view to view at even gaps, not to {list(indices)}")
        cameras, moments = [self.camera(i) for i in indices], [self.moment(i) for i in indices]
        views = [self.view(i) for i in indices]
        rows = [self._seen(i, c, v, names) for i, c, v in zip(indices, cameras, views, strict=True)]
        for k, row in enumerate(rows):
            if "imu" in names:
                row["imu"] = self._readings(indices[k], max(gaps))
            if names & set(TO_NEXT):
                a = (k + 1) % n
                found = track(self.scene, moments[k], views[k], moments[a], cameras[a])
                row |= flow_truth(found, cameras[k], cameras[a], set(names))
            if names & set(TO_PREVIOUS):
                found = track(self.scene, moments[k], views[k], moments[k - 1], cameras[k - 1])
                back = flow_truth(found, cameras[k], cameras[k - 1], {"flow", "flow_valid", "occlusion"})
                row |= {f"backward_{name}": value for name, value in back.items() if f"backward_{name}" in names}
            if names & set(OF_PAIR):
                row |= self._disparity(moments[k], views[k], cameras[k], 1)
        return Views(**{name: torch.cat([row[name] for row in rows]) for name in rows[0]})

    def _disparity(self, moment: Moment, view: View, camera: Camera, side: int) -> dict[str, Tensor]:
        """Of the camera whose partner stands to its right (side 1) or left (-1)."""
        partner = camera.moved(np.array([side * self.spec.baseline, 0.0, 0.0]))
        seen = track(self.scene, moment, view, moment, partner).seen
        return disparity_truth(view, camera, self.spec.baseline, seen)

    def stereo(self, index: int) -> Views:
        """The rectified pair at frame `index` (N=2: left, right) with all that each view knows, and both disparities.

        Raises InputError for a lens with distortion: its pairs are not rectified.
        """
        if any(self.spec.distortion):
            raise InputError("a pair of cameras with lens distortion is not rectified; set distortion to zeros")
        i, rows = range(len(self))[index], []
        left = self.camera(i)
        right = left.moved(np.array([self.spec.baseline, 0.0, 0.0]))
        moment, names = self.moment(i), self.provides - set(TO_NEXT) - set(TO_PREVIOUS)
        for camera, side in ((left, 1), (right, -1)):
            view = cast(moment, camera)
            rows.append(self._seen(i, camera, view, names) | self._disparity(moment, view, camera, side))
        return Views(**{name: torch.cat([row[name] for row in rows]) for name in rows[0]})

    def flow(self, i: int, j: int) -> tuple[Float[Tensor, "2 h w"], Bool[Tensor, "1 h w"]]:
        """Exact flow from view i to view j, px, and where the point seen in i is seen in j too.

        A point that leads behind camera j gets flow 0.
        """
        found = self._track(i, j, None)
        fields = flow_truth(found, self.camera(i), self.camera(j), {"flow", "flow_valid"})
        return fields["flow"][0], fields["flow_valid"][0]

    def track(
        self, i: int, j: int, pixels: Float64[Tensor, "n 2"]
    ) -> tuple[Float64[Tensor, "n 2"], Bool[Tensor, "n"]]:
        """Where the scene points at pixels (u, v) of view i, whole or not, lie in view j, and whether they are seen
        there: in front, inside the image, with nothing before them. A point that is not before camera j stays."""
        found = self._track(i, j, pixels.numpy())
        target = np.where(np.isfinite(found.pixels), found.pixels, pixels.numpy())
        return torch.from_numpy(target), torch.from_numpy(found.seen)

    def _track(self, i: int, j: int, pixels: np.ndarray | None) -> Track:
        now, then = self.moment(i), self.moment(j)
        view = self.view(i) if pixels is None else cast(now, self.camera(i), pixels)
        return track(self.scene, now, view, then, self.camera(j))


def _known(fields: Collection[str]) -> frozenset[str]:
    if unknown := set(fields) - FIELDS:
        raise InputError(f"a world cannot tell {sorted(unknown)}; it can tell {', '.join(sorted(FIELDS))}")
    return frozenset(fields)


class RoomWorld(World):
    """A furnished room seen by a hand-held camera."""

    def __init__(self, spec: Spec | None = None, fields: Collection[str] = USUAL) -> None:
        spec = spec or Spec()
        if spec.family != "room":
            raise InputError(f"a RoomWorld cannot show the family {spec.family!r}")
        super().__init__(spec, fields)
