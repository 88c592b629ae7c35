"""A RUN folder written by the contract (docs/run-folder.md), from a box room that is ray-cast exactly."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from epipole.formats import kitti, ply, png16, tum

WALLS = np.array([[196, 120, 92], [94, 138, 178], [214, 206, 186], [150, 112, 78], [120, 158, 118], [186, 164, 120]])
PATCH = slice(10, 20), slice(20, 36)  # of the network's picture: what moved in the key frames
ROOM = np.array([2.2, 1.4, 3.0])  # half sizes, x right, y down, z forward


def path(frames: int) -> np.ndarray:
    """T_first_camera [F,4,4] of a walk along an arc, looking slightly inwards; the first is the identity."""
    T = np.tile(np.eye(4), (frames, 1, 1))
    for k, a in enumerate(np.linspace(0, 1.6, frames)):
        c, s = np.cos(-0.5 * a), np.sin(-0.5 * a)
        T[k, :3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
        T[k, :3, 3] = [1.3 * np.sin(a), 0.15 * np.sin(3 * a), 0.9 * (1 - np.cos(a))]
    return T


def render(T: np.ndarray, K: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(RGB uint8 [h,w,3], z float32 [h,w]) of the room seen from the pose T; every ray meets a wall."""
    v, u = np.mgrid[:height, :width].astype(np.float64)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)
    along = rays @ T[:3, :3].T
    along = np.where(np.abs(along) < 1e-12, 1e-12, along)
    reach = (np.sign(along) * ROOM - T[:3, 3]) / along
    z = reach.min(-1)
    axis = reach.argmin(-1)
    hit = T[:3, 3] + z[..., None] * along
    side = np.take_along_axis(along, axis[..., None], -1)[..., 0] > 0
    tiles = (np.floor(hit * 2.5 + 0.01 * np.sign(along)).sum(-1) % 2)
    colour = WALLS[2 * axis + side] * (0.8 + 0.2 * tiles)[..., None] * (1 - 0.06 * z)[..., None]
    return colour.clip(0, 255).astype(np.uint8), z.astype(np.float32)


def about(frames: int, scale: str, clip: str = "clip.mp4", finished: bool = True) -> dict[str, Any]:
    """What `run.yaml` says."""
    return {
        "epipole": "0.1.0", "finished": finished,
        "arguments": {"clip": clip, "minutes": 10, "seed": 3, "device": "cpu", "intrinsics": None, "truth": None},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.0", "opencv": "5.0.0"},
        "footage": {"name": clip, "sha256": "ab" * 32, "frames": frames, "width": 160, "height": 120, "fps": 30.0},
        "intrinsics": {"fx": 110.0, "fy": 110.0, "cx": 79.5, "cy": 59.5, "width": 160, "height": 120,
                       "source": "estimated", "verdict": "The footage turns enough to show the focal length.",
                       "sd_percent": 1.2},
        "scale": scale, "depth": {"png_scale": 5000.0, "width": 64, "height": 48, "typical": 1.0},
        "found": ["The camera moves sideways and turns.", "Two of the frames repeat the one before."],
        "left_out": {"moved": 12.0, "far": 4.4, "unsure": 8.0, "edge": 3.1, "contradicted": 2.5},
        "key_frames": list(range(0, frames, 3)),
        "skipped": [{"first": 4, "last": 5, "why": "repeats the frame before"}],
        "phases": [{"name": "look", "seconds": 3.1}, {"name": "learn", "seconds": 540.0},
                   {"name": "map", "seconds": 41.0}],
        "warnings": [],
        "scores": [
            {"name": "abs_rel", "value": 0.0934, "unit": "", "protocol": "median scaling per frame, cap 10 m",
             "baselines": {"constant depth": 0.34, "identity warp": 0.29}},
            {"name": "delta_1", "value": 0.912, "unit": "", "protocol": "delta < 1.25, median scaling per frame",
             "baselines": {"constant depth": 0.41}},
            {"name": "ate", "value": 0.071, "unit": "m", "protocol": "RMSE after Sim(3) over all frames"},
        ],
        "healthy": {"photometric": [0.0, 0.12]},
    }


def write_log(folder: Path, steps: int = 200) -> None:
    rng = np.random.default_rng(0)
    with (folder / "log.jsonl").open("w") as file:
        for k in range(steps):
            noise = 1 + 0.2 * rng.standard_normal()
            loss = {"photometric": (0.09 + 0.3 * np.exp(-k / 30)) * noise}
            if k >= steps // 4:
                loss["reprojection"] = 0.4 * np.exp(-k / 80) * noise
            phase = "bootstrap" if k < steps // 4 else "joint"
            file.write(json.dumps({"phase": phase, "step": k * 10, "seconds": 0.2 * k, "loss": loss}) + "\n")


def write_run(
    folder: Path, frames: int = 12, scale: str = "unknown", size: tuple[int, int] = (48, 64), **changes: Any
) -> Path:
    """Every file of the contract that the viewer reads; `changes` go to `about`."""
    (folder / "depth").mkdir(parents=True)
    (folder / "work" / "preview").mkdir(parents=True)
    height, width = size
    K = np.array([[0.69 * width, 0, (width - 1) / 2], [0, 0.69 * width, (height - 1) / 2], [0, 0, 1]])
    depth, log_variance, points, colours = {}, {}, [], []
    T = path(frames)
    for k in range(frames):
        image, z = render(T[k], K, height, width)
        cv2.imwrite(str(folder / "work" / "preview" / f"{k:06d}.jpg"), image[..., ::-1])
        png16.write(folder / "depth" / f"{k:06d}.png", z, 5000.0)
        depth[f"{k:06d}"] = z.astype(np.float16)
        edge = np.abs(np.gradient(np.log(z))).max(0)
        log_variance[f"{k:06d}"] = (2 * np.log(0.02 + 0.02 * z + 0.5 * edge)).astype(np.float16)
        v, u = np.mgrid[:height, :width]
        camera = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(z)], -1) * z[..., None]
        points.append((camera @ T[k, :3, :3].T + T[k, :3, 3]).reshape(-1, 3))
        colours.append(image.reshape(-1, 3))
    np.savez_compressed(folder / "depth.npz", **depth)
    np.savez_compressed(folder / "log_variance.npz", **log_variance)
    mask = np.zeros(size, bool)
    mask[PATCH] = True
    np.savez_compressed(folder / "mask.npz", **{f"{k:06d}": mask for k in range(0, frames, 3)})
    kitti.write_poses(folder / "path_kitti.txt", T)
    tum.write(folder / "path_tum.txt", np.arange(frames) / 30.0, T)
    ply.write(folder / "cloud.ply", np.concatenate(points).astype(np.float32), np.concatenate(colours))
    write_log(folder)
    save_about(folder, about(frames, scale, **changes))
    return folder


def save_about(folder: Path, content: dict[str, Any]) -> None:
    (folder / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def load_about(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
