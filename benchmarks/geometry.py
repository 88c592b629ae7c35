"""How fast geometry and losses are, each as a ratio to a peer or a floor measured in the same run.

    python benchmarks/geometry.py [--threads 1 2] [--only warp]

Prints a Markdown table. Every number of threads has a process of its own. Each suite is a file geometry_<name>.py here
with `contests(threads) -> Iterator[Contest]` that makes one contest after the other, so that memory is freed between.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

from contest import HEADER, lines

SUITES = sorted(file.stem.removeprefix("geometry_") for file in Path(__file__).parent.glob("geometry_*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", choices=SUITES, nargs="+", default=SUITES)
    parser.add_argument("--here", action="store_true", help="measure in this process, and print no heading")
    arguments = parser.parse_args()
    if arguments.here:
        run(arguments.only, arguments.threads[0])
        return 0
    print(HEADER, flush=True)
    return max(alone(arguments.only, threads) for threads in arguments.threads)


def alone(suites: list[str], threads: int) -> int:
    """The suites in a process that has this many threads from its start: OpenMP reads its environment only once."""
    command = [sys.executable, __file__, "--here", "--threads", str(threads), "--only", *suites]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, check=False).returncode


def run(suites: list[str], threads: int) -> None:
    """Print the rows of these suites."""
    import torch

    torch.set_num_threads(threads)
    for suite in suites:
        for contest in importlib.import_module(f"geometry_{suite}").contests(threads):
            for line in lines(contest, threads):
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
