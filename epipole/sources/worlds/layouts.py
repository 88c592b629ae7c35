"""A world in the layouts of others: a sequence of KITTI's odometry set, a trajectory of TartanAir, a coloured mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from epipole.formats import kitti, mesh, png16
from epipole.formats.atomic import make_folder, replacing
from epipole.formats.numbers import write_table
from epipole.geometry.motion import rotation_to_quaternion
from epipole.types.errors import InputError
from epipole.types.views import Views

from .export import Progress, frame_folder, rgb, write_image, write_world
from .spec import Spec
from .world import USUAL, World

KITTI_DEPTH = 256.0  # values per metre in KITTI's depth maps (Uhrig et al. 2017)
FORWARD = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # from z up, y ahead to y down, z ahead
SKY = 10_000.0  # m, what TartanAir writes where there is nothing
HIDDEN, OUTSIDE = 1, 100  # of TartanAir's flow masks; 0: seen in the next frame
NED_CAMERA = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # from x right, y down, z ahead to x ahead, y right, z down
NED_WORLD = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])  # from z up to x north, y east, z down
WRITERS: dict[str, Callable[..., None]] = {".ply": mesh.write_ply, ".glb": mesh.write_glb}


def write_kitti(spec: Spec, folder: str | Path, sequence: str = "00", progress: Progress | None = None) -> Path:
    """Renders the clip in stereo as one sequence of KITTI's odometry set (Geiger et al. 2012).

    `sequences/SS/` holds `image_2` and `image_3` (left and right, PNG), `depth_2` (left, 16 bit, 1/256 m, 0 unknown),
    `calib.txt` (P0 to P3) and `times.txt` (s); `poses/SS.txt` is the left camera's path, its first pose the identity.
    Raises InputError for a lens with distortion, or where the folder cannot be written or holds another clip's frames.
    """
    world = World(spec)
    place, poses = make_folder(Path(folder) / "sequences" / sequence), make_folder(Path(folder) / "poses")
    for name in ("image_2", "image_3", "depth_2"):
        frame_folder(place / name, {f"{i:06d}.png" for i in range(len(world))})
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


def tartanair_camera(spec: Spec) -> Spec:
    """The spec with the cameras that readers of TartanAir expect: fx = fy = 320 px, disparity = 80 px m / depth."""
    return replace(spec, width=640, height=480, fov=90.0, baseline=0.25)


def write_tartanair(spec: Spec, folder: str | Path, trajectory: str = "P000", progress: Progress | None = None) -> Path:
    """Renders the clip in stereo as one trajectory of TartanAir (Wang et al. 2020).

    `FAMILY/Easy/P000` (`Hard` from difficulty 2 on) holds for left and right `image_left` (PNG), `depth_left` (float32,
    m, 10000 where there is nothing), `seg_left` (uint8, class), `pose_left.txt` (tx ty tz qx qy qz qw, x ahead, y
    right, z down, m), and for the left camera `flow` (float32 [h, w, 2], px) with its mask (uint8: 0 seen in the next
    frame, 1 hidden there, 100 outside). The layout has no place for K: its readers expect `tartanair_camera`.
    Raises InputError for a lens with distortion, or where the folder cannot be written or holds another clip's frames.
    """
    world = World(spec, USUAL | {"semantic"})
    place = Path(folder) / spec.family / ("Easy" if spec.difficulty < 2 else "Hard") / trajectory
    frames = [f"{i:06d}" for i in range(len(world))]
    for side in ("left", "right"):
        for kind, suffix in (("image", ".png"), ("depth", "_depth.npy"), ("seg", "_seg.npy")):
            frame_folder(place / f"{kind}_{side}", {f"{name}_{side}{suffix}" for name in frames})
    pairs = [f"{a}_{b}" for a, b in pairwise(frames)]
    frame_folder(place / "flow", {f"{name}_{kind}.npy" for name in pairs for kind in ("flow", "mask")})
    for i in range(len(world)):
        pair = world.stereo(i)
        for k, side in enumerate(("left", "right")):
            _write_eye(place, side, frames[i], pair, k)
        if i + 1 < len(world):
            _write_flow(place / "flow" / pairs[i], world.clip([i, i + 1], {"flow", "flow_valid", "occlusion"}))
        if progress:
            progress(i + 1, len(world))
    offset = np.eye(4)
    offset[0, 3] = spec.baseline
    for side, path in (("left", world.poses.numpy()), ("right", world.poses.numpy() @ offset)):
        write_table(place / f"pose_{side}.txt", _north_east_down(path))
    return place


def _write_eye(place: Path, side: str, name: str, pair: Views, k: int) -> None:
    """Image, depth and classes of one camera of a pair."""
    write_image(place / f"image_{side}" / f"{name}_{side}.png", rgb(pair.image[k]))
    depth = np.where(pair.depth_valid[k, 0].numpy(), pair.depth[k, 0].numpy(), np.float32(SKY))
    _save(place / f"depth_{side}" / f"{name}_{side}_depth.npy", depth.astype(np.float32))
    _save(place / f"seg_{side}" / f"{name}_{side}_seg.npy", pair.semantic[k, 0].numpy().astype(np.uint8))


def _write_flow(stem: Path, pair: Views) -> None:
    """Flow of the first view of a pair, and what becomes of its pixels."""
    seen, hidden = pair.flow_valid[0, 0].numpy(), pair.occlusion[0, 0].numpy()
    _save(stem.with_name(f"{stem.name}_flow.npy"), pair.flow[0].permute(1, 2, 0).numpy())
    mask = np.where(seen, 0, np.where(hidden, HIDDEN, OUTSIDE)).astype(np.uint8)
    _save(stem.with_name(f"{stem.name}_mask.npy"), mask)


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as part:
        np.save(part, np.ascontiguousarray(array), allow_pickle=False)


def _north_east_down(T_world_camera: np.ndarray) -> np.ndarray:
    """Rows tx ty tz qx qy qz qw of poses [n, 4, 4], world and camera with x ahead (north), y right (east), z down."""
    R = NED_WORLD @ T_world_camera[:, :3, :3] @ NED_CAMERA.T
    return np.hstack([T_world_camera[:, :3, 3] @ NED_WORLD.T, rotation_to_quaternion(torch.from_numpy(R)).numpy()])


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


class Layout(NamedTuple):
    """How a clip is laid out in files."""

    write: Callable[..., Path]      # (spec, folder, progress=...)
    camera: Callable[[Spec], Spec]  # the spec with what the layout prescribes


LAYOUTS = {
    "plain": Layout(write_world, replace),
    "kitti": Layout(write_kitti, replace),
    "tartanair": Layout(write_tartanair, tartanair_camera),
}
"""The table of layouts."""
