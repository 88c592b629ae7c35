"""A small finished run beside its truth, made up in a moment."""

from pathlib import Path

import cv2
import numpy as np
import yaml

from epipole.formats import kitti, ply, tum

FRAMES, WIDTH, HEIGHT = 12, 64, 48
K = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])


def true_path() -> np.ndarray:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 0.3 * np.sin(np.arange(FRAMES))
    poses[:, 2, 3] = 0.5 * np.arange(FRAMES)
    return poses


def true_depth(frame: int) -> np.ndarray:
    """A slanted floor, m."""
    return np.broadcast_to(np.linspace(4 + 0.1 * frame, 2, HEIGHT)[:, None], (HEIGHT, WIDTH)).copy()


def write_truth(folder: Path) -> Path:
    for name in ("color", "depth"):
        (folder / name).mkdir(parents=True)
    for i in range(FRAMES):
        cv2.imwrite(str(folder / "color" / f"{i:06d}.png"), np.full((HEIGHT, WIDTH, 3), 20 * i, np.uint8))
        depth = np.round(1000 * true_depth(i)).astype(np.uint16)
        cv2.imwrite(str(folder / "depth" / f"{i:06d}.png"), depth)
    kitti.write_intrinsics(folder / "intrinsics.txt", K)
    kitti.write_poses(folder / "poses.txt", true_path())
    return folder


def write_run(folder: Path, scale: float = 0.25, focal: float = 1.0, **about: object) -> Path:
    """A run that found the truth but for the scale, and a focal length `focal` times the true one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = true_path()
    path[:, :3, 3] *= scale
    tum.write(folder / "path_tum.txt", np.arange(FRAMES) / 30, path)
    kitti.write_poses(folder / "path_kitti.txt", path)
    depths = {f"{i:06d}": (scale * true_depth(i)).astype(np.float16) for i in range(FRAMES)}
    np.savez(folder / "depth.npz", **depths)
    np.savez(folder / "log_variance.npz", **{name: np.full_like(d, -4) for name, d in depths.items()})
    ply.write(folder / "cloud.ply", np.eye(3, dtype=np.float32), np.full((3, 3), 7, np.uint8))
    content = {
        "epipole": "0.1.0", "finished": True, "arguments": {"clip": "clip.mp4", "minutes": 1, "seed": 0},
        "footage": {"name": "clip.mp4", "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "fps": 30.0},
        "intrinsics": {"fx": focal * 50, "fy": focal * 50, "cx": 31.5, "cy": 23.5, "width": WIDTH, "height": HEIGHT,
                       "source": "given"},
        "scale": "unknown", "phases": [{"name": "look", "seconds": 3.0}, {"name": "learn", "seconds": 60.5}],
        "scores": [{"name": "peak_memory_mb", "value": 900, "unit": "MB", "protocol": "largest resident set"}],
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content | about))
    return folder
