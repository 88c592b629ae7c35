"""The table of the README: the main job on real footage with known truth, several seeds each.

    python benchmarks/learn.py DATA --minutes 10 --seeds 0 1 2 --jobs 2 --out runs/benchmark

DATA holds 7scenes_redkitchen, videos, kitti_odom_03 and fox as plain folders. Runs that are there are not repeated.
`--jobs` runs go on side by side, each with its share of the cores.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """Footage, what is given, its truth, and the scores that go into the table."""

    name: str
    clip: str
    intrinsics: str | None
    truth: str
    scores: tuple[str, ...]


CASES = (
    Case("red kitchen, K given", "7scenes_redkitchen", "7scenes_redkitchen/intrinsics.txt", "7scenes_redkitchen",
         ("abs_rel", "delta_1", "scale_spread", "ate")),
    Case("red kitchen video, no K", "videos/redkitchen_320x240.mp4", None, "7scenes_redkitchen",
         ("focal_error", "abs_rel", "delta_1", "ate")),
    Case("KITTI 03, K given", "kitti_odom_03", "kitti_odom_03/intrinsics.txt", "kitti_odom_03",
         ("abs_rel", "delta_1", "ate", "t_rel", "r_rel")),
    Case("fox, no K", "fox", None, "fox", ("ate_percent", "focal_error")),
)
ALWAYS = ("wall_s", "peak_memory_mb")


def run(
    case: Case, data: Path, out: Path, minutes: float, seed: int, threads: int, more: list[str]
) -> dict[str, dict]:
    """Scores of one run, learned if need be with so many threads, by name."""
    folder = out / f"{case.name.replace(' ', '_').replace(',', '')}_{minutes:g}_{seed}"
    command = [sys.executable, "-m", "epipole", "learn", str(data / case.clip), "-o", str(folder), "--minutes",
               f"{minutes:g}", "--seed", str(seed), "--truth", str(data / case.truth), *more]
    if case.intrinsics:
        command += ["--intrinsics", str(data / case.intrinsics)]
    if not (folder / "report.html").exists():
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    judged = subprocess.run([sys.executable, "-m", "epipole", "judge", str(folder), "--truth",
                             str(data / case.truth), "--json"], check=True, capture_output=True, text=True)
    return {score["name"]: score for score in json.loads(judged.stdout)}


def cell(runs: list[dict[str, dict]], name: str) -> str:
    """Median and range over the seeds, and the baseline where there is one."""
    values = [r[name]["value"] for r in runs if name in r]
    if not values:
        return f"{name} –"
    unit = runs[0][name]["unit"]
    spread = f" ({min(values):.3g}–{max(values):.3g})" if len(values) > 1 else ""
    baseline = "".join(f", {k} {v:.3g}" for k, v in runs[0][name].get("baselines", {}).items())
    return f"{name} **{statistics.median(values):.3g}**{' ' + unit if unit else ''}{spread}{baseline}"


def main() -> None:
    """Runs what is asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--from-scratch", action="store_true", help="without the start that the package brings")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options = parser.parse_args()
    more = ["--from-scratch"] if options.from_scratch else []
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    print(f"{platform.processor() or platform.machine()}, {threads} threads a run, --minutes {options.minutes:g}, "
          f"seeds {options.seeds}\n\n| footage | scores: median (range) | wall s, peak MB |\n|---|---|---|", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        cases = [(case, [pool.submit(run, case, options.data, options.out, options.minutes, seed, threads, more)
                         for seed in options.seeds]) for case in CASES if options.only in case.name]
        for case, waiting in cases:
            runs = [each.result() for each in waiting]
            costs = "; ".join(cell(runs, name) for name in ALWAYS)
            print(f"| {case.name} | {'; '.join(cell(runs, name) for name in case.scores)} | {costs} |", flush=True)


if __name__ == "__main__":
    main()
