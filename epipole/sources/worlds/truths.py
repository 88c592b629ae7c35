"""Further truth beside the frames of a plain folder, in formats that others read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from epipole.formats import flo, png16
from epipole.formats.atomic import replacing
from epipole.types.errors import InputError

from .clip_truths import SLICES, focused_at, write_baseline, write_classes, write_focus, write_imu, write_scene
from .focus import focus_stack
from .world import World

HALF = 32767.5                  # of a 16-bit value's range, for a normal's component in [-1, 1]
DISPARITIES = 256.0             # per pixel, as in KITTI's disparity maps
SEEN, OUTSIDE, HIDDEN = 0, 128, 255  # of a point in the other frame, as grey levels


@dataclass(frozen=True)
class Truth:
    """One kind of truth: how the files of frame `i` are written, into which folders with which suffix, and how what
    holds for the whole clip is, and where."""

    frame: Callable[[World, Path, int], None] | None = None
    folders: dict[str, str] = field(default_factory=dict)
    clip: Callable[[World, Path], None] | None = None
    files: tuple[str, ...] = ()


def write_png(path: Path, values: np.ndarray) -> None:
    """Grey levels [h, w] or RGB [h, w, 3] of 8 or 16 bits."""
    _, data = cv2.imencode(".png", np.ascontiguousarray(values[..., ::-1] if values.ndim == 3 else values))
    with replacing(path) as part:
        part.write_bytes(data.tobytes())


def _normals(world: World, folder: Path, i: int) -> None:
    view = world.clip([i], {"normals", "depth_valid"})
    value = np.round((view.normals[0].permute(1, 2, 0).numpy().astype(float) + 1) * HALF)
    known = view.depth_valid[0, 0, :, :, None].numpy()
    write_png(folder / "normals" / f"{i:06d}.png", np.where(known, value, 0).astype(np.uint16))


def _semantic(world: World, folder: Path, i: int) -> None:
    semantic = world.clip([i], {"semantic"}).semantic[0, 0].numpy()
    write_png(folder / "semantic" / f"{i:06d}.png", semantic.astype(np.uint8))


def _instance(world: World, folder: Path, i: int) -> None:
    instance = world.clip([i], {"instance"}).instance[0, 0].numpy()
    write_png(folder / "instance" / f"{i:06d}.png", (instance + 1).astype(np.uint16))


def _flow_to(step: int, flow: str, occlusion: str) -> Callable[[World, Path, int], None]:
    def write(world: World, folder: Path, i: int) -> None:
        if not 0 <= i + step < len(world):
            return
        pair = world.clip([i, i + step], {"flow", "flow_valid", "occlusion", "depth_valid"})
        seen, hidden, moved = pair.flow_valid[0, 0].numpy(), pair.occlusion[0, 0].numpy(), pair.flow[0].numpy()
        known = pair.depth_valid[0, 0].numpy() & (seen | (moved != 0).any(0))  # none leads behind the camera
        flo.write(folder / flow / f"{i:06d}.flo", moved, known)
        fate = np.where(seen, SEEN, np.where(hidden, HIDDEN, OUTSIDE)).astype(np.uint8)
        write_png(folder / occlusion / f"{i:06d}.png", fate)

    return write


def _disparity(world: World, folder: Path, i: int) -> None:
    pair = world.stereo(i)
    right = (pair.image[1] * 255).round().byte().permute(1, 2, 0).numpy()
    write_png(folder / "right" / f"{i:06d}.png", right)
    known = pair.depth_valid[0, 0].numpy() & (pair.disparity[0, 0].numpy() * DISPARITIES <= png16.LARGEST)
    png16.write(folder / "disparity" / f"{i:06d}.png", np.where(known, pair.disparity[0, 0].numpy(), 0), DISPARITIES)


def _focus(world: World, folder: Path, i: int) -> None:
    stack = focus_stack(world, i, focused_at(world))
    for k, image in enumerate(stack):
        write_png(folder / "focus" / str(k) / f"{i:06d}.png", (image * 255).round().byte().permute(1, 2, 0).numpy())


TRUTHS = {
    "normals": Truth(_normals, {"normals": "png"}),
    "semantic": Truth(_semantic, {"semantic": "png"}, write_classes, ("classes.txt",)),
    "instance": Truth(_instance, {"instance": "png"}),
    "flow": Truth(_flow_to(1, "flow", "occlusion"), {"flow": "flo", "occlusion": "png"}),
    "backward_flow": Truth(_flow_to(-1, "backward_flow", "backward_occlusion"),
                           {"backward_flow": "flo", "backward_occlusion": "png"}),
    "disparity": Truth(_disparity, {"disparity": "png", "right": "png"}, write_baseline, ("baseline.txt",)),
    "focus": Truth(_focus, {f"focus/{k}": "png" for k in range(SLICES)}, write_focus, ("focus.txt",)),
    "scene": Truth(clip=write_scene, files=("scene.npz",)),
    "imu": Truth(clip=write_imu, files=("imu.csv", "T_camera_imu.txt")),
}
"""What can be written beside image, depth and path."""


def check_truths(names: Collection[str]) -> None:
    """Raises InputError for a kind of truth that there is not."""
    if unknown := sorted(set(names) - set(TRUTHS)):
        raise InputError(f"there is no truth {unknown[0]!r} to write; there are {', '.join(TRUTHS)} "
                         "(image, depth and path are always written)")
