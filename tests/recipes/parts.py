"""Learning in processes of their own, which tests may kill at any moment."""

import multiprocessing
import random
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

SERVER = multiprocessing.get_context("forkserver")  # has imported everything once, and has no threads yet
SERVER.set_forkserver_preload(["epipole.recipes.learn_video.program", "tests.recipes.parts"])


def learn_part(clip: Path, out: Path, options: dict[str, Any]) -> None:
    """One part of a run, on one thread, with a checkpoint after every step."""
    from epipole.recipes.learn_video import learn_video, stages

    torch.set_num_threads(1)
    stages.HOW = replace(stages.HOW, checkpoint_every_seconds=0.0)
    learn_video(clip, out, quiet=True, **options)


def started(clip: Path, out: Path, options: dict[str, Any]) -> BaseProcess:
    process = SERVER.Process(target=learn_part, args=(clip, out, options))
    process.start()
    return process


def killed_soon_after(mark: Path, process: BaseProcess, seconds: float, rng: random.Random) -> bool:
    """Kills the process within so many seconds of the moment when `mark` is there; False if it had ended by then."""
    until = time.monotonic() + 120
    while not mark.exists() and process.is_alive() and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, seconds))
    process.kill()
    process.join()
    return process.exitcode == -9
