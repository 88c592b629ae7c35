"""Further truth that holds for a whole clip, as files: what is named, measured or built once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from epipole.formats.atomic import replacing
from epipole.formats.numbers import write_table

from . import volumes
from .focus import focus_distances
from .imu import Errors, measure
from .meshes import Array
from .world import World

SLICES = 10                     # of a focal stack
POINTS = 16_384                 # on the scene's surfaces
CUBE = 32                       # voxels a side around the whole scene
FINE, COARSE = 0.02, 4          # m, side of the small voxels before the camera; that many of them make a large one
TRUNCATION = 0.24               # m, of signed distances
READINGS = "time,gyro_x,gyro_y,gyro_z,acceleration_x,acceleration_y,acceleration_z"
BIASES = READINGS.removeprefix("time,").replace("gyro", "gyro_bias").replace("acceleration", "acceleration_bias")


def write_classes(world: World, folder: Path) -> None:
    """`classes.txt`, whose line k names class k."""
    with replacing(folder / "classes.txt") as part:
        part.write_text("".join(f"{name}\n" for name in world.scene.classes))


def write_baseline(world: World, folder: Path) -> None:
    """`baseline.txt`, m."""
    write_table(folder / "baseline.txt", np.array([[world.spec.baseline]]))


def focused_at(world: World) -> Array:
    """Distances [SLICES] at which the lens is focused, m: over nearly all depths of the first view, evenly in 1/z."""
    view = world.clip([0], {"depth", "depth_valid"})
    near, far = np.quantile(view.depth[view.depth_valid].numpy(), [0.01, 0.99])
    return focus_distances(float(near), float(far), SLICES)


def write_focus(world: World, folder: Path) -> None:
    """`focus.txt`, a distance in m for each slice."""
    write_table(folder / "focus.txt", focused_at(world)[:, None])


def write_imu(world: World, folder: Path) -> None:
    """`imu.csv`, 200 readings a second with a phone's errors and the biases in them (s, rad/s, m/s^2), and
    `T_camera_imu.txt`, where the sensor sits."""
    imu = measure(world.spec, world.path, errors=Errors())
    rows = np.column_stack([imu.times, imu.gyro, imu.acceleration, imu.gyro_bias, imu.acceleration_bias])
    with replacing(folder / "imu.csv") as part:
        np.savetxt(part, rows, "%.9g", ",", header=f"{READINGS},{BIASES}", comments="")
    write_table(folder / "T_camera_imu.txt", imu.T_camera_imu)


def write_scene(world: World, folder: Path) -> None:
    """`scene.npz`, the scene as it is at the first frame.

    labels           [144 240 240] uint8, class of voxels of 0.02 m in a box before the camera, 0 where there is nothing
    labels_coarse    [36 60 60] the same at 0.08 m
    tsdf             [36 60 60] float32, m to the nearest surface, positive outside, cut off at 0.24 m
    T_world_grid     [4 4] of the box; voxel (i, j, k) is centred at ((k, j, i) + 1/2) times its size in it
    points, normals  [16384 3] float32 on all surfaces, evenly by area, world, m; `point_labels` their classes
    occupancy        [32 32 32] bool, in the smallest cube around the scene; T_world_cube and cube_size (m) say where
    """
    scene, moment, rng = world.scene, world.moment(0), world.spec.random("surface")
    box = volumes.before_camera(world.poses[0].numpy(), FINE)
    fine = volumes.labels(scene, moment, box)
    coarse = volumes.coarser(fine, COARSE)
    points, normals, kinds = volumes.surface_points(scene, moment, POINTS, rng)
    cube = volumes.around(moment.corners.reshape(-1, 3), CUBE)
    arrays: dict[str, Any] = {
        "labels": fine, "labels_coarse": coarse, "T_world_grid": box.T_world_grid,
        "tsdf": volumes.signed_distance(coarse > 0, COARSE * FINE, TRUNCATION),
        "points": points.astype(np.float32), "normals": normals.astype(np.float32),
        "point_labels": kinds.astype(np.uint8), "occupancy": volumes.labels(scene, moment, cube) > 0,
        "T_world_cube": cube.T_world_grid, "cube_size": np.array(CUBE * cube.size),
    }
    with replacing(folder / "scene.npz") as part:
        np.savez_compressed(part, **arrays)
