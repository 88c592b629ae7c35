"""A world in the layouts of others: a sequence of KITTI's odometry set, a coloured mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from epipole.formats import kitti, mesh, png16
from epipole.formats.atomic import make_folder
from epipole.formats.numbers import write_table
from epipole.types.errors import InputError

from .export import Progress, rgb, write_image
from .spec import Spec
from .world import World

KITTI_DEPTH = 256.0  # values per metre in KITTI's depth maps (Uhrig et al. 2017)
FORWARD = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # from z up, y ahead to y down, z ahead
WRITERS: dict[str, Callable[..., None]] = {".ply": mesh.write_ply, ".glb": mesh.write_glb}


def write_kitti(spec: Spec, folder: str | Path, sequence: str = "00", progress: Progress | None = None) -> Path:
    """Renders the clip in stereo as one sequence of KITTI's odometry set (Geiger et al. 2012).

    `sequences/SS/` holds `image_2` and `image_3` (left and right, PNG), `depth_2` (left, 16 bit, 1/256 m, 0 unknown),
    `calib.txt` (P0 to P3) and `times.txt` (s); `poses/SS.txt` is the left camera's path, its first pose the identity.
    Raises InputError for a lens with distortion, or where the folder cannot be written.
    """
    world = World(spec)
    place, poses = make_folder(Path(folder) / "sequences" / sequence), make_folder(Path(folder) / "poses")
    for name in ("image_2", "image_3", "depth_2"):
        make_folder(place / name)
    for i in range(len(world)):
        pair = world.stereo(i)
        for name, image in zip(("image_2", "image_3"), pair.image, strict=True):
            write_image(place / name / f"{i:06d}.png", rgb(image))
        depth = np.where(pair.depth_valid[0, 0].numpy(), pair.depth[0, 0].numpy(), 0)
        depth = np.where(depth * KITTI_DEPTH > png16.LARGEST, 0, depth)  # too far for the file: unknown, not nearer
        png16.write(place / "depth_2" / f"{i:06d}.png", depth, KITTI_DEPTH)
        if progress:
            progress(i + 1, len(world))
    kitti.write_projections(place / "calib.txt", _projections(world))
    write_table(place / "times.txt", np.arange(len(world))[:, None] / spec.fps)
    path = world.poses.numpy()
    kitti.write_poses(poses / f"{sequence}.txt", np.linalg.inv(path[0]) @ path)
    return Path(folder)


def _projections(world: World) -> dict[str, np.ndarray]:
    """P0 and P2 of the left camera, P1 and P3 of the right one, as KITTI's grey and coloured pairs."""
    left = world.K.numpy() @ np.eye(3, 4)
    right = left.copy()
    right[0, 3] = -left[0, 0] * world.spec.baseline
    return {"P0": left, "P1": right, "P2": left, "P3": right}


def write_mesh(world: World, path: str | Path, index: int = 0) -> Path:
    """The whole scene as it is at frame `index`, each material in its mean colour, as `.ply` (the world's axes, z up,
    the same as the poses') or `.glb` (glTF's, y up); m. Raises InputError for any other suffix."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise InputError(f"a mesh is written as {' or '.join(WRITERS)}, not as {path.name!r}")
    corners = world.moment(range(len(world))[index]).corners.reshape(-1, 3)
    if path.suffix == ".glb":
        corners = corners @ FORWARD.T
    mean = world.materials.mean[world.scene.material]
    colors = (255 * np.clip(mean, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)
    faces = np.arange(len(corners)).reshape(-1, 3)
    WRITERS[path.suffix](path, corners.astype(np.float32), faces, np.repeat(colors, 3, axis=0))
    return path
