"""CNN-SLAM beside what `learn` made of the same frames, and what it takes.

    python benchmarks/slam.py RUN TRUTH OUT [--frames 120]

RUN is a finished run of TRUTH's images, TRUTH a plain folder with depth and poses. The first frames are seen by
`epipole slam` with RUN's network, into OUT/run; then both runs are judged on these frames alone.
"""

import argparse
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from epipole.formats.run import RunFiles
from epipole.judges.depth import DepthFrame, judge_depth
from epipole.judges.depth_uncertainty import DepthUncertaintyProtocol, UncertainDepth, judge_depth_uncertainty
from epipole.judges.motion import judge_motion
from epipole.judges.score import Score
from epipole.recipes.judge_run import of_the_clip, straight
from epipole.recipes.slam_folder import is_whole
from epipole.sources.plain import Truth, read_truth

EVERY = 2   # frames from one whose uncertainty is judged to the next
NAMES = ("abs_rel", "delta_1", "ate", "coverage_error_50", "coverage_error_90", "ause")


def see(clip: Path, run: Path, out: Path) -> str:
    """Runs `epipole slam`, and says what it took; nothing if it had been done before."""
    before = (out / "work").exists() and is_whole(out)
    subprocess.run([sys.executable, "-m", "epipole", "slam", clip, "--model", run, "-o", out], check=True)
    if before:
        return "seen before: what it took is not known"
    used, frames = resource.getrusage(resource.RUSAGE_CHILDREN), len(RunFiles(out).path)
    pace = frames / (used.ru_utime + used.ru_stime)
    return f"{pace:.1f} frames per second of processor time, files and report included; {used.ru_maxrss / 1024:.0f} MB"


def judged(run: RunFiles, truth: Truth, numbers: list[int]) -> dict[str, Score]:
    """Every score of these frames, and of the path to the last of them."""
    assert truth.depth is not None
    assert truth.T_world_camera is not None
    depth = {i: DepthFrame(run.depth[i], *straight(run, truth.depth[i])) for i in numbers if i in truth.depth.known}
    unsure = [UncertainDepth(depth[i], run.log_variance[i]) for i in list(depth)[::EVERY]]
    end = numbers[-1] + 1
    scores = [*judge_depth(depth.values()), *judge_motion(run.path[:end], truth.T_world_camera[:end]),
              *judge_depth_uncertainty(unsure, DepthUncertaintyProtocol(depth=of_the_clip(None)))]
    return {score.name: score for score in scores}


def words(score: Score) -> str:
    """Of coverage what was covered, which its protocol ends with."""
    return score.protocol.rsplit(", ", 1)[1] if score.name.startswith("coverage") else f"{score.value:.3f}"


def main() -> None:
    """Sees the clip and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    options = parser.parse_args()
    truth, clip = read_truth(options.truth), options.out / "clip"
    shutil.rmtree(clip, ignore_errors=True)
    clip.mkdir(parents=True)
    for image in truth.images[: options.frames]:
        (clip / image.name).symlink_to(image.resolve())
    print(see(clip, options.run, options.out / "run"))
    seen, taught = RunFiles(options.out / "run"), RunFiles(options.run)
    keys = [k for k in seen.about["key_frames"] if k < len(seen.path)]
    print(f"| {len(seen.path)} frames | {' | '.join(NAMES)} |\n|---|" + "---|" * len(NAMES))
    for name, run, numbers in (("CNN-SLAM", seen, list(range(len(seen.path)))), ("its key frames alone", seen, keys),
                               ("learn", taught, list(range(len(seen.path))))):
        scores = judged(run, truth, numbers)
        print(f"| {name} | {' | '.join(words(scores[n]) for n in NAMES)} |", flush=True)


if __name__ == "__main__":
    main()
