"""Whether learned flow beats DIS at equal time: both of them, refined or not, at several sizes of the images.

    python benchmarks/flow.py DATA ... --models RUN ... [--widths 0 256] [--every 40] [--gap 5]

DATA are folders of pairs (first/, second/, flow/), or plain folders with depth and path of a scene at rest, of which
every so many frames and the one `gap` later are a pair: their flow follows from both. RUN are folders of trainings, or
the files they left. Width 0: as the images are. Times are of one thread's processor, for flow both ways.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from epipole.geometry.camera import pixel_grid
from epipole.geometry.sample import sample
from epipole.geometry.warp import reproject
from epipole.judges.flow import FlowFrame, judge_flow
from epipole.methods.flow import FLOWS, Refined
from epipole.recipes.bench.judging import Looks, Method, flow_frame, predict
from epipole.recipes.train import load_model
from epipole.sources.pairs import FLOW, FlowFolder, holds_pairs
from epipole.sources.plain import PlainFolder
from epipole.sources.wrap import Clips
from epipole.types.errors import EpipoleError
from epipole.types.views import Views

HEAD = "| flow | width | ms | AEE (px) | Fl (%) |\n|---|---:|---:|---:|---:|"
APART = 0.05  # share of the depth by which a point may miss the surface that the second view sees there


def pairs(folder: Path, every: int, gap: int) -> Iterator[Views]:
    """Two views and the flow of the first one."""
    if holds_pairs(folder, FLOW):
        given = FlowFolder(folder)
        yield from (given[i] for i in range(len(given)))
        return
    clips = Clips(PlainFolder(folder), 2, gap)
    yield from (at_rest(clips[i]) for i in range(0, len(clips), every))


def at_rest(views: Views) -> Views:
    """The flow that the motion of the camera causes, where depth is known and the second view's does not say that
    something stands before the point."""
    T_second_first = torch.linalg.inv(views.T_world_camera[1:]) @ views.T_world_camera[:1]
    at, z, front = reproject(views.depth[:1], T_second_first, views.K[:1], views.K[1:])
    met, inside = sample(views.depth[1:], at, "nearest")
    valid = views.depth_valid[:1] & front & inside & ((met <= 0) | ((met - z).abs() < APART * z))
    flow = at - pixel_grid(at.shape[-2], at.shape[-1], at)
    return Views(image=views.image, flow=torch.cat([flow, 0 * flow]),
                 flow_valid=torch.cat([valid, torch.zeros_like(valid)]))


def timed(method: Method, views: Views, width: int) -> tuple[FlowFrame, float]:
    """The flow beside the truth, and seconds."""
    start = time.process_time()
    found = predict(method, views, Looks(width or None))["flow"][:, 0]
    return flow_frame(found, views), time.process_time() - start


def row(name: str, method: Method, views: list[Views], width: int) -> str:
    """One line of the table."""
    timed(method, views[0], width)  # warms up
    frames, seconds = zip(*(timed(method, pair, width) for pair in views), strict=True)
    scores = {score.name: score.value for score in judge_flow(frames)}
    return (f"| {name} | {width or views[0].image.shape[-1]} | {1e3 * sorted(seconds)[len(seconds) // 2]:.0f} | "
            f"{scores['aee']:.3f} | {scores['fl_all']:.1f} |")


def methods(models: list[Path]) -> dict[str, Method]:
    """What is untrained, what was trained, and each of them refined."""
    learned = {str(m): load_model(m / "model.safetensors" if m.is_dir() else m) for m in models}
    plain: dict[str, Method] = {"no flow": FLOWS["none"], "DIS fast": FLOWS["dis_fast"], "DIS": FLOWS["dis"], **learned}
    return plain | {f"{name} +v": Refined(method)  # type: ignore[arg-type]
                    for name, method in plain.items() if name != "no flow"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--widths", type=int, nargs="+", default=[0, 256])
    parser.add_argument("--every", type=int, default=40)
    parser.add_argument("--gap", type=int, default=5)
    a = parser.parse_args()
    torch.set_num_threads(1)
    try:
        for folder in a.data:
            views = list(pairs(folder, a.every, a.gap))
            print(f"\n{folder}, {len(views)} pairs\n\n{HEAD}")
            for width in a.widths:
                for name, method in methods(a.models).items():
                    print(row(name, method, views, width), flush=True)
    except EpipoleError as error:
        print(f"flow: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
