"""How many of a finished run's pixels its intervals hold, had `SHARED_BY_ALL` of `doubt.py` been another number.

    python benchmarks/doubt.py RUN TRUTH [--factors 1 1.4 1.7 2 3]

RUN is a finished run, TRUTH a plain folder with depth. An interval is that of log depth by a Gaussian of the deviation
that the run gives a pixel; depth is laid over the truth by one factor for the clip. One line for every number, with the
per cent of the pixels that the intervals of 50, 68 and 90 % hold.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from map import Swapped, covered

from epipole.formats.run import RunFiles
from epipole.recipes.learn_video.doubt import SHARED_BY_ALL
from epipole.sources.plain import read_truth

INTERVALS = (0.5, 0.68, 0.9)


class Wider:
    """Log variances of deviations `factor` times as large."""

    def __init__(self, run: RunFiles, factor: float) -> None:
        self.run, self.more = run, np.float32(2 * math.log(factor))

    def __getitem__(self, i: int) -> np.ndarray:
        return self.run.log_variance[i] + self.more


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--factors", type=float, nargs="+", default=[1, 1.4, 1.7, 2, 3])
    options = parser.parse_args()
    run, truth = RunFiles(options.run), read_truth(options.truth)
    print(f"| factor | {' | '.join(f'{100 * p:.0f} %' for p in INTERVALS)} |\n|" + "---|" * (1 + len(INTERVALS)))
    for factor in options.factors:
        other = Swapped(options.run, log_variance=Wider(run, factor / SHARED_BY_ALL))
        shares = covered(other, truth, INTERVALS)
        print(f"| {factor:g} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
