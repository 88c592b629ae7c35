"""The factor from a run's unit to metres by one thing that is known; and whether that can be of a clip at all, asked
before it is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ..formats.gps import read_gps
from ..formats.inertial import read_imu
from ..formats.run import RunFiles
from ..formats.track import read_speed, read_track
from ..pipelines import scale
from ..pipelines.inertial_scale import by_inertia
from ..pipelines.scale import Scale
from ..sources.video import open_footage
from ..types.errors import InputError
from ..types.known import Known
from .mesh_run import footage_of
from .scale_tracks import Clip, fixes, positions, readings, speeds
from .stereo_scale import by_stereo, check_stereo

SOME = 200      # frames that are asked, evenly spread
LEAST_APART, STRETCHES = 5, 80      # frames over which the direction of motion is taken: a stretch of so many, at least


def check_readable(known: Known) -> None:
    """Raises InputError for a file that cannot be read, or has another layout."""
    if known.poses is not None:
        read_track(known.poses)
    if isinstance(known.speed, Path):
        read_speed(known.speed, np.zeros(1))
    if known.gps is not None:
        read_gps(known.gps)
    if known.imu is not None:
        read_imu(known.imu)
    if known.stereo is not None:
        open_footage(known.stereo)


def check_fits(known: Known, clip: Clip) -> None:
    """Raises InputError where it is plain without any map that this cannot tell the clip's scale."""
    match known.what:
        case "distance":
            _distance(known, clip)
        case "poses":
            positions(known, clip)
        case "speed":
            _, times, speed = speeds(known, clip)
            *_, metres = scale.stretches(torch.from_numpy(times), torch.from_numpy(speed))
            if int((metres > 0).sum()) < scale.FEWEST:
                raise InputError("scale cannot be found by the speed: it tells of less than a second of motion that "
                                 "the footage shows; use another measurement")
        case "gps":
            fixes(known, clip)
        case "imu":
            readings(known, clip)
        case "stereo" if clip.footage is not None:
            check_stereo(known, clip.footage, len(clip.timestamps))


def find_scale(run: RunFiles, known: Known, footage: str | Path | None = None) -> Scale:
    """The factor from the run's present unit to metres; `footage` is the run's, where it is no longer where it was, and
    is read where frames are compared. Raises InputError where the factor cannot be found."""
    frames = footage_of(run, footage) if known.what == "stereo" else None
    clip = Clip(run.timestamps, bool((run.about.get("footage") or {}).get("fps")), run.image_size, frames)
    check_fits(known, clip)
    return FINDERS[known.what](run, known, clip)


def _by_height(run: RunFiles, known: Known, clip: Clip) -> Scale:
    frames, path = some_frames(run), torch.from_numpy(run.path.copy())
    along = scale.directions(path, max(LEAST_APART, len(path) // STRETCHES))[frames]
    K = torch.from_numpy(run.depth_intrinsics)
    return scale.by_height(map(_depth_of(run), frames), K, float(known.height or 0), along)


def _by_poses(run: RunFiles, known: Known, clip: Clip) -> Scale:
    both, there = positions(known, clip)
    return scale.by_path(torch.from_numpy(run.path[both, :3, 3]), torch.from_numpy(there))


def _by_speed(run: RunFiles, known: Known, clip: Clip) -> Scale:
    both, times, speed = speeds(known, clip)
    return scale.by_speed(torch.from_numpy(run.path[both, :3, 3]), torch.from_numpy(times), torch.from_numpy(speed))


def _by_gps(run: RunFiles, known: Known, clip: Clip) -> Scale:
    found = fixes(known, clip)
    return scale.by_fixes(torch.from_numpy(found.along(run.path)), torch.from_numpy(found.metres))


def _by_imu(run: RunFiles, known: Known, clip: Clip) -> Scale:
    covered, times, read = readings(known, clip)
    return by_inertia(torch.from_numpy(run.path[covered]), torch.from_numpy(times), read)


def _by_stereo(run: RunFiles, known: Known, clip: Clip) -> Scale:
    if clip.footage is None:
        raise TypeError("stereo compares frames of the footage")
    return by_stereo(run, known, clip.footage)


def _distance(known: Known, clip: Clip) -> tuple[int, Float64[Tensor, "2 2"], float]:
    """Frame, both pixels (rows) and metres. Raises InputError for a frame or pixels that the clip does not have."""
    number, *ends, metres = known.distance or ()
    pixels, (w, h) = torch.tensor(ends, dtype=torch.float64).view(2, 2), clip.size
    if not 0 <= number < len(clip.timestamps):
        raise InputError(f"there is no frame {int(number)}: the clip has {len(clip.timestamps)}, counted from 0")
    if bool((pixels < 0).any()) or bool((pixels > torch.tensor([w - 1, h - 1])).any()):
        raise InputError(f"scale cannot be found: a pixel lies outside the picture, which has {w}x{h}")
    if torch.equal(*pixels):
        raise InputError("scale cannot be found: the distance is between two pixels, and both are the same")
    return int(number), pixels, metres


def _by_distance(run: RunFiles, known: Known, clip: Clip) -> Scale:
    frame, given, metres = _distance(known, clip)
    straight, shown = run.straight_pixels(given.numpy())
    if not shown.all():
        raise InputError("scale cannot be found: a pixel lies where the straightened picture ends; take one nearer to "
                         "the middle")
    pixels = torch.from_numpy(straight)
    depth, K = _depth_of(run), torch.from_numpy(run.depth_intrinsics)
    path = torch.from_numpy(run.path.copy())
    size = torch.tensor(run.depth[0].shape).flip(0)
    there = ((pixels + 0.5) * size / torch.tensor(clip.size) - 0.5).clamp(min=0).minimum(size - 1.0)
    points = scale.world_points(depth(frame), path[frame], K, there.T)
    frames = sorted({frame, *some_frames(run)})
    return scale.by_distance(map(depth, frames), path[frames], K, points, metres)


def some_frames(run: RunFiles) -> list[int]:
    """At most `SOME` frames, evenly spread."""
    return np.unique(np.linspace(0, len(run.path) - 1, SOME).round().astype(int)).tolist()


def _depth_of(run: RunFiles) -> Callable[[int], Tensor]:
    return lambda i: torch.from_numpy(run.depth[i])[None].double()


FINDERS: dict[str, Callable[[RunFiles, Known, Clip], Scale]] = {
    "height": _by_height, "distance": _by_distance, "poses": _by_poses, "speed": _by_speed, "gps": _by_gps,
    "imu": _by_imu, "stereo": _by_stereo,
}
