"""What joining buys: depth of a run's key frames by the network alone, joined with what flow measures, and joined with
the key frames around; and of the frames between, by the network alone and joined.

    python benchmarks/joined.py RUN TRUTH [--every 5]

RUN is a finished run with its work folder, TRUTH a plain folder.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from epipole.engine.checkpoint import read_tensors
from epipole.formats.run import RunFiles
from epipole.judges.depth import DepthFrame, judge_depth
from epipole.recipes.learn_video.agree import JoinedDepth
from epipole.recipes.learn_video.correspond import KeyImages
from epipole.recipes.learn_video.predict import Predicted, Predictor
from epipole.recipes.learn_video.solve import load_solution
from epipole.sources.findings import Look
from epipole.sources.footage import resized
from epipole.sources.plain import Truth, read_truth
from epipole.sources.video import open_footage
from epipole.systems.depth.reprojection import ReprojectionDepth

NAMES = ("abs_rel", "delta_1", "rmse_log", "scale_spread")


def of_key_frames(joined: JoinedDepth, network: Predictor, every: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Number of the frame, and its depth by whose word it is."""
    said = network.of_key_frames(joined.keys)
    for k in range(0, len(joined.keys), every):
        yield int(joined.keys.key_frames[k]), {
            "key frames: the network alone": said(k).depth,
            "joined with flow": np.asarray(joined.rows[k])[0],
            "and with key frames around": joined(k).depth,
        }


def of_frames_between(
    run: RunFiles, joined: JoinedDepth, network: Predictor, clip: Path, every: int
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The same for frames that are not key frames."""
    unit = 1 / run.about["depth"]["model_factor"]
    among = sorted(set(range(len(run.path))) - set(joined.keys.key_frames.tolist()))[::every]
    w, h = joined.keys.size
    for frame in open_footage(clip).read(2 * w, 2 * h, only=set(among)):
        said = Predicted(*(x[0] for x in network(resized(frame.image, (w, h))[None])))
        yield frame.number, {"frames between: the network alone": said.depth,
                             "joined with key frames around": unit * run.depth[frame.number]}


def table(frames: Iterator[tuple[int, dict[str, np.ndarray]]], truth: Truth) -> None:
    """Prints a row for every word."""
    judged: dict[str, list[DepthFrame]] = {}
    for number, words in frames:
        known = truth.depth[number]  # type: ignore[index]
        for name, z in words.items():
            if len(known.z):
                judged.setdefault(name, []).append(
                    DepthFrame(z.astype(np.float32), known.pixels, known.z, known.width, known.height))
    for name, some in judged.items():
        scores = {s.name: s.value for s in judge_depth(some)}
        print(f"| {name} ({len(some)}) | {' | '.join(f'{scores[n]:.4f}' for n in NAMES)} |")


def main() -> None:
    """Reads the run and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--every", type=int, default=5)
    options = parser.parse_args()
    run, work, truth = RunFiles(options.run), options.run / "work", read_truth(options.truth)
    system = ReprojectionDepth()
    system.load_state_dict(read_tensors(work / "learn 2.safetensors")[0])
    keys = KeyImages.open(work / "dense" if (work / "dense").exists() else work / "keys")
    seen = Look.from_json((work / "look.json").read_text(encoding="utf-8"))
    path, network = load_solution(work / "path-4.safetensors"), Predictor(system)
    joined = JoinedDepth(work / "joined", keys, path, seen)
    print(f"| depth by (frames) | {' | '.join(NAMES)} |\n|---|---|---|---|---|")
    table(of_key_frames(joined, network, options.every), truth)
    table(of_frames_between(run, joined, network, Path(run.about["arguments"]["clip"]), options.every), truth)


if __name__ == "__main__":
    main()
