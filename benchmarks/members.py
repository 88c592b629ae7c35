"""Whether networks that disagree know more about their error than one network says of its own.

    python benchmarks/members.py RUN TRUTH [--seeds 11 12] [--dropout 0.2] [--every 3]

RUN is a finished run with its work folder, TRUTH a plain folder. From what the first stage of the run has learned, the
second is learned again by each further member, in another order, and by a network whose deepest maps drop out (Gal and
Ghahramani 2016: eight passes at the end, too). Judged is depth of every 3rd key frame, before flow corrects and after:
AUSE of log depth under one factor for the clip, and abs_rel, each image median-scaled. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from ablate_learn import lessons_of  # beside this file
from torch import Tensor, nn

from epipole.engine.checkpoint import read_tensors
from epipole.engine.fit import fit
from epipole.judges.depth import DepthFrame, judge_depth
from epipole.judges.uncertainty import UncertaintyFrame, judge_uncertainty
from epipole.recipes.learn_video.cache import Rows
from epipole.recipes.learn_video.predict import KeyDepth, Predicted, Predictor
from epipole.recipes.learn_video.solve import load_solution
from epipole.recipes.learn_video.stages import HOW
from epipole.recipes.learn_video.teach import Lessons
from epipole.sources.plain import Truth, read_truth
from epipole.systems.depth.reprojection import ReprojectionDepth

PASSES = 8      # with other maps dropped each time


def loaded(file: Path) -> ReprojectionDepth:
    """The network of a stage."""
    system = ReprojectionDepth()
    system.load_state_dict(read_tensors(file)[0])
    return system


def taught(run: Path, lessons: Lessons, seed: int, dropout: float = 0.0) -> ReprojectionDepth:
    """The second stage anew. With dropout, the deepest maps drop out from now on."""
    torch.manual_seed(seed)
    system, lessons.seed = loaded(run / "work" / "learn 1.safetensors"), seed
    Lessons.order.cache_clear()  # which knows the orders of the seed before
    if dropout:
        dropping(system, dropout)
    steps = json.loads((run / "work" / "second-steps.json").read_text(encoding="utf-8"))["steps"]
    fit(system, lessons, replace(HOW, steps=steps, seed=seed, final=0.02))
    return system


def dropping(system: ReprojectionDepth, share: float) -> None:
    """Whole maps of the three deepest blocks are left out, in training and after."""
    def drop(_: nn.Module, __: tuple[Tensor, ...], maps: Tensor) -> Tensor:
        return F.dropout2d(maps, share)

    for block in (*system.net.down[-2:], system.net.up[0]):
        block.register_forward_hook(drop)


def together(words: list[Predicted]) -> Predicted:
    """Mean log depth; the mean of the variances and the variance of the means (Kendall and Gal 2017, equation 9)."""
    log_depth = np.log([w.depth for w in words])
    own = np.exp([w.log_variance for w in words]).mean(0)
    between = log_depth.var(0, ddof=1) if len(words) > 1 else 0.0
    return Predicted(np.exp(log_depth.mean(0)), np.log(own + between))


def known(word: KeyDepth, frames: np.ndarray, truth: Truth, every: int) -> Iterator[tuple[DepthFrame, Predicted]]:
    """Depth beside the truth of every such key frame."""
    for k in range(0, len(frames), every):
        said, at = word(k), truth.depth[int(frames[k])]  # type: ignore[index]
        if len(at.z):
            yield DepthFrame(said.depth, at.pixels, at.z, at.width, at.height), said


def scores(word: KeyDepth, frames: np.ndarray, truth: Truth, every: int) -> dict[str, float]:
    """Of one word about all key frames."""
    depth, values = [], []
    for frame, said in known(word, frames, truth, every):
        h, w = said.depth.shape
        u, v = np.floor((frame.pixels.T + 0.5) * [[w / frame.width], [h / frame.height]]).astype(int)
        u, v = u.clip(0, w - 1), v.clip(0, h - 1)
        depth.append(frame)
        values.append((np.log(said.depth)[v, u], np.log(frame.z), np.exp(said.log_variance / 2)[v, u]))
    factor = np.median(np.concatenate([a - b for a, b, _ in values]))
    unsure = judge_uncertainty(UncertaintyFrame(a - factor, b, c) for a, b, c in values)
    return {s.name: s.value for s in (*unsure, *judge_depth(depth))}


def main() -> None:
    """Teaches the members and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12], help="of the further members")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--every", type=int, default=3)
    options = parser.parse_args()
    run, truth = options.run, read_truth(options.truth)
    lessons = lessons_of(run, 0)
    lessons.follow(load_solution(run / "work" / "path-3.safetensors"))
    keys, joined = lessons.images, Rows(run / "work" / "joined" / "joined.npy")
    members = [Predictor(loaded(run / "work" / "learn 2.safetensors")).of_key_frames(keys)]
    members += [Predictor(taught(run, lessons, seed)).of_key_frames(keys) for seed in options.seeds]
    dropped = Predictor(taught(run, lessons, max(options.seeds) + 1, options.dropout)).of_key_frames(keys)
    words: dict[str, KeyDepth] = {
        "the network": members[0],
        f"{len(members)} networks": lambda k: together([word(k) for word in members]),
        f"dropout of {options.dropout:g}, {PASSES} passes": lambda k: together([dropped(k) for _ in range(PASSES)]),
        "joined with flow": lambda k: Predicted(*joined[k]),
    }
    print("| | AUSE | correlation of ranks | abs_rel |\n|---|---|---|---|")
    for name, word in words.items():
        s = scores(word, keys.key_frames, truth, options.every)
        print(f"| {name} | {s['ause']:.3f} | {s['error_correlation']:.3f} | {s['abs_rel']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
