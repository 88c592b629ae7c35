"""The main job from top to bottom: look, correspond, solve, teach, rejoin, teach on, place, export, judge.

Every stage leaves its result in RUN/work and is not done again: interrupted anywhere, the same command goes on.
"""

import os
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engine.fit import torch_device
from ...engine.log import Progress
from ...geometry.camera import resize_intrinsics
from ...geometry.motion import se3_inverse
from ...judges.score import Score
from ...sources.findings import Look
from ...sources.footage import Footage
from ...sources.plain import read_truth
from ...sources.straight import seen_through
from ...sources.video import open_footage
from ...systems.depth.reprojection import ReprojectionDepth
from ...types.errors import FootageError, InputError
from ...types.known import Known
from ..description import write_description
from ..find_scale import check_fits, check_readable
from ..judge_run import check_same_clip, judge_run
from ..scale_run import give_metres
from ..scale_tracks import Clip
from .agree import JoinedDepth
from .between import with_frames_between
from .correspond import FlowStore, KeyImages, chain_pairs
from .describe import Intrinsics, Result
from .everyframe import place_every_frame
from .export import write_outputs
from .folder import alone, claim, finished, judge_again, mend, scale_again, together
from .lens import refocused, seen_through_own_lens
from .matches import homography_guesses
from .moved import moved_by
from .predict import Predictor
from .rejoin import scale_drift
from .selfcheck import check
from .solve import Solution, focal_deviation, network_intrinsics, network_size, verdict
from .stages import GAPS, SEEN_ON, Run, correspond, key_images, look_at, matched, refined, solved, stored, teach
from .start import SHIPPED, begin, named
from .teach import learned_inverse_depth
from .turns import turns
from .unroll import with_whole_frames
from .wide import rigid_guesses, wide_pairs

WIDE_PER_KEY_FRAME = 2     # further pairs, at most
HEALTHY = {"reprojection": [0.0, 0.3], "consistency": [0.0, 0.04], "photometric": [0.0, 0.015]}


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
    start: Path | None = SHIPPED,
    scale: Known | None = None, rolling_shutter: float = 0.0,
) -> Path:
    """Learns a clip into the folder `out` (docs/run-folder.md, but for the report), and returns it.

    `minutes` is the budget: the number of training steps follows from it and the machine's speed, measured once; with
    `steps` it is said outright, and then a seed gives the same bits on every run of a machine. `start` holds the
    weights to start from, if any. The rest is as in `epipole.learn`. A run that is finished is left as it is, or judged
    against another truth, or given metres. Raises InputError, FootageError, TrainingError.
    """
    footage, K = seen_through(open_footage(clip), intrinsics)
    given = None if K is None else torch.from_numpy(K)
    where = torch_device(device)
    begin(ReprojectionDepth(), start)  # weights that do not fit are refused before anything is done
    if scale is not None:
        check_readable(scale)
    claim(out, footage, given, minutes, seed, steps, start, rolling_shutter)
    mend(out)
    if about := finished(out):
        judge_again(out, about, truth)
        scale_again(out, scale, clip)
        return out
    torch.manual_seed(seed)
    with alone(out / "work"), Progress() if not quiet else nullcontext() as progress:
        run = Run(out, progress)
        if progress and steps is None:
            progress.expect(60.0 * minutes - run.seconds)
        seen = usable(run, footage, truth, scale)
        footage, keys, lens = straight_keys(run, footage, seen, given, seed)
        stores, path = path_from_flow(run, footage, seen, keys, given, seed, rolling_shutter)
        keys, stores, path = with_frames_between(run, footage, seen, keys, stores, path)
        system, path, lessons = teach(run, keys, stores, path, given is None, minutes, seed, where, steps, start)
        depth = joined_depth(run, seen, keys, stores, path, system, where)
        footage, result = finish(run, footage, seen, keys, path, depth, system, given, lens)
        learned = learned_inverse_depth(Predictor(system, where).of_key_frames(keys), path)
        scores, warnings = check(depth, lessons, scale_drift(path, stores, learned))
        arguments = {"clip": clip, "minutes": minutes, "steps": steps, "seed": seed, "device": str(where),
                     "intrinsics": intrinsics, "truth": truth, "start": named(start), "scale": None,
                     "rolling_shutter": rolling_shutter or None}
        warnings = [*result.warnings, *warnings, *lost(path, keys)]
        result = replace(result, arguments=arguments, healthy=HEALTHY, warnings=warnings)
        with run.phase("export", len(seen.times), "frames") as tell:
            moved = moved_by(keys, stores, path, Predictor(system, where).of_key_frames(keys))
            about = write_outputs(out, footage, seen, depth, moved, result, device=str(where), progress=tell)
        if scale is not None:
            with run.phase("scale"):
                about = give_metres(out, scale, clip)
        conclude(run, about | {"turns": turns(run.work, keys, stores, learned)}, scores, truth)
    return out


def conclude(run: Run, about: dict[str, Any], scores: list[Score], truth: Path | None) -> None:
    """Judges the run against the truth, if there is one, and calls it finished."""
    with run.phase("judge"):
        judged = judge_run(run.out, truth) if truth is not None else []
    about |= {"phases": run.phases, "scores": together(judged, [s.as_dict() for s in (*scores, *costs(run))])}
    write_description(run.out, about | {"finished": True})


def straight_keys(
    run: Run, footage: Footage, seen: Look, given: Tensor | None, seed: int
) -> tuple[Footage, KeyImages, str]:
    """The footage, straightened if nobody gave its camera and its lens bends, its key frames, a word on the lens."""
    def keys(footage: Footage) -> KeyImages:
        return key_images(run, footage, seen.key_frames, network_size(footage.width, footage.height))

    if given is not None:
        return footage, keys(footage), ""
    straight, said = seen_through_own_lens(
        run, footage, lambda: first_path(run, footage, seen, keys(footage), None, seed))
    return straight, keys(straight), said


def first_path(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, K: Tensor | None, seed: int
) -> tuple[list[FlowStore], Solution]:
    """Flow between key frames near in time or alike, and the path that follows."""
    chain = correspond(run, "chain", keys, chain_pairs(shots_of(seen, keys), GAPS), homography_guesses(keys.gray),
                       SEEN_ON)
    stores = [chain, *matched(run, keys, chain)]
    return stores, stored(run.work / "path-1.safetensors", lambda: solved(run, stores, keys, K, footage, seed))


def shots_of(seen: Look, keys: KeyImages) -> list[int]:
    """The shot of every key frame."""
    return np.searchsorted(seen.cuts, keys.key_frames, side="right").tolist()


def path_from_flow(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, given: Tensor | None, seed: int,
    rolling_shutter: float = 0.0,
) -> tuple[list[FlowStore], Solution]:
    """Flow between key frames near in time or alike, the path that follows, flow between those that it shows to be
    near in space, and the path by all of it; then both as of whole frames, where rows are read one after the other."""
    size, source, shots = keys.size, (footage.width, footage.height), shots_of(seen, keys)
    K = None if given is None else network_intrinsics(given, source, size)
    stores, first = first_path(run, footage, seen, keys, K, seed)
    known = {(int(a), int(b)) for store in stores for a, b in store.pairs}
    pairs = wide_pairs(first.scene, first.pixels, size, known, shots, WIDE_PER_KEY_FRAME * len(keys))
    wide = correspond(run, "wide", keys, pairs, rigid_guesses(first.scene, first.pixels, size))
    stores += [wide] if len(wide) else []
    path = stored(run.work / "path-2.safetensors", lambda: refined(run, first, stores, K is None))
    if not rolling_shutter:
        return stores, path
    return with_whole_frames(run, stores, path, keys.key_frames, np.array(shots), rolling_shutter, K is None)


def joined_depth(
    run: Run, seen: Look, keys: KeyImages, stores: list[FlowStore], path: Solution, system: ReprojectionDepth,
    device: torch.device,
) -> JoinedDepth:
    """What the network and the flow know of depth together."""
    with run.phase("measure"):
        depth_of = Predictor(system, device).of_key_frames(keys)
        return JoinedDepth.build(run.work / "joined", keys, path, seen, stores, depth_of)


def finish(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, path: Solution, depth: JoinedDepth,
    system: ReprojectionDepth, given: Tensor | None, lens: str,
) -> tuple[Footage, Result]:
    """Every frame's pose, and what is known of intrinsics; the footage whose lens fits them."""
    placed = se3_inverse(path.scene.T_camera_world).double().numpy()
    with run.phase("place", len(seen.times), "frames") as tell:
        every = place_every_frame(footage, seen, keys, placed, depth, path.scene.K.double().numpy(), lost=path.lost,
                                  progress=tell)
    w, h = keys.size
    K = given if given is not None else resize_intrinsics(path.scene.K.double(), footage.width / w, footage.height / h)
    known = Intrinsics(K.numpy(), "given" if given is not None else "estimated",
                       f"{verdict(path.focal_spread, given is not None)} {lens}".strip(),
                       None if given is not None else focal_deviation(path.focal_spread))
    result = Result(every.T_world_camera, known, system, "reprojection", system.config, {}, skipped=every.skipped)
    return footage if given is not None else refocused(footage, known.K), result


def lost(path: Solution, keys: KeyImages) -> list[str]:
    """A sentence on key frames that nothing could place."""
    if not path.lost:
        return []
    names = ", ".join(str(int(keys.key_frames[k])) for k in sorted(path.lost)[:10])
    return [f"{len(path.lost)} key frames share too little with the others to be placed together with them (frames "
            f"{names}{', ...' if len(path.lost) > 10 else ''}): their pose may be a guess."]


def costs(run: Run) -> list[Score]:
    """Wall time and peak memory, all parts of an interrupted run together."""
    machine = f"{os.cpu_count()} cores, torch with {torch.get_num_threads()} threads"
    return [Score("wall_s", round(run.seconds, 1), "s", "lower", machine),
            Score("peak_memory_mb", round(run.peak_mb, 1), "MB", "lower", "resident set of the process")]


def usable(run: Run, footage: Footage, truth: Path | None, scale: Known | None) -> Look:
    """The look at footage that can be learned. Raises FootageError for what cannot, InputError for what cannot be read;
    either then leaves no folder behind. Raises InputError for a truth or a scale that cannot be the clip's."""
    try:
        seen = look_at(run, footage)
        seen.refuse()
    except (FootageError, InputError):
        for name in ("look.json", "costs.json", "arguments.json", "lock"):
            (run.work / name).unlink(missing_ok=True)
        with suppress(OSError):  # whoever made the folder before may keep things in it
            run.work.rmdir()
            run.out.rmdir()
        raise
    if truth is not None:
        check_same_clip(read_truth(truth), len(seen.times), (seen.width, seen.height))
    if scale is not None:
        check_fits(scale, Clip(seen.times, bool(footage.fps), (seen.width, seen.height), footage))
    return seen
