"""What weights to start from are worth: the main job's network after equal steps with them and from nothing.

    python benchmarks/start.py RUN TRUTH [--steps 0 75 150 300 600] [--seeds 3] [--rate 2e-3] [--out start.md]

RUN is a folder of `epipole learn` with its work folder, TRUTH a plain folder. Judged is the network's own depth of
every 3rd key frame, each image median-scaled, before flow corrects it. Prints a markdown table as it grows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablate_icp import Table  # beside this file
from ablate_learn import FULL, taught

from epipole.recipes.learn_video.stages import HOW
from epipole.recipes.learn_video.start import SHIPPED
from epipole.sources.plain import read_truth
from epipole.types.errors import EpipoleError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 75, 150, 300, 600])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. N-1")
    parser.add_argument("--start", type=Path, default=SHIPPED)
    parser.add_argument("--rate", type=float, default=HOW.learning_rate, help="learning rate with the start")
    parser.add_argument("--only", choices=("start", "nothing"))
    parser.add_argument("--out", type=Path, default=None, help="write the table here, too")
    a = parser.parse_args()
    try:
        truth, table = read_truth(a.truth), Table(a.out)
        for name, start, rate in (("start", a.start, a.rate), ("nothing", None, HOW.learning_rate)):
            for steps in a.steps if a.only in (None, name) else ():
                results = [taught(FULL, a.run, truth, steps, seed, start, rate) for seed in range(a.seeds)]
                table.add(f"from {name}, {steps} steps at {rate:g}", *map(list, zip(*results, strict=True)))
    except EpipoleError as e:
        print(f"start: {e}", file=sys.stderr)
        return 2
    table.note(f"\n{a.seeds} seeds; {table.protocol}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
