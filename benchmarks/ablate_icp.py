"""What each part of vid2depth's loss is worth on a folder of real frames with known depth.

    python benchmarks/ablate_icp.py FOLDER [--steps 2000] [--seeds 3] [--gap 4] [--width 128] [--out ablation.md]

Trains the small preset from nothing, once per variant and seed, on the same batches; judges depth on every 10th frame,
each image median-scaled; prints a markdown table as it grows. FOLDER: frames, intrinsics.txt, and depth/ or
sparse_depth.npz, as `epipole train --data` reads it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from epipole.engine.fit import Train, fit, torch_device
from epipole.judges.depth import DepthFrame, DepthProtocol, judge_depth
from epipole.judges.score import Score
from epipole.recipes.train import sampled
from epipole.sources.plain import PlainFolder, Truth
from epipole.sources.wrap import Clips, resized
from epipole.systems.depth.vid2depth import PRESETS, Config, Vid2Depth
from epipole.types.errors import EpipoleError, InputError
from epipole.types.views import Views

SMALL = PRESETS["small"]
VARIANTS: dict[str, Config] = {
    "no ICP": replace(SMALL, icp=0.0),
    "ICP, paper's gradient": SMALL,
    "ICP, exact gradient": replace(SMALL, icp_gradient="exact"),
    "ICP, paper's gradient, 20 % trimmed": replace(SMALL, icp_trim=0.2),
    "no SSIM": replace(SMALL, ssim=0.0),
    "no principled mask": replace(SMALL, principled_mask=False),
}
SHOWN = ("abs_rel", "delta_1", "scale_spread")


def main() -> int:
    arguments = parse()
    try:
        ablate(arguments)
    except EpipoleError as e:
        print(f"ablate_icp: {e}", file=sys.stderr)
        return 2
    return 0


def ablate(a: argparse.Namespace) -> None:
    """Train and judge every variant with every seed."""
    folder = PlainFolder(a.folder)
    if not {"K", "depth"} <= folder.provides:
        raise InputError(f"{a.folder} must hold intrinsics.txt and known depth (depth/ or sparse_depth.npz)")
    every = range(min(len(folder), a.frames or len(folder)))
    frames = [resized(folder[i].keep({"image", "K"}), a.width) for i in every]
    clips = Clips(frames, length=SMALL.frames, gap=a.gap)
    if not len(clips):
        raise InputError(f"{len(frames)} frames hold no clip of {SMALL.frames} that are {a.gap} apart: lower --gap")
    table = Table(a.out)
    for name, config in VARIANTS.items():
        if a.only and name not in a.only:
            continue
        results = [train_and_judge(config, clips, frames, folder.truth, a, seed) for seed in range(a.seeds)]
        table.add(name, *map(list, zip(*results, strict=True)))
    table.note(f"\n{a.steps} steps of {a.batch} clips, {a.seeds} seeds, gap {a.gap}, width {a.width}; {table.protocol}")


def train_and_judge(
    config: Config, clips: Clips, frames: list[Views], truth: Truth, a: argparse.Namespace, seed: int
) -> tuple[dict[str, Score], float]:
    """Scores by name, and seconds a step."""
    torch.manual_seed(seed)
    system, device = Vid2Depth(config), torch_device(a.device)
    began = time.monotonic()
    settings = Train(steps=a.steps, learning_rate=a.rate, seed=seed, device=a.device)
    fit(system, sampled(clips, a.batch, seed), settings)
    pace = (time.monotonic() - began) / a.steps
    scores = judge_depth(list(predictions(system, frames, truth, device)), DepthProtocol())
    return {score.name: score for score in scores}, pace


@torch.no_grad()
def predictions(system: Vid2Depth, frames: list[Views], truth: Truth, device: torch.device) -> Iterator[DepthFrame]:
    """Depth of every 10th frame beside its truth."""
    assert truth.depth is not None
    for i in range(0, len(frames), 10):
        depth = system(Views(image=frames[i].image[None].to(device))).depth[0, 0, 0]
        yield DepthFrame(depth.float().cpu().numpy(), *truth.depth[i])


class Table:
    """A markdown table on the screen, and in a file if one is named: medians over seeds, with the range."""

    def __init__(self, out: Path | None) -> None:
        self.lines: list[str] = []
        self.out, self.protocol = out, ""
        self.row("variant", *SHOWN, "s / step")
        self.row("---", *("---:" for _ in SHOWN), "---:")

    def add(self, name: str, scores: list[dict[str, Score]], paces: list[float]) -> None:
        if not self.protocol:
            self.protocol = scores[0]["abs_rel"].protocol
            self.row("(constant depth)", *(_constant(scores[0][key]) for key in SHOWN), "")
        cells = [_median([s[key].value for s in scores]) for key in SHOWN]
        self.row(name, *cells, f"{statistics.median(paces):.3f}")

    def row(self, *cells: str) -> None:
        self.note("| " + " | ".join(cells) + " |")

    def note(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)
        if self.out:
            self.out.write_text("\n".join(self.lines) + "\n")


def _median(values: list[float]) -> str:
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.3f}{spread}"


def _constant(score: Score) -> str:
    return f"{score.baselines['constant depth']:.3f}" if score.baselines else ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. N-1")
    parser.add_argument("--batch", type=int, default=4, help="clips a step")
    parser.add_argument("--gap", type=int, default=4, help="frames between the frames of a clip")
    parser.add_argument("--width", type=int, default=128, help="of the images, in pixels")
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate")
    parser.add_argument("--frames", type=int, default=None, help="use the first N frames only")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="these variants only")
    parser.add_argument("--out", type=Path, default=None, help="write the table here, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
