"""What terms of the main job's loss are worth: its network taught anew on the flow and path of a run, judged alone.

    python benchmarks/ablate_learn.py RUN TRUTH [--steps 600] [--seeds 3] [--out ablation.md]

RUN is a folder of `epipole learn` with its work folder, TRUTH a plain folder. Judged is the network's own depth of
every 3rd key frame, each image median-scaled, before flow corrects it. Prints a markdown table as it grows.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from ablate_icp import Table  # beside this file

from epipole.engine.fit import fit
from epipole.formats.run import RunFiles
from epipole.judges.depth import DepthFrame, judge_depth
from epipole.judges.score import Score
from epipole.recipes.learn_video.between import with_frames_between
from epipole.recipes.learn_video.predict import Predictor
from epipole.recipes.learn_video.program import path_from_flow
from epipole.recipes.learn_video.solve import network_size
from epipole.recipes.learn_video.stages import HOW, Run, key_images, look_at
from epipole.recipes.learn_video.start import begin
from epipole.recipes.learn_video.teach import Lessons
from epipole.sources.plain import Truth, read_truth
from epipole.sources.straight import seen_through
from epipole.sources.video import open_footage
from epipole.systems.depth.reprojection import PRESETS, Config, ReprojectionDepth
from epipole.types.errors import EpipoleError

FULL = PRESETS["paper"]
PHOTOMETRIC = replace(FULL, triangulated=0.0, reprojection=0.0, consistency=0.0, photometric=1.0)
VARIANTS: dict[str, Config] = {
    "photometric and smoothness": PHOTOMETRIC,
    "photometric, smoothness and ICP": replace(PHOTOMETRIC, icp=0.1),
    "all": FULL,
    "all and ICP": replace(FULL, icp=0.1),
    "all, no photometric": replace(FULL, photometric=0.0),
    "all, no triangulated anchors": replace(FULL, triangulated=0.0),
    "all, no consistency": replace(FULL, consistency=0.0),
}


def lessons_of(folder: Path, seed: int) -> Lessons:
    """The pairs, flow and path that the run learned from (as they were before its first stage)."""
    about = RunFiles(folder).about
    clip, K = Path(about["arguments"]["clip"]), intrinsics_of(about["arguments"]["intrinsics"])
    (footage, known), run = seen_through(open_footage(clip), K), Run(folder, None)
    seen, given = look_at(run, footage), None if known is None else torch.from_numpy(known)
    keys = key_images(run, footage, seen.key_frames, network_size(footage.width, footage.height))
    stores, path = path_from_flow(run, footage, seen, keys, given, about["arguments"]["seed"])
    return Lessons(*with_frames_between(run, footage, seen, keys, stores, path), seed)


def intrinsics_of(argument: object) -> tuple[float, float, float, float] | Path | None:
    """As they were given to the run."""
    if isinstance(argument, list):
        fx, fy, cx, cy = map(float, argument)
        return fx, fy, cx, cy
    return None if argument is None else Path(str(argument))


def taught(
    config: Config, folder: Path, truth: Truth, steps: int, seed: int, start: Path | None = None,
    rate: float = HOW.learning_rate,
) -> tuple[dict[str, Score], float]:
    """Scores by name, and seconds a step."""
    torch.manual_seed(seed)
    system, lessons = ReprojectionDepth(config), lessons_of(folder, seed)
    begin(system, start)
    began = time.monotonic()
    if steps:
        fit(system, lessons, replace(HOW, steps=steps, seed=seed, final=0.02, learning_rate=rate, device="cpu"))
    pace, frames = (time.monotonic() - began) / max(steps, 1), []
    depth_of = Predictor(system).of_key_frames(lessons.images)
    for k in range(0, len(lessons.images), 3):
        known = truth.depth[int(lessons.images.key_frames[k])]  # type: ignore[index]
        if len(known.z):
            frames.append(DepthFrame(depth_of(k).depth, known.pixels, known.z, known.width, known.height))
    return {score.name: score for score in judge_depth(frames)}, pace


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. N-1")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="these variants only")
    parser.add_argument("--out", type=Path, default=None, help="write the table here, too")
    a = parser.parse_args()
    try:
        truth, table = read_truth(a.truth), Table(a.out)
        for name in a.only or VARIANTS:
            results = [taught(VARIANTS[name], a.run, truth, a.steps, seed) for seed in range(a.seeds)]
            table.add(name, *map(list, zip(*results, strict=True)))
    except EpipoleError as e:
        print(f"ablate_learn: {e}", file=sys.stderr)
        return 2
    table.note(f"\n{a.steps} steps, {a.seeds} seeds; {table.protocol}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
