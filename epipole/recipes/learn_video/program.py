"""The main job from top to bottom: look, correspond, solve, teach, rejoin, teach on, place, export, judge.

Every stage leaves its result in RUN/work and is not done again: interrupted anywhere, the same command goes on.
"""

import os
import resource
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...engine.checkpoint import decided_once
from ...engine.fit import torch_device
from ...engine.log import Progress
from ...formats.atomic import make_folder
from ...geometry.camera import resize_intrinsics
from ...geometry.motion import se3_inverse
from ...judges.score import Score
from ...sources.findings import Look
from ...sources.footage import Footage
from ...sources.plain import camera_matrix, check_intrinsics
from ...sources.video import open_footage
from ...systems.depth.reprojection import ReprojectionDepth
from ...types.errors import InputError
from ..judge_run import judge_run
from .correspond import FlowStore, KeyImages, chain_pairs
from .describe import Intrinsics, Result, write_description
from .everyframe import place_every_frame
from .export import write_outputs
from .matches import homography_guesses
from .moved import moved_by
from .predict import Predictor
from .rejoin import scale_drift
from .selfcheck import check
from .solve import Solution, network_intrinsics, verdict
from .stages import GAPS, Run, correspond, key_images, look_at, matched, refined, solved, stored, teach
from .wide import rigid_guesses, wide_pairs

WIDE_PER_KEY_FRAME = 2     # further pairs, at most
HEALTHY = {"reprojection": [0.0, 0.8], "consistency": [0.0, 0.04], "photometric": [0.0, 0.015]}


def learn_video(
    clip: Path,
    out: Path,
    *,
    minutes: float = 10.0,
    intrinsics: tuple[float, float, float, float] | Path | None = None,
    truth: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    steps: int | None = None,
) -> Path:
    """Learns a clip into the folder `out` (docs/run-folder.md), and returns it.

    `minutes` is the budget: the number of training steps follows from it and the machine's speed, measured once; with
    `steps` it is said outright, and then a seed gives the same bits on every run of a machine. The rest is as in
    `epipole.learn`. Raises InputError, FootageError, TrainingError.
    """
    footage = open_footage(clip)
    given = given_intrinsics(intrinsics, footage)
    where = torch_device(device)
    _same_run(out, footage, given, minutes, seed, steps)
    torch.manual_seed(seed)
    with Progress() if not quiet else nullcontext() as progress:
        run = Run(out, progress)
        seen = look_at(run, footage)
        seen.refuse()
        keys = key_images(run, footage, seen)
        size = keys.size
        shots = np.searchsorted(seen.cuts, keys.key_frames, side="right").tolist()
        K = None if given is None else network_intrinsics(given, (footage.width, footage.height), size)
        chain = correspond(run, "chain", keys, chain_pairs(shots, GAPS), homography_guesses(keys.gray))
        stores = [chain, *matched(run, keys, chain)]
        first = stored(run.work / "path-1.safetensors", lambda: solved(run, stores, keys, K, footage, seed))
        known = {(int(a), int(b)) for store in stores for a, b in store.pairs}
        pairs = wide_pairs(first.scene, first.pixels, size, known, shots, WIDE_PER_KEY_FRAME * len(keys))
        wide = correspond(run, "wide", keys, pairs, rigid_guesses(first.scene, first.pixels, size))
        stores += [wide] if len(wide) else []
        path = stored(run.work / "path-2.safetensors", lambda: refined(run, first, stores, K is None))
        system, path, lessons = teach(run, keys, stores, path, K is None, minutes, seed, where, steps)
        result, drift = finish(run, footage, seen, keys, stores, path, system, given, where)
        scores, warnings = check(system.to("cpu"), lessons, drift)
        arguments = {"clip": clip, "minutes": minutes, "seed": seed, "device": str(where), "steps": steps,
                     "intrinsics": intrinsics, "truth": truth}
        result = replace(result, arguments=arguments, warnings=[*result.warnings, *warnings, *lost(path, keys)],
                         phases=run.phases, healthy=HEALTHY)
        with run.phase("export", len(seen.times), "frames") as tell:
            about = write_outputs(out, footage, seen, keys, path.scene.K.double().numpy(),
                                  moved_by(keys, stores, path, Predictor(system, where).of_key_frames(keys)),
                                  result, device=str(where), progress=tell)
        write_description(out, about | {"finished": False})
        judged = judge_run(out, truth) if truth is not None else []
        about |= {"phases": run.phases, "scores": [s.as_dict() for s in (*judged, *scores, *costs(run))]}
        write_description(out, about | {"finished": True})
    return out


def finish(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, stores: list[FlowStore], path: Solution,
    system: ReprojectionDepth, given: Tensor | None, device: torch.device,
) -> tuple[Result, np.ndarray]:
    """Every frame's pose, and what is known of intrinsics and scale."""
    depth_of = Predictor(system, device).of_key_frames(keys)
    drift = scale_drift(path, stores, depth_of)
    placed = se3_inverse(path.scene.T_camera_world).double().numpy()
    with run.phase("place", len(seen.times), "frames") as tell:
        every = place_every_frame(footage, seen, keys, placed, depth_of, path.scene.K.double().numpy(), progress=tell)
    w, h = keys.size
    K = given if given is not None else resize_intrinsics(path.scene.K.double(), footage.width / w, footage.height / h)
    known = Intrinsics(K.numpy(), "given" if given is not None else "estimated",
                       verdict(path.focal_spread, given is not None), None if given is not None else path.focal_spread)
    return Result(every.T_world_camera, known, system, "reprojection", system.config, {}, skipped=every.skipped), drift


def given_intrinsics(given: tuple[float, float, float, float] | Path | None, footage: Footage) -> Tensor | None:
    """K (3, 3), float64, at the footage's size, if somebody knows it. Raises InputError if it cannot be that."""
    if given is None:
        return None
    K = camera_matrix(given)
    check_intrinsics(K, footage.width, footage.height, footage.name)
    return torch.from_numpy(K).double()


def lost(path: Solution, keys: KeyImages) -> list[str]:
    """A sentence on key frames that nothing could place."""
    if not path.lost:
        return []
    names = ", ".join(str(int(keys.key_frames[k])) for k in sorted(path.lost)[:10])
    return [f"{len(path.lost)} key frames share too little with the others to be placed well (frames {names}"
            f"{', ...' if len(path.lost) > 10 else ''}): their pose is a guess."]


def costs(run: Run) -> list[Score]:
    """Wall time and peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = sum(phase["seconds"] for phase in run.phases)
    machine = f"{os.cpu_count()} cores, torch with {torch.get_num_threads()} threads"
    return [Score("wall_s", round(seconds, 1), "s", "lower", machine),
            Score("peak_memory_mb", round(peak), "MB", "lower", "resident set of the process")]


def _same_run(out: Path, footage: Footage, given: Tensor | None, minutes: float, seed: int, steps: int | None) -> None:
    """Raises InputError if the folder holds a run of something else."""
    make_folder(out / "work")
    now = {"sha256": footage.sha256(), "intrinsics": None if given is None else given.tolist(), "minutes": minutes,
           "seed": seed, "steps": steps}
    before = decided_once(out / "work" / "arguments.json", lambda: now)
    if different := [name for name in now if before.get(name) != now[name]]:
        raise InputError(f"{out} holds a run with another {' and '.join(different)}: choose another folder with -o, "
                         "or remove it")


