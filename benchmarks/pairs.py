"""Sets of real pairs with known truth as the folders that `epipole bench stereo` and `epipole bench flow` read.

    python benchmarks/pairs.py DATA OUT

DATA holds some of stereo_middlebury (a folder a scene: im2.png, im6.png, disp2.png of the sets of 2001 and 2003, or
SCENE_left.png, SCENE_right.png, disp.npz), flow_rubberwhale (RubberWhale1.png, RubberWhale2.png, RubberWhale.flo) and
flow_flyingchairs (N-img0.png, N-img1.png, N-flow.npz). OUT then holds stereo/SCENE, flow/rubberwhale and flow/chairs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from epipole.formats import flo, png16
from epipole.formats.atomic import make_folder
from epipole.sources.pairs import DISPARITIES, FLOW, STEREO
from epipole.types.errors import EpipoleError, InputError

SCALES = {"tsukuba": 16.0, "teddy": 4.0, "cones": 4.0}  # grey values a pixel of disparity
USUAL_SCALE = 8.0


def stereo(scene: Path, out: Path) -> None:
    """One scene of Middlebury's: 8-bit disparity times a factor, or an array that is infinite where it is unknown."""
    if (scene / "disp.npz").is_file():
        images = [scene / f"{scene.name}_{side}.png" for side in STEREO]
        with np.load(scene / "disp.npz") as arrays:
            disparity = arrays["arr_0"].astype(np.float64)
    else:
        images = [scene / "im2.png", scene / "im6.png"]
        disparity = np.asarray(Image.open(scene / "disp2.png").convert("L")).astype(np.float64)
        disparity /= SCALES.get(scene.name, USUAL_SCALE)
    copy(images, STEREO, scene.name, out)
    png16.write(make_folder(out / "disparity") / f"{scene.name}.png", disparity, DISPARITIES)


def rubberwhale(folder: Path, out: Path) -> None:
    copy([folder / "RubberWhale1.png", folder / "RubberWhale2.png"], FLOW, "rubberwhale", out)
    shutil.copyfile(folder / "RubberWhale.flo", make_folder(out / "flow") / "rubberwhale.flo")


def chairs(folder: Path, out: Path) -> None:
    for first in sorted(folder.glob("*-img0.png")):
        name = first.name.split("-")[0]
        copy([first, folder / f"{name}-img1.png"], FLOW, name, out)
        with np.load(folder / f"{name}-flow.npz") as arrays:
            flow = arrays["flow"].transpose(2, 0, 1)
        flo.write(make_folder(out / "flow") / f"{name}.flo", flow, np.isfinite(flow).all(0))


def copy(images: list[Path], sides: tuple[str, str], name: str, out: Path) -> None:
    for image, side in zip(images, sides, strict=True):
        shutil.copyfile(image, make_folder(out / side) / f"{name}{image.suffix}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    a = parser.parse_args()
    try:
        scenes = sorted(place for place in a.data.glob("stereo_middlebury/*") if place.is_dir())
        for scene in scenes:
            stereo(scene, a.out / "stereo" / scene.name)
        found = {"flow_rubberwhale": rubberwhale, "flow_flyingchairs": chairs}
        for name, convert in found.items():
            if (a.data / name).is_dir():
                convert(a.data / name, a.out / "flow" / name.removeprefix("flow_").removeprefix("flying"))
        if not a.out.is_dir():
            raise InputError(f"{a.data} holds none of the sets: give the folder that stereo_middlebury and the like "
                             "stand in")
    except EpipoleError as error:
        print(f"pairs: {error}", file=sys.stderr)
        return 2
    print(a.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
