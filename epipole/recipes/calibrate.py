"""Calibrates a camera from footage of a chessboard: pinhole, Brown-Conrady or fisheye, by OpenCV's bundle adjustment
(Zhang 2000; Kannala & Brandt 2006), and says how well the footage shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float64

from ..formats import colmap_cameras, kitti, opencv_yaml
from ..formats.atomic import make_folder
from ..formats.calibration import Calibration, build, perspective_lens
from ..geometry.camera import pixel_grid, project
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Pinhole, rays
from ..sources.board import Board, Seen, Sightings, find_board
from ..sources.footage import Footage
from ..sources.video import open_footage
from ..types.errors import InputError

LENSES = ("auto", "perspective", "fisheye")
LEAST = 6                   # different views
WORST = 3.0                 # times the median error of a view, beyond which it is left out
BETTER = 0.9                # times the error of the simpler model, to be worth more parameters
TILT = 15.0                 # degrees, of the view in which the board is tilted most
LARGEST_SD = 2.0            # per cent, of the focal length
LARGEST_ERROR = 2.0         # px, of a calibration that can be meant
STRAIGHT = cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
FISHEYE = cv2.fisheye if hasattr(cv2.fisheye, "CALIB_FIX_SKEW") else cv2   # OpenCV 4, OpenCV 5
ACROSS = 0.1                # z of a unit ray, below which a pinhole would show it nowhere near
CELLS = (8, 6)              # the picture in parts, for its coverage
COVERED = 0.3               # least share of them


class Fit(NamedTuple):
    """A lens fitted to views, and its error in each of them, px RMS."""

    calibration: Calibration
    errors: Float64[np.ndarray, "v"]
    sd_percent: float | None    # of the focal length, as far as the corners' own noise goes; None where unknown

    @property
    def error(self) -> float:
        """RMS over all views, px."""
        return float(np.sqrt((self.errors**2).mean()))


class Report(NamedTuple):
    """A calibration and how good it is."""

    calibration: Calibration
    error: float                # px, RMS of the distance between corners as seen and as the camera would show them
    views: int                  # that were used
    sightings: Sightings
    coverage: float             # share of the picture's parts in which corners were seen
    bend: float                 # px, the most by which the lens moves a point of the picture
    sd_percent: float | None

    def text(self) -> str:
        """What a person wants to know."""
        K, lens = self.calibration.K, type(self.calibration.camera).__name__
        sure = "" if self.sd_percent is None else f" (sd {self.sd_percent:.2f} %)"
        return "\n".join([
            f"{lens}: fx {K[0, 0]:.2f}, fy {K[1, 1]:.2f}{sure}, cx {K[0, 2]:.2f}, cy {K[1, 2]:.2f} px of "
            f"{self.calibration.width}x{self.calibration.height}",
            f"reprojection error {self.error:.3f} px RMS over {self.views} views, of {self.sightings.found} frames "
            f"with the board among {self.sightings.looked_at}",
            f"corners cover {100 * self.coverage:.0f} % of the picture; the lens moves points by up to "
            f"{self.bend:.1f} px",
        ])


def calibrate(
    clip: str | Path, out: str | Path, board: Board, lens: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes camera.yaml (OpenCV), cameras.txt (COLMAP) and intrinsics.txt (K alone) into `out`.

    `lens` auto takes the fisheye where it explains the corners clearly better. Raises InputError where the footage
    cannot be read, or does not show the camera: the board is not found, seen in too few ways, or too badly.
    """
    if lens not in LENSES:
        raise InputError(f"there is no lens {lens!r}; there are {', '.join(LENSES)}")
    footage = open_footage(clip)
    sightings = find_board(footage, board, progress)
    refuse_few(sightings, board, footage)
    fit, used = best_fit(sightings.views, board, (footage.width, footage.height), lens)
    refuse_weak(fit, largest_tilt(used, board))
    report = Report(fit.calibration, fit.error, len(used), sightings, coverage(used, footage.width, footage.height),
                    bend(fit.calibration), fit.sd_percent)
    if report.coverage < COVERED:
        raise InputError(f"the board covers only {100 * report.coverage:.0f} % of the picture over all views; hold it "
                         "into the corners, too")
    write(make_folder(out), fit.calibration)
    return report


def refuse_few(sightings: Sightings, board: Board, footage: Footage) -> None:
    """Raises InputError where the board was not seen, or not in enough different ways."""
    if not sightings.found:
        raise InputError(f"no board of {board.columns}x{board.rows} inner corners was found in {sightings.looked_at} "
                         f"frames of {footage.name}; count the corners where four squares meet, show the whole board "
                         "and hold it still")
    if len(sightings.views) < LEAST:
        raise InputError(f"{footage.name} shows the board in {len(sightings.views)} different places and tilts; show "
                         f"it in at least {LEAST}, in all parts of the picture")


def refuse_weak(fit: Fit, tilt: float) -> None:
    """Raises InputError where the views do not fix the camera; `tilt` is the board's largest, in degrees."""
    if tilt < TILT or (fit.sd_percent or 0) > LARGEST_SD:
        raise InputError(f"the board is tilted by no more than {tilt:.0f} degrees in any view, which does not show "
                         "the focal length; tilt it by 30 degrees and more, to all sides")
    if fit.error > LARGEST_ERROR:
        raise InputError(f"corners miss their places by {fit.error:.1f} px; see that the board is flat and the footage "
                         "sharp")


def largest_tilt(views: list[Seen], board: Board) -> float:
    """About how far the board is tilted where it is tilted most, in degrees: by how much it is foreshortened."""
    plane = board.points[:, :2] - board.points[:, :2].mean(0)
    stretched = [np.linalg.lstsq(plane, view.corners - view.corners.mean(0), rcond=None)[0] for view in views]
    sizes = np.linalg.svd(np.stack(stretched), compute_uv=False)
    return float(np.degrees(np.arccos((sizes[:, 1] / sizes[:, 0]).min())))


def best_fit(views: list[Seen], board: Board, size: tuple[int, int], lens: str) -> tuple[Fit, list[Seen]]:
    """The simplest lens that explains the corners, and the views it was fitted to: without those that no lens fits."""
    fits = [robust(model, views, board, size) for model in models(lens)]
    best = fits[0]
    for fit in fits[1:]:
        if fit[0].error < BETTER * best[0].error:
            best = fit
    return best


Model = Callable[[list[Seen], Board, tuple[int, int]], Fit]


def models(lens: str) -> list[Model]:
    """From few parameters to many."""
    plain: list[Model] = [lambda v, b, s: perspective(v, b, s, STRAIGHT),
                          lambda v, b, s: perspective(v, b, s, cv2.CALIB_FIX_K3), perspective]
    if lens == "fisheye":
        return [fisheye]
    return plain if lens == "perspective" else [*plain, fisheye]


def robust(model: Model, views: list[Seen], board: Board, size: tuple[int, int]) -> tuple[Fit, list[Seen]]:
    """A fit to all views, and another one without those that are far worse than most."""
    fit = model(views, board, size)
    good = [view for view, e in zip(views, fit.errors, strict=True) if e <= WORST * np.median(fit.errors)]
    return (fit, views) if len(good) in (len(views), *range(LEAST)) else (model(good, board, size), good)


def perspective(views: list[Seen], board: Board, size: tuple[int, int], flags: int = 0) -> Fit:
    """Brown-Conrady with k1 k2 p1 p2 k3, but for those that the flags fix; a pinhole if all are. Like `fisheye` with
    infinite errors where the optimiser gives up."""
    points, corners = [board.points] * len(views), [view.corners for view in views]
    try:
        _, K, d, _, _, sd, _, errors = cv2.calibrateCameraExtended(points, corners, size, np.eye(3), np.zeros(5),
                                                                       flags=flags)
        coefficients = dict(zip(("k1", "k2", "p1", "p2", "k3"), d.ravel()[:5].tolist(), strict=True))
        camera = build(perspective_lens(coefficients.values()), (float(K[0, 0]), float(K[1, 1])),
                       (float(K[0, 2]), float(K[1, 2])), coefficients, "the calibration")
    except (cv2.error, InputError):
        return nothing(views, size)
    return Fit(Calibration(camera, *size), errors.ravel(),
               float(100 * max(sd[0, 0] / K[0, 0], sd[1, 0] / K[1, 1])))


def fisheye(views: list[Seen], board: Board, size: tuple[int, int]) -> Fit:
    """Kannala-Brandt with k1 to k4."""
    points = [board.points[None].astype(np.float64)] * len(views)
    corners = [view.corners[None].astype(np.float64) for view in views]
    flags = FISHEYE.CALIB_RECOMPUTE_EXTRINSIC | FISHEYE.CALIB_FIX_SKEW
    try:
        _, K, d, turned, moved = cv2.fisheye.calibrate(points, corners, size, np.eye(3), np.zeros((4, 1)),
                                                     flags=flags)
        camera = build(Fisheye, (float(K[0, 0]), float(K[1, 1])), (float(K[0, 2]), float(K[1, 2])),
                       dict(zip(("k1", "k2", "k3", "k4"), d.ravel().tolist(), strict=True)), "the calibration")
    except (cv2.error, InputError):
        return nothing(views, size)
    errors = [_miss(cv2.fisheye.projectPoints(p, r, t, K, d)[0], c)
              for p, c, r, t in zip(points, corners, turned, moved, strict=True)]
    return Fit(Calibration(camera, *size), np.array(errors), None)


def nothing(views: list[Seen], size: tuple[int, int]) -> Fit:
    """Where the optimiser gives up: errors without end."""
    camera = build(Pinhole, (1.0, 1.0), (0.0, 0.0), {}, "")
    return Fit(Calibration(camera, *size), np.full(len(views), np.inf), None)


def _miss(shown: np.ndarray, seen: np.ndarray) -> Any:
    return np.sqrt(((shown.reshape(-1, 2) - seen.reshape(-1, 2)) ** 2).sum(1).mean())


def coverage(views: list[Seen], width: int, height: int) -> float:
    """Share of the picture's `CELLS` that hold a corner."""
    corners = np.concatenate([view.corners for view in views])
    cells = np.floor((corners + 0.5) / [width, height] * CELLS).astype(int)
    inside = ((cells >= 0) & (cells < CELLS)).all(1)
    return len(np.unique(cells[inside], axis=0)) / (CELLS[0] * CELLS[1])


def bend(calibration: Calibration) -> float:
    """The most, in px, by which a point of the picture lies elsewhere than a pinhole with the same K would show it."""
    K = calibration.camera.K
    grid = pixel_grid(calibration.height, calibration.width, K)[:, ::8, ::8]
    ray, known = rays(grid, calibration.camera)
    ahead = known[0] & (ray[2] > ACROSS)
    straight, _ = project(ray, K)
    return float((straight - grid).norm(dim=0)[ahead].max())


def write(out: Path, calibration: Calibration) -> None:
    """The camera in every format that has a place for its lens."""
    opencv_yaml.write_calibration(out / "camera.yaml", calibration)
    colmap_cameras.write_cameras(out / "cameras.txt", {1: calibration})
    kitti.write_intrinsics(out / "intrinsics.txt", calibration.K)
