"""The focal length that a system finds which learns the camera, against the true one.

    python benchmarks/focal.py RUN DATA [DATA ...] [--frames 3] [--gap 3] [--width 128] [--world-frames 64] [--every 1]

RUN is a folder that `epipole train gordon` or a bench has left, DATA as of the bench, with K and the path. Frames, gap
and width are those of the training where RUN tells them. Found is the median over all clips, and over that quarter of
them which turns most: only rotations show the focal length, and the wrong length goes with the wrong turn. `turn` is
the slope of the found rotation vectors on the true ones (1: as large) and their correlation.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml

from epipole.geometry.motion import so3_log
from epipole.judges.camera import focal_error
from epipole.recipes.samples import Shape, parse_data, samples
from epipole.recipes.train import load_model
from epipole.sources.source import Source
from epipole.systems.depth.gordon import Gordon, rigid
from epipole.types.views import Views


class Seen(NamedTuple):
    """Of a clip: intrinsics as found and as they are, and rotation vectors from view to view [n 3], rad."""

    K: np.ndarray
    K_true: np.ndarray
    turns: np.ndarray
    turns_true: np.ndarray


@torch.no_grad()
def seen(system: Gordon, clip: Views) -> Seen:
    """What the system finds in one clip."""
    batch = Views.collate([clip])
    image, T = batch.image[0], batch.T_world_camera[0].double()
    found = rigid(system.motion(image[:-1], image[1:]))[:, :3, :3]
    true = T[:-1, :3, :3].mT @ T[1:, :3, :3]
    K = system.intrinsics(batch.keep(system.reads))[0]
    return Seen(*(x.double().numpy() for x in (K, batch.K[0, 0], so3_log(found.double()), so3_log(true))))


def row(system: Gordon, data: str, source: Source, every: int) -> str:
    """A line of the table."""
    clips = [seen(system, source[i]) for i in range(0, len(source), every)]
    height, width = source[0].image.shape[-2:]
    size, K_true = (width, height), clips[0].K_true
    angles = np.array([np.linalg.norm(clip.turns_true, axis=1).mean() for clip in clips])
    K = np.stack([clip.K for clip in clips])
    most = angles >= np.quantile(angles, 0.75)
    middle, turning = np.median(K, 0), np.median(K[most], 0)
    low, high = np.quantile(K[:, 0, 0], (0.25, 0.75))
    found, true = (np.concatenate([getattr(clip, name) for clip in clips]).ravel() for name in ("turns", "turns_true"))
    slope, fit = (found @ true) / (true @ true), np.corrcoef(found, true)[0, 1]
    return (f"| {data} | {len(clips)} | {np.degrees(angles.mean()):.2f} | {K_true[0, 0]:.1f}, {K_true[1, 1]:.1f} | "
            f"{middle[0, 0]:.1f} ({low:.1f} to {high:.1f}), {middle[1, 1]:.1f} | "
            f"{focal_error(middle, size, K_true, size):.1f} | {focal_error(turning, size, K_true, size):.1f} | "
            f"{slope:.2f}, {fit:.2f} |")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", nargs="+")
    for name, usual in (("frames", 3), ("gap", 3), ("width", 128), ("world-frames", 64), ("every", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    system, told = load_model(options.run / "model.safetensors"), options.run / "run.yaml"
    if not isinstance(system, Gordon):
        raise SystemExit(f"{options.run} holds no system that learns the camera: give one of gordon")
    known = yaml.safe_load(told.read_text())["arguments"] if told.is_file() else {}
    frames, gap, width = (known.get(name, getattr(options, name)) for name in ("frames", "gap", "width"))
    shape = Shape(frames, gap, width, options.world_frames)
    print("| data | clips | turn from view to view, deg | f true, px | f found (quartiles of f_x), px | off, % "
          "| off where it turns most, % | turn: slope, correlation |\n|" + "---|" * 8, flush=True)
    for data in options.data:
        source = samples(parse_data(data), {"image", "K", "T_world_camera"}, shape, options.run / "work" / "focal")
        print(row(system, data, source, options.every), flush=True)


if __name__ == "__main__":
    main()
