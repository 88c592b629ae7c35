"""The command line. Nothing heavier than argparse is imported before a command runs, so that help is instant."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .cli_runs import ON_RUNS
from .options import build_parser
from .types.errors import EpipoleError, InputError

if TYPE_CHECKING:
    from .api import Run
    from .judges.score import Score

MENDABLE = {  # what the system may refuse, and what a person can do about it
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; choose another place or change the permissions",
    errno.EPERM: "not permitted; choose another place or change the permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EISDIR: "this is a folder where a file is needed; check the path",
    errno.ENOTDIR: "this is a file where a folder is needed; check the path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}

GO_ON = {"learn", "train", "bench", "pretrain", "demo", "predict"}  # from where they were interrupted
ANEW = {"slam"}  # in the folder that they left half made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 2 for what the user can mend, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    parser = build_parser()
    options = _parsed(parser, arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        ACTIONS[options.command](options)
        sys.stdout.flush()
    except EpipoleError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain(f"interrupted{_again(options.command)}", 130)
    except BrokenPipeError:  # the reader, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        return _complain((f"{os.fsdecode(error.filename)}: " if error.filename else "") + MENDABLE[error.errno])
    return 0


def _parsed(parser: ArgumentParser, arguments: Sequence[str] | None) -> Namespace:
    """As argparse does it, and systems are found behind the options of `bench`, too."""
    options, left = parser.parse_known_args(arguments)
    if left and (options.command != "bench" or any(word.startswith("-") for word in left)):
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if left:
        options.systems = [*options.systems, *left]
    return options


def _again(command: str) -> str:
    """What the same command does after an interruption."""
    if command in GO_ON:
        return "; the same command goes on from here"
    return "; the same command begins anew" if command in ANEW else ""


def _complain(message: str, code: int = 2) -> int:
    print("epipole:", " ".join(message.split()), file=sys.stderr)
    return code


def _learn(options: Namespace) -> None:
    from . import api
    from .formats.run import WITHOUT_METRES

    run = api.learn(options.clip, options.out, options.minutes, options.intrinsics, options.truth, options.seed,
                    options.device, steps=options.steps, start=options.start, scale=options.scale,
                    rolling_shutter=options.rolling_shutter)
    _present(run)
    if options.scale and "scaling" not in run.about:  # learned, but not what was asked for
        raise InputError(next(said for said in run.about["warnings"] if said.startswith(WITHOUT_METRES)))


def _present(run: Run) -> None:
    from .formats.run import lengths_text

    _print_scores(run.scores)
    if run.about["intrinsics"]["source"] == "estimated":
        print(run.about["intrinsics"]["verdict"])
    print(lengths_text(run.about))
    print(f"report: {run.folder / 'report.html'}")


def _inspect(options: Namespace) -> None:
    from .sources.look import look
    from .sources.straight import seen_through
    from .sources.video import open_footage

    footage, _ = seen_through(open_footage(options.clip), options.intrinsics)
    seen = look(footage)
    if not options.json:
        print(seen.text())
        return
    verdict = {"found": seen.found, "refusal": seen.refusal(), "skipped": [vars(span) for span in seen.skipped]}
    print(json.dumps(verdict | json.loads(seen.to_json()), indent=1))


def _judge(options: Namespace) -> None:
    from .formats.run import RunFiles, lengths_text
    from .judges.depth import DepthProtocol
    from .judges.motion import MotionProtocol
    from .recipes.judge_model import is_model, judge_model
    from .recipes.judge_run import judge_run, why_absent

    if is_model(options.run):
        scores, absent = judge_model(options.run, options.truth)
        unit = []
    else:
        depth = DepthProtocol(options.scaling, options.crop, cap=options.cap)
        scores = judge_run(options.run, options.truth, depth, MotionProtocol(options.alignment))
        absent = why_absent(options.truth)
        unit = [lengths_text(RunFiles(options.run).about)]
    if options.json:
        print(json.dumps([score.as_dict() for score in scores], indent=1))
    else:
        _print_scores(scores)
    for said in unit:
        print(said, file=sys.stderr if options.json else sys.stdout)
    for reason in absent:
        print(reason, file=sys.stderr)


def _print_scores(scores: list[Score]) -> None:
    """A table; above each group of scores stands the protocol they share."""
    protocol, width = None, max((len(score.name) for score in scores), default=0)
    for score in scores:
        if score.protocol != protocol:
            protocol = score.protocol
            print(protocol)
        beside = ", ".join(f"{name} {value:.4f}" for name, value in score.baselines.items())
        print(f"  {score.name:<{width}} {score.value:>10.4f} {score.unit:<10} {beside}".rstrip())


def _train(options: Namespace) -> None:
    from .api import train

    folder = train(options.system, options.data, options.out, options.preset, options.steps, options.frames,
                   options.gap, options.width, options.intrinsics, options.seed, options.device,
                   augment=options.augment, staged=options.staged, bf16=options.bf16, rate=options.rate,
                   final=options.final, batch=options.batch)
    print(folder / "model.safetensors")


def _bench(options: Namespace) -> None:
    from .api import bench

    apart = ("command", "field", "systems", "out")
    chosen = {name: value for name, value in vars(options).items() if name not in apart}
    page = bench(options.field, options.systems, options.out, **chosen)
    print(page.read_text(encoding="utf-8") + f"\n{page}")


def _saliency(options: Namespace) -> None:
    from .recipes.saliency import regard
    from .viewer.saliency import write_saliency

    seen = regard(options.model, options.data, options.pair, options.at, options.width)
    folder = options.model if options.model.is_dir() else options.model.parent
    title = f"What {options.model} looks at in pair {options.pair} of {options.data}"
    print(write_saliency(options.out or folder / "saliency.html", title, seen.image.numpy(), seen.saliency.numpy(),
                         seen.x, seen.y, seen.disparity))


def _list(options: Namespace) -> None:
    from .api import list_systems

    for system in list_systems():
        print(f"{system.name:<18} {system.paper:<40} {' '.join(system.presets)}")


def _demo(options: Namespace) -> None:
    from .api import demo

    _present(demo(options.out or Path("runs/demo"), options.seed, options.device))


def _world(options: Namespace) -> None:
    from .api import render

    chosen = {name: value for name, value in vars(options).items() if name not in ("command", "out")}
    print(render(options.out, **chosen))


def _pretrain(options: Namespace) -> None:
    from .engine.log import Progress
    from .recipes.pretrain import Worlds, pretrain

    worlds = Worlds(tuple(options.worlds), options.scenes, seed=options.seed)
    with Progress() as progress:
        print(pretrain(options.out or Path("runs/pretrain"), worlds, options.minutes, options.steps, seed=options.seed,
                       device=options.device, progress=progress))


ACTIONS = {
    "learn": _learn, "inspect": _inspect, "judge": _judge, "train": _train, "bench": _bench, "saliency": _saliency,
    "list": _list, "demo": _demo, "world": _world, "pretrain": _pretrain, **ON_RUNS,
}
