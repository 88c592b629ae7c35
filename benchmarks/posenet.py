"""How far off, in pixels, the scene is where a trained PoseNet believes to be.

    python benchmarks/posenet.py DATA CELL [CELL ...] [--every 5] [--width 128]

DATA: frames with pose, depth and intrinsics, as of the bench (`KITCHEN@800-999`). CELL: folders that `epipole train
posenet` or a bench has left. Over every EVERY-th frame: the medians of the angle between true and found orientation, of
the distance of the camera centres, and of the frame's mean |pi(x, q, g) - pi(x*, q*, g)|_1 over the points g that it
sees and that lie before the found camera (Kendall & Cipolla 2017, section 3.3).
"""

import argparse
import statistics
from pathlib import Path

import torch

from epipole.geometry.motion import angle
from epipole.recipes.samples import Shape, parse_data, samples
from epipole.recipes.train import load_model
from epipole.systems.motion.posenet import PRESETS, PoseNet, PoseNetGeometric
from epipole.types.views import Views

NEEDS = frozenset({"image", "K", "T_world_camera", "depth", "depth_valid"})


@torch.no_grad()
def off(system: PoseNet, views: Views) -> tuple[float, float, float]:
    """Degrees, metres and pixels by which a single view's pose is wrong."""
    torch.manual_seed(0)  # the same points for every system
    judge = PoseNetGeometric(PRESETS["small"]).eval()
    T, true = system(views.keep(system.reads)).T_world_camera[0, 0], views.T_world_camera[0, 0]
    pixels = judge.objective(system.net(views.image[0])[0].float(), views)["reprojection"]
    return float(angle(T[:3, :3].mT @ true[:3, :3]).rad2deg()), float((T - true)[:3, 3].norm()), float(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("cells", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    a = parser.parse_args()
    source = samples(parse_data(a.data), NEEDS, Shape(frames=1, width=a.width), Path("runs/posenet"))
    frames = [Views.collate([source[i]]) for i in range(0, len(source), a.every)]
    print("| trained | median rotation, deg | median distance, m | median reprojection, px |\n|---|---:|---:|---:|")
    for cell in a.cells:
        system = load_model(cell / "model.safetensors").eval()
        assert isinstance(system, PoseNet), f"{cell} holds no PoseNet"
        middle = [statistics.median(values) for values in zip(*(off(system, one) for one in frames), strict=True)]
        print(f"| {cell.name} | {middle[0]:.1f} | {middle[1]:.3f} | {middle[2]:.1f} |")


if __name__ == "__main__":
    main()
