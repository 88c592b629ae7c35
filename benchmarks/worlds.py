"""How fast the procedural worlds are: `python benchmarks/worlds.py`, or `make bench-worlds`.

Two processes of one thread each render the same kind of work at 256x192; a rate counts what both finish together: by
the clock on the wall, and by the processor's time, which other programs on the machine hardly lengthen and which is the
same where there are none. `--clip N` also writes a clip of N frames with all processes.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from epipole.sources.worlds import USUAL, Spec, Turntable, World, volumes, write_world
from epipole.sources.worlds.focus import focus_distances, focus_stack

GEOMETRY = frozenset({"depth", "depth_valid", "normals", "instance", "semantic"})
FULL = USUAL | {"flow", "flow_valid", "occlusion"}
SIZE = (256, 192)   # px


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


def completion(world: World, index: int) -> None:
    """Depth and the labels of 120 x 72 x 120 voxels, as semantic scene completion learns from them."""
    pose = world.poses[index].numpy()
    world.clip([index], {"depth"})
    volumes.labels(world.scene, world.moment(index), volumes.before_camera(pose, 0.04))


class Task(NamedTuple):
    work: Callable[[World, int], None]
    times: int
    unit: str
    least: float            # rate to reach
    only: str | None = None  # the one family that it is for


TASKS = {
    "geometry only": Task(geometry, 40, "frames/s", 60),
    "full frame": Task(full, 20, "frames/s", 15),
    "stereo pair": Task(stereo, 12, "pairs/s", 8),
    "focus stack": Task(focus, 1, "stacks/s", 2 / 3),
    "turntable": Task(turntable, 5, "objects/s", 2 / 0.3, "objects"),
    "completion": Task(completion, 2, "pairs/s", 2, "room"),
}


class Measured(NamedTuple):
    built: float   # s of the processor's time to build the world and its path
    wall: float    # s a piece of work
    cpu: float
    memory: float  # MB at most


def measure(spec: Spec, name: str) -> Measured:
    """One process's share of a task."""
    torch.set_num_threads(1)
    start = time.process_time()
    world = World(spec)
    _ = world.poses
    built = time.process_time() - start
    task = TASKS[name]
    task.work(world, 0)
    wall, cpu = time.perf_counter(), time.process_time()
    for k in range(task.times):
        task.work(world, k + 1)
    wall, cpu = ((now - then) / task.times for now, then in ((time.perf_counter(), wall), (time.process_time(), cpu)))
    return Measured(built, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def clip(spec: Spec, processes: int) -> None:
    """Prints how long a whole clip takes, written with its path and contact sheet."""
    with TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        write_world(spec, folder, workers=processes)
        took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / processes
    print(f"{spec.family}: a clip of {spec.frames} frames took {took:.0f} s, {cpu:.0f} s of each processor's time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", default=["room", "street", "objects"])
    parser.add_argument("--difficulty", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clip", type=int, default=0, metavar="FRAMES")
    options = parser.parse_args()
    print(f"{'family':<8} {'work':<14} {'by clock':>8} {'by cpu':>8} {'to reach':>8} {'':<9} {'build':>7} "
          f"{'memory':>9}")
    for family in options.families:
        specs = [Spec(family, options.difficulty, seed=k, frames=60, width=SIZE[0], height=SIZE[1])
                 for k in range(options.processes)]
        for name, task in TASKS.items():
            if task.only not in (None, family):
                continue
            with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
                results = list(pool.map(measure, specs, [name] * len(specs)))
            wall, cpu = sum(1 / r.wall for r in results), sum(1 / r.cpu for r in results)
            built, memory = max(r.built for r in results), max(r.memory for r in results)
            print(f"{family:<8} {name:<14} {wall:8.2f} {cpu:8.2f} {task.least:8.2f} {task.unit:<9} {built:5.2f} s "
                  f"{memory:6.0f} MB", flush=True)
        if options.clip:
            clip(replace(specs[0], frames=options.clip), options.processes)


if __name__ == "__main__":
    main()
