"""The commands that make more of a finished run, of a trained system, or of a camera's footage, without learning;
nothing heavy is imported before one of them runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .types.errors import InputError

if TYPE_CHECKING:
    from .engine.log import Progress


def _scale(options: Namespace) -> None:
    from dataclasses import fields

    from .api import Run
    from .formats.run import scaling_text
    from .recipes.scale_run import scale_run
    from .types.known import Known

    found = scale_run(options.run, Known(**{field.name: getattr(options, field.name) for field in fields(Known)}),
                      options.clip)
    Run(options.run).report()
    print(scaling_text(found._asdict()))


def _reaching(progress: Progress, name: str, unit: str) -> Callable[[int, int], None]:
    """What hears (done, in all), from 1 on, as a phase of the progress."""
    def reach(done: int, total: int) -> None:
        if done == 1:
            progress.phase(name, total, unit)
        progress.reach(done)

    return reach


def _mesh(options: Namespace) -> None:
    from .api import Run
    from .engine.log import Progress
    from .recipes.mesh_run import mesh_run

    with Progress() as progress:
        surface = mesh_run(options.run, options.clip, options.voxel, _reaching(progress, "fuse", "key frames"))
    Run(options.run).report()
    print(f"{options.run / 'mesh.ply'}: {len(surface.vertices)} vertices, {len(surface.faces)} faces")


def _calibrate(options: Namespace) -> None:
    from .engine.log import Progress
    from .recipes.calibrate import calibrate
    from .sources.board import Board

    out = options.out or Path("runs") / f"{options.clip.absolute().stem}-camera"
    with Progress() as progress:
        report = calibrate(options.clip, out, Board(options.board[0], options.board[1], options.square), options.lens,
                           _reaching(progress, "search", "frames"))
    print(report.text())
    print(out / "intrinsics.txt")


def _slam(options: Namespace) -> None:
    from .api import Run
    from .engine.log import Progress
    from .recipes.slam import slam

    out = options.out or Path("runs") / f"{options.clip.absolute().stem}-slam"
    with Progress() as progress:
        slam(options.clip, options.model, out, intrinsics=options.intrinsics, device=options.device,
             progress=_reaching(progress, "slam", "frames"), tell=partial(print, "epipole:", file=sys.stderr))
    Run(out).report()
    print(f"report: {out / 'report.html'}")


def _predict(options: Namespace) -> None:
    from .engine.log import Progress
    from .recipes.predict import Seen
    from .recipes.predict_folder import LARGEST, write_predictions
    from .viewer.predicted import write_prediction

    def draw(path: Path, seen: Seen) -> None:
        write_prediction(path, seen.image, seen.found, "m" if seen.metric else "up to scale")

    with Progress() as progress:
        written = write_predictions(
            options.model, options.data, options.out, draw, options.width, options.intrinsics, options.device,
            _reaching(progress, "predict", "samples"))
    if written.beyond:
        print(f"epipole: {written.beyond} pixels are unknown in disparity/, which holds at most {LARGEST:.0f} px",
              file=sys.stderr)
    print(options.out)


def _show(options: Namespace) -> None:
    from .api import Run

    run = Run(options.run)
    if options.figure is not None:
        return _show_figure(options)
    if options.live:
        return _show_live(options)
    report = run.folder / "report.html"
    if not run.reported:
        run.report()
    print(report)
    if not options.no_browser:
        _browse(report.absolute().as_uri())


def _show_figure(options: Namespace) -> None:
    from .viewer.figure import write_figure

    print(write_figure(options.run, options.figure))


def _show_live(options: Namespace) -> None:
    from .viewer.live import watch

    def tell(address: str) -> None:
        print(f"{address} (end with Ctrl-C)", flush=True)
        if not options.no_browser:
            _browse(address)

    watch(options.run, options.port, tell)


def _browse(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        raise InputError(f"no browser was found; open {address} by hand")


ON_RUNS: dict[str, Callable[[Namespace], None]] = {
    "scale": _scale, "mesh": _mesh, "calibrate": _calibrate, "slam": _slam, "predict": _predict, "show": _show,
}
