"""How fast the procedural worlds are: `python benchmarks/worlds.py`, or `make bench-worlds`.

Two processes of one thread each render the same kind of work at 256x192; a rate counts what both finish together.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import torch

from epipole.sources.worlds import USUAL, Spec, Turntable, World
from epipole.sources.worlds.focus import focus_distances, focus_stack

GEOMETRY = frozenset({"depth", "depth_valid", "normals", "instance", "semantic"})
FULL = USUAL | {"flow", "flow_valid", "occlusion"}
SIZE = {"width": 256, "height": 192}


def geometry(world: World, index: int) -> None:
    """One frame without colour."""
    world.clip([index], GEOMETRY)


def full(world: World, index: int) -> None:
    """One exact frame with texture, light, and flow to the next one with its occlusion."""
    image = world[index]
    flow = world.flow(index, index + 1)
    assert image.image.shape[-2:] == flow[0].shape[-2:]


def stereo(world: World, index: int) -> None:
    """One rectified pair with disparity."""
    world.stereo(index)


def focus(world: World, index: int) -> None:
    """One stack of ten slices through 32 pinholes."""
    focus_stack(world, index, focus_distances(0.7, 5.0))


def turntable(world: World, index: int) -> None:
    """24 views of another object at 64x64, with silhouettes."""
    _ = Turntable(replace(world.spec, scene=index, width=64, height=64), 1, {"image", "silhouette"})[0]


TASKS: dict[str, tuple[Callable[[World, int], None], int, str]] = {
    "geometry only": (geometry, 40, "frames/s"),
    "full frame": (full, 20, "frames/s"),
    "stereo pair": (stereo, 12, "pairs/s"),
    "focus stack": (focus, 1, "stacks/s"),
    "turntable": (turntable, 5, "objects/s"),
}
ONLY = {"turntable": "objects"}  # tasks of one family alone


def measure(spec: Spec, task: str) -> tuple[float, float, float]:
    """Seconds to build the world, seconds a piece of work, and the process's largest memory in MB."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    world = World(spec)
    _ = world.poses
    built = time.perf_counter() - start
    work, count, _ = TASKS[task]
    work(world, 0)
    start = time.perf_counter()
    for k in range(count):
        work(world, k + 1)
    took = (time.perf_counter() - start) / count
    return built, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", default=["room", "street", "objects"])
    parser.add_argument("--difficulty", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{'family':<8} {'work':<14} {'rate':>8} {'':<9} {'build':>7} {'memory':>9}")
    for family in options.families:
        specs = [Spec(family, options.difficulty, seed=k, frames=60, **SIZE) for k in range(options.processes)]
        for task, (_, _, unit) in TASKS.items():
            if ONLY.get(task, family) != family:
                continue
            with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
                results = list(pool.map(measure, specs, [task] * len(specs)))
            rate = sum(1 / took for _, took, _ in results)
            built, memory = max(r[0] for r in results), max(r[2] for r in results)
            print(f"{family:<8} {task:<14} {rate:8.2f} {unit:<9} {built:5.2f} s {memory:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
