"""The command line. Nothing heavier than argparse is imported before a command runs, so that help is instant."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .types.errors import EpipoleError, InputError

if TYPE_CHECKING:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 2 for what the user can mend, 130 when interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        options.action(options)
        sys.stdout.flush()
    except EpipoleError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from here", 130)
    except BrokenPipeError:  # the reader, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return _complain(where + MENDABLE[error.errno])
    return 0


def _complain(message: str, code: int = 2) -> int:
    print("epipole:", " ".join(message.split()), file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="epipole", description="Learn depth, camera path and a 3-D map from your own video, without labels.")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(action=action)
        return sub

    sub = command("learn", _learn, "learn depth, camera path and map of a clip; interrupted, it goes on")
    sub.add_argument("clip", type=Path, metavar="CLIP", help="video file, or folder of images")
    _add_out(sub, "folder of the results (default: runs/<name of the clip>)")
    sub.add_argument("--minutes", type=_positive, default=10.0, metavar="M", help="learning budget (default: 10)")
    sub.add_argument("--intrinsics", type=_intrinsics, metavar="K", help="file with the 3x3 matrix, or fx,fy,cx,cy in "
                     "pixels of the clip (default: estimated)")
    sub.add_argument("--truth", type=Path, metavar="FOLDER", help="plain folder to judge the result against")
    _add_seed_and_device(sub)

    sub = command("inspect", _inspect, "say what the footage is like, before any learning")
    sub.add_argument("clip", type=Path, metavar="CLIP", help="video file, or folder of images")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = command("judge", _judge, "score a run against the truth")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that `epipole learn` wrote")
    sub.add_argument("--truth", type=Path, metavar="FOLDER", required=True, help="plain folder: images, and "
                     "intrinsics.txt, poses.txt, depth/ or sparse_depth.npz as far as known")
    sub.add_argument("--json", action="store_true", help="print a list of {name, value, unit, protocol}")

    sub = command("show", _show, "open the report of a run in the browser")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that `epipole learn` wrote")
    sub.add_argument("--no-browser", action="store_true", help="only print where the report is")

    sub = command("train", _train, "train a system of the table of contents")
    sub.add_argument("system", metavar="SYSTEM", help="a name that `epipole list` shows")
    sub.add_argument("--data", required=True, metavar="FOLDER|world", help="plain folder, or the procedural room")
    sub.add_argument("--preset", default="small", help="size of the network (default: small)")
    sub.add_argument("--steps", type=_count, default=1000, metavar="N", help="training steps (default: 1000)")
    sub.add_argument("--frames", type=_count, default=3, metavar="N", help="length of a clip (default: 3)")
    sub.add_argument("--gap", type=_count, default=1, metavar="N", help="frames from one of a clip to the next "
                     "(default: 1)")
    sub.add_argument("--width", type=_count, default=256, metavar="PX", help="of the images learned from "
                     "(default: 256)")
    _add_out(sub, "folder of the results (default: runs/<SYSTEM>)")
    _add_seed_and_device(sub)

    command("list", _list, "list the systems and their papers")

    sub = command("demo", _demo, "render a clip, learn it in three minutes, and judge it against its own truth")
    _add_out(sub, "folder of the results (default: runs/demo)")
    _add_seed_and_device(sub)

    sub = command("world", _world, "render a procedural world as a plain folder")
    sub.add_argument("family", metavar="FAMILY", help="kind of world: room")
    _add_out(sub, "folder to write (required)", required=True)
    sub.add_argument("--frames", type=_count, default=160, metavar="N", help="length of the clip (default: 160)")
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another world (default: 0)")
    return parser


def _add_out(sub: argparse.ArgumentParser, text: str, required: bool = False) -> None:
    sub.add_argument("-o", "--out", type=Path, metavar="FOLDER", required=required, help=text)


def _add_seed_and_device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (default: 0)")
    sub.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return value


def _intrinsics(text: str) -> tuple[float, float, float, float] | Path:
    """A file, or four numbers separated by commas."""
    if "," not in text or Path(text).exists():
        return Path(text)
    try:
        fx, fy, cx, cy = (float(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a file nor four numbers fx,fy,cx,cy") from error
    return fx, fy, cx, cy


def _learn(options: argparse.Namespace) -> None:
    from . import api

    run = api.learn(options.clip, options.out, options.minutes, options.intrinsics, options.truth, options.seed,
                    options.device)
    _print_scores(run.scores)
    print(f"report: {run.folder / 'report.html'}")


def _inspect(options: argparse.Namespace) -> None:
    from .sources.look import look
    from .sources.video import open_footage

    seen = look(open_footage(options.clip))
    if not options.json:
        print(seen.text())
        return
    conclusions = {"found": seen.found, "refusal": seen.refusal(), "skipped": [vars(span) for span in seen.skipped]}
    print(json.dumps(conclusions | json.loads(seen.to_json()), indent=1))


def _judge(options: argparse.Namespace) -> None:
    from .recipes.judge_run import judge_run, why_absent

    scores = judge_run(options.run, options.truth)
    if options.json:
        print(json.dumps([score.as_dict() for score in scores], indent=1))
    else:
        _print_scores(scores)
    for reason in why_absent(options.truth):
        print(reason, file=sys.stderr)


def _print_scores(scores: list[Score]) -> None:
    """A table; above each group of scores stands the protocol they share."""
    protocol = None
    for score in scores:
        if score.protocol != protocol:
            protocol = score.protocol
            print(protocol)
        beside = ", ".join(f"{name} {value:.4f}" for name, value in score.baselines.items())
        print(f"  {score.name:<16} {score.value:>10.4f} {score.unit:<10} {beside}".rstrip())


def _show(options: argparse.Namespace) -> None:
    from .api import Run

    run = Run(options.run)
    report = run.folder / "report.html"
    if not report.is_file():
        run.report()
    print(report)
    if not options.no_browser:
        import webbrowser

        if not webbrowser.open(report.absolute().as_uri()):
            raise InputError("no browser was found; open the file above by hand")


def _train(options: argparse.Namespace) -> None:
    from .api import train

    folder = train(options.system, options.data, options.out, options.preset, options.steps, options.frames,
                   options.gap, options.width, options.seed, options.device)
    print(folder / "model.safetensors")


def _list(options: argparse.Namespace) -> None:
    from .api import list_systems

    for system in list_systems():
        print(f"{system.name:<16} {system.paper:<40} {' '.join(system.presets)}")


def _demo(options: argparse.Namespace) -> None:
    from .api import demo

    run = demo(options.out or Path("runs/demo"), options.seed, options.device)
    _print_scores(run.scores)
    print(f"report: {run.folder / 'report.html'}")


def _world(options: argparse.Namespace) -> None:
    from .api import render

    print(render(options.out, options.family, options.frames, options.seed))


if __name__ == "__main__":
    sys.exit(main())
